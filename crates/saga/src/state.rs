//! The state of one saga as the machine knows it, and what follows from it: what is owed, what is due.
//!
//! Its JSON form is stored with every commit and read back by later versions (`record.rs`), so fields are only added,
//! with a default that keeps old meaning. No clock and no I/O here. Tests: through `machine.rs`.

use crate::config::StepKind;
use crate::phase::Phase;
use crate::plan::Plan;
use ondol_core::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which of a step's two calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// The step's own call.
    Action,
    /// Its undoing.
    Compensate,
}

impl Op {
    /// As in `Ondol-Op` and at the end of `Idempotency-Key`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensate => "compensate",
        }
    }
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not wanted yet.
    #[default]
    Idle,
    /// To be sent at `due`.
    Due,
    /// Recorded as sent; nobody knows the outcome yet.
    Sent,
    /// The service said that it is at work; asked again at `due`.
    Polling,
    /// Ended well.
    Done,
    /// Ended with a definite failure, or out of attempts.
    Failed,
    /// Only a person can settle it.
    Held,
    /// A person said that it need not be made.
    Waived,
}

/// One of a step's two calls, over all its attempts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Leg {
    /// How far it is.
    pub status: Status,
    /// Attempts recorded, and the number of the last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent: u32,
    /// Attempts that may have reached the service; what `attempts` limits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted: u32,
    /// Attempts without a useful answer since the last useful one; the back-off's exponent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub misses: u32,
    /// An attempt may have had its effect although no answer said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubt: bool,
    /// `Due`: when to send. `Sent`: when it is certainly over. `Polling`: when to ask.
    #[serde(default)]
    pub due: Timestamp,
    /// When it was first wanted.
    #[serde(default)]
    pub since: Timestamp,
    /// Where to ask, while `Polling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<String>,
    /// What the last attempt came to, when not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Leg {
    /// True for a leg nobody has touched; such legs are not written down.
    pub fn is_untouched(&self) -> bool {
        *self == Self::default()
    }

    /// Nothing of this call is to come.
    pub fn is_settled(&self) -> bool {
        matches!(self.status, Status::Done | Status::Waived)
    }

    /// Wants it sent at `now`. Where an earlier attempt was to be asked for is forgotten: a new one has its own place.
    pub(crate) fn want(&mut self, now: Timestamp) {
        (self.status, self.due, self.since, self.poll) = (Status::Due, now, now, None);
    }
}

/// A step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StepState {
    /// Its own call.
    #[serde(default, skip_serializing_if = "Leg::is_untouched")]
    pub action: Leg,
    /// Its undoing.
    #[serde(default, skip_serializing_if = "Leg::is_untouched")]
    pub undo: Leg,
    /// The fields of its answer that are named anywhere, by dotted path.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub output: Map<String, Value>,
}

impl StepState {
    /// One of its two calls.
    pub fn leg(&self, op: Op) -> &Leg {
        match op {
            Op::Action => &self.action,
            Op::Compensate => &self.undo,
        }
    }

    pub(crate) fn leg_mut(&mut self, op: Op) -> &mut Leg {
        match op {
            Op::Action => &mut self.action,
            Op::Compensate => &mut self.undo,
        }
    }

    /// The action had, or may have had, its effect. The one place that knows the in-doubt rule.
    pub fn may_have_happened(&self) -> bool {
        matches!(self.action.status, Status::Done | Status::Sent | Status::Polling) || self.action.doubt
    }
}

/// Why a saga goes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed, or that the saga was at.
    pub step: String,
    /// The problem's `reason`, else its status, `deadline` or `cancelled`.
    pub reason: String,
}

/// A saga.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// After this it goes back, unless the pivot has been tried. Time spent waiting for a person is added.
    pub deadline: Timestamp,
    /// Since when it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    /// Why it goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// In the order of the plan.
    pub steps: Vec<StepState>,
}

impl State {
    /// A saga about to start.
    pub fn new(plan: &Plan, now: Timestamp) -> Self {
        let steps = plan.steps.iter().map(|_| StepState::default()).collect();
        Self {
            phase: Phase::Running,
            deadline: now.plus(plan.deadline),
            held_at: None,
            failure: None,
            steps,
        }
    }

    /// There is a way back: the pivot has had no attempt that could have had its effect.
    pub fn may_abort(&self, plan: &Plan) -> bool {
        plan.pivot.is_none_or(|pivot| {
            let step = &self.steps[pivot];
            !step.may_have_happened() && !matches!(step.action.status, Status::Waived | Status::Held)
        })
    }

    /// The step's effect must be undone on the way back, and has not been yet.
    pub fn owes_undo(&self, plan: &Plan, step: usize) -> bool {
        let planned = &plan.steps[step];
        planned.kind == StepKind::Compensable
            && planned.undo.is_some()
            && self.steps[step].may_have_happened()
            && !self.steps[step].undo.is_settled()
    }

    /// The first stage that has not ended.
    pub fn current_stage(&self, plan: &Plan) -> Option<usize> {
        plan.stages
            .iter()
            .position(|stage| !self.steps[stage.clone()].iter().all(|step| step.action.is_settled()))
    }

    /// The calls that only a person can settle.
    pub fn held(&self) -> impl Iterator<Item = (usize, Op)> {
        let legs = self
            .steps
            .iter()
            .enumerate()
            .flat_map(|(n, step)| [(n, Op::Action, &step.action), (n, Op::Compensate, &step.undo)]);
        legs.filter(|(_, _, leg)| leg.status == Status::Held)
            .map(|(n, op, _)| (n, op))
    }

    /// The step that it is at, for lists: the first that has not ended, or the last being undone.
    pub fn at_step(&self, plan: &Plan) -> Option<usize> {
        match self.phase {
            Phase::Running | Phase::Parked | Phase::Paused => {
                self.steps.iter().position(|step| !step.action.is_settled())
            }
            Phase::Compensating | Phase::Stuck | Phase::PausedCompensating => {
                (0..self.steps.len()).rev().find(|step| self.owes_undo(plan, *step))
            }
            Phase::Done | Phase::Aborted => None,
        }
    }

    /// `waiting` may be answered: what its `Location` names exists.
    pub fn is_visible(&self, plan: &Plan) -> bool {
        plan.visible_after
            .is_none_or(|step| self.steps[step].action.is_settled())
    }

    /// When it must be looked at again, by whoever drives it or finds it. `None`: it has ended or waits for a person.
    ///
    /// An attempt in the air counts with the time at which it is certainly over: should its driver die, that is when
    /// the saga is found.
    pub fn wake_at(&self, plan: &Plan) -> Option<Timestamp> {
        let in_air = |leg: &&Leg| leg.status == Status::Sent && !self.phase.is_final();
        let legs = self.steps.iter().flat_map(|step| [&step.action, &step.undo]);
        legs.filter(in_air).map(|leg| leg.due).chain(self.next_due(plan)).min()
    }

    /// When there is something to do that waits for no answer: an attempt, a poll, the deadline.
    pub fn next_due(&self, plan: &Plan) -> Option<Timestamp> {
        let op = match self.phase {
            Phase::Running => Op::Action,
            Phase::Compensating => Op::Compensate,
            Phase::Parked | Phase::Paused | Phase::Stuck | Phase::PausedCompensating | Phase::Done | Phase::Aborted => {
                return None;
            }
        };
        let legs = self.steps.iter().map(|step| step.leg(op));
        let first = legs
            .filter(|leg| matches!(leg.status, Status::Due | Status::Polling))
            .map(|leg| leg.due)
            .min();
        let deadline = (self.phase == Phase::Running && self.may_abort(plan)).then_some(self.deadline);
        first.into_iter().chain(deadline).min()
    }
}
