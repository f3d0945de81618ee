//! `cargo xtask fuzz`: hostile bytes for every parser of the data plane, by cargo-fuzz on the nightly toolchain.
//!
//! What is found on the way is kept in `target/fuzz/`; `fuzz/corpus/` is read only. It is replayed by the ordinary tests of
//! `ondol-proxy`, without either tool.

use crate::sh;
use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

/// Fuzzes one target, or all of them one after the other, for so many seconds each.
pub(crate) fn run(target: Option<&str>, seconds: u64) -> anyhow::Result<()> {
    if let Some(missing) = missing() {
        bail!("{missing}");
    }
    let fuzz = sh::root().join("fuzz");
    let targets = targets(&fuzz)?;
    let chosen: Vec<&String> = targets
        .iter()
        .filter(|name| target.is_none_or(|wanted| wanted == *name))
        .collect();
    if chosen.is_empty() {
        bail!("there is no such target; there are {}", targets.join(", "));
    }
    for name in chosen {
        one(&fuzz, name, seconds)?;
    }
    Ok(())
}

/// The same for an hour each; what is missing is said, and is no failure.
pub(crate) fn long() -> anyhow::Result<()> {
    match missing() {
        None => run(None, 3_600),
        Some(missing) => {
            eprintln!("SKIPPED: {missing}");
            Ok(())
        }
    }
}

fn missing() -> Option<String> {
    let has = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !has(Command::new("cargo").args(["+nightly", "--version"])) {
        return Some(
            "fuzzing; it needs the nightly toolchain: `rustup toolchain install nightly --profile minimal`".into(),
        );
    }
    if !has(Command::new("cargo").args(["fuzz", "--version"])) {
        return Some("fuzzing; it needs cargo-fuzz: `cargo install --locked cargo-fuzz`".into());
    }
    None
}

/// The targets are the files of `fuzz/fuzz_targets/`.
fn targets(fuzz: &Path) -> anyhow::Result<Vec<String>> {
    let folder = fuzz.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn one(fuzz: &Path, name: &str, seconds: u64) -> anyhow::Result<()> {
    let target = sh::root().join("target/fuzz");
    let (grown, found) = (target.join("corpus").join(name), target.join("found").join(name));
    for folder in [&grown, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = Command::new("cargo");
    // The code has no `unsafe`, so a sanitizer would find nothing that the assertions do not.
    command.args(["+nightly", "fuzz", "run", "--sanitizer", "none", name]);
    command.args([&grown, &fuzz.join("corpus").join(name)]).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.args([
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]);
    command
        .current_dir(fuzz)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTUP_TOOLCHAIN");
    sh::run(&mut command).with_context(|| {
        format!(
            "{name} broke a promise; its input is in {}. Mend what it shows, and copy the input to fuzz/corpus/{name}/, where \
             the ordinary tests replay it",
            found.display()
        )
    })
}
