//! The loop of one subscription: wake, decide, write, act.
//!
//! Invariants
//! - What the machine decides is written within a tenth of a second, rows before the position; what an operator did is
//!   written before it takes effect and before the operator is answered.
//! - While the store takes no writes, nothing new is sent.
//! - At most `parallel` events are under way, so that many tasks at most; fewer of the window's while it catches up (`pace.rs`).
//!
//! Tests: `tests/subscription`.

use super::answer::Outcome;
use super::checkpoint::Checkpoint;
use super::config::Subscription;
use super::filter::{Filter, Read};
use super::machine::{BOUNDS, Machine};
use super::pace::{Answered, Pace};
use super::phase::Mode;
use super::pull::Puller;
use super::record::{self, Saved};
use super::request::Command;
use super::source::{Found, Source};
use super::view::Outcomes;
use ondol_core::BoxFuture;
use ondol_core::caller::SharedCaller;
use ondol_core::clock::SharedClock;
use ondol_core::engine::{Order, RowFilter, RowOp, SharedEngine, StoreError, Table, Write};
use ondol_core::entropy::SharedEntropy;
use ondol_core::task::Tasks;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// At the end of the log: after this it is looked at again without an append of this process.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure of the store.
pub(super) const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Outcomes and commands taken per turn.
const BATCH: usize = 256;

/// The outside world, as subscriptions need it.
#[derive(Clone)]
pub struct Ports {
    /// Where state and the log live.
    pub engine: SharedEngine,
    /// How services are called.
    pub caller: SharedCaller,
    /// Time.
    pub clock: SharedClock,
    /// Jitter and ids.
    pub entropy: SharedEntropy,
    /// The family of tasks that the loops belong to.
    pub tasks: Tasks,
    /// Wakes whoever is at the end of the log: its highest position.
    pub head: watch::Receiver<u64>,
}

/// What a flight came to.
pub(super) struct Landing {
    pub(super) flight: u64,
    pub(super) outcome: Outcome,
    /// For a push of the window.
    pub(super) push: Option<Answered>,
}

impl Landing {
    /// Of a lease.
    pub(super) fn of(flight: u64, outcome: Outcome) -> Self {
        Self {
            flight,
            outcome,
            push: None,
        }
    }
}

/// What flights came to: the end that tasks hold, and the loop's.
type Landed = (mpsc::Sender<Landing>, mpsc::Receiver<Landing>);

/// One subscription that runs.
pub(crate) struct Runner {
    pub(crate) ports: Arc<Ports>,
    pub(crate) source: Arc<Source>,
    pub(crate) name: String,
    pub(crate) config: Arc<Subscription>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) machine: Machine<Arc<Read>>,
    /// Entries that the next checkpoint writes.
    pub(crate) audits: Vec<RowOp>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) pullers: VecDeque<Puller>,
    pub(super) saved: Saved,
    pub(super) head: watch::Receiver<u64>,
    pub(super) landed: Landed,
    pub(super) pace: Pace,
    pub(super) reading: Option<BoxFuture<Result<Found, StoreError>>>,
    pub(super) writing: Option<BoxFuture<(Checkpoint, Result<(), StoreError>)>>,
    /// By the monotonic clock: not before.
    pub(super) read_at: Duration,
    pub(super) write_at: Duration,
    /// The last checkpoint failed.
    pub(super) is_stalled: bool,
    /// All of the log was read.
    pub(super) at_end: bool,
    /// The window takes more.
    pub(super) has_room: bool,
}

enum Wake {
    Read(Result<Found, StoreError>),
    Written(Checkpoint, Result<(), StoreError>),
    Landed(Landing),
    Asked(Command),
    Appended,
    Time,
}

impl Runner {
    /// Takes up where the store says; a subscription that it does not know is written first.
    pub(crate) async fn load(
        ports: Arc<Ports>,
        source: Arc<Source>,
        config: Arc<Subscription>,
        outcomes: Arc<Outcomes>,
        numbers: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let (engine, name) = (&ports.engine, config.name.to_string());
        let saved = match engine.row(Table::Subscription, name.clone()).await? {
            Some(row) => record::read("a subscription", &row.body)?,
            None => {
                let saved = Saved::new(config.from, source.head().await?);
                let rows = vec![saved.row(&config.name, ports.clock.wall())?];
                engine
                    .commit(Write {
                        rows,
                        ..Write::default()
                    })
                    .await?;
                saved
            }
        };
        let (mut lanes, mut after) = (Vec::new(), None);
        let filter = RowFilter {
            name: Some(name.clone()),
            ..RowFilter::default()
        };
        loop {
            let rows = engine
                .rows(Table::Delivery, filter.clone(), Order::Ascending, after, 1_000)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            lanes.extend(rows.iter().map(record::read_lane).collect::<Result<Vec<_>, _>>()?);
        }
        let mut machine = Machine::new(BOUNDS, saved.position, lanes);
        (machine.delivered, machine.numbers) = (saved.delivered, numbers);
        machine.configure(config.parallel, config.retry);
        if saved.paused {
            machine.pause();
        }
        let (filter, head) = (Arc::new(Filter::new(&config)), ports.head.clone());
        let (landed, pace) = (mpsc::channel(BATCH), Pace::new(config.parallel));
        Ok(Self {
            source,
            name,
            config,
            filter,
            machine,
            audits: Vec::new(),
            outcomes,
            pullers: VecDeque::new(),
            saved,
            head,
            landed,
            pace,
            reading: None,
            writing: None,
            read_at: Duration::ZERO,
            write_at: Duration::ZERO,
            is_stalled: false,
            at_end: false,
            has_room: false,
            ports,
        })
    }

    /// Runs until it is told to end, or nobody can ask it any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            self.turn();
            match self.wake(&mut commands).await {
                None => break,
                Some(wake) => self.take(wake).await,
            }
            // What else is there already costs no further turn.
            for _ in 0..BATCH {
                let Ok(landing) = self.landed.1.try_recv() else {
                    break;
                };
                self.landed(landing);
            }
        }
        if let Err(error) = self.write_now().await {
            tracing::warn!(subscription = self.name, %error, "where the subscription stands was not written; events may come twice");
        }
    }

    /// Decides and acts: sends what may be sent, reads and writes what is due.
    fn turn(&mut self) {
        let now = self.ports.clock.wall();
        self.machine.wake(now);
        for flight in self.machine.ended(self.ports.clock.mono()) {
            let why = "its lease ended without an answer".to_owned();
            self.land(flight, Outcome::Failed { why, after: None });
        }
        if self.is_stalled || self.machine.mode != Mode::Running {
            self.pace.stands();
        }
        if !self.is_stalled {
            if self.config.push.is_some() {
                self.machine.paced = self.pace.places(self.ports.clock.mono());
                while let Some(delivery) = self.machine.next(now, None) {
                    self.push(delivery);
                }
            } else {
                self.serve_pullers();
            }
        }
        self.begin_read();
        self.begin_write();
    }

    async fn wake(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<Wake> {
        let pause = self.pause();
        // Each arm is cancel-safe: losing the race loses nothing.
        tokio::select! {
            command = commands.recv() => command.map(Wake::Asked).filter(|wake| !matches!(wake, Wake::Asked(Command::End))),
            Some(landing) = self.landed.1.recv() => Some(Wake::Landed(landing)),
            found = maybe(&mut self.reading) => Some(Wake::Read(found)),
            (checkpoint, written) = maybe(&mut self.writing) => Some(Wake::Written(checkpoint, written)),
            Ok(()) = self.head.changed(), if self.at_end => Some(Wake::Appended),
            () = tokio::time::sleep(pause) => Some(Wake::Time),
        }
    }

    /// How long nothing is due.
    fn pause(&mut self) -> Duration {
        let (now, mono) = (self.ports.clock.wall(), self.ports.clock.mono());
        let until = |at: Duration| at.saturating_sub(mono);
        let machine = self.machine.wake_at().map(|at| at.since(now));
        let lease = self.machine.lease_end().map(until);
        let read = (self.reading.is_none() && self.has_room).then(|| until(self.read_at));
        let write = (self.writing.is_none() && self.write_every().is_some()).then(|| until(self.write_at));
        [machine, lease, read, write]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(LOOK_EVERY)
            .max(Duration::from_millis(1))
    }

    async fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Read(found) => {
                self.reading = None;
                self.took(found);
            }
            Wake::Written(checkpoint, written) => {
                self.writing = None;
                let _told = self.wrote(checkpoint, written);
            }
            Wake::Landed(landing) => self.landed(landing),
            Wake::Asked(command) => self.obey(command).await,
            Wake::Appended => self.read_at = Duration::ZERO,
            Wake::Time => {}
        }
    }

    fn landed(&mut self, landing: Landing) {
        if let Some(push) = landing.push.filter(|_| matches!(landing.outcome, Outcome::Done)) {
            self.pace.answered(push, self.ports.clock.mono());
        }
        self.land(landing.flight, landing.outcome);
    }

    pub(crate) fn land(&mut self, flight: u64, outcome: Outcome) -> bool {
        let (now, random) = (self.ports.clock.wall(), self.ports.entropy.next_u64());
        self.outcomes.add(&outcome);
        self.machine.done(flight, outcome, now, random)
    }
}

/// The future that is there, or one that never ends.
async fn maybe<T>(future: &mut Option<BoxFuture<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
