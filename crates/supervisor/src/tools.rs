//! What starting a process needs, shared by instances and jobs.

use crate::contain::{LIFE, Tree, Yard, counter, own_cgroup};
use crate::logs::Logs;
use crate::mail::Inbox;
use crate::pump::{LastWords, Pump};
use crate::record::Record;
use crate::spawn::{Order, Process, spawn};
use crate::sweep::BOOT;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use ondol_core::id::BootId;
use regex::Regex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Held by the loop; lent to what it moves.
pub(crate) struct Tools {
    pub shim: Vec<OsString>,
    pub boot: BootId,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
    pub yard: Yard,
    pub record: Record,
    pub logs: Arc<Logs>,
    pub pump: Arc<Pump>,
    pub inbox: Inbox,
    /// The last life that was given a number.
    pub lives: u64,
    pub memory: Memory,
}

/// A process of ours with everything that belongs to it.
pub(crate) struct Life {
    pub number: u64,
    pub process: Process,
    pub tree: Tree,
    /// What it said last.
    pub words: LastWords,
}

/// What to start, without what every process gets.
pub(crate) struct Plan<'a> {
    pub argv: &'a [String],
    pub env: BTreeMap<OsString, OsString>,
    pub dir: &'a Path,
    pub listener: Option<BorrowedFd<'a>>,
    pub with_supervisor: bool,
    /// The source of its lines.
    pub source: &'a Arc<str>,
    pub ready_line: Option<Regex>,
}

impl Tools {
    /// Starts a life of its own, its output captured.
    ///
    /// # Errors
    /// Why not, for people.
    pub(crate) fn start(&mut self, mut plan: Plan<'_>) -> Result<Life, String> {
        self.lives += 1;
        let number = self.lives;
        self.mark(&mut plan.env, number);
        let order = Order {
            shim: &self.shim,
            argv: plan.argv,
            env: &plan.env,
            dir: plan.dir,
            listener: plan.listener,
            with_supervisor: plan.with_supervisor,
            captured: true,
        };
        let mut tree = None;
        let started = spawn(&order, |pid| {
            self.record.add(pid);
            tree = Some(self.yard.contain(number, pid));
        });
        let mut process = match (started, &tree) {
            (Ok(process), _) => process,
            (Err(why), tree) => {
                if let Some(tree) = tree {
                    // The shim is dead or dying: its group goes with the next look of the yard's end.
                    tree.kill();
                }
                return Err(why);
            }
        };
        let output = process.output.take();
        let words = output.map(|output| self.pump.add(number, plan.source, output, plan.ready_line));
        let tree = tree.ok_or("it was not contained")?;
        Ok(Life {
            number,
            process,
            tree,
            words: words.unwrap_or_default(),
        })
    }

    /// Starts a process beside a life, such as a probe; it ends with that life at the latest.
    ///
    /// # Errors
    /// Why not, for people.
    pub(crate) fn start_beside(&self, life: &Life, mut plan: Plan<'_>) -> Result<Process, String> {
        self.mark(&mut plan.env, life.number);
        let order = Order {
            shim: &self.shim,
            argv: plan.argv,
            env: &plan.env,
            dir: plan.dir,
            listener: None,
            with_supervisor: true,
            captured: false,
        };
        spawn(&order, |pid| life.tree.adopt(pid))
    }

    fn mark(&self, env: &mut BTreeMap<OsString, OsString>, life: u64) {
        env.insert(BOOT.into(), self.boot.to_string().into());
        env.insert(LIFE.into(), life.to_string().into());
    }
}

/// Tells a death for lack of memory from other kills.
///
/// The tree's own group counts exactly where it has a memory controller. Otherwise the supervisor's own group is looked at,
/// which its children share: a kill counted there shortly before a leader was seen dead is taken for its own.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The file with the counter of the supervisor's own group.
    counter: Option<PathBuf>,
    /// Kills up to this number explain no death any more.
    explained: u64,
    /// The counter, and when it was read.
    latest: (u64, Duration),
}

/// From the kernel's count to the death that it explains.
const EXPLAINS: Duration = Duration::from_secs(1);

impl Memory {
    pub(crate) fn new(now: Duration) -> Self {
        let mut this = Self {
            counter: shared_counter(),
            explained: 0,
            latest: (0, now),
        };
        this.explained = this.kills();
        this.latest.0 = this.explained;
        this
    }

    /// Whether the kernel killed the leader of this tree for lack of memory.
    pub(crate) fn killed(&mut self, tree: &Tree) -> bool {
        if let Some(kills) = tree.oom_kills() {
            return kills > 0;
        }
        let rose = self.kills() > self.explained;
        // One kill explains one death.
        self.explained += u64::from(rose);
        rose
    }

    /// What was counted a second ago and more explains no later death.
    pub(crate) fn look(&mut self, now: Duration) {
        if now.saturating_sub(self.latest.1) >= EXPLAINS {
            self.explained = self.explained.max(self.latest.0);
            self.latest = (self.kills(), now);
        }
    }

    fn kills(&self) -> u64 {
        let text = self.counter.as_ref().and_then(|file| fs::read_to_string(file).ok());
        text.and_then(|text| counter(&text, "oom_kill")).unwrap_or(0)
    }
}

/// In the memory controller of cgroup v1, or the nearest group of v2 that has one.
fn shared_counter() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let v1 = groups.lines().find_map(|line| line.split_once(":memory:/"));
    if let Some((_, path)) = v1 {
        return Some(Path::new("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"));
    }
    own_cgroup()?
        .ancestors()
        .map(|group| group.join("memory.events"))
        .find(|file| file.exists())
}
