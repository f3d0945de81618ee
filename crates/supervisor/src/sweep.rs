//! Ends what a killed supervisor left, before anything is started.
//!
//! Found in two ways: what it wrote down (a group; the leaders of sessions, for programs that write over their environment),
//! and every process whose environment carries this system's id with another boot. A process is opened first and looked at
//! again afterwards, so a number used anew is never hit. The process that starts us and its parents are spared: `ondol up`
//! may itself have been started by one of ours.
//!
//! Not found, and only where no cgroup may be written: a process that left its session and wrote over its environment.
//! Tests: `tests/supervisor/predecessor.rs`.

use crate::SupervisorError;
use crate::contain::{in_cgroup, kill_cgroup};
use crate::proc;
use crate::record::{self, Leader};
use crate::wake;
use ondol_core::clock::Clock;
use ondol_core::id::BootId;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// In every child.
pub(crate) const BOOT: &str = "ONDOL_BOOT";
const WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Ends everything of this system that is of another boot; returns how many processes that were.
///
/// # Errors
/// When some are still there after 30 s.
pub(crate) fn sweep(folder: &Path, boot: &BootId, clock: &dyn Clock) -> Result<usize, SupervisorError> {
    let deadline = clock.mono() + WITHIN;
    let written = record::left(folder);
    if let Some(group) = &written.cgroup {
        sweep_group(group, deadline, clock)?;
    }
    let spared = ancestors();
    let mut ended = 0;
    loop {
        let left: Vec<(i32, OwnedFd)> = proc::all()
            .into_iter()
            .filter(|pid| !spared.contains(pid))
            .filter_map(|pid| Some((pid, open_if_left(pid, boot, &written.leaders)?)))
            .collect();
        if left.is_empty() {
            return Ok(ended);
        }
        for (_, handle) in &left {
            // It may have ended by itself.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
        ended += left.len();
        for (pid, handle) in &left {
            let mut polled = [PollFd::new(handle, PollFlags::IN)];
            while polled[0].revents().is_empty() {
                let rest = deadline.saturating_sub(clock.mono());
                if rest.is_zero() {
                    let name = proc::name(*pid).unwrap_or_default();
                    return Err(SupervisorError::Leftovers(format!("process {pid} ({name})")));
                }
                wake::wait(&mut polled, Some(rest)).map_err(SupervisorError::system("wait for a process"))?;
            }
        }
    }
}

fn sweep_group(path: &Path, deadline: Duration, clock: &dyn Clock) -> Result<(), SupervisorError> {
    // Only a group, for the record is a plain file; and not one that this process is in itself.
    let inside = in_cgroup(path)
        .iter()
        .any(|pid| u32::try_from(*pid) == Ok(std::process::id()));
    if inside || !path.join("cgroup.kill").exists() {
        return Ok(());
    }
    while !kill_cgroup(path) {
        if clock.mono() >= deadline {
            return Err(SupervisorError::Leftovers(format!("the group {}", path.display())));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn open_if_left(pid: i32, boot: &BootId, leaders: &[Leader]) -> Option<OwnedFd> {
    let is_left = || carries_another_boot(pid, boot) || is_of_a_leader(pid, leaders);
    is_left().then_some(())?;
    let handle = proc::open(pid)?;
    is_left().then_some(handle)
}

fn carries_another_boot(pid: i32, boot: &BootId) -> bool {
    proc::variable(pid, BOOT)
        .and_then(|text| text.parse::<BootId>().ok())
        .is_some_and(|of| of.system == boot.system && of.boot != boot.boot)
}

/// A leader itself, or one of its session while it still runs: afterwards the number may be another session's.
fn is_of_a_leader(pid: i32, leaders: &[Leader]) -> bool {
    proc::stat(pid)
        .is_some_and(|stat| !stat.zombie && leaders.iter().any(|leader| leader.pid == stat.session && leader.runs()))
}

/// This process and those above it.
fn ancestors() -> Vec<i32> {
    let mut chain = vec![i32::try_from(std::process::id()).unwrap_or(0)];
    while let Some(stat) = chain.last().and_then(|pid| proc::stat(*pid)) {
        if stat.parent <= 1 || chain.contains(&stat.parent) {
            break;
        }
        chain.push(stat.parent);
    }
    chain
}
