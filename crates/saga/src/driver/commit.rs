//! What a decision becomes in the store: one record, the saga's row and what goes with them, in one write.
//!
//! Invariant: effects come out of here only after the write that holds them was acknowledged.
//! Tests: `tests/engine.rs`, `tests/simulation.rs`.

use super::Driver;
use crate::error::SagaError;
use crate::machine::{Effect, Next};
use crate::query::Summary;
use crate::record::{self, Event, Happened, VERSION};
use crate::render::Known;
use crate::shared::Counts;
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Guard, Record, Row, RowOp, StoreError, Table, Write};
use ondol_core::error::Retry;
use ondol_resilience::backoff;
use std::time::Duration;

/// Most bytes of a saga's row at its start: half of what a row takes, so that there is room for what its steps answer.
const MAX_AT_START: usize = 2 * 1024 * 1024;

/// Rows and guards that go with a saga's first commit.
#[derive(Clone, Default)]
pub(crate) struct Also {
    pub(crate) guards: Vec<Guard>,
    pub(crate) rows: Vec<RowOp>,
}

/// What one commit says. The write is made of it anew for each try: nearly every one is taken at the first, and so needs
/// no copy of itself.
struct Draft {
    at: Timestamp,
    kind: Option<&'static str>,
    happened: Bytes,
    body: Bytes,
    also: Also,
    first: bool,
}

impl Driver {
    /// Makes `next` durable and true, then gives its effects free. Of a `next` that is too large nothing has happened.
    pub(super) async fn commit(&mut self, next: Next, also: Also) -> Result<Vec<Effect>, SagaError> {
        if next.state == self.saved.state && next.events.is_empty() {
            return Ok(next.effects);
        }
        let before = self.saved.state.phase;
        let effects = self.write(next, also, false).await?;
        if before != self.saved.state.phase {
            self.shared.counts.moved(Some(before), self.saved.state.phase);
        }
        Ok(effects)
    }

    pub(super) async fn write(&mut self, next: Next, also: Also, first: bool) -> Result<Vec<Effect>, SagaError> {
        let Next { state, events, effects } = next;
        let before = std::mem::replace(&mut self.saved.state, state);
        if self.saved.state.phase.is_final() && self.saved.answer.is_none() {
            let known = Known {
                id: &self.key,
                plan: &self.plan,
                saved: &self.saved,
            };
            self.saved.answer = Some(known.final_answer());
        }
        let at = self.now();
        let kind = events.first().map(Event::kind);
        let happened = record::write(&Happened { v: VERSION, events })?;
        let body = record::write(&self.saved)?;
        if first {
            fits_at_start(body.len())?;
        }
        let draft = Draft {
            at,
            kind,
            happened,
            body,
            also,
            first,
        };
        let stored = self.store(draft).await;
        if matches!(stored, Err(StoreError::TooLarge { .. })) {
            (self.saved.state, self.saved.answer) = (before, None);
        }
        stored?;
        self.tell(at);
        Ok(effects)
    }

    /// Those who look on, if anybody does.
    fn tell(&self, at: Timestamp) {
        if self.shared.changed.receiver_count() > 0 {
            let summary = Summary::of(&self.row(at, Bytes::new()));
            // An error means that they have gone.
            let _ = self.shared.changed.send(summary);
        }
    }

    /// The draft as a write. A start gives its own rows away, for it is tried once.
    fn written(&self, draft: &mut Draft) -> Write {
        let also = if draft.first {
            std::mem::take(&mut draft.also)
        } else {
            draft.also.clone()
        };
        let Also { guards, mut rows } = also;
        rows.push(RowOp::Put(Table::Saga, self.row(draft.at, draft.body.clone())));
        let record = |kind: &str| Record {
            subject: self.key.clone(),
            kind: kind.to_owned(),
            at: draft.at,
            body: draft.happened.clone(),
        };
        Write {
            guards,
            records: draft.kind.map(record).into_iter().collect(),
            rows,
            ..Write::default()
        }
    }

    fn row(&self, at: Timestamp, body: Bytes) -> Row {
        let state = &self.saved.state;
        let detail = state
            .at_step(&self.plan)
            .map(|step| self.plan.steps[step].name.to_string());
        Row {
            key: self.key.clone(),
            state: state.phase.as_str().to_owned(),
            name: self.plan.definition.saga.to_string(),
            detail: detail.unwrap_or_default(),
            wake_at: state.wake_at(&self.plan),
            updated_at: at,
            body,
        }
    }

    /// Commits, again and again while the store is merely full or away: the state is decided, and what was called was
    /// called. A start gives up at once instead, so that its client is told.
    async fn store(&mut self, mut draft: Draft) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            let commit = self.shared.ports.engine.commit(self.written(&mut draft));
            let error = match commit.await {
                Ok(_) => {
                    Counts::add(&self.shared.counts.commits);
                    return Ok(());
                }
                Err(error) => error,
            };
            if draft.first || error.retry() == Retry::Never {
                return Err(error);
            }
            if tries == 0 {
                tracing::warn!(saga = %self.key, code = error.code().as_str(), error = &error as &dyn std::error::Error, "store does not take the saga's state; trying on");
            }
            let random = self.shared.ports.entropy.next_u64();
            let pause = backoff::full_jitter(Duration::from_millis(50), Duration::from_secs(5), tries, random);
            tries = tries.saturating_add(1);
            tokio::time::sleep(pause).await;
        }
    }
}

fn fits_at_start(size: usize) -> Result<(), StoreError> {
    let (what, limit) = ("a saga with this body", MAX_AT_START);
    if size > limit {
        return Err(StoreError::TooLarge { what, size, limit });
    }
    Ok(())
}
