//! The loop of one outbox: read, publish, make durable what waits, say so to the database, and again.
//!
//! How far it is, is written a few times a second and not with every batch: rows that are read again after a crash are
//! known by the ids of their events. A row that waits is written before the cursor passes it.

use super::config::Outbox;
use super::machine::{Held, Machine, Sorted};
use super::record::{cursor_row, gone, held_row, name, read_cursor, read_held};
use super::request::Command;
use super::source::{Source, SourceError};
use crate::context::Context;
use crate::error::EventsError;
use crate::publish::Publisher;
use crate::subscription::phase::Mode;
use ondol_core::clock::{SharedClock, Timestamp};
use ondol_core::engine::{Order, RowFilter, RowOp, SharedEngine, StoreError, Table, Write};
use ondol_core::entropy::SharedEntropy;
use ondol_core::error::ErrorCode;
use ondol_core::id::ServiceName;
use ondol_core::task::Tasks;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks at an outbox: the first while rows come, growing to the second while none do.
const IDLE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// After a database or store that did not answer: from the first, doubling to the second.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Between two writes of how far it is.
const SAVE: Duration = Duration::from_millis(200);
/// Rows of one read at the start.
const PAGE: u32 = 1_000;

/// What relays work with.
#[derive(Clone)]
pub struct Ports {
    /// Where how far they are, and dead letters, live.
    pub engine: SharedEngine,
    /// How events get into the log.
    pub publisher: Publisher,
    /// Time.
    pub clock: SharedClock,
    /// Ids of the audit.
    pub entropy: SharedEntropy,
    /// The family of tasks that the loops belong to.
    pub tasks: Tasks,
}

/// Why a turn failed; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Events(#[from] EventsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Trouble {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::Events(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// What others see without asking the loop.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) published: AtomicU64,
    pub(crate) held: AtomicU64,
    /// Every row up to this `seq` is published or waits here.
    pub(crate) relayed: AtomicU64,
}

/// One outbox that is relayed.
pub(crate) struct Runner {
    pub(crate) service: ServiceName,
    pub(crate) ports: Arc<Ports>,
    pub(crate) source: Source,
    pub(crate) machine: Machine,
    pub(crate) mode: Mode,
    pub(crate) reason: Option<String>,
    figures: Arc<Figures>,
    pause: Duration,
    /// The cursor is further than its row.
    unsaved: bool,
    saved_at: Timestamp,
}

impl Runner {
    /// Takes up what an earlier life left.
    pub(crate) async fn load(ports: Arc<Ports>, outbox: &Outbox, figures: Arc<Figures>) -> Result<Self, StoreError> {
        let service = outbox.service.clone();
        let mut machine = Machine::default();
        if let Some(row) = ports.engine.row(Table::Relay, service.to_string()).await? {
            let saved = read_cursor(&row)?;
            (machine.cursor, machine.file) = (saved.cursor, saved.file);
        }
        let mut after = None;
        loop {
            let filter = RowFilter {
                name: Some(name(&service)),
                ..RowFilter::default()
            };
            let rows = ports
                .engine
                .rows(Table::Delivery, filter, Order::Ascending, after, PAGE)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in &rows {
                machine.hold(read_held(row)?);
            }
        }
        figures.relayed.store(machine.cursor, Ordering::Relaxed);
        let (source, saved_at) = (Source::new(&outbox.database, ports.tasks.clone()), ports.clock.wall());
        let (mode, reason, unsaved) = (Mode::Running, None, false);
        Ok(Self {
            service,
            ports,
            source,
            machine,
            mode,
            reason,
            figures,
            pause: IDLE.0,
            unsaved,
            saved_at,
        })
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let pause = self.turn().await;
            tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    None | Some(Command::End) => break,
                    Some(command) => self.obey(command).await,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What is lost of it is read again.
        drop(self.save().await);
    }

    /// One turn; how long to wait for the next.
    async fn turn(&mut self) -> Duration {
        let (rows, mode) = match self.work().await {
            Ok(rows) => (
                rows,
                if self.machine.is_full() {
                    Mode::Full
                } else {
                    Mode::Running
                },
            ),
            Err(trouble) => {
                self.wait(&trouble);
                return self.pause;
            }
        };
        if self.mode == Mode::Waiting {
            tracing::info!(service = %self.service, "its outbox is relayed again");
        }
        if mode == Mode::Full && self.mode != Mode::Full {
            let (code, rows) = (ErrorCode::new("EV-031"), self.machine.held());
            tracing::error!(service = %self.service, %code, rows, "its outbox has too many dead letters; no more is read");
        }
        self.reason = (mode == Mode::Full).then(|| "too many rows wait for a person: redrive or skip some".into());
        self.mode = mode;
        self.figures.held.store(self.machine.held() as u64, Ordering::Relaxed);
        self.pause = match rows {
            Rows::More => Duration::ZERO,
            Rows::Some => IDLE.0,
            Rows::None => (self.pause * 5 / 4).clamp(IDLE.0, IDLE.1),
        };
        self.figures.relayed.store(self.machine.cursor, Ordering::Relaxed);
        let due = self.machine.until_due(self.ports.clock.wall());
        due.map_or(self.pause, |due| due.min(self.pause))
    }

    fn wait(&mut self, trouble: &Trouble) {
        let (code, reason) = (trouble.code(), trouble.to_string());
        if self.mode != Mode::Waiting || self.reason.as_deref() != Some(&*reason) {
            tracing::warn!(service = %self.service, %code, reason, "its outbox cannot be relayed now; trying on");
        }
        let first = self.mode != Mode::Waiting;
        self.pause = if first {
            TROUBLE.0
        } else {
            (self.pause * 2).clamp(TROUBLE.0, TROUBLE.1)
        };
        (self.mode, self.reason) = (Mode::Waiting, Some(reason));
    }

    async fn work(&mut self) -> Result<Rows, Trouble> {
        self.try_due().await?;
        let rows = if self.machine.is_full() {
            Rows::None
        } else {
            self.relay().await?
        };
        if self.unsaved && self.ports.clock.wall().since(self.saved_at) >= SAVE {
            self.save().await?;
        }
        Ok(rows)
    }

    async fn relay(&mut self) -> Result<Rows, Trouble> {
        let left: Vec<u64> = self.machine.cut().collect();
        let batch = self.source.next(self.machine.cursor, &left).await?;
        if let Some((file, highest)) = batch.file {
            if self.machine.is_replaced(&file, highest) {
                let (code, cursor) = (ErrorCode::new("EV-032"), self.machine.cursor);
                tracing::warn!(service = %self.service, %code, cursor, highest, "its database is another, or an older state of it: its outbox is read from the start");
                (self.machine.cursor, self.machine.file) = (0, Some(file));
                self.figures.relayed.store(0, Ordering::Relaxed);
                self.save().await?;
                return Ok(Rows::More);
            }
            self.machine.file = Some(file);
        }
        let Some(last) = batch.rows.last().map(|row| row.seq) else {
            return Ok(Rows::None);
        };
        let mut done: Vec<u64> = batch.rows.iter().map(|row| row.seq).collect();
        let sorted = self.machine.sort(&self.service, batch.rows, self.ports.clock.wall());
        let Sorted { rows, held, .. } = self.publish(sorted).await?;
        self.figures.published.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let cursor = self.machine.cursor.max(last);
        if !held.is_empty() {
            self.park(cursor, &held).await?;
        }
        done.retain(|seq| !held.iter().any(|held| held.row.seq == *seq && held.row.cut.is_some()));
        self.machine.advance(cursor, held);
        self.unsaved = true;
        self.source.relayed(&done).await?;
        Ok(if batch.more { Rows::More } else { Rows::Some })
    }

    /// Publishes what can be; durable when this returns. What cannot be is among those that wait.
    // `&mut`: a connection to SQLite may be in one thread at a time only.
    async fn publish(&mut self, mut sorted: Sorted) -> Result<Sorted, EventsError> {
        while !sorted.events.is_empty() {
            let published = self
                .ports
                .publisher
                .publish(&self.service, &Context::default(), sorted.events.clone())
                .await;
            match published {
                Ok(_) => break,
                Err(error) => {
                    let Some(first) = error.index() else { return Err(error) };
                    // All of them in one look: a thousand bad rows must not cost a thousand tries of the whole batch.
                    let all = self
                        .ports
                        .publisher
                        .refusals(&self.service, sorted.events.clone())
                        .await?;
                    let all = all.iter().filter_map(|error| Some((error.index()?, words(error))));
                    let refused = std::iter::once((first, words(&error))).chain(all);
                    sorted.refuse(refused.collect(), self.ports.clock.wall());
                }
            }
        }
        Ok(sorted)
    }

    /// Makes durable that these rows wait, and that the relay has passed them.
    async fn park(&mut self, cursor: u64, held: &[Held]) -> Result<(), StoreError> {
        let at = self.ports.clock.wall();
        for held in held.iter().filter(|held| held.error.is_some()) {
            let (code, seq, why) = (ErrorCode::new("EV-031"), held.row.seq, held.error.as_deref());
            tracing::warn!(service = %self.service, %code, seq, why, "a row of its outbox cannot be published");
        }
        let rows = held.iter().map(|held| held_row(&self.service, held, at));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.push(cursor_row(&self.service, cursor, self.machine.file.clone(), at)?);
        self.write(rows).await
    }

    /// Tries the row again that an operator's redrive has made due.
    async fn try_due(&mut self) -> Result<(), Trouble> {
        let now = self.ports.clock.wall();
        let Some(held) = self.machine.due(now).cloned() else {
            return Ok(());
        };
        let published = match held.mended().event(&self.service) {
            Err(why) => Err(why),
            Ok(event) => match self
                .ports
                .publisher
                .publish(&self.service, &Context::default(), vec![event])
                .await
            {
                Ok(_) => Ok(()),
                Err(error) if error.index().is_some() => Err(words(&error)),
                Err(error) => return Err(error.into()),
            },
        };
        match published {
            Ok(()) => {
                self.forget(&held).await?;
                self.figures.published.fetch_add(1, Ordering::Relaxed);
                self.machine.published(now);
            }
            Err(why) => {
                let failed = Held {
                    attempts: held.attempts + 1,
                    error: Some(why.clone()),
                    ..held
                };
                let row = held_row(&self.service, &failed, now)?;
                self.write(vec![row]).await?;
                self.machine.failed(why, now);
            }
        }
        Ok(())
    }

    /// A row that waited is done: it goes there first and then here. Its original is there where it was left, or where
    /// taking it away failed; forgotten here it would be a new row.
    async fn forget(&mut self, held: &Held) -> Result<(), Trouble> {
        self.source.relayed(&[held.row.seq]).await?;
        Ok(self.write(vec![gone(&self.service, &held.row)]).await?)
    }

    pub(crate) async fn write(&mut self, rows: Vec<RowOp>) -> Result<(), StoreError> {
        let write = Write {
            rows,
            ..Write::default()
        };
        self.ports.engine.commit(write).await.map(drop)
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        let at = self.ports.clock.wall();
        let row = cursor_row(&self.service, self.machine.cursor, self.machine.file.clone(), at)?;
        self.write(vec![row]).await?;
        (self.unsaved, self.saved_at) = (false, at);
        Ok(())
    }
}

/// What a turn has seen.
enum Rows {
    None,
    Some,
    More,
}

/// Why one event cannot be published; its number in the batch says nothing to people.
fn words(error: &EventsError) -> String {
    let text = error.to_string();
    let words = text.strip_prefix("event ").and_then(|rest| rest.split_once(": "));
    format!("{}: {}", error.code(), words.map_or(&*text, |(_, words)| words))
}
