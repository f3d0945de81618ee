//! `init` on real small projects, fetched by their own tools: what it writes must be taken by `load`.
//!
//! A tool that is not there, or a registry out of reach, skips its test and says so on the error stream.

use ondol_manifest::{OsEnv, init::init, load};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program; `None`, with a loud word, when it cannot be started or fails.
fn tool(name: &str, args: &[&str], dir: &Path, env: &[(&str, &str)]) -> Option<String> {
    let out = Command::new(name)
        .args(args)
        .current_dir(dir)
        .envs(env.iter().copied())
        .output();
    match out {
        Ok(out) if out.status.success() => Some(String::from_utf8_lossy(&out.stdout).into_owned()),
        Ok(out) => {
            let why = String::from_utf8_lossy(&out.stderr).into_owned();
            eprintln!(
                "SKIPPED: `{name} {}` failed: {}",
                args.join(" "),
                why.lines().last().unwrap_or_default()
            );
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: `{name}` cannot be started: {error}");
            None
        }
    }
}

/// Unpacks the only archive of a folder and gives the folder that was in it.
fn unpack(dir: &Path) -> Option<PathBuf> {
    let entries = || {
        std::fs::read_dir(dir)
            .expect("readable")
            .map(|entry| entry.expect("readable").path())
    };
    let archive = entries().find(|path| path.is_file())?;
    tool("tar", &["-xzf", &archive.to_string_lossy()], dir, &[])?;
    entries().find(|path| path.is_dir())
}

/// Proposes, writes, loads on this machine as it is, and compares what would be run.
fn check(project: &Path, service: &str, run: &str) {
    let proposal = init(project).expect("something to start");
    assert_eq!(proposal.write().expect("writable").len(), 2, "{proposal}");
    assert!(!proposal.guesses.is_empty() && proposal.guesses.iter().all(|guess| !guess.because.is_empty()));
    let lowered = load(project, &OsEnv)
        .unwrap_or_else(|findings| panic!("{proposal}\n{findings}"))
        .lower();
    let [plan] = lowered.plan.services.as_slice() else {
        panic!("one service\n{proposal}")
    };
    assert_eq!(
        (plan.service.as_str(), plan.run.join(" ").as_str()),
        (service, run),
        "{proposal}"
    );
    assert!(
        plan.build.is_some() && !plan.inputs.is_empty() && plan.routes.len() == 1,
        "{plan:?}"
    );
}

#[test]
fn an_npm_package_from_its_registry_is_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = [
        "pack",
        "http-server@14.1.1",
        "--silent",
        "--fetch-retries=0",
        "--fetch-timeout=20000",
    ];
    let Some(_) = tool("npm", &args, dir.path(), &[]) else {
        return;
    };
    let Some(project) = unpack(dir.path()) else { return };
    check(&project, "http-server", "node ./bin/http-server");
}

#[test]
fn a_python_project_from_its_registry_is_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--retries",
        "0",
        "updog==2.0.1",
    ];
    let Some(_) = tool("python3", &args, dir.path(), &[("PIP_DISABLE_PIP_VERSION_CHECK", "1")]) else {
        return;
    };
    let Some(project) = unpack(dir.path()) else { return };
    check(&project, "updog", ".venv/bin/updog");
}

#[test]
fn a_go_module_from_its_proxy_is_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("cache");
    let env = [("GOMODCACHE", &*cache.to_string_lossy()), ("GOFLAGS", "-modcacherw")]
        .map(|(key, value)| (key, value.to_owned()));
    let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let Some(said) = tool(
        "go",
        &["mod", "download", "-json", "github.com/hashicorp/http-echo@v1.0.0"],
        dir.path(),
        &env,
    ) else {
        return;
    };
    let said: serde_json::Value = serde_json::from_str(&said).expect("go speaks JSON");
    check(
        Path::new(said["Dir"].as_str().expect("has a folder")),
        "http-echo",
        "bin/http-echo",
    );
}

#[test]
fn a_crate_from_its_registry_is_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    // `cargo info` unpacks the crate where cargo keeps sources; it is copied, since that place is everybody's.
    let Some(_) = tool(
        "cargo",
        &["info", "--quiet", "basic-http-server@0.8.1"],
        dir.path(),
        &[("CARGO_NET_RETRY", "0")],
    ) else {
        return;
    };
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .expect("a home");
    let registries = std::fs::read_dir(home.join("registry/src")).expect("cargo keeps sources");
    let kept = registries
        .map(|entry| entry.expect("readable").path().join("basic-http-server-0.8.1"))
        .find(|path| path.is_dir());
    let kept = kept.expect("cargo unpacked the crate");
    let Some(_) = tool("cp", &["-r", &kept.to_string_lossy(), "project"], dir.path(), &[]) else {
        return;
    };
    check(
        &dir.path().join("project"),
        "basic-http-server",
        "target/release/basic-http-server",
    );
}
