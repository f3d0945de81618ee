//! `ondol diff`, `apply` and `rollback`: another configuration for the system that runs.
//!
//! The controller reads the files, compares and takes; these commands ask, show, and wait until the proxies serve by it.

use super::admin::{Admin, Refusal};
use super::changes;
use super::show::{self, BAD, BOLD, FAINT, GOOD, RESET};
use crate::home::Home;
use http::Method;
use ondol_core::clock::{Clock, SystemClock, Timestamp};
use ondol_deploy::status::SystemStatus;
use ondol_manifest::Diff;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Longest wait for a build to end.
const BUILD_PATIENCE: Duration = Duration::from_secs(600);
/// Longest wait for the proxies.
const PROXY_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct DiffArgs {
    /// Exit with 1 when something would change, and with 2 when that cannot be said.
    #[arg(long)]
    exit_code: bool,
}

#[derive(clap::Args)]
pub(crate) struct ApplyArgs {
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub(crate) struct RollbackArgs {
    /// Go back to this revision instead of the one before.
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Only list the revisions that are kept.
    #[arg(long, conflicts_with_all = ["to", "dry_run"])]
    list: bool,
}

/// What the controller says.
#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(flatten)]
    diff: Diff,
    taken: bool,
    revision: u64,
    rolled_back_to: Option<u64>,
}

pub(crate) fn diff(home: &Home, args: DiffArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let told = ask(home, &json!({ "dry_run": true }), as_json);
    let failed = if args.exit_code {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    };
    let told = match told {
        Ok(Some(told)) => told,
        Ok(None) => return Ok(failed),
        Err(error) if args.exit_code => {
            anstream::eprintln!("{BAD}error:{RESET} {error:#}");
            return Ok(failed);
        }
        Err(error) => return Err(error),
    };
    if as_json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        if let Some(to) = told.rolled_back_to {
            anstream::eprintln!(
                "{FAINT}revision {} runs, which was taken back from revision {to}; the files say otherwise{RESET}",
                told.revision
            );
        }
        changes::show(&told.diff, "nothing would change: what runs is what the files say");
        tell_scaled(home)?;
    }
    let differs = args.exit_code && !told.diff.is_empty();
    Ok(ExitCode::from(u8::from(differs)))
}

/// Numbers of instances that a person set are no part of any file, and stay.
fn tell_scaled(home: &Home) -> anyhow::Result<()> {
    let admin = Admin::of(home)?;
    let (status, config): (SystemStatus, Value) = (admin.get("/v1/services")?, admin.get("/v1/config")?);
    for plan in config["services"].as_array().into_iter().flatten() {
        let (name, min) = (plan["service"].as_str(), plan["scale_min"].as_u64());
        let found = status
            .services
            .iter()
            .find(|service| Some(service.service.as_str()) == name);
        let Some((service, min)) = found.zip(min) else { continue };
        if u64::from(service.wanted) > min {
            anstream::eprintln!(
                "{FAINT}{} has {} by `ondol scale`, which stays{RESET}",
                service.service,
                show::count(service.wanted as usize, "instance")
            );
        }
    }
    Ok(())
}

pub(crate) fn apply(home: &Home, args: ApplyArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    take(home, &json!({ "dry_run": args.dry_run }), as_json)
}

pub(crate) fn rollback(home: &Home, args: RollbackArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.list {
        return list(home, as_json);
    }
    let revision = args.to.map_or(json!("previous"), |to| json!(to));
    take(home, &json!({ "dry_run": args.dry_run, "revision": revision }), as_json)
}

fn take(home: &Home, asked: &Value, as_json: bool) -> anyhow::Result<ExitCode> {
    let status: SystemStatus = Admin::of(home)?.get("/v1/services")?;
    let Some(told) = ask(home, asked, as_json)? else {
        return Ok(ExitCode::FAILURE);
    };
    if !as_json {
        changes::show(
            &told.diff,
            if told.taken {
                "nothing changes"
            } else {
                "nothing would change"
            },
        );
    }
    let settled = !told.taken || settle(home, told.revision, status.problem.as_deref())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else if told.taken && settled {
        let back = told
            .rolled_back_to
            .map(|to| format!(", what revision {to} was; the files are as they were"));
        anstream::eprintln!(
            "{GOOD}revision {} runs{RESET}{}",
            told.revision,
            back.unwrap_or_default()
        );
    }
    Ok(if settled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks until no build is in the way. `None`: the manifests are broken, and all errors have been told.
fn ask(home: &Home, asked: &Value, as_json: bool) -> anyhow::Result<Option<Told>> {
    let admin = Admin::of(home)?;
    let (end, mut waited) = (SystemClock.mono() + BUILD_PATIENCE, false);
    loop {
        let refusal: Refusal = match admin.try_ask(Method::POST, "/v1/config", Some(asked.clone()))? {
            Ok(told) => return Ok(Some(told)),
            Err(refusal) => refusal,
        };
        match refusal.code() {
            "DP-019" if SystemClock.mono() < end => {
                if !waited && !as_json {
                    anstream::eprintln!("{FAINT}a build goes on; waiting for its end{RESET}");
                }
                waited = true;
                std::thread::sleep(PAUSE);
            }
            "DP-016" => {
                if as_json {
                    println!("{}", json!({ "findings": refusal.problem["findings"] }));
                } else {
                    anstream::eprint!("{}", refusal.problem["detail"].as_str().unwrap_or_default());
                }
                return Ok(None);
            }
            _ => return Err(refusal.into()),
        }
    }
}

/// Looks on until every proxy serves by this revision or a later one; false, with a word why, when that does not come to pass.
/// `before`: the problem that was there before, for which this revision is not to blame.
fn settle(home: &Home, revision: u64, before: Option<&str>) -> anyhow::Result<bool> {
    let end = SystemClock.mono() + PROXY_PATIENCE;
    let (mut told, mut served) = (None, false);
    loop {
        // The console may just be moving, so its address is looked up each time.
        let status = Admin::of(home).and_then(|admin| admin.get::<SystemStatus>("/v1/services"));
        let problem = match status {
            Ok(status) => {
                served = is_served(&status, revision);
                if served && is_as_well(&status, before) {
                    return Ok(true);
                }
                status.problem
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if problem.is_some() && problem != told {
            anstream::eprintln!("{BAD}problem:{RESET} {}", problem.as_deref().unwrap_or_default());
            told = problem;
        }
        if SystemClock.mono() >= end {
            let lack = match served {
                true => "the problem is there",
                false => "not every proxy serves by it",
            };
            anstream::eprintln!(
                "{BAD}revision {revision} was taken, but {lack} after {} s{RESET}; `ondol status` says what is wrong, `ondol rollback` takes \
                 the one before",
                PROXY_PATIENCE.as_secs()
            );
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether every proxy serves by this revision or a later one.
fn is_served(status: &SystemStatus, revision: u64) -> bool {
    status.configuration.revision >= revision && status.generation.is_some()
}

/// Whether nothing is wrong with the whole that was not wrong before, such as too many files to be watched.
fn is_as_well(status: &SystemStatus, before: Option<&str>) -> bool {
    status.problem.is_none() || status.problem.as_deref() == before
}

fn list(home: &Home, as_json: bool) -> anyhow::Result<ExitCode> {
    let config: Value = Admin::of(home)?.get("/v1/config")?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&config["revisions"])?);
        return Ok(ExitCode::SUCCESS);
    }
    for one in config["revisions"].as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        let at = one["at"]
            .as_i64()
            .map(|at| Timestamp(at).to_string())
            .unwrap_or_default();
        let of = one["of"].as_u64().map(|of| format!(" to {of}")).unwrap_or_default();
        let (mark, end) = match one["revision"] == config["revision"] {
            true => (BOLD, " (runs)"),
            false => (anstyle::Style::new(), ""),
        };
        let number = one["revision"].to_string();
        anstream::println!("{mark}{number:>6}{RESET}  {at}  {}{of}{end}", text("by"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_deploy::configuration::Running;

    #[test]
    fn a_revision_is_not_to_blame_for_a_problem_that_was_there_before() {
        let status = |revision, generation, problem: Option<&str>| SystemStatus {
            configuration: Running {
                revision,
                rolled_back_to: None,
            },
            generation,
            problem: problem.map(str::to_owned),
            ..SystemStatus::default()
        };
        assert!(is_served(&status(7, Some(1), None), 7) && is_served(&status(8, Some(1), None), 7));
        assert!(!is_served(&status(6, Some(1), None), 7) && !is_served(&status(7, None, None), 7));
        let watch = "too many files";
        assert!(is_as_well(&status(7, Some(1), None), Some(watch)));
        assert!(is_as_well(&status(7, Some(1), Some(watch)), Some(watch)));
        assert!(!is_as_well(&status(7, Some(1), Some(watch)), None));
        assert!(!is_as_well(&status(7, Some(1), Some("another")), Some(watch)));
    }
}
