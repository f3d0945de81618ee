//! What tests need beyond a Rust toolchain and a C compiler: installed from Debian's packages as root, otherwise named; and
//! cargo-deny from crates.io, which takes some minutes to compile and so is left to the long run.

use crate::sh::{self, cargo};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

/// A program and the Debian package that brings it.
struct Need {
    there: fn() -> bool,
    package: &'static str,
    what_for: &'static str,
}

const NEEDS: [Need; 10] = [
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
    Need {
        there: || sh::has("valgrind"),
        package: "valgrind",
        what_for: "the guard of what a request costs in instructions",
    },
    Need {
        there: || {
            ["nginx", "apache2", "lighttpd", "puma", "haproxy", "caddy"]
                .into_iter()
                .all(is_server)
        },
        package: "nginx apache2-bin lighttpd puma haproxy caddy",
        what_for: "servers behind and proxies in front of the gateway, for the judges",
    },
    Need {
        there: || sh::has("slowhttptest"),
        package: "slowhttptest",
        what_for: "slow clients, for the judges",
    },
    Need {
        there: || sh::has("curl") && sh::has("h2load"),
        package: "curl nghttp2-client",
        what_for: "judges of HTTP/2 that others wrote",
    },
    Need {
        there: || sh::has("sslscan"),
        package: "sslscan openssl",
        what_for: "the judge of TLS",
    },
];

/// Whether a server is installed; those of Debian are not always on the `PATH`.
fn is_server(program: &str) -> bool {
    sh::has(program) || Path::new("/usr/sbin").join(program).is_file()
}

/// Installs what is missing, or says which tests will be skipped and what to install.
pub(crate) fn needs() {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.there)()).collect();
    if missing.is_empty() {
        return;
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.package.split(' ')).collect();
    if may_install() {
        let _none = NoStarts::new();
        let apt = |args: &[&str]| {
            sh::run(
                Command::new("apt-get")
                    .args(args)
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )
        };
        let install =
            |packages: &[&str]| apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat());
        if let Err(error) = apt(&["update", "-qq"]).and_then(|()| install(&packages)) {
            eprintln!("could not install {}: {error:#}; trying one by one", packages.join(" "));
            for package in packages {
                // Whatever is still missing is named below.
                let _ = install(&[package]);
            }
        }
    }
    for need in missing.iter().filter(|need| !(need.there)()) {
        eprintln!(
            "SKIPPED: {}; install the Debian packages: {}",
            need.what_for, need.package
        );
    }
}

/// While it lives, Debian's packages start no services: servers are wanted as programs.
struct NoStarts(bool);

impl NoStarts {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    /// A policy that is there already stays as it is, and stays.
    fn new() -> Self {
        let mut options = fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o755).open(Self::POLICY);
        let Ok(mut file) = made else { return Self(false) };
        // One that could not be written whole goes like one that could.
        let _ = file.write_all(b"#!/bin/sh\nexit 101\n");
        Self(true)
    }
}

impl Drop for NoStarts {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = fs::remove_file(Self::POLICY)
        {
            eprintln!(
                "{} is left behind, so packages start no services: {error}",
                Self::POLICY
            );
        }
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
