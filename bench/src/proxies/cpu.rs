//! Which core a process runs on, and what it has used of it.

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::time::Duration;

/// Puts a process (`None`: this thread), and what it starts from now on, on one core.
pub(crate) fn pin(pid: Option<Pid>, core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(pid, &cores).context("choosing a core")
}

/// Moves all threads of these processes to a core.
pub(super) fn move_to(pids: &[u32], core: usize) -> anyhow::Result<()> {
    for pid in pids {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let thread = task.file_name().to_str().and_then(|thread| thread.parse().ok());
            pin(thread.and_then(Pid::from_raw), core)?;
        }
    }
    Ok(())
}

/// As many open files as the system allows.
pub(super) fn most_files() -> anyhow::Result<()> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, limit).context("raising the number of open files")
}

/// The processor time of these processes, all threads that live.
pub(super) fn spent(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for pid in pids {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanos))
}
