//! The configurations that were taken, each a file `.ondol/revisions/NUMBER.json`: what `ondol rollback` goes back to.
//!
//! In files and not in the store, since the store's address is part of a configuration. Which one runs is said by `plan.json`
//! (`plan.rs`) alone: a revision is written before it, so one with a higher number was never taken and is removed.

use super::plan::Plan;
use crate::home::Home;
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;
use ondol_core::whole::{self, Unwritten};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Revisions kept.
pub(super) const KEPT: usize = 20;

/// What made a configuration run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    /// `ondol up`.
    Start,
    /// A change of the files, under `--watch`.
    Watch,
    /// `ondol apply`.
    Apply,
    /// `ondol rollback`.
    Rollback,
}

/// One configuration that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Revision {
    /// Rises.
    pub(super) revision: u64,
    /// When it was taken.
    pub(super) at: Timestamp,
    /// By what.
    pub(super) by: By,
    /// Of a rollback: which revision it is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<u64>,
    /// Only these services and what they require; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) only: Vec<ServiceName>,
}

/// The form on disk; mode 0600, as the plan's.
#[derive(Serialize, Deserialize)]
struct Stored<P> {
    #[serde(flatten)]
    revision: Revision,
    plan: P,
}

/// The revisions that are kept.
pub(super) struct History {
    folder: PathBuf,
    /// By number.
    known: Vec<Revision>,
    /// The highest number that was ever given.
    last: u64,
}

impl History {
    /// Reads what is kept. `taken` is the newest that ran; `None`: nobody knows, so all are believed.
    pub(super) fn open(home: &Home, taken: Option<u64>) -> anyhow::Result<Self> {
        let folder = home.state().join("revisions");
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(Unwritten::at(&folder))?;
        let mut history = Self {
            folder,
            known: Vec::new(),
            last: taken.unwrap_or(0),
        };
        for entry in std::fs::read_dir(&history.folder)?.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let Some(number) = number else { continue };
            if taken.is_some_and(|taken| number > taken) {
                history.forget(number);
                continue;
            }
            match history.read::<serde::de::IgnoredAny>(number) {
                Ok(stored) => history.known.push(stored.revision),
                Err(error) => tracing::warn!(revision = number, %error, "a revision cannot be read"),
            }
        }
        history.known.sort_by_key(|known| known.revision);
        history.last = history.last.max(history.known.last().map_or(0, |known| known.revision));
        Ok(history)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    fn read<P: serde::de::DeserializeOwned>(&self, number: u64) -> std::io::Result<Stored<P>> {
        Ok(serde_json::from_slice(&std::fs::read(self.path(number))?)?)
    }

    /// All, by number.
    pub(super) fn known(&self) -> &[Revision] {
        &self.known
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// One of them.
    pub(super) fn find(&self, number: u64) -> Option<&Revision> {
        self.known.iter().find(|known| known.revision == number)
    }

    /// The newest before `number` that ran the same services.
    pub(super) fn before(&self, number: u64, only: &[ServiceName]) -> Option<&Revision> {
        let mut earlier = self.known.iter().rev().filter(|known| known.revision < number);
        earlier.find(|known| known.only == only)
    }

    /// What ran in it; `None`, and a line in the log, where its file is gone or broken.
    pub(super) fn plan(&self, number: u64) -> Option<Plan> {
        let stored = self.read(number);
        let stored = stored.inspect_err(|error| tracing::warn!(revision = number, %error, "a revision cannot be read"));
        stored.ok().map(|stored: Stored<Plan>| stored.plan)
    }

    /// Writes one down; [`Self::settle`] or [`Self::forget`] follows.
    pub(super) fn record(&mut self, revision: Revision, plan: &Plan) -> Result<(), Unwritten> {
        let path = self.path(revision.revision);
        let stored = Stored { revision, plan };
        let bytes = serde_json::to_vec(&stored).map_err(|error| Unwritten::at(&path)(error.into()))?;
        whole::write(&path, &bytes)?;
        // The name too: `plan.json` will say that this one runs.
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(Unwritten::at(&self.folder))?;
        self.last = stored.revision.revision;
        self.known.push(stored.revision);
        Ok(())
    }

    /// It was not taken after all.
    pub(super) fn forget(&mut self, number: u64) {
        self.known.retain(|known| known.revision != number);
        if let Err(error) = std::fs::remove_file(self.path(number)) {
            tracing::warn!(revision = number, %error, "a revision that was not taken cannot be removed");
        }
    }

    /// It was taken: the oldest beyond [`KEPT`] go.
    pub(super) fn settle(&mut self) {
        let too_many = self.known.len().saturating_sub(KEPT);
        for old in self.known.drain(..too_many).collect::<Vec<_>>() {
            if let Err(error) = std::fs::remove_file(self.path(old.revision)) {
                tracing::warn!(revision = old.revision, %error, "an old revision cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::fixture;
    use super::*;

    fn revision(number: u64) -> Revision {
        Revision {
            revision: number,
            at: Timestamp(0),
            by: By::Apply,
            of: None,
            only: vec![],
        }
    }

    fn numbers(history: &History) -> Vec<u64> {
        history.known().iter().map(|known| known.revision).collect()
    }

    #[test]
    fn the_last_are_kept_and_found_again() {
        let dir = tempfile::tempdir().expect("folder");
        let home = Home {
            root: dir.path().into(),
        };
        let mut history = History::open(&home, None).expect("opened");
        for number in 1..=KEPT as u64 + 2 {
            assert_eq!(history.next(), number);
            history
                .record(revision(number), &fixture(&format!("s{number}")))
                .expect("written");
            history.settle();
        }
        let again = History::open(&home, Some(KEPT as u64 + 2)).expect("opened");
        assert_eq!(numbers(&again), (3..=KEPT as u64 + 2).collect::<Vec<_>>());
        assert_eq!(again.plan(7).map(|plan| plan.system.system), Some("s7".into()));
        assert_eq!(again.before(7, &[]).map(|found| found.revision), Some(6));
        assert_eq!(again.before(3, &[]), None);
        assert_eq!(again.before(7, &["a".parse().expect("valid")]), None);
        assert!(again.plan(1).is_none());
    }

    #[test]
    fn one_that_was_written_and_never_taken_is_removed_and_a_broken_one_is_passed_over() {
        let dir = tempfile::tempdir().expect("folder");
        let home = Home {
            root: dir.path().into(),
        };
        let mut history = History::open(&home, None).expect("opened");
        for number in 1..=3 {
            history.record(revision(number), &fixture("x")).expect("written");
        }
        std::fs::write(home.state().join("revisions/1.json"), "{").expect("broken");
        let again = History::open(&home, Some(2)).expect("opened");
        assert_eq!((numbers(&again), again.next()), (vec![2], 3));
        assert!(!home.state().join("revisions/3.json").exists());
    }

    #[test]
    fn what_cannot_be_written_is_not_known() {
        let dir = tempfile::tempdir().expect("folder");
        let home = Home {
            root: dir.path().into(),
        };
        let mut history = History::open(&home, None).expect("opened");
        std::fs::remove_dir(home.state().join("revisions")).expect("removed");
        let error = history.record(revision(1), &fixture("x")).expect_err("no folder");
        assert!(error.to_string().starts_with("CL-004: "), "{error}");
        assert_eq!((numbers(&history), history.next()), (vec![], 1));
    }
}
