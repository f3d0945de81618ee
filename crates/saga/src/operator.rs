//! What an operator may do to a saga, and where. Every act is an event of the log and an entry of the audit.
//!
//! A person may settle what no answer settled, but may not break the rules of the way back: nothing is undone behind a
//! pivot that was passed, and a step whose answer is needed later is not passed over without one.
//! Tests: `machine/tests.rs`.

use crate::answer;
use crate::config::StepKind;
use crate::machine::Turn;
use crate::phase::{Move, Phase};
use crate::record::Event;
use crate::state::{Op, Status};
use ondol_core::error::ErrorCode;
use ondol_core::id::StepName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An operator's action, as `POST /v1/sagas/{id}/actions` takes it. Where `step` is optional, the one step that waits
/// for a person is meant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Tries again what waits for a person; otherwise does at once what is due later.
    Retry {
        /// Only this step.
        #[serde(default)]
        step: Option<StepName>,
    },
    /// Begins no further call until `resume`.
    Pause,
    /// Goes on.
    Resume,
    /// Turns back; refused once the pivot may have happened.
    Cancel,
    /// Goes on without this call: its effect is not there, or may stay (a compensation).
    Skip {
        /// Which.
        #[serde(default)]
        step: Option<StepName>,
        /// Why, for the audit.
        reason: String,
    },
    /// The step was done; this is its answer.
    SetResult {
        /// Which.
        #[serde(default)]
        step: Option<StepName>,
        /// The JSON answer that it would have given.
        result: Value,
        /// Why, for the audit.
        reason: String,
    },
    /// The step was done by hand; nothing later needs its answer.
    ForceComplete {
        /// Which.
        #[serde(default)]
        step: Option<StepName>,
        /// Why, for the audit.
        reason: String,
    },
    /// The step's effect is not there: it never happened, or was undone by hand. On the way forward the saga turns back.
    ForceCompensate {
        /// Which.
        #[serde(default)]
        step: Option<StepName>,
        /// Why, for the audit.
        reason: String,
    },
}

impl Action {
    /// Its name, as in commands and the audit.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Skip { .. } => "skip",
            Self::SetResult { .. } => "set-result",
            Self::ForceComplete { .. } => "force-complete",
            Self::ForceCompensate { .. } => "force-compensate",
        }
    }

    /// The step that was named.
    pub const fn step(&self) -> Option<&StepName> {
        match self {
            Self::Retry { step }
            | Self::Skip { step, .. }
            | Self::SetResult { step, .. }
            | Self::ForceComplete { step, .. }
            | Self::ForceCompensate { step, .. } => step.as_ref(),
            Self::Pause | Self::Resume | Self::Cancel => None,
        }
    }

    /// The operator's reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Skip { reason, .. }
            | Self::SetResult { reason, .. }
            | Self::ForceComplete { reason, .. }
            | Self::ForceCompensate { reason, .. } => Some(reason),
            Self::Retry { .. } | Self::Pause | Self::Resume | Self::Cancel => None,
        }
    }
}

/// An action that may not happen here. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{action} is refused: {why}")]
pub struct Refused {
    /// Which action.
    pub action: &'static str,
    /// Why, and what could be done instead.
    pub why: String,
}

impl Refused {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::new("SG-013")
    }
}

impl Turn<'_> {
    pub(crate) fn operator(&mut self, action: Action) -> Result<(), Refused> {
        let name = action.name();
        let refuse = |why: String| Refused { action: name, why };
        if self.next.state.phase.is_final() {
            return Err(refuse(format!("the saga has ended ({})", self.next.state.phase)));
        }
        if action.reason().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(refuse("it needs a reason, for the audit".into()));
        }
        let step = action.step().map(|step| {
            self.plan
                .index(step.as_str())
                .ok_or_else(|| refuse(format!("there is no step `{step}`")))
        });
        let step = step.transpose()?;
        let reason = action.reason().map(str::to_owned);
        let named = |at: Option<usize>| at.map(|at| self.plan.steps[at].name.to_string());
        let event = Event::Operator {
            action: name.into(),
            step: named(step),
            reason,
        };
        let at = self.next.events.len();
        match action {
            Action::Retry { .. } => self.retry(step),
            Action::Pause => self.moved(Move::Pause),
            Action::Resume => self.moved(Move::Resume),
            Action::Cancel => self.cancel(),
            Action::Skip { .. } => self.waive(step),
            Action::SetResult { result, .. } => self.complete(step, Some(&result)),
            Action::ForceComplete { .. } => self.complete(step, None),
            Action::ForceCompensate { .. } => self.vouch(step),
        }
        .map_err(refuse)?;
        self.next.events.insert(at, event);
        Ok(())
    }

    fn is_forward(&self) -> bool {
        matches!(self.next.state.phase, Phase::Running | Phase::Parked | Phase::Paused)
    }

    fn moved(&mut self, by: Move) -> Result<(), String> {
        if self.turn(by) {
            Ok(())
        } else {
            Err(format!("the saga is {}", self.next.state.phase))
        }
    }

    /// The call that is meant: of the named step, else the one that waits for a person.
    fn meant(&self, step: Option<usize>) -> Result<(usize, Op), String> {
        let op = if self.is_forward() { Op::Action } else { Op::Compensate };
        let at = match step {
            Some(at) => at,
            None => {
                let mut held = self.next.state.held().filter(|held| held.1 == op);
                match (held.next(), held.next()) {
                    (Some(only), None) => only.0,
                    (None, _) => return Err("no step waits for a person; name the step".into()),
                    (Some(_), Some(_)) => return Err("several steps wait for a person; name the step".into()),
                }
            }
        };
        let name = &self.plan.steps[at].name;
        let leg = self.next.state.steps[at].leg(op);
        if leg.status == Status::Sent {
            return Err(format!("an attempt of {name} is in the air; try again in a moment"));
        }
        if leg.is_settled() {
            return Err(format!("the {} of {name} has ended already", op.as_str()));
        }
        Ok((at, op))
    }

    /// Back on the way once nothing waits for a person any more.
    fn release(&mut self) {
        let op = if self.is_forward() { Op::Action } else { Op::Compensate };
        if !self.next.state.held().any(|held| held.1 == op) {
            self.turn(Move::Released);
        }
    }

    fn retry(&mut self, step: Option<usize>) -> Result<(), String> {
        let op = if self.is_forward() { Op::Action } else { Op::Compensate };
        let now = self.now;
        let mut any = false;
        let meant = self
            .next
            .state
            .steps
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| step.is_none_or(|step| step == *at));
        for (_, state) in meant {
            let leg = state.leg_mut(op);
            match leg.status {
                Status::Held => {
                    leg.want(now);
                    (leg.misses, leg.counted) = (0, 0);
                    any = true;
                }
                Status::Due | Status::Polling => {
                    leg.due = now;
                    any = true;
                }
                Status::Idle | Status::Sent | Status::Done | Status::Failed | Status::Waived => {}
            }
        }
        if !any {
            return Err("nothing waits, neither for a person nor for a time".into());
        }
        self.release();
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), String> {
        if !self.is_forward() {
            return Err(format!("the saga is {} already", self.next.state.phase));
        }
        if !self.next.state.may_abort(self.plan) {
            return Err("the pivot may have happened, so there is no way back".into());
        }
        self.abort(None, "cancelled".into());
        Ok(())
    }

    fn waive(&mut self, step: Option<usize>) -> Result<(), String> {
        let (at, op) = self.meant(step)?;
        let planned = &self.plan.steps[at];
        if op == Op::Action && !planned.needs.is_empty() {
            return Err(format!(
                "a later call needs `{}.{}`; use set-result",
                planned.name, planned.needs[0].1
            ));
        }
        self.next.state.steps[at].leg_mut(op).status = Status::Waived;
        self.release();
        Ok(())
    }

    fn complete(&mut self, step: Option<usize>, result: Option<&Value>) -> Result<(), String> {
        if !self.is_forward() {
            return Err("the saga goes back; use force-compensate or skip".into());
        }
        let (at, _) = self.meant(step)?;
        let planned = &self.plan.steps[at];
        let output = match result {
            Some(result) => answer::extract(&planned.needs, result)?,
            None if planned.needs.is_empty() => Map::new(),
            None => {
                return Err(format!(
                    "a later call needs `{}.{}`; use set-result",
                    planned.name, planned.needs[0].1
                ));
            }
        };
        let state = &mut self.next.state.steps[at];
        (state.action.status, state.output) = (Status::Done, output);
        self.release();
        Ok(())
    }

    fn vouch(&mut self, step: Option<usize>) -> Result<(), String> {
        if !self.is_forward() {
            return self.waive(step);
        }
        let at = match step {
            Some(at) => at,
            None => self.meant(None)?.0,
        };
        let state = &self.next.state;
        let later = |n: &usize| self.plan.steps[*n].kind == StepKind::Retriable && state.steps[*n].action.sent > 0;
        if let Some(later) = (0..state.steps.len()).find(later) {
            return Err(format!(
                "step {} comes after the pivot and was sent; there is no way back",
                self.plan.steps[later].name
            ));
        }
        if state.steps[at].action.status == Status::Sent {
            return Err("an attempt is in the air; try again in a moment".into());
        }
        let leg = &mut self.next.state.steps[at].action;
        (leg.status, leg.doubt, leg.why) = (Status::Failed, false, Some("operator".into()));
        if !self.next.state.may_abort(self.plan) {
            return Err("the pivot may have happened; vouch for the pivot itself".into());
        }
        self.abort(Some(at), "operator".into());
        Ok(())
    }
}
