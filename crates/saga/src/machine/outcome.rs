//! What the end of an attempt does to its call: settled, failed, waiting for a person, or again after a pause.
//!
//! Invariant: doubt is only ever taken away by a definite answer of the pivot. Tests: `machine/tests.rs`.

use super::{MAX_RETRY_AFTER, Outcome, POLL_AT_MOST_EVERY, POLL_EVERY, Turn};
use crate::config::{Backoff, StepKind};
use crate::record::Event;
use crate::state::{Op, Status};
use ondol_resilience::backoff;
use std::time::Duration;

impl Turn<'_> {
    /// An attempt that was recorded by a process that is gone may have had its effect.
    pub(super) fn recover(&mut self) {
        for at in 0..self.next.state.steps.len() {
            for op in [Op::Action, Op::Compensate] {
                let leg = self.next.state.steps[at].leg_mut(op);
                if leg.status == Status::Sent {
                    (leg.status, leg.due, leg.doubt) = (Status::Due, self.now, true);
                    let (n, why) = (leg.sent, Some("no outcome recorded".to_owned()));
                    leg.why.clone_from(&why);
                    self.count(at, op);
                    self.outcome_event(at, op, n, "unknown", why);
                }
            }
        }
    }

    fn outcome_event(&mut self, step: usize, op: Op, n: u32, outcome: &'static str, why: Option<String>) {
        let step = self.plan.steps[step].name.to_string();
        self.event(Event::Answered {
            step,
            op,
            n,
            outcome: outcome.into(),
            why,
        });
    }

    pub(super) fn outcome(&mut self, at: usize, op: Op, n: u32, outcome: Outcome) {
        let Some(step) = self.next.state.steps.get_mut(at) else {
            return;
        };
        let polled = step.leg(op).status == Status::Polling;
        if step.leg(op).sent != n || !(polled || step.leg(op).status == Status::Sent) {
            return; // Late: this attempt's end is known already.
        }
        let kind = self.plan.steps[at].kind;
        let no_way_back = op == Op::Compensate || kind == StepKind::Retriable;
        let leg = step.leg_mut(op);
        leg.why = None;
        let (name, why) = match outcome {
            Outcome::Done(output) => {
                (leg.status, leg.misses, leg.poll) = (Status::Done, 0, None);
                if op == Op::Action {
                    step.output = output;
                }
                ("done", None)
            }
            Outcome::Unusable(why) => {
                (leg.status, leg.doubt, leg.poll) = (Status::Held, true, None);
                ("unusable", Some(why))
            }
            Outcome::Failed(reason) => {
                (leg.status, leg.poll) = (if no_way_back { Status::Held } else { Status::Failed }, None);
                if kind == StepKind::Pivot {
                    leg.doubt = false; // Its participant keeps one outcome under the key, so this settles all attempts.
                }
                ("failed", Some(reason))
            }
            Outcome::Running { poll, after } => {
                (leg.doubt, leg.misses) = (true, 0);
                let pause = after.unwrap_or(POLL_EVERY).clamp(POLL_AT_MOST_EVERY, MAX_RETRY_AFTER);
                leg.due = self.now.plus(pause);
                leg.poll = poll.or(leg.poll.take());
                leg.status = if leg.poll.is_some() {
                    Status::Polling
                } else {
                    Status::Due
                };
                ("running", None)
            }
            Outcome::Misconfigured(why) => {
                (leg.status, leg.doubt) = (Status::Held, true);
                ("misconfigured", Some(why))
            }
            Outcome::NotMade(why) => {
                leg.status = Status::Held;
                ("not-made", Some(why))
            }
            Outcome::Unknown { why, after } => {
                leg.doubt = true;
                self.again(at, op, polled, after);
                if !polled {
                    self.count(at, op);
                }
                ("unknown", Some(why))
            }
            Outcome::NotSent(why) => {
                self.again(at, op, polled, None);
                ("not-sent", Some(why))
            }
        };
        self.next.state.steps[at].leg_mut(op).why.clone_from(&why);
        self.outcome_event(at, op, n, name, why);
    }

    /// An attempt that may have reached the service is over; an action that has no more of them ends here.
    fn count(&mut self, at: usize, op: Op) {
        let planned = &self.plan.steps[at];
        let leg = self.next.state.steps[at].leg_mut(op);
        leg.counted = leg.counted.saturating_add(1);
        if op == Op::Action && planned.attempts.is_some_and(|most| leg.counted >= most) {
            leg.status = if planned.kind == StepKind::Compensable {
                Status::Failed
            } else {
                Status::Held
            };
        }
    }

    /// The next attempt or poll, after a pause.
    fn again(&mut self, at: usize, op: Op, polled: bool, after: Option<Duration>) {
        let Backoff { first_ms, cap_ms } = self.plan.steps[at].call(op).1;
        let (first, cap) = (Duration::from_millis(first_ms), Duration::from_millis(cap_ms));
        let leg = self.next.state.steps[at].leg_mut(op);
        // With a time named by the service the jitter is the first pause's: it only spreads those told the same time.
        let pause = match after {
            Some(after) => after.min(MAX_RETRY_AFTER) + backoff::full_jitter(first, cap, 0, self.random),
            None => backoff::full_jitter(first, cap, leg.misses, self.random),
        };
        leg.misses = leg.misses.saturating_add(1);
        leg.due = self.now.plus(pause);
        leg.status = if polled { Status::Polling } else { Status::Due };
    }
}
