//! `ondol down`: stops everything in order, showing what goes.

use super::show::{FAINT, GOOD, RESET};
use crate::home::Home;
use ondol_core::wire::supervision::{Facts, Phase};
use ondol_core::wire::supervision_client::ClientError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
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

/// Longest wait for the supervisor's own end, once everything that it kept has ended.
const FAREWELL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Stops the system; the instances that ran. When it returns the supervisor has gone too, so an `up` may follow at once.
pub(crate) fn stop(home: &Home, talk: bool) -> anyhow::Result<Vec<String>> {
    let alive = |facts: &Facts| -> BTreeSet<String> {
        let all = facts.instances.iter().chain(&facts.roles);
        all.filter(|fact| fact.phase != Phase::Stopped)
            .map(|fact| fact.id.to_string())
            .collect()
    };
    let (mut left, mut gone) = (BTreeSet::new(), Vec::new());
    let supervisor = open(home.supervisor().facts()?.pid);
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
    if let Some(process) = supervisor {
        // Past this time only a successor that comes at once would notice, and it says what is in its way.
        let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&FAREWELL));
    }
    if talk {
        anstream::eprintln!("{GOOD}everything is stopped{RESET}");
    }
    Ok(gone)
}

/// A descriptor that becomes readable when the process ends; `None`: it has ended.
fn open(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid.try_into().ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
