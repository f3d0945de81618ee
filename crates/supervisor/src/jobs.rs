//! Run-to-end processes, such as builds: they end with their client, with their time or with the supervisor.

use crate::error::Refusal;
use crate::mail::JobEnd;
use crate::tools::{Life, Plan, Tools};
use ondol_core::wire::supervision::{Exit, JobSpec};
use rustix::process::Pid;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: usize = 64;
/// After the tree is gone, for the rest of its output to be read.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Running jobs.
#[derive(Default)]
pub(crate) struct Jobs(Vec<Job>);

struct Job {
    spec: JobSpec,
    life: Life,
    end: Arc<JobEnd>,
    /// Until then it may run; afterwards, when to look again whether its tree is gone.
    due: Duration,
    /// Why it ended.
    exit: Option<Exit>,
    leader_ended: bool,
    gone: bool,
    drained: bool,
}

impl Jobs {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|job| job.spec.name.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Starts a job.
    pub(crate) fn start(&mut self, spec: JobSpec, tools: &mut Tools) -> Result<Arc<JobEnd>, Refusal> {
        let invalid = |why: &str| Refusal::Invalid {
            name: spec.name.clone(),
            why: why.to_owned(),
        };
        if spec.name.is_empty() || spec.name.len() > 100 || spec.argv.is_empty() || !spec.dir.is_absolute() {
            return Err(invalid(
                "a job needs a name of at most 100 bytes, a program and an absolute folder",
            ));
        }
        if self.0.iter().any(|job| job.spec.name == spec.name) {
            return Err(Refusal::JobRuns(spec.name));
        }
        if self.0.len() >= LIMIT {
            return Err(Refusal::TooMany {
                what: "jobs",
                limit: LIMIT,
            });
        }
        let failed = |reason| Refusal::Spawn {
            name: spec.name.clone(),
            reason,
        };
        let first_line = tools.logs.next();
        let plan = Plan {
            argv: &spec.argv,
            env: spec
                .env
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            dir: &spec.dir,
            listener: None,
            with_supervisor: true,
            source: &spec.name.as_str().into(),
            ready_line: None,
        };
        let life = tools.start(plan).map_err(failed)?;
        let end = Arc::new(JobEnd::new(life.number, first_line).map_err(|error| failed(error.to_string()))?);
        let due = tools.clock.mono() + Duration::from_millis(spec.timeout_ms);
        let job = Job {
            spec,
            life,
            end: end.clone(),
            due,
            exit: None,
            leader_ended: false,
            gone: false,
            drained: false,
        };
        self.0.push(job);
        Ok(end)
    }

    /// True when `pid` was a job's leader.
    pub(crate) fn leader_ended(&mut self, pid: Pid, exit: &Exit, tools: &mut Tools) -> bool {
        let Some(job) = self
            .0
            .iter_mut()
            .find(|job| job.life.process.pid == pid && !job.leader_ended)
        else {
            return false;
        };
        job.leader_ended = true;
        let memory = *exit == Exit::Signal(9) && tools.memory.killed(&job.life.tree);
        let exit = if memory { Exit::OutOfMemory } else { exit.clone() };
        job.exit.get_or_insert(exit);
        job.clear(tools.clock.mono());
        true
    }

    /// Its output was read to the end.
    pub(crate) fn drained(&mut self, life: u64) {
        self.0
            .iter_mut()
            .filter(|job| job.life.number == life)
            .for_each(|job| job.drained = true);
    }

    /// Nobody waits for it any more.
    pub(crate) fn abandon(&mut self, life: u64, now: Duration) {
        self.0
            .iter_mut()
            .filter(|job| job.life.number == life)
            .for_each(|job| job.end_with(Exit::Told, now));
    }

    /// The system stops.
    pub(crate) fn abandon_all(&mut self, now: Duration) {
        self.0.iter_mut().for_each(|job| job.end_with(Exit::Told, now));
    }

    /// Time passed: ends what is over, forgets what has ended.
    pub(crate) fn tick(&mut self, tools: &Tools) {
        let now = tools.clock.mono();
        for job in &mut self.0 {
            if now >= job.due && job.exit.is_none() {
                tools.logs.say(
                    &job.spec.name,
                    format!("killed: not done within {} ms", job.spec.timeout_ms),
                );
                job.end_with(Exit::NotReady, now);
            }
            if now >= job.due && !job.gone {
                job.clear(now);
            }
        }
        self.0.retain(|job| {
            let over = job.gone && (job.drained || now >= job.due);
            if let Some(exit) = job.exit.as_ref().filter(|_| over) {
                job.end.set(exit.clone());
            }
            !over
        });
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.0.iter().map(|job| job.due).min()
    }
}

impl Job {
    fn end_with(&mut self, exit: Exit, now: Duration) {
        self.exit.get_or_insert(exit);
        self.clear(now);
    }

    /// Kills what is left of the tree.
    fn clear(&mut self, now: Duration) {
        if self.gone {
            return;
        }
        self.gone = self.life.tree.kill() && self.leader_ended;
        self.due = now + if self.gone { DRAIN_WITHIN } else { LOOK_AGAIN };
    }
}
