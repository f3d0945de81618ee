//! What starting a process needs, shared by instances and jobs.

use crate::contain::{LIFE, Tree, Yard, counter};
use crate::logs::Logs;
use crate::mail::Inbox;
use crate::pump::Pump;
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
use std::path::Path;
use std::sync::Arc;

/// Held by the loop; lent to what it moves.
pub(crate) struct Tools {
    pub shim: Vec<OsString>,
    pub boot: BootId,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
    pub yard: Yard,
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
        let started = spawn(&order, |pid| tree = Some(self.yard.contain(number, pid)));
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
        if let Some(output) = process.output.take() {
            self.pump.add(number, plan.source, output, plan.ready_line);
        }
        let tree = tree.ok_or("it was not contained")?;
        Ok(Life { number, process, tree })
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
#[derive(Debug)]
pub(crate) struct Memory {
    /// The machine's counter when last looked at.
    kills: u64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { kills: machine_kills() }
    }

    /// Whether the kernel killed for lack of memory: told by the tree's own group, or else by the machine's counter, which
    /// may count another process that died in the same moment.
    pub(crate) fn killed(&mut self, tree: &Tree) -> bool {
        let kills = machine_kills();
        let rose = kills > std::mem::replace(&mut self.kills, kills);
        tree.oom_kills().map_or(rose, |kills| kills > 0)
    }
}

fn machine_kills() -> u64 {
    counter(&fs::read_to_string("/proc/vmstat").unwrap_or_default(), "oom_kill").unwrap_or(0)
}
