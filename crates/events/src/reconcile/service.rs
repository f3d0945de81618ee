//! The loop of one reconciliation: run when it is due or asked for, make durable what was found, then mend.
//!
//! What a run found is written before anybody is told, the row of the run last: a run whose rows are lost in a crash
//! is run again. A repairing saga is started after its drift's row is durable, under a key made of that row; started
//! again after a crash it is the same saga.

use super::config::Reconciliation;
use super::machine::{Changes, Machine, Repaired, Report};
use super::record::{drift_row, gone, restore, run_row};
use super::rule::Plan;
use super::run;
use super::source::{SharedSagas, Wish};
use super::view::View;
use ondol_core::BoxFuture;
use ondol_core::caller::SharedCaller;
use ondol_core::clock::{SharedClock, Timestamp};
use ondol_core::engine::{Order, RowFilter, RowOp, SharedEngine, StoreError, Table, Write};
use ondol_core::error::ErrorCode;
use ondol_core::task::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Rows of one read at the start, and of one write.
const ROWS: usize = 200;
/// Who waits for the end of a run.
const WAITING: usize = 64;
/// Runs that go on at once: what they ask services for is work that nobody waits for.
const AT_ONCE: usize = 2;
/// Between two tries to write what a run has found.
const RETRY: Duration = Duration::from_secs(1);

/// What reconciliations work with.
pub struct Ports {
    /// Where drifts live.
    pub engine: SharedEngine,
    /// How services are asked.
    pub caller: SharedCaller,
    /// Sagas, as a source and as repairs.
    pub sagas: SharedSagas,
    /// Time.
    pub clock: SharedClock,
    /// The family of tasks that the loops belong to.
    pub tasks: Tasks,
    pub(super) turns: Semaphore,
}

impl Ports {
    /// All of them.
    pub fn new(
        engine: SharedEngine,
        caller: SharedCaller,
        sagas: SharedSagas,
        clock: SharedClock,
        tasks: Tasks,
    ) -> Self {
        let turns = Semaphore::new(AT_ONCE);
        Self {
            engine,
            caller,
            sagas,
            clock,
            tasks,
            turns,
        }
    }
}

/// A question or an order.
pub(super) enum Command {
    /// How it stands, with the drifts after this key, at most so many.
    View {
        after: Option<String>,
        limit: usize,
        reply: oneshot::Sender<View>,
    },
    /// To be run now; answered when a run that begins after this has ended.
    Run(oneshot::Sender<()>),
    End,
}

type Outcome = (Timestamp, Result<Report, String>);

/// One reconciliation that is run again and again.
pub(super) struct Runner {
    pub(super) config: Arc<Reconciliation>,
    pub(super) machine: Machine,
    ports: Arc<Ports>,
    plan: Arc<Plan>,
    running: Option<BoxFuture<Outcome>>,
    /// Who waits for the end of the run that goes on, and of the one after it.
    waiting: Vec<oneshot::Sender<()>>,
    asked: Vec<oneshot::Sender<()>>,
}

enum Wake {
    Command(Option<Command>),
    Ended(Outcome),
    Due,
}

impl Runner {
    /// Takes up what an earlier life left.
    pub(super) async fn load(
        ports: Arc<Ports>,
        config: Arc<Reconciliation>,
        plan: Arc<Plan>,
    ) -> Result<Self, StoreError> {
        let mut machine = Machine::new(config.every, ports.clock.wall());
        let mut after = None;
        loop {
            let filter = RowFilter {
                name: Some(config.name.clone()),
                ..RowFilter::default()
            };
            let rows = ports
                .engine
                .rows(Table::Reconciliation, filter, Order::Ascending, after, ROWS as u32);
            let rows = rows.await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in &rows {
                restore(&config.name, &mut machine, row)?;
            }
        }
        Ok(Self {
            config,
            machine,
            ports,
            plan,
            running: None,
            waiting: Vec::new(),
            asked: Vec::new(),
        })
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let due = self.machine.until_due(self.ports.clock.wall());
            let wake = tokio::select! {
                biased;
                command = inbox.recv() => Wake::Command(command),
                outcome = ended(&mut self.running) => Wake::Ended(outcome),
                () = tokio::time::sleep(due), if self.running.is_none() => Wake::Due,
            };
            match wake {
                Wake::Command(None | Some(Command::End)) => return,
                Wake::Command(Some(Command::View { after, limit, reply })) => {
                    // Whoever asked may have gone.
                    let _gone = reply.send(self.view(after.as_deref(), limit));
                }
                Wake::Command(Some(Command::Run(reply))) => {
                    self.asked.retain(|one| !one.is_closed());
                    if self.asked.len() < WAITING {
                        self.asked.push(reply);
                    }
                    if self.running.is_none() {
                        self.begin();
                    }
                }
                Wake::Due => self.begin(),
                Wake::Ended((began, outcome)) => {
                    self.running = None;
                    self.end(began, outcome).await;
                    if !self.asked.is_empty() {
                        self.begin();
                    }
                }
            }
        }
    }

    fn view(&self, after: Option<&str>, limit: usize) -> View {
        View::of(&self.config, &self.machine, self.running.is_some(), after, limit)
    }

    fn begin(&mut self) {
        self.waiting = std::mem::take(&mut self.asked);
        let (ports, config, plan) = (self.ports.clone(), self.config.clone(), self.plan.clone());
        self.running = Some(Box::pin(run::run(ports, config, plan, self.machine.begin())));
    }

    async fn end(&mut self, began: Timestamp, outcome: Result<Report, String>) {
        if let Err(why) = &outcome {
            self.cannot_tell(why);
        } else if self.machine.last.as_ref().is_some_and(|last| last.unknown.is_some()) {
            tracing::info!(reconciliation = self.config.name, "can be compared again");
        }
        let now = self.ports.clock.wall();
        let changes = self.machine.end(began, outcome, now);
        self.write_on(&changes).await;
        self.tell(&changes);
        self.mend().await;
        for one in self.waiting.drain(..) {
            let _gone = one.send(());
        }
    }

    /// Said once, not after each of the runs that fail for the same reason.
    fn cannot_tell(&self, why: &str) {
        let last = self.machine.last.as_ref().and_then(|last| last.unknown.as_deref());
        if last != Some(why) {
            let code = ErrorCode::new("EV-043");
            tracing::warn!(reconciliation = self.config.name, %code, why, "a run could not be finished; nothing is known");
        }
    }

    fn tell(&self, changes: &Changes) {
        let reconciliation = &self.config.name;
        for key in &changes.found {
            let why = self.machine.drifts.get(key).map(|drift| drift.finding.why.join("; "));
            let code = ErrorCode::new("EV-042");
            tracing::warn!(reconciliation, key, %code, why, "services disagree");
        }
        for key in &changes.gone {
            tracing::info!(reconciliation, key, "services do not disagree any more as they did");
        }
    }

    /// Writes what a run has changed. While the store takes nothing it tries on: what is not written was not found.
    async fn write_on(&mut self, changes: &Changes) {
        while let Err(error) = self.write_all(changes).await {
            let (reconciliation, code) = (&self.config.name, error.code());
            tracing::error!(reconciliation, %code, %error, "what a run has found cannot be written; trying on");
            tokio::time::sleep(RETRY).await;
        }
    }

    // `&mut`: the run that goes on may be in one thread at a time only.
    async fn write_all(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let (name, now) = (&self.config.name, self.ports.clock.wall());
        let put = changes
            .put
            .iter()
            .filter_map(|key| Some((key, self.machine.drifts.get(key)?)));
        let put = put.map(|(key, drift)| drift_row(name, key, drift, now));
        let deleted = changes.deleted.iter().map(|key| Ok(gone(name, key)));
        let mut rows = put.chain(deleted).collect::<Result<Vec<_>, _>>()?;
        rows.extend(run_row(name, &self.machine, now)?);
        // The run's own row is the last.
        for rows in rows.chunks(ROWS) {
            self.write(rows.to_vec()).await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: Vec<RowOp>) -> Result<(), StoreError> {
        let write = Write {
            rows,
            ..Write::default()
        };
        self.ports.engine.commit(write).await.map(drop)
    }

    /// Starts what mends. What became of it is written afterwards; if that is lost, the same saga is found again.
    async fn mend(&mut self) {
        for (key, since, mend) in self.machine.repairs() {
            let reconciliation = self.config.name.clone();
            let wish = Wish {
                saga: mend.saga.clone(),
                key: [reconciliation.clone(), key.clone(), since.0.to_string()],
                correlation: key.clone(),
                input: mend.input,
            };
            let repaired = match self.ports.sagas.start(wish).await {
                Ok(id) => {
                    tracing::info!(reconciliation, key, saga = %mend.saga, id, "a repairing saga was started");
                    Repaired::Started(id)
                }
                Err(why) => {
                    let code = ErrorCode::new("EV-044");
                    tracing::warn!(reconciliation, key, saga = %mend.saga, %code, why, "a repairing saga could not be started");
                    Repaired::Refused(why)
                }
            };
            self.machine.repaired(&key, repaired);
            let changes = Changes {
                put: vec![key],
                ..Changes::default()
            };
            if let Err(error) = self.write_all(&changes).await {
                tracing::warn!(reconciliation, code = %error.code(), %error, "that a repair was started could not be written");
            }
        }
    }
}

/// The end of the run that goes on; never, while none does.
async fn ended(running: &mut Option<BoxFuture<Outcome>>) -> Outcome {
    match running {
        Some(run) => run.await,
        None => std::future::pending().await,
    }
}
