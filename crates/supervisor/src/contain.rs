//! Process trees: who belongs to one life of an instance or job, and how all of it is killed.
//!
//! Where cgroup v2 may be written, each life has a leaf of its own and `cgroup.kill` ends it, whatever it forked. Elsewhere
//! the supervisor is the subreaper: every descendant stays its descendant, and which life it is of is told by the variable
//! `ONDOL_LIFE`, by its parent or by its session. There, a process that leaves its session, outlives its parent and was given
//! another environment is ended only with the supervisor.
//!
//! Signals to single processes go by pidfd, opened and then compared with what was seen. Tests: `tests/processes.rs`.

use crate::proc::{self, Stat};
use ondol_core::wire::supervision::Containment;
use rustix::process::{Pid, Signal, pidfd_send_signal, set_child_subreaper};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which life a process is of; set in every child.
pub(crate) const LIFE: &str = "ONDOL_LIFE";
const KILLED: &str = "cgroup.kill";

/// How trees are contained on this machine, found out once.
#[derive(Debug)]
pub(crate) struct Yard {
    /// The folder of this system's leaves.
    cgroup: Option<PathBuf>,
    subreaper: bool,
}

/// The tree of one life.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    life: u64,
    leader: Pid,
    cgroup: Option<PathBuf>,
    subreaper: bool,
}

impl Yard {
    /// Becomes the subreaper, and makes a group for the system below the supervisor's own where that may be done.
    /// `cgroups: false` does without.
    pub(crate) fn new(system: &str, cgroups: bool) -> Self {
        let subreaper = set_child_subreaper(Some(rustix::process::getpid())).is_ok();
        let cgroup = cgroups
            .then(own_cgroup)
            .flatten()
            .map(|own| own.join(format!("ondol-{system}")));
        let cgroup = cgroup.filter(|path| match fs::create_dir(path) {
            Ok(()) => path.join(KILLED).exists(),
            Err(error) => error.kind() == std::io::ErrorKind::AlreadyExists && path.join(KILLED).exists(),
        });
        Self { cgroup, subreaper }
    }

    /// The folder of leaves, to be written down for a successor.
    pub(crate) fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// Puts a process that has not run its program yet into a leaf of its own.
    pub(crate) fn contain(&self, life: u64, leader: Pid) -> Tree {
        let leaf = self.cgroup.as_ref().map(|base| base.join(life.to_string()));
        let cgroup = leaf.filter(|leaf| {
            let joined = fs::create_dir(leaf).is_ok() && join(leaf, leader);
            if !joined {
                // Where it could not even be made there is nothing to remove.
                let _ = fs::remove_dir(leaf);
            }
            joined
        });
        Tree {
            life,
            leader,
            cgroup,
            subreaper: self.subreaper,
        }
    }

    /// Removes the group of the system, once nothing runs.
    pub(crate) fn close(&self) {
        if let Some(path) = &self.cgroup {
            // Stays when a process that nobody could kill is left: the successor tries again.
            remove_groups(path);
        }
    }
}

fn join(leaf: &Path, pid: Pid) -> bool {
    fs::write(leaf.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).is_ok()
}

impl Tree {
    pub(crate) fn level(&self) -> Containment {
        match (&self.cgroup, self.subreaper) {
            (Some(_), _) => Containment::Cgroup,
            (None, true) => Containment::Subreaper,
            (None, false) => Containment::Group,
        }
    }

    /// Takes another process in, such as a probe that is to end with the instance.
    pub(crate) fn adopt(&self, pid: Pid) {
        if let Some(leaf) = &self.cgroup {
            // Otherwise its variable tells.
            let _ = join(leaf, pid);
        }
    }

    /// The processes of this tree, now.
    pub(crate) fn pids(&self) -> Vec<i32> {
        match &self.cgroup {
            Some(leaf) => in_cgroup(leaf),
            None => self.descendants().into_iter().map(|(pid, _)| pid).collect(),
        }
    }

    /// Kills what is left; true when nothing is left any more.
    pub(crate) fn kill(&self) -> bool {
        match &self.cgroup {
            Some(leaf) => kill_cgroup(leaf),
            None => {
                let left = self.descendants();
                left.iter().for_each(|(pid, seen)| kill_same(*pid, seen));
                left.is_empty()
            }
        }
    }

    /// How often the kernel killed in this tree for lack of memory, where a controller tells.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let events = fs::read_to_string(self.cgroup.as_ref()?.join("memory.events")).ok()?;
        counter(&events, "oom_kill")
    }

    fn descendants(&self) -> Vec<(i32, Stat)> {
        let all: HashMap<i32, Stat> = proc::all()
            .into_iter()
            .filter_map(|pid| Some((pid, proc::stat(pid)?)))
            .collect();
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        let mut lives = HashMap::new();
        all.iter()
            .filter(|(pid, stat)| !stat.zombie && self.is_mine(**pid, me, &all, &mut lives))
            .map(|(pid, stat)| (*pid, *stat))
            .collect()
    }

    /// Goes up from `pid` to the supervisor; the first process that tells its life tells it for those below.
    fn is_mine(&self, pid: i32, me: i32, all: &HashMap<i32, Stat>, lives: &mut HashMap<i32, Option<u64>>) -> bool {
        let (mut at, mut told) = (pid, None);
        // Parents change while they are read, so a ring is thinkable; no chain is longer than there are processes.
        for _ in 0..all.len() {
            let Some(stat) = all.get(&at) else { return false };
            told = told.or_else(|| *lives.entry(at).or_insert_with(|| life_of(at)));
            if told.is_none() && stat.session == self.leader.as_raw_nonzero().get() {
                told = Some(self.life);
            }
            if stat.parent == me {
                return told == Some(self.life);
            }
            at = stat.parent;
        }
        false
    }
}

fn life_of(pid: i32) -> Option<u64> {
    proc::variable(pid, LIFE)?.parse().ok()
}

/// SIGKILL to the process that was seen, and to no other that got its number since.
pub(crate) fn kill_same(pid: i32, seen: &Stat) {
    let Some(handle) = proc::open(pid) else { return };
    if proc::stat(pid).is_some_and(|now| now.started == seen.started) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// Kills everything in a group and removes it; true when it is gone.
pub(crate) fn kill_cgroup(path: &Path) -> bool {
    if !path.exists() {
        return true;
    }
    let _ = fs::write(path.join(KILLED), "1");
    let events = fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
    counter(&events, "populated") == Some(0) && remove_groups(path)
}

/// Removes a group and those that its processes made below it.
fn remove_groups(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}

/// Of a group and of those below it.
pub(crate) fn in_cgroup(path: &Path) -> Vec<i32> {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(in_cgroup(&entry.path()));
        }
    }
    pids
}

/// The value of `name` in lines of `NAME VALUE`.
pub(crate) fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The supervisor's own group in the v2 hierarchy, as a folder.
pub(crate) fn own_cgroup() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .map(Path::new)
        .find(|mount| mount.join("cgroup.procs").exists())
        .map(|mount| mount.join(own))
}
