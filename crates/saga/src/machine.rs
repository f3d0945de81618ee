//! What a saga does next: state and input in, state, events and effects out. No clock, no I/O, no randomness.
//!
//! Invariants
//! - Abort is looked at first: a failed step, the deadline or a cancel goes before any further call.
//! - An attempt is `Sent` in the state that is made durable before its call goes out; found again without an outcome
//!   it is in doubt. Doubt is only ever taken away by a definite answer of the pivot.
//! - On the way back every step that may have happened is compensated, later stages first, and none before its own
//!   last attempt is over.
//! - Every state that is no end has a wake-up or waits for a person ([`State::wake_at`]).
//!
//! Not here: what an HTTP answer means (`answer.rs`), what operators may do (`operator.rs`), filling templates.
//! Tests: `tests/exhaustive.rs` (every placement of two faults in every shape of up to four steps),
//! `tests/reference.rs` (against a plain model), `machine/tests.rs` (single rules).

mod outcome;

use crate::operator::{Action, Refused};
use crate::phase::{Move, Phase};
use crate::plan::Plan;
use crate::record::Event;
use crate::state::{Failure, Op, State, Status};
use ondol_core::clock::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// How often a service that is at work is asked when it names no time.
pub const POLL_EVERY: Duration = Duration::from_secs(1);
/// A service at work is asked no sooner, whatever it says: each answer is a commit and an entry of the log.
pub const POLL_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// An attempt is certainly over this long after its timeout.
pub const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is honoured.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The saga was made.
    Start,
    /// A time came.
    Wake,
    /// The saga was read from the store by a process that has none of its calls in the air.
    Recovered,
    /// Attempt `n` came to something.
    Outcome {
        /// Of which step.
        step: usize,
        /// Which call.
        op: Op,
        /// Which attempt.
        n: u32,
        /// What.
        outcome: Outcome,
    },
    /// An operator acts.
    Operator(Action),
}

/// What an attempt, or a poll, came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Done; the fields that are needed.
    Done(Map<String, Value>),
    /// Done, but the answer cannot be used: a person must look.
    Unusable(String),
    /// A definite business failure.
    Failed(String),
    /// At work still.
    Running {
        /// Where to ask; `None`: the same call again.
        poll: Option<String>,
        /// When.
        after: Option<Duration>,
    },
    /// Wrong configuration: asking again gives the same.
    Misconfigured(String),
    /// Nobody knows.
    Unknown {
        /// What was seen, such as `503` or `timeout`.
        why: String,
        /// When the service wants to be asked again.
        after: Option<Duration>,
    },
    /// Certain not to have reached the service.
    NotSent(String),
    /// The call could not be filled; nothing was sent, and it will be the same again.
    NotMade(String),
}

/// What to do once the state is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send attempt `n`.
    Call {
        /// Of which step.
        step: usize,
        /// Which call.
        op: Op,
        /// Which attempt.
        n: u32,
    },
    /// Ask how attempt `n` goes.
    Poll {
        /// Of which step.
        step: usize,
        /// Which call.
        op: Op,
        /// Of which attempt.
        n: u32,
        /// Path at the same service.
        location: String,
    },
}

/// What follows.
#[derive(Clone, PartialEq, Debug)]
pub struct Next {
    /// The new state. Equal to the old one when nothing happened.
    pub state: State,
    /// What happened, for the log.
    pub events: Vec<Event>,
    /// What to do after the state is durable.
    pub effects: Vec<Effect>,
}

/// Decides. `random` gives the jitter of the pause that this input may lead to.
///
/// # Errors
/// [`Refused`] for an operator's action that may not happen here; nothing has changed then.
pub fn step(plan: &Plan, state: &State, input: Input, now: Timestamp, random: u64) -> Result<Next, Refused> {
    let next = Next {
        state: state.clone(),
        events: Vec::new(),
        effects: Vec::new(),
    };
    let mut turn = Turn {
        plan,
        now,
        random,
        next,
    };
    match input {
        Input::Start => turn.next.events.push(Event::Started {
            definition: plan.hash.to_string(),
        }),
        Input::Wake => {}
        Input::Recovered => turn.recover(),
        Input::Outcome { step, op, n, outcome } => turn.outcome(step, op, n, outcome),
        Input::Operator(action) => turn.operator(action)?,
    }
    turn.settle();
    Ok(turn.next)
}

/// One decision in the making.
pub(crate) struct Turn<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now: Timestamp,
    random: u64,
    pub(crate) next: Next,
}

impl Turn<'_> {
    pub(crate) fn event(&mut self, event: Event) {
        self.next.events.push(event);
    }

    /// Moves along the table; `false`: the table has no such move.
    pub(crate) fn turn(&mut self, by: Move) -> bool {
        let state = &mut self.next.state;
        let Some(to) = state.phase.next(by) else { return false };
        let was_held = std::mem::replace(&mut state.phase, to).is_held();
        if to.is_held() && !was_held {
            state.held_at = Some(self.now);
        } else if was_held && !to.is_held() {
            let held = self.now.since(state.held_at.take().unwrap_or(self.now));
            state.deadline = state.deadline.plus(held);
            state
                .steps
                .iter_mut()
                .for_each(|step| step.undo.since = step.undo.since.plus(held));
        }
        true
    }

    /// Follows from the state: abort first, then a person, then the next calls.
    fn settle(&mut self) {
        if matches!(self.next.state.phase, Phase::Running | Phase::Parked) && !self.abort_if_due() {
            self.forward();
        }
        if self.next.state.phase == Phase::Compensating {
            self.backward();
        }
    }

    fn abort_if_due(&mut self) -> bool {
        let state = &self.next.state;
        if !state.may_abort(self.plan) {
            return false;
        }
        let failed = state.steps.iter().position(|step| step.action.status == Status::Failed);
        let reason = match failed {
            Some(step) => state.steps[step]
                .action
                .why
                .clone()
                .unwrap_or_else(|| "failed".to_owned()),
            None if state.phase == Phase::Running && self.now >= state.deadline => "deadline".to_owned(),
            None => return false,
        };
        self.abort(failed, reason);
        true
    }

    /// Turns back. `step`: the one that failed; else the one the saga is at is named.
    pub(crate) fn abort(&mut self, step: Option<usize>, reason: String) -> bool {
        let at = step.or_else(|| self.next.state.at_step(self.plan));
        let step = at.map_or_else(String::new, |step| self.plan.steps[step].name.to_string());
        if !self.turn(Move::Abort) {
            return false;
        }
        self.event(Event::Aborting {
            step: step.clone(),
            reason: reason.clone(),
        });
        self.next.state.failure = Some(Failure { step, reason });
        true
    }

    fn forward(&mut self) {
        if self.next.state.phase != Phase::Running || self.hold(Op::Action) {
            return;
        }
        let Some(stage) = self.next.state.current_stage(self.plan) else {
            self.turn(Move::StepsEnded);
            return self.event(Event::Ended {
                phase: self.next.state.phase,
            });
        };
        for at in self.plan.stages[stage].clone() {
            if self.next.state.steps[at].action.status == Status::Idle {
                self.next.state.steps[at].action.want(self.now);
            }
            self.send_if_due(at, Op::Action);
        }
    }

    fn backward(&mut self) {
        if self.hold(Op::Compensate) {
            return;
        }
        for stage in (0..self.plan.stages.len()).rev() {
            let mut ended = true;
            for at in self.plan.stages[stage].clone() {
                if self.next.state.steps[at].action.status == Status::Sent {
                    ended = false; // Its last attempt is still in the air: what it comes to is heard first.
                } else if self.next.state.owes_undo(self.plan, at) {
                    ended = false;
                    self.undo(at);
                }
            }
            if self.hold(Op::Compensate) || !ended {
                return;
            }
        }
        self.turn(Move::UndoEnded);
        self.event(Event::Ended {
            phase: self.next.state.phase,
        });
    }

    fn undo(&mut self, at: usize) {
        let give_up = self.plan.steps[at]
            .undo
            .as_ref()
            .map_or(Duration::ZERO, |undo| undo.give_up);
        let leg = &mut self.next.state.steps[at].undo;
        if leg.status == Status::Idle {
            leg.want(self.now);
        }
        let last = leg.since.plus(give_up);
        if matches!(leg.status, Status::Due | Status::Polling) && leg.sent > 0 {
            if self.now >= last {
                leg.status = Status::Held;
                let why = leg.why.take().unwrap_or_default();
                leg.why = Some(format!("given up; last: {why}"));
                return;
            }
            leg.due = leg.due.min(last);
        }
        self.send_if_due(at, Op::Compensate);
    }

    /// Waits for a person when a call of this kind must. Calls in the air end and are heard; none is begun.
    fn hold(&mut self, op: Op) -> bool {
        let Some((at, _)) = self.next.state.held().find(|held| held.1 == op) else {
            return false;
        };
        if self.turn(Move::Held) {
            let why = self.next.state.steps[at].leg(op).why.clone().unwrap_or_default();
            self.event(Event::Held {
                phase: self.next.state.phase,
                step: self.plan.steps[at].name.to_string(),
                why,
            });
        }
        true
    }

    fn send_if_due(&mut self, at: usize, op: Op) {
        let timeout = self.plan.steps[at].call(op).0.timeout;
        let leg = self.next.state.steps[at].leg_mut(op);
        if leg.due > self.now {
            return;
        }
        let lease = self.now.plus(timeout + LEASE_MARGIN);
        match (leg.status, &leg.poll) {
            (Status::Due, _) => {
                leg.sent = leg.sent.saturating_add(1);
                (leg.status, leg.due) = (Status::Sent, lease);
                let n = leg.sent;
                self.next.effects.push(Effect::Call { step: at, op, n });
                self.event(Event::Sent {
                    step: self.plan.steps[at].name.to_string(),
                    op,
                    n,
                });
            }
            (Status::Polling, Some(location)) => {
                leg.due = lease;
                self.next.effects.push(Effect::Poll {
                    step: at,
                    op,
                    n: leg.sent,
                    location: location.clone(),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
