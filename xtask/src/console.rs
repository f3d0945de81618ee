//! The console's pages: built by npm where Node is there, so that the program built next carries them; and their tests.
//!
//! Cargo needs no Node: a program that was built without the pages says at its address how to build them.

use crate::sh::{self, root};
use crate::up;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What the pages are made of, in `console/`.
const SOURCES: [&str; 7] = [
    "src",
    "public",
    "scripts",
    "index.html",
    "package-lock.json",
    "svelte.config.js",
    "vite.config.ts",
];

fn folder() -> PathBuf {
    root().join("console")
}

fn npm(args: &[&str]) -> anyhow::Result<()> {
    sh::run(Command::new("npm").arg("--prefix").arg(folder()).args(args))
}

/// Builds what is older than its sources, or says in one line what to install.
pub(crate) fn build() -> anyhow::Result<()> {
    if !sh::has("node") || !sh::has("npm") {
        eprintln!("without Node.js (20 or newer) and npm the console is left out; install `nodejs` and `npm` for it");
        return Ok(());
    }
    let built = newest(&folder().join("dist/index.html"))?;
    let sources = SOURCES.iter().map(|name| newest(&folder().join(name)));
    let changed = sources.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().max();
    if built > changed {
        return Ok(());
    }
    npm(&["run", "build:all"])
}

/// Types, style, the pure parts, and every page in a real browser: of a system that does not exist, and of a real one.
pub(crate) fn test() -> anyhow::Result<()> {
    let missing: Vec<_> = ["node", "npm"]
        .into_iter()
        .filter(|program| !sh::has(program))
        .collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: the console; missing: {}", missing.join(", "));
        return Ok(());
    }
    npm(&["ci", "--prefer-offline", "--silent"])?;
    for step in ["check", "lint", "test"] {
        npm(&["run", step])?;
    }
    build()?; // Not anew where that is done: the program that carries the pages would be built anew too.
    if !sh::has("chromium") {
        eprintln!("SKIPPED: the console in a browser; missing: chromium");
        return Ok(());
    }
    npm(&["run", "test:browser"])
}

/// The pages under load in a real browser, by processor time, and how soon those of a real system are drawn.
pub(crate) fn bench() -> anyhow::Result<()> {
    npm(&["run", "build:all"])?;
    up::build()?;
    npm(&["run", "bench"])
}

/// When the file, or the newest file below the folder, was written; `None`: there is none.
fn newest(path: &Path) -> anyhow::Result<Option<SystemTime>> {
    let Ok(meta) = path.metadata() else {
        return Ok(None);
    };
    if meta.is_file() {
        return Ok(Some(meta.modified()?));
    }
    let entries = path.read_dir().with_context(|| format!("reading {}", path.display()))?;
    let mut newest_of_all = None;
    for entry in entries {
        newest_of_all = newest_of_all.max(newest(&entry?.path())?);
    }
    Ok(newest_of_all)
}
