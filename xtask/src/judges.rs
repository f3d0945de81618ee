//! The judges of `conformance/judges`: programs that others wrote, around a system of the program that was built last.

use crate::sh::{self, root};
use std::path::Path;
use std::process::Command;

/// How many requests there were and where they end, by all who should know; and clients that are slow on purpose.
pub(crate) fn smuggling() -> anyhow::Result<()> {
    judge("smuggling/test_judge.py", &[])?;
    judge("smuggling/run.py", &["--ondol".as_ref(), &ondol()])
}

/// Clients and servers of others through the gateway and the mesh.
pub(crate) fn clients() -> anyhow::Result<()> {
    judge("clients/check.py", &["--ondol".as_ref(), &ondol()])
}

fn ondol() -> std::path::PathBuf {
    root().join("target/release/ondol")
}

fn judge(script: &str, args: &[&Path]) -> anyhow::Result<()> {
    if !sh::has("python3") {
        eprintln!("SKIPPED: {script}; install the Debian packages: python3 python3-venv");
        return Ok(());
    }
    let script = root().join("conformance/judges").join(script);
    sh::run(Command::new("python3").arg(script).args(args).current_dir(root()))
}
