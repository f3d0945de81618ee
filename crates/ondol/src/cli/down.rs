//! `ondol down`: stops everything in order, showing what goes.

use super::show::{FAINT, GOOD, RESET};
use crate::home::Home;
use ondol_core::wire::supervision::{Facts, Phase};
use ondol_core::wire::supervision_client::ClientError;
use std::collections::BTreeSet;
use std::process::ExitCode;

pub(crate) const NOT_RUNNING: &str = "CL-003: this system does not run; `ondol up` starts it";

pub(crate) fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    match stop(home, !json) {
        Err(error)
            if error
                .downcast_ref::<ClientError>()
                .is_some_and(|e| matches!(e, ClientError::Absent { .. })) =>
        {
            if json {
                println!("{}", serde_json::json!({ "stopped": false, "running": false }));
            } else {
                anstream::eprintln!("{NOT_RUNNING}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
        Ok(instances) => {
            if json {
                println!("{}", serde_json::json!({ "stopped": true, "instances": instances }));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Stops the system; the instances that ran.
pub(crate) fn stop(home: &Home, talk: bool) -> anyhow::Result<Vec<String>> {
    let alive = |facts: &Facts| -> BTreeSet<String> {
        let all = facts.instances.iter().chain(&facts.roles);
        all.filter(|fact| fact.phase != Phase::Stopped)
            .map(|fact| fact.id.to_string())
            .collect()
    };
    let (mut left, mut gone) = (BTreeSet::new(), Vec::new());
    for facts in home.supervisor().shutdown()? {
        let now = alive(&facts?);
        for id in left.difference(&now) {
            if talk {
                anstream::eprintln!("{FAINT}stopped{RESET} {id}");
            }
            gone.push(id.clone());
        }
        left = now;
    }
    gone.extend(left);
    if talk {
        anstream::eprintln!("{GOOD}everything is stopped{RESET}");
    }
    Ok(gone)
}
