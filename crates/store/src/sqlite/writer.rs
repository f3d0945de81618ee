//! The writer: one thread that commits whatever queued during its last fsync, and checkpoints when the log is long.
//!
//! Invariants
//! - A write is answered only after the commit that holds it has returned, refusals too: they may rest on a neighbour.
//! - Any failure rolls the whole batch back and answers all of it. A full disk passes; every other failure of a write,
//!   an fsync or a checkpoint breaks the store for good, because the kernel may have dropped what it could not write.

use super::apply::{Statements, heads};
use super::lock::Lock;
use super::{fault, schema};
use crate::config::Config;
use crate::decide::{Heads, decide};
use crate::error::OpenError;
use crate::queue::{Health, Job, tell_if_slow};
use crate::tally::Tally;
use ondol_core::clock::SharedClock;
use ondol_core::engine::{Committed, StoreError};
use ondol_core::fault::pass;
use rusqlite::{CachedStatement, Connection, Result as SqlResult};
use std::path::PathBuf;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

/// A log this many times longer than `checkpoint_pages` makes the writer wait for readers, so that it starts over.
const LONG: u32 = 8;

/// What the thread needs to begin.
pub(super) struct Start {
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) health: Health,
    pub(super) clock: SharedClock,
    pub(super) inbox: UnboundedReceiver<Job>,
    /// Told the epoch, or why the file could not be opened.
    pub(super) opened: oneshot::Sender<Result<u64, OpenError>>,
}

impl Start {
    /// The thread's body; returns when the queue is closed and empty.
    pub(super) fn run(self) {
        let opened = Lock::take(&self.path).and_then(|lock| Ok((schema::open_writer(&self.path, &self.config)?, lock)));
        let (connection, _lock) = match opened {
            Ok(opened) => opened,
            Err(error) => return drop(self.opened.send(Err(error))),
        };
        let begun = raise_epoch(&connection)
            .and_then(|epoch| Ok((epoch, heads(&connection)?, Statements::prepare(&connection)?)));
        let (epoch, heads, statements) = match begun {
            Ok(begun) => begun,
            Err(error) => return drop(self.opened.send(Err(error.into()))),
        };
        let (batch, pages) = (self.config.batch.max(1), self.config.checkpoint_pages);
        if self.opened.send(Ok(epoch)).is_err() {
            return;
        }
        let (connection, health, clock) = (&connection, self.health, self.clock);
        Writer {
            connection,
            statements,
            heads,
            health,
            clock,
            pages,
        }
        .serve(self.inbox, batch);
    }
}

fn raise_epoch(connection: &Connection) -> SqlResult<u64> {
    connection.query_row("UPDATE meta SET epoch = epoch + 1 RETURNING epoch", [], |row| {
        row.get(0)
    })
}

struct Writer<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    heads: Heads,
    health: Health,
    clock: SharedClock,
    pages: u32,
}

impl Writer<'_> {
    fn serve(mut self, mut inbox: UnboundedReceiver<Job>, batch: usize) {
        let mut jobs = Vec::with_capacity(batch);
        let mut outcomes = Vec::with_capacity(batch);
        while inbox.blocking_recv_many(&mut jobs, batch) > 0 {
            let begun = self.clock.mono();
            let failure = match self.health.error() {
                Some(error) => Some(error),
                None => self.write(&jobs, &mut outcomes).err(),
            };
            tell_if_slow(&*self.clock, begun, jobs.len());
            match failure {
                None => jobs
                    .drain(..)
                    .zip(outcomes.drain(..))
                    .for_each(|(job, outcome)| job.answer(outcome)),
                Some(error) => jobs.drain(..).for_each(|job| job.answer(Err(error.clone()))),
            }
            outcomes.clear();
            if self.health.error().is_none() {
                self.checkpoint();
            }
        }
    }

    /// One batch in one transaction; `outcomes` has one entry for each job when this succeeds.
    fn write(&mut self, jobs: &[Job], outcomes: &mut Vec<Result<Committed, StoreError>>) -> Result<(), StoreError> {
        let before = self.heads;
        let written = self.try_write(jobs, outcomes);
        let Err(error) = written else { return Ok(()) };
        self.heads = before;
        let error = fault::sort_write(self.connection, &error);
        // After some failures SQLite has rolled back by itself; a rollback that fails leaves a transaction open.
        let open = !self.connection.is_autocommit() && self.statements.rollback().is_err();
        if open || matches!(error, StoreError::Broken(_)) {
            self.health.fail(&error);
        }
        Err(error)
    }

    fn try_write(&mut self, jobs: &[Job], outcomes: &mut Vec<Result<Committed, StoreError>>) -> SqlResult<()> {
        self.statements.begin()?;
        let mut tally = Tally::default();
        for job in jobs {
            let outcome = decide(&job.write, &mut self.heads, &mut self.statements)?;
            if let Ok(committed) = &outcome {
                self.statements.apply(&job.write, committed)?;
                tally.add(&job.write, committed);
            }
            outcomes.push(outcome);
        }
        self.statements.count(&tally)?;
        let injected = |fault| rusqlite::Error::ToSqlConversionFailure(Box::new(fault));
        pass("store.commit.before").map_err(injected)?;
        self.statements.commit()?;
        pass("store.commit.after").map_err(injected)
    }

    /// Copies the log into the file when it is long. Runs after the answers are out, so it delays only the next batch.
    fn checkpoint(&mut self) {
        let done = self.log_pages().and_then(|pages| match pages {
            pages if pages >= self.pages.saturating_mul(LONG) => self.run_checkpoint("RESTART"),
            pages if pages >= self.pages => self.run_checkpoint("PASSIVE"),
            _ => Ok(()),
        });
        let Err(error) = done else { return };
        match fault::sort_write(self.connection, &error) {
            // What is in the log stays there and is tried again after the next batch.
            StoreError::Full | StoreError::Busy => tracing::warn!(%error, "checkpoint put off"),
            broken => self.health.fail(&broken),
        }
    }

    /// How many pages of the log are not yet in the file.
    fn log_pages(&self) -> SqlResult<u32> {
        let mut look: CachedStatement<'_> = self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        look.query_row([], |row| {
            let (log, done): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(u32::try_from(log - done).unwrap_or(0))
        })
    }

    fn run_checkpoint(&self, mode: &str) -> SqlResult<()> {
        self.connection
            .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
            .query_row([], |_| Ok(()))
    }
}
