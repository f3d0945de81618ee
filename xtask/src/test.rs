//! `cargo xtask test`: everything that must be green before something lands, in some 35 minutes on two cores.

use crate::sh::{self, cargo};
use crate::{bench, console, fuzz, install, judges, tidy, up};
use std::time::Instant;

/// One step of the run.
type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: &[Step] = &[
    ("formatting", || sh::run(&mut cargo(&["fmt", "--all", "--check"]))),
    ("house rules", tidy::run),
    ("licences, sources and advisories", deny),
    ("lints", || {
        sh::run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    }),
    ("release build", || {
        up::build()?;
        sh::run(&mut cargo(&["build", "--release", "-p", "ondol-bench"]))
    }),
    ("tests", || sh::run(&mut cargo(&["test", "--workspace"]))),
    ("the SDK in Rust against the cases", rust_sdk),
    ("services and SDK in TypeScript", node),
    ("the guides, as a reader runs them", docs_walk),
    ("the shop, in a browser", browser),
    ("the SDK and the shop's service in Python", python),
    ("judges: real servers and proxies, and slow clients", judges::smuggling),
    ("judges: clients and servers of others", judges::clients),
    ("the console", console::test),
    ("the shop's service in Go", golang),
    ("what a request costs, in instructions", || {
        sh::run(&mut cargo(&["bench", "-p", "ondol-proxy", "--bench", "instructions"]))
    }),
    ("torture, short", || bench::tool("torture", &["--short".into()])),
];

const TORTURE: [&str; 2] = ["--kills", "100"];

const LONG: &[Step] = &[
    ("hostile bytes for every parser, an hour each", fuzz::long),
    ("power cuts", || powercut(10_000)),
    ("torture on SQLite", || bench::tool("torture", &TORTURE.map(Into::into))),
    ("torture on PostgreSQL", || {
        let words = TORTURE.iter().chain(&["--postgres"]);
        bench::tool("torture", &words.map(|word| (*word).into()).collect::<Vec<_>>())
    }),
];

pub(crate) fn run(long: bool) -> anyhow::Result<()> {
    install::needs();
    if long {
        install::cargo_deny();
    }
    let steps = STEPS.iter().chain(if long { LONG } else { &[] });
    for (name, step) in steps {
        let began = Instant::now();
        eprintln!("\n== {name}");
        step()?;
        eprintln!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What `deny.toml` says. The advisories' database may be out of reach; the rest needs none.
fn deny() -> anyhow::Result<()> {
    if !install::has_cargo_deny() {
        eprintln!(
            "SKIPPED: licences, sources and advisories; `cargo xtask test --long` installs what is missing, and so does \
             `cargo install --locked cargo-deny`"
        );
        return Ok(());
    }
    sh::run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    if let Err(error) = sh::run(&mut cargo(&["deny", "fetch", "db"])) {
        eprintln!("SKIPPED: advisories; their database cannot be reached: {error:#}");
        return Ok(());
    }
    sh::run(&mut cargo(&["deny", "--offline", "check", "advisories"]))
}

/// The commands of the guides against a shop of their own.
fn docs_walk() -> anyhow::Result<()> {
    let xtask = std::env::current_exe()?.to_string_lossy().into_owned();
    let words = [
        "--",
        &xtask,
        "docs-walk",
        "--gateway",
        "{gateway}",
        "--system",
        "{system}",
    ];
    bench::tool("with-shop", &words.map(Into::into))
}

/// A customer's way through the storefront in headless Chromium.
fn browser() -> anyhow::Result<()> {
    let missing: Vec<_> = ["node", "npm", "chromium"]
        .into_iter()
        .filter(|program| !sh::has(program))
        .collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: the storefront in a browser; missing: {}", missing.join(", "));
        return Ok(());
    }
    let folder = sh::root().join("shop/e2e").to_string_lossy().into_owned();
    bench::tool("with-shop", &["--", "npm", "--prefix", &folder, "test"].map(Into::into))?;
    // The shop's start has installed what its own tests need.
    npm("shop/services/storefront", &["test"])
}

/// The cases of `conformance/sdk`; the crate's own tests are the workspace's.
fn rust_sdk() -> anyhow::Result<()> {
    if !sh::has("python3") {
        eprintln!("SKIPPED: the SDK in Rust against the cases; missing: python3");
        return Ok(());
    }
    sh::run(&mut cargo(&["build", "-p", "ondol-sdk", "--example", "conformance"]))?;
    let runner = ["with_postgres.py", "run.py"].map(|name| sh::root().join("conformance/sdk").join(name));
    let driver = sh::root().join("target/debug/examples/conformance");
    let mut python = std::process::Command::new("python3");
    sh::run(
        python
            .arg(&runner[0])
            .arg("python3")
            .arg(&runner[1])
            .arg("--")
            .arg(driver),
    )
}

/// The shop's services in TypeScript and their SDK, by their own tests.
fn node() -> anyhow::Result<()> {
    if !sh::has("node") || !sh::has("npm") {
        eprintln!("SKIPPED: services and SDK in TypeScript; missing: node, npm");
        return Ok(());
    }
    for folder in ["sdk/typescript", "shop"] {
        npm(folder, &["ci", "--prefer-offline"])?;
        npm(folder, &["run", "check"])?;
        npm(folder, &["run", "lint"])?;
        npm(folder, &["test"])?;
    }
    npm("sdk/typescript", &["run", "conformance"])
}

fn npm(folder: &str, args: &[&str]) -> anyhow::Result<()> {
    let mut npm = std::process::Command::new("npm");
    sh::run(npm.arg("--prefix").arg(sh::root().join(folder)).args(args))
}

/// What is written in Python, by its own tools; each makes its environment from a lock file.
fn python() -> anyhow::Result<()> {
    if !sh::has("python3") {
        eprintln!(
            "SKIPPED: the SDK and the shop's service in Python; install the Debian packages: python3 python3-venv"
        );
        return Ok(());
    }
    for words in [
        &["sdk/python/check.py"][..],
        &["shop/services/points/build.py", "check"],
    ] {
        sh::run(
            std::process::Command::new("python3")
                .args(words)
                .current_dir(sh::root()),
        )?;
    }
    Ok(())
}

/// The carriers, by Go's own tools, and through the mesh.
fn golang() -> anyhow::Result<()> {
    if !sh::has("go") {
        eprintln!("SKIPPED: the shop's service in Go; install Go 1.26 or newer from https://go.dev/dl/");
        return Ok(());
    }
    let root = sh::root();
    let service = root.join("shop/services/carriers");
    let unformatted = sh::read(
        std::process::Command::new("gofmt")
            .args(["-l", "."])
            .current_dir(&service),
    )?;
    anyhow::ensure!(
        unformatted.trim().is_empty(),
        "gofmt would change {}",
        unformatted.trim()
    );
    for words in [["vet", "./..."].as_slice(), &["test", "-count=1", "./..."]] {
        sh::run(
            std::process::Command::new("go")
                .args(words)
                .env("ONDOL", root.join("target/release/ondol"))
                .current_dir(&service),
        )?;
    }
    Ok(())
}

/// The store on a disk that forgets what was not synced.
pub(crate) fn powercut(rounds: u32) -> anyhow::Result<()> {
    let mut command = cargo(&[
        "test",
        "--release",
        "-p",
        "ondol-store",
        "--test",
        "powercut",
        "--",
        "--nocapture",
    ]);
    sh::run(command.env("POWERCUT_ROUNDS", rounds.to_string()))
}
