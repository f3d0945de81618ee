//! What tests need beyond a Rust toolchain and a C compiler: installed from Debian's packages as root, otherwise named; and
//! cargo-deny from crates.io, which takes some minutes to compile and so is left to the long run.

use crate::sh::{self, cargo};
use std::path::Path;
use std::process::Command;

/// A program and the Debian package that brings it.
struct Need {
    there: fn() -> bool,
    package: &'static str,
    what_for: &'static str,
}

const NEEDS: [Need; 5] = [
    Need {
        there: || Path::new("/usr/lib/postgresql").is_dir(),
        package: "postgresql",
        what_for: "the store and two services on a real PostgreSQL",
    },
    Need {
        there: || sh::has("chromium"),
        package: "chromium",
        what_for: "the storefront and the console in a real browser",
    },
    Need {
        there: || sh::has("node"),
        package: "nodejs npm",
        what_for: "the storefront and the console",
    },
    Need {
        there: || sh::has("python3"),
        package: "python3 python3-venv",
        what_for: "the SDK and the shop's service in Python",
    },
    Need {
        there: || sh::has("promtool"),
        package: "prometheus",
        what_for: "the check of /metrics by Prometheus' own tool",
    },
];

/// Installs what is missing, or says which tests will be skipped and what to install.
pub(crate) fn needs() {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.there)()).collect();
    if missing.is_empty() {
        return;
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.package.split(' ')).collect();
    if may_install() {
        let apt = |args: &[&str]| {
            sh::run(
                Command::new("apt-get")
                    .args(args)
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )
        };
        let install = [
            &["install", "-y", "-qq", "--no-install-recommends"],
            packages.as_slice(),
        ]
        .concat();
        if let Err(error) = apt(&["update", "-qq"]).and_then(|()| apt(&install)) {
            eprintln!("could not install {}: {error:#}", packages.join(" "));
        }
    }
    for need in missing.iter().filter(|need| !(need.there)()) {
        eprintln!(
            "SKIPPED: {}; install the Debian packages: {}",
            need.what_for, need.package
        );
    }
}

/// Installs cargo-deny where it is missing, or says so.
pub(crate) fn cargo_deny() {
    if !has_cargo_deny()
        && let Err(error) = sh::run(&mut cargo(&["install", "--locked", "cargo-deny"]))
    {
        eprintln!("could not install cargo-deny: {error:#}");
    }
}

/// Whether `cargo deny` is a command here.
pub(crate) fn has_cargo_deny() -> bool {
    let list = sh::read(&mut cargo(&["--list"])).unwrap_or_default();
    list.lines().any(|line| line.split_whitespace().next() == Some("deny"))
}

fn may_install() -> bool {
    let root = sh::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    root && sh::has("apt-get")
}
