//! Takes sagas up: all that a dead process left when this one begins, and those whose time has come after.
//!
//! Invariants
//! - What is due is read from the rows' `wake_at`; there is no second queue.
//! - A row is read again after its saga was claimed, so that no driver begins with an old state.
//! - Memory is bounded by a page of rows and by the places for active sagas; the pace by `taken_up_per_second`.
//!
//! Tests: `tests/engine.rs`, `tests/simulation.rs`.

use crate::driver::Driver;
use crate::error::SagaError;
use crate::phase::Phase;
use crate::record::{self, Saved};
use crate::shared::{Counts, Shared};
use crate::state::Status;
use ondol_core::engine::{Order, Row, RowFilter, StoreError, Table};
use ondol_core::id::SagaId;
use ondol_core::task::Kind;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Rows read at a time.
const PAGE: u32 = 200;
/// Unreadable sagas remembered, so that each is reported once and not at every sweep.
const REPORTED: usize = 10_000;

/// Runs until the family of tasks stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut sweep = Sweep {
        shared,
        reported: HashSet::new(),
    };
    let mut first = true;
    loop {
        match sweep.pass(first).await {
            Ok(()) => first = false,
            Err(error) => {
                let code = error.code();
                tracing::warn!(
                    code = code.as_str(),
                    error = &error as &dyn std::error::Error,
                    "store cannot be asked for due sagas; trying on"
                );
            }
        }
        tokio::time::sleep(sweep.shared.settings.sweep_every).await;
    }
}

struct Sweep {
    shared: Arc<Shared>,
    reported: HashSet<SagaId>,
}

impl Sweep {
    /// Takes up what is due; with `all` also what has an attempt without outcome, whatever its time.
    async fn pass(&mut self, all: bool) -> Result<(), StoreError> {
        let due_by = (!all).then(|| self.shared.ports.clock.wall());
        let filter = RowFilter {
            awake: true,
            due_by,
            ..RowFilter::default()
        };
        let mut after = None;
        loop {
            let rows = self
                .shared
                .ports
                .engine
                .rows(Table::Saga, filter.clone(), Order::Ascending, after, PAGE)
                .await?;
            for row in &rows {
                if let Some(id) = self.wanted(row, all) {
                    self.take_up(id).await?;
                }
            }
            // A page also ends where its bodies are many bytes: only an empty one is the last.
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.key.clone());
        }
    }

    fn wanted(&mut self, row: &Row, all: bool) -> Option<SagaId> {
        let id: SagaId = row.key.parse().ok()?;
        if self.shared.hub.is_driven(id) || self.reported.contains(&id) {
            return None;
        }
        let is_due = row.wake_at.is_some_and(|at| at <= self.shared.ports.clock.wall());
        let in_air = |saved: &Saved| {
            saved
                .state
                .steps
                .iter()
                .any(|step| step.action.status == Status::Sent || step.undo.status == Status::Sent)
        };
        // One that cannot be read is taken up too: that is where it is reported.
        (is_due || (all && record::read::<Saved>(&row.body).is_ok_and(|saved| in_air(&saved)))).then_some(id)
    }

    async fn take_up(&mut self, id: SagaId) -> Result<(), StoreError> {
        // The semaphore is never closed, so a place comes.
        let Ok(place) = self.shared.places.clone().acquire_owned().await else {
            return Ok(());
        };
        match take_up(&self.shared, id, Some(place)).await {
            Ok(true) => {
                let pace = Duration::from_secs(1) / self.shared.settings.taken_up_per_second.max(1);
                tokio::time::sleep(pace).await;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(SagaError::Store(error)) => Err(error),
            Err(error) => {
                Counts::add(&self.shared.counts.unreadable);
                if self.reported.len() < REPORTED {
                    self.reported.insert(id);
                }
                tracing::error!(saga = %id, code = error.code().as_str(), error = &error as &dyn std::error::Error, "saga cannot be driven");
                Ok(())
            }
        }
    }
}

/// Reads a saga and drives it. `false`: it has a driver, or has ended.
pub(crate) async fn take_up(
    shared: &Arc<Shared>,
    id: SagaId,
    place: Option<OwnedSemaphorePermit>,
) -> Result<bool, SagaError> {
    let Some(claim) = shared.hub.claim(id) else {
        return Ok(false);
    };
    let row = shared.ports.engine.row(Table::Saga, id.to_string()).await?;
    let row = row.ok_or_else(|| SagaError::NotFound(id.to_string()))?;
    let saved: Saved = record::read(&row.body)?;
    if saved.state.phase.is_final() {
        return Ok(false);
    }
    let plan = shared.plan_hashed(&saved.definition).await?;
    if plan.steps.len() != saved.state.steps.len() {
        return Err(SagaError::Stored {
            what: "saga",
            why: "its steps are not those of its definition".into(),
        });
    }
    let mut driver = Driver::new(shared.clone(), plan, saved, claim, place);
    Counts::add(&shared.counts.taken_up);
    shared.ports.tasks.spawn(Kind::Saga, async move {
        let id = driver.id();
        match driver.take_up().await {
            Ok(effects) => driver.run(effects).await,
            Err(error) => tracing::error!(saga = %id, error = &error as &dyn std::error::Error, "saga is left to be taken up again"),
        }
    });
    Ok(true)
}

/// Counts the sagas that have not ended, for the gauges. Pages by phase; ended ones are not read.
pub(crate) async fn count(shared: &Shared) -> Result<(), StoreError> {
    for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_final()) {
        let filter = RowFilter {
            state: Some(phase.as_str().to_owned()),
            ..RowFilter::default()
        };
        let mut after = None;
        loop {
            let rows = shared
                .ports
                .engine
                .rows(Table::Saga, filter.clone(), Order::Ascending, after, PAGE)
                .await?;
            rows.iter().for_each(|_| shared.counts.moved(None, phase));
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
        }
    }
    Ok(())
}
