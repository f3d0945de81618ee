//! What is known of a reconciliation from run to run. Pure: a run's report goes in, what is to be written comes out.
//!
//! A key that does not fit is *suspected* after one run and *reported* once a second run has found the same of it. What a
//! run did not judge stays as it was: a key that was moving then, and everything when the run could not be finished.
//!
//! Bounds: [`KEPT`] keys are kept, those that are known before new ones; the rest of a run is counted. Tests: beside it.

use super::rule::{Finding, Mend, Verdict};
use ondol_core::clock::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Keys that are kept of one reconciliation.
pub(crate) const KEPT: usize = 1_000;
/// Sagas that one run starts at most: a check that is wrong must not move everything at once.
pub(crate) const REPAIRS: usize = 10;
/// After a run that could not be finished; doubles, up to `every`.
const AGAIN: Duration = Duration::from_secs(5);
/// So often it has to be found.
const CONFIRMED: u32 = 2;

/// How far the mending of a drift is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Repaired {
    #[default]
    Not,
    /// By this saga. It is started once for a drift; when the drift stays, a person looks.
    Started(String),
    /// It could not be started, and is tried again after the next run.
    Refused(String),
}

/// A key that does not fit.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Drift {
    /// When it was first found so.
    pub(crate) since: Timestamp,
    /// How many runs have found it so.
    pub(crate) seen: u32,
    pub(crate) finding: Finding,
    pub(crate) repaired: Repaired,
}

impl Drift {
    pub(crate) fn is_reported(&self) -> bool {
        self.seen >= CONFIRMED
    }

    /// It is found to be what it was before.
    fn is_still(&self, finding: &Finding) -> bool {
        self.finding.values == finding.values && self.finding.why == finding.why
    }
}

/// What one run has found.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Report {
    /// Keys that are kept from earlier runs.
    known: BTreeSet<String>,
    broken: BTreeMap<String, Finding>,
    /// Of the known ones those that were not judged.
    unjudged: BTreeSet<String>,
    /// Found, and neither known nor kept.
    new: usize,
    pub(crate) tally: Tally,
}

/// What one run has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Keys that any source had.
    pub(crate) keys: u64,
    /// Those that had changed too lately to be judged.
    pub(crate) moving: u64,
    /// Keys that do not fit and are not kept.
    pub(crate) more: u64,
}

impl Report {
    /// Takes in what a key was found to be.
    pub(crate) fn add(&mut self, key: String, verdict: Verdict) {
        self.tally.keys += 1;
        let is_known = self.known.contains(&key);
        match verdict {
            Verdict::Holds => {}
            Verdict::Moving => {
                self.tally.moving += 1;
                if is_known {
                    self.unjudged.insert(key);
                }
            }
            Verdict::Broken(_) if !is_known && self.known.len() + self.new >= KEPT => self.tally.more += 1,
            Verdict::Broken(finding) => {
                self.new += usize::from(!is_known);
                self.broken.insert(key, finding);
            }
        }
    }
}

/// The last run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Last {
    /// When it began.
    pub(crate) at: Timestamp,
    pub(crate) tally: Tally,
    /// Why it could not be finished.
    pub(crate) unknown: Option<String>,
}

/// What a run has changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Changes {
    /// Keys whose rows are to be written.
    pub(crate) put: Vec<String>,
    /// Keys whose rows are to go.
    pub(crate) deleted: Vec<String>,
    /// Of `put` those that are reported from now on.
    pub(crate) found: Vec<String>,
    /// Keys that were reported, and are not any more.
    pub(crate) gone: Vec<String>,
}

/// The state of one reconciliation.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) drifts: BTreeMap<String, Drift>,
    pub(crate) last: Option<Last>,
    /// When it is run next.
    pub(crate) wake_at: Timestamp,
    /// Runs in a row that could not be finished.
    pub(crate) failures: u32,
    every: Duration,
}

impl Machine {
    /// One that has never run. The services that it asks may just be starting, so it waits its time first.
    pub(crate) fn new(every: Duration, now: Timestamp) -> Self {
        Self {
            drifts: BTreeMap::new(),
            last: None,
            wake_at: now.plus(every),
            failures: 0,
            every,
        }
    }

    /// How long until the next run. A wall clock that was set back delays it by `every` at most.
    pub(crate) fn until_due(&self, now: Timestamp) -> Duration {
        self.wake_at.since(now).min(self.every)
    }

    /// The empty report of a run that begins now.
    pub(crate) fn begin(&self) -> Report {
        Report {
            known: self.drifts.keys().cloned().collect(),
            ..Report::default()
        }
    }

    /// Takes in a run that began at `at`.
    pub(crate) fn end(&mut self, at: Timestamp, outcome: Result<Report, String>, now: Timestamp) -> Changes {
        let (tally, unknown, changes) = match outcome {
            Ok(report) => {
                self.failures = 0;
                (report.tally, None, self.take(report, now))
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                (Tally::default(), Some(why), Changes::default())
            }
        };
        let pause = match self.failures {
            0 => self.every,
            failures => AGAIN.saturating_mul(1 << (failures - 1).min(16)).min(self.every),
        };
        self.last = Some(Last { at, tally, unknown });
        self.wake_at = now.plus(pause);
        changes
    }

    fn take(&mut self, mut report: Report, now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        self.drifts.retain(|key, drift| {
            if report.unjudged.contains(key) {
                return true;
            }
            let finding = report.broken.remove(key);
            let is_still = finding.as_ref().is_some_and(|finding| drift.is_still(finding));
            if drift.is_reported() && !is_still {
                changes.gone.push(key.clone());
            }
            let Some(finding) = finding else {
                changes.deleted.push(key.clone());
                return false;
            };
            changes.put.push(key.clone());
            if is_still {
                drift.seen = drift.seen.saturating_add(1);
                drift.finding = finding;
                if drift.seen == CONFIRMED {
                    changes.found.push(key.clone());
                }
            } else {
                *drift = suspected(finding, now);
            }
            true
        });
        for (key, finding) in report.broken {
            changes.put.push(key.clone());
            self.drifts.insert(key, suspected(finding, now));
        }
        changes
    }

    /// Sagas to be started now: first those that were never tried.
    pub(crate) fn repairs(&self) -> Vec<(String, Timestamp, Mend)> {
        let mut due: Vec<_> = self
            .drifts
            .iter()
            .filter(|(_, drift)| drift.is_reported() && !matches!(drift.repaired, Repaired::Started(_)))
            .filter_map(|(key, drift)| Some((key.clone(), drift, drift.finding.mend.clone()?)))
            .collect();
        due.sort_by_key(|(_, drift, _)| matches!(drift.repaired, Repaired::Refused(_)));
        let due = due.into_iter().take(REPAIRS);
        due.map(|(key, drift, mend)| (key, drift.since, mend)).collect()
    }

    /// A repair was tried.
    pub(crate) fn repaired(&mut self, key: &str, repaired: Repaired) {
        if let Some(drift) = self.drifts.get_mut(key) {
            drift.repaired = repaired;
        }
    }

    /// Keys that are reported.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (&String, &Drift)> {
        self.drifts.iter().filter(|(_, drift)| drift.is_reported())
    }
}

fn suspected(finding: Finding, now: Timestamp) -> Drift {
    Drift {
        since: now,
        seen: 1,
        finding,
        repaired: Repaired::Not,
    }
}

#[cfg(test)]
mod tests;
