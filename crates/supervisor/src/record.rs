//! What runs, written down for a successor: `.ondol/running.json`, stored form 1.
//!
//! A process is named by its number and its start in ticks since the machine's boot, which together name it for good until
//! the machine starts again; so the machine's boot is written down with them. Nothing is synced: after a power cut no process
//! is left.

use crate::proc;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "running.json";
const VERSION: u32 = 1;

/// Kept in step with what is started.
#[derive(Debug)]
pub(crate) struct Record {
    file: PathBuf,
    stored: Stored,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Stored {
    version: u32,
    machine_boot: String,
    cgroup: Option<PathBuf>,
    leaders: Vec<Leader>,
}

/// The first process of a tree, which leads a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Leader {
    pub pid: i32,
    pub started: u64,
}

/// What an earlier supervisor wrote down.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub cgroup: Option<PathBuf>,
    /// Those that still run.
    pub leaders: Vec<Leader>,
}

impl Record {
    /// Begins anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn begin(folder: &Path, cgroup: Option<&Path>) -> io::Result<Self> {
        let stored = Stored {
            version: VERSION,
            machine_boot: machine_boot(),
            cgroup: cgroup.map(Path::to_path_buf),
            leaders: Vec::new(),
        };
        let this = Self {
            file: folder.join(FILE),
            stored,
        };
        this.write()?;
        Ok(this)
    }

    /// Adds a leader that has not run its program yet, and forgets those that have ended. A full disk is no reason not to
    /// start: the variable in its environment tells a successor too.
    pub(crate) fn add(&mut self, pid: Pid) {
        let pid = pid.as_raw_nonzero().get();
        self.stored.leaders.retain(Leader::runs);
        self.stored.leaders.extend(proc::stat(pid).map(|stat| Leader {
            pid,
            started: stat.started,
        }));
        let _ = self.write();
    }

    fn write(&self) -> io::Result<()> {
        let temporary = self.file.with_extension("new");
        fs::write(&temporary, serde_json::to_vec(&self.stored)?)?;
        fs::rename(&temporary, &self.file)
    }
}

impl Leader {
    /// True while this very process exists.
    pub(crate) fn runs(&self) -> bool {
        proc::stat(self.pid).is_some_and(|stat| stat.started == self.started && !stat.zombie)
    }
}

/// Reads what an earlier supervisor wrote; nothing where there is none, or of an earlier boot of the machine.
pub(crate) fn left(folder: &Path) -> Left {
    let stored: Stored = fs::read(folder.join(FILE))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    if stored.version != VERSION || stored.machine_boot != machine_boot() {
        return Left::default();
    }
    Left {
        cgroup: stored.cgroup,
        leaders: stored.leaders.into_iter().filter(Leader::runs).collect(),
    }
}

fn machine_boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_reads_back_and_names_only_what_still_runs() {
        let folder = tempfile::tempdir().expect("folder");
        let group = Path::new("/sys/fs/cgroup/x");
        let mut record = Record::begin(folder.path(), Some(group)).expect("begin");
        record.add(rustix::process::getpid());
        let gone = Leader {
            pid: std::process::id() as i32,
            started: 1,
        };
        record.stored.leaders.push(gone);
        record.write().expect("write");
        let left = left(folder.path());
        assert_eq!(left.cgroup.as_deref(), Some(group));
        assert_eq!(
            left.leaders.iter().map(|leader| leader.pid).collect::<Vec<_>>(),
            [std::process::id() as i32]
        );
        assert!(!left.leaders.contains(&gone), "the same number of another process");
    }

    #[test]
    fn another_boot_of_the_machine_or_form_leaves_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let mut record = Record::begin(folder.path(), None).expect("begin");
        record.add(rustix::process::getpid());
        for (version, boot) in [(VERSION, "another".to_owned()), (VERSION + 1, machine_boot())] {
            (record.stored.version, record.stored.machine_boot) = (version, boot);
            record.write().expect("write");
            assert!(left(folder.path()).leaders.is_empty());
        }
    }

    #[test]
    fn form_1_is_read_as_it_was_written() {
        let text = r#"{"version":1,"machine_boot":"b","cgroup":null,"leaders":[{"pid":7,"started":9}]}"#;
        let stored: Stored = serde_json::from_str(text).expect("form 1");
        assert_eq!(stored.leaders, [Leader { pid: 7, started: 9 }]);
        assert_eq!(serde_json::to_string(&stored).expect("written"), text);
    }
}
