//! `cargo xtask up`: builds the console and Ondol, and runs the shop on it.

use crate::console;
use crate::sh::{self, cargo, root};
use std::path::PathBuf;
use std::process::Command;

/// The `ondol` program as `up` builds it.
pub(crate) fn ondol() -> PathBuf {
    root().join("target/release/ondol")
}

/// The pages first, since the program carries them.
pub(crate) fn build() -> anyhow::Result<()> {
    console::build()?;
    sh::run(&mut cargo(&["build", "--release", "-p", "ondol"]))
}

pub(crate) fn run_shop(args: &[String]) -> Command {
    let mut command = Command::new(ondol());
    command
        .arg("-C")
        .arg(root().join("shop"))
        .arg("up")
        .args(args)
        .env_remove("CARGO_TARGET_DIR");
    command
}

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    build()?;
    let accounts = root().join("shop/.ondol/data/users/first-accounts.json");
    eprintln!("the first accounts and their passwords: {}", accounts.display());
    if !sh::has("node") {
        eprintln!("without Node.js (20 or newer) the web pages are skipped; install `nodejs` and `npm` for them");
    }
    sh::run(&mut run_shop(args))
}
