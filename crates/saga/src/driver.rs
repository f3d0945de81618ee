//! Drives one saga: wake, decide, write, act. One task per active saga; the machine decides, the store remembers.
//!
//! Invariants
//! - An effect is released only after the commit that holds its attempt was acknowledged.
//! - The driver holds the saga's [`Claim`], so nobody else writes its row; no lock is held across a call.
//! - A driver that has nothing in the air and long to wait ends; the row's `wake_at` brings the saga back.
//!
//! # Cancellation
//! Stopping drops the calls in the air. Their attempts are recorded, so whoever takes the saga up finds them in doubt.
//!
//! Tests: `tests/engine.rs`, `tests/bounds.rs`, `tests/simulation.rs`.

mod commit;

use crate::answer;
use crate::error::SagaError;
use crate::hub::{Claim, Command, Progress};
use crate::machine::{self, Effect, Input, Next, Outcome};
use crate::operator::Action;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::record::{self, Audited, Saved, VERSION};
use crate::render::Known;
use crate::shared::{Counts, Shared};
use crate::state::Op;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError};
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Row, RowOp, StoreError, Table};
use ondol_core::id::{SagaId, uuid_v7};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use commit::Also;

/// Pauses shorter than this are waited for in memory, while there are places enough.
const STAY: Duration = Duration::from_secs(1);
/// How long past its timeout a call may take to end; the caller itself should end it before.
const GRACE: Duration = Duration::from_millis(500);
/// What an attempt came to, before it is read.
struct Ended {
    step: usize,
    op: Op,
    n: u32,
    answer: Result<Result<Answer, CallError>, Outcome>,
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    /// The saga's id as text: row key, subject of its records.
    key: String,
    saved: Saved,
    claim: Claim,
    calls: FuturesUnordered<BoxFuture<Ended>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        plan: Arc<Plan>,
        saved: Saved,
        claim: Claim,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let key = claim.id.to_string();
        Self {
            shared,
            plan,
            key,
            saved,
            claim,
            calls: FuturesUnordered::new(),
            _place: place,
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.ports.clock.wall()
    }

    /// Decides; nothing has happened yet.
    fn decide(&self, input: Input) -> Result<Next, SagaError> {
        let random = match input {
            Input::Outcome { .. } => self.shared.ports.entropy.next_u64(),
            _ => 0, // Only an outcome leads to a pause.
        };
        Ok(machine::step(&self.plan, &self.saved.state, input, self.now(), random)?)
    }

    /// Makes a saga: its first commit, and what it begins. The caller tells the starter.
    pub(crate) async fn start(&mut self, also: Also) -> Result<Vec<Effect>, SagaError> {
        let next = self.decide(Input::Start)?;
        let effects = self.write(next, also, true).await?;
        self.shared.counts.moved(None, self.saved.state.phase);
        Ok(effects)
    }

    /// Takes up a saga that was read from the store.
    pub(crate) async fn take_up(&mut self) -> Result<Vec<Effect>, SagaError> {
        let next = self.decide(Input::Recovered)?;
        self.commit(next, Also::default()).await
    }

    /// Goes on until the saga has ended, or nothing is to do for a while.
    pub(crate) async fn run(&mut self, mut effects: Vec<Effect>) {
        loop {
            for effect in effects.drain(..) {
                self.release(effect);
            }
            self.publish();
            let wait = self.wait();
            if self.calls.is_empty() && wait.is_none_or(|wait| wait > self.stay()) && self.claim.commands.is_empty() {
                return;
            }
            // Each arm is cancel-safe: losing the race loses nothing.
            let done = tokio::select! {
                biased; // The same seed gives the same run.
                Some(ended) = self.calls.next(), if !self.calls.is_empty() => self.ended(ended).await,
                Some(command) = self.claim.commands.recv() => self.command(command).await,
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => self.woken().await,
            };
            match done {
                Ok(next) => effects = next,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    return tracing::error!(saga = %self.key, error, "saga is left to be taken up again");
                }
            }
        }
    }

    /// How long until something is due besides the answers that are waited for. `None`: nothing is.
    fn wait(&self) -> Option<Duration> {
        self.saved.state.next_due(&self.plan).map(|at| at.since(self.now()))
    }

    /// With few places left a saga that only waits gives its own back.
    fn stay(&self) -> Duration {
        let scarce = self.shared.places.available_permits() < self.shared.settings.active / 2;
        if scarce { Duration::ZERO } else { STAY }
    }

    fn publish(&self) {
        let progress = match &self.saved.answer {
            Some(answer) => Progress::Ended(Arc::new(answer.clone())),
            None if self.saved.state.is_visible(&self.plan) => Progress::Visible,
            None => return,
        };
        self.claim.progress.send_replace(progress);
    }

    async fn woken(&mut self) -> Result<Vec<Effect>, SagaError> {
        let next = self.decide(Input::Wake)?;
        self.commit(next, Also::default()).await
    }

    async fn ended(&mut self, ended: Ended) -> Result<Vec<Effect>, SagaError> {
        let Ended { step, op, n, answer } = ended;
        let outcome = match answer {
            Ok(answer) => answer::outcome(&self.plan.steps[step], op, answer, self.now()),
            Err(outcome) => outcome,
        };
        let next = self.decide(Input::Outcome { step, op, n, outcome })?;
        match self.commit(next, Also::default()).await {
            // All that its steps answered is more than a row holds. A person must look; calling again would not help.
            Err(SagaError::Store(error @ StoreError::TooLarge { .. })) => {
                let outcome = Outcome::Unusable(format!("the answer cannot be kept: {error}"));
                let next = self.decide(Input::Outcome { step, op, n, outcome })?;
                self.commit(next, Also::default()).await
            }
            done => done,
        }
    }

    async fn command(&mut self, command: Box<Command>) -> Result<Vec<Effect>, SagaError> {
        let Command { action, who, reply } = *command;
        let before = self.saved.state.phase;
        let next = match self.decide(Input::Operator(action.clone())) {
            Ok(next) => next,
            Err(refused) => {
                let _gone = reply.send(Err(refused)); // The operator may have hung up.
                return Ok(Vec::new());
            }
        };
        let row = self.audit(&action, who, before, next.state.phase)?;
        let done = self
            .commit(
                next,
                Also {
                    rows: vec![row],
                    ..Also::default()
                },
            )
            .await;
        let answer = done.as_ref().map(|_| self.saved.state.phase).map_err(SagaError::clone);
        let _gone = reply.send(answer);
        done
    }

    fn audit(&self, action: &Action, who: String, before: Phase, after: Phase) -> Result<RowOp, SagaError> {
        let (name, at) = (action.name().to_owned(), self.now());
        let step = action.step().map(ToString::to_string);
        let reason = action.reason().map(str::to_owned);
        let audited = Audited {
            v: VERSION,
            who,
            action: name.clone(),
            saga: self.key.clone(),
            step,
            reason,
            before,
            after,
        };
        let key = uuid_v7(&*self.shared.ports.clock, &*self.shared.ports.entropy).to_string();
        let body = record::write(&audited)?;
        let (state, detail) = ("done".to_owned(), self.key.clone());
        Ok(RowOp::Put(
            Table::Audit,
            Row {
                key,
                state,
                name,
                detail,
                wake_at: None,
                updated_at: at,
                body,
            },
        ))
    }

    fn release(&mut self, effect: Effect) {
        let (id, epoch) = (&*self.key, self.shared.ports.engine.epoch());
        let known = Known {
            id,
            plan: &self.plan,
            saved: &self.saved,
        };
        let (step, op, n, call) = match effect {
            Effect::Call { step, op, n } => (step, op, n, known.call(step, op, n, epoch)),
            Effect::Poll { step, op, n, location } => (step, op, n, Ok(known.poll(step, op, n, epoch, location))),
        };
        let future: BoxFuture<Ended> = match call {
            Ok(call) => {
                let shared = self.shared.clone();
                Box::pin(async move {
                    Ended {
                        step,
                        op,
                        n,
                        answer: Ok(send(&shared, call).await),
                    }
                })
            }
            Err(error) => {
                let answer = Err(Outcome::NotMade(error.to_string()));
                Box::pin(std::future::ready(Ended { step, op, n, answer }))
            }
        };
        self.calls.push(future);
    }

    pub(crate) fn id(&self) -> SagaId {
        self.claim.id
    }
}

/// One attempt, within the bound of its service and within its timeout as a whole. At most half of that goes into waiting
/// for a place, so that what is sent has time for its answer; a call that finds no place counts as not sent.
async fn send(shared: &Shared, mut call: Call) -> Result<Answer, CallError> {
    let (clock, bound) = (&shared.ports.clock, shared.service(&call.service));
    let begun = clock.mono();
    let Ok(Ok(_place)) = tokio::time::timeout(call.timeout / 2, bound.acquire_owned()).await else {
        return Err(CallError::NotSent(
            "too many calls of this service are in the air".into(),
        ));
    };
    call.timeout = call.timeout.saturating_sub(clock.mono().saturating_sub(begun));
    Counts::add(&shared.counts.calls);
    let answer = tokio::time::timeout(call.timeout + GRACE, shared.ports.caller.call(call)).await;
    answer.unwrap_or_else(|_| Err(CallError::Unknown("timeout".into())))
}
