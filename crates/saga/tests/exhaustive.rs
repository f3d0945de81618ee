//! Every placement of up to two faults in every shape of up to four steps, against participants with a real barrier.
//!
//! A run is one saga under a plan of faults; the world is single-threaded and has no randomness, so every run repeats.
//! Checked (numbers of `docs/`: invariants of sagas): I1 one end, I2 net effect, I3 no action after its undoing, I4 order
//! of undoing, I10 a live saga has a wake-up. Two further tests take a rule out and demand that the checks notice.

use ondol_core::clock::Timestamp;
use ondol_saga::config::{Backoff, Definition, StepKind};
use ondol_saga::machine::{Effect, Input, Outcome, step};
use ondol_saga::operator::Action;
use ondol_saga::phase::Phase;
use ondol_saga::plan::Plan;
use ondol_saga::state::{Op, State};
use ondol_testkit::participant::{Effect as Happened, Participants, Reply};
use serde_json::{Map, json};
use std::collections::VecDeque;

/// What goes wrong with one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// A definite business failure.
    Fail,
    /// The request is lost.
    Lost,
    /// It was done, but the answer is lost.
    AnswerLost,
    /// Refused before it was sent.
    NotSent,
    /// The controller dies before the request leaves.
    CrashBefore,
    /// It was done; the controller dies before it records the answer.
    CrashAfter,
    /// The caller's time is over; the request arrives after the next call.
    LateByOne,
    /// The request arrives after the saga has ended.
    LateToTheEnd,
    /// It arrives again after the saga has ended.
    Twice,
    /// Wrong configuration; an operator repairs it and retries.
    Misconfigured,
    /// At work; the same call again gives the answer.
    Running,
    /// An operator cancels while it is in the air.
    CancelBefore,
    /// An operator cancels after its outcome.
    CancelAfter,
    /// The deadline comes while it is in the air.
    Deadline,
}

use Fault::*;
const FAULTS: [Fault; 14] = [
    Fail,
    Lost,
    AnswerLost,
    NotSent,
    CrashBefore,
    CrashAfter,
    LateByOne,
    LateToTheEnd,
    Twice,
    Misconfigured,
    Running,
    CancelBefore,
    CancelAfter,
    Deadline,
];

/// Rules that a test takes out.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Without {
    barrier: bool,
    doubt: bool,
}

type Faults = Vec<(usize, Fault)>;

struct World<'a> {
    plan: &'a Plan,
    faults: &'a Faults,
    without: Without,
    state: State,
    now: Timestamp,
    participants: Participants,
    pending: VecDeque<Effect>,
    late_by_one: Vec<(usize, Op)>,
    late_to_the_end: Vec<(usize, Op)>,
    sent: usize,
}

const SAGA: &str = "s";

impl<'a> World<'a> {
    fn new(plan: &'a Plan, faults: &'a Faults, without: Without) -> Self {
        let now = Timestamp(1_000_000);
        let participants = Participants::new(!without.barrier);
        let state = State::new(plan, now);
        let (pending, late_by_one, late_to_the_end) = (VecDeque::new(), Vec::new(), Vec::new());
        Self {
            plan,
            faults,
            without,
            state,
            now,
            participants,
            pending,
            late_by_one,
            late_to_the_end,
            sent: 0,
        }
    }

    fn feed(&mut self, input: Input) -> Result<(), String> {
        let Ok(next) = step(self.plan, &self.state, input, self.now, u64::MAX) else {
            return Ok(());
        };
        self.state = next.state;
        if self.without.doubt {
            self.state.steps.iter_mut().for_each(|step| step.action.doubt = false);
        }
        self.pending.extend(next.effects);
        let phase = self.state.phase;
        if !phase.is_final() && !phase.is_held() && self.state.wake_at(self.plan).is_none() {
            return Err("I10: a live saga has no wake-up".into());
        }
        Ok(())
    }

    /// The request arrives at its participant.
    fn arrive(&mut self, at: usize, op: Op, fails: bool) -> Reply {
        let (name, kind) = (self.plan.steps[at].name.as_str(), self.plan.steps[at].kind);
        match op {
            // What cannot abort any more stores no failure, so that a person's retry tries again.
            Op::Action if fails && kind == StepKind::Retriable => Reply::Failed,
            Op::Action => self.participants.action(SAGA, name, fails),
            Op::Compensate if fails => Reply::Failed,
            Op::Compensate => self.participants.compensate(SAGA, name),
        }
    }

    fn crash(&mut self) -> Result<(), String> {
        self.pending.clear(); // Their attempts are recorded; that they never left, nobody knows.
        self.feed(Input::Recovered)
    }

    fn call(&mut self, effect: Effect) -> Result<(), String> {
        let (Effect::Call { step, op, n } | Effect::Poll { step, op, n, .. }) = effect;
        let k = self.sent;
        self.sent += 1;
        let faults: Vec<Fault> = self
            .faults
            .iter()
            .filter(|fault| fault.0 == k)
            .map(|fault| fault.1)
            .collect();
        let has = |fault| faults.contains(&fault);
        if has(CancelBefore) {
            self.feed(Input::Operator(Action::Cancel))?;
        }
        if has(Deadline) {
            self.now = Timestamp(self.now.0.max(self.state.deadline.0));
            self.feed(Input::Wake)?;
        }
        let unknown = || Outcome::Unknown {
            why: "timeout".into(),
            after: None,
        };
        let outcome = if has(CrashBefore) {
            return self.crash();
        } else if has(CrashAfter) {
            self.arrive(step, op, false);
            return self.crash();
        } else if has(Lost) {
            unknown()
        } else if has(AnswerLost) {
            self.arrive(step, op, false);
            unknown()
        } else if has(NotSent) {
            Outcome::NotSent("refused".into())
        } else if has(LateByOne) || has(LateToTheEnd) {
            let late = if has(LateByOne) {
                &mut self.late_by_one
            } else {
                &mut self.late_to_the_end
            };
            late.push((step, op));
            unknown()
        } else if has(Misconfigured) {
            Outcome::Misconfigured("404".into())
        } else if has(Running) {
            Outcome::Running {
                poll: None,
                after: None,
            }
        } else {
            if has(Twice) {
                self.late_to_the_end.push((step, op));
            }
            match self.arrive(step, op, has(Fail)) {
                Reply::Done => Outcome::Done(Map::new()),
                Reply::Failed => Outcome::Failed("no".into()),
            }
        };
        // What was late by one call arrives between this call's effect and its answer.
        if !(has(LateByOne) || has(LateToTheEnd)) {
            for (step, op) in std::mem::take(&mut self.late_by_one) {
                self.arrive(step, op, false);
            }
        }
        self.feed(Input::Outcome { step, op, n, outcome })?;
        if has(CancelAfter) {
            self.feed(Input::Operator(Action::Cancel))?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.feed(Input::Start)?;
        for _ in 0..200 {
            if let Some(effect) = self.pending.pop_front() {
                self.call(effect)?;
            } else if self.state.phase.is_final() {
                return self.check();
            } else if self.state.phase.is_held() {
                self.feed(Input::Operator(Action::Retry { step: None }))?;
            } else if let Some(at) = self.state.wake_at(self.plan) {
                self.now = self.now.max(at);
                self.feed(Input::Wake)?;
            }
        }
        Err(format!("does not end: {:?}", self.state))
    }

    fn check(&mut self) -> Result<(), String> {
        for (step, op) in std::mem::take(&mut self.late_by_one)
            .into_iter()
            .chain(std::mem::take(&mut self.late_to_the_end))
        {
            self.arrive(step, op, false);
        }
        let end = self.state.clone();
        self.now = Timestamp(self.now.0 + 100_000_000);
        for input in [Input::Wake, Input::Recovered, Input::Operator(Action::Cancel)] {
            self.feed(input)?;
        }
        for step in 0..self.plan.steps.len() {
            for op in [Op::Action, Op::Compensate] {
                let n = self.state.steps[step].leg(op).sent;
                self.feed(Input::Outcome {
                    step,
                    op,
                    n,
                    outcome: Outcome::Failed("late".into()),
                })?;
            }
        }
        if self.state != end || !self.pending.is_empty() {
            return Err("I1: an ended saga moved".into());
        }
        let wanted = i64::from(end.phase == Phase::Done);
        for step in &self.plan.steps {
            let net = self.participants.net(SAGA, step.name.as_str());
            if net != wanted {
                return Err(format!("I2: {} ended with {} done {net} times", end.phase, step.name));
            }
        }
        self.check_order()
    }

    fn check_order(&self) -> Result<(), String> {
        let mut undone: Vec<&str> = Vec::new();
        let stage = |name: &str| self.plan.index(name).map(|step| self.plan.steps[step].stage);
        for effect in &self.participants.effects {
            match effect {
                Happened::Did(_, step) if undone.contains(&step.as_str()) => {
                    return Err(format!("I3: {step} happened after its undoing"));
                }
                Happened::Did(..) => {}
                Happened::Undid(_, step) => {
                    if undone.last().is_some_and(|last| stage(last) < stage(step)) {
                        return Err(format!("I4: {step} was undone after {undone:?}"));
                    }
                    undone.push(step);
                }
            }
        }
        Ok(())
    }
}

/// Runs one placement. Gives how many calls there were.
fn run(plan: &Plan, faults: &Faults, without: Without) -> Result<usize, String> {
    let mut world = World::new(plan, faults, without);
    world.run().map(|()| world.sent).map_err(|error| {
        let stages: Vec<Vec<_>> = plan
            .stages
            .iter()
            .map(|stage| {
                plan.steps[stage.clone()]
                    .iter()
                    .map(|step| (&step.name, step.kind))
                    .collect()
            })
            .collect();
        format!(
            "{error}\n  in {stages:?}\n  with {faults:?}\n  effects {:?}",
            world.participants.effects
        )
    })
}

/// A plan of stages of so many steps, the pivot being stage `pivot`.
fn plan(stages: &[usize], pivot: Option<usize>) -> Plan {
    let backoff = Backoff {
        first_ms: 100,
        cap_ms: 1_000,
    };
    let mut names = ["a", "b", "c", "d"].into_iter();
    let step = |n: usize, name: &str| {
        let kind = match pivot {
            Some(pivot) if n == pivot => StepKind::Pivot,
            Some(pivot) if n > pivot => StepKind::Retriable,
            _ => StepKind::Compensable,
        };
        let call =
            json!({ "method": "POST", "service": "s", "path": format!("/{name}"), "body": null, "timeout_ms": 1_000 });
        let undo = (kind == StepKind::Compensable)
            .then(|| json!({ "call": call, "backoff": backoff, "give_up_ms": 3_600_000 }));
        json!({ "name": name, "kind": kind, "call": call, "attempts": null, "backoff": backoff, "compensate": undo })
    };
    let stages: Vec<_> = stages
        .iter()
        .enumerate()
        .map(|(n, size)| json!({ "group": null, "steps": names.by_ref().take(*size).map(|name| step(n, name)).collect::<Vec<_>>() }))
        .collect();
    let definition: Definition = serde_json::from_value(json!({
        "saga": "all", "owner": "s", "deadline_ms": 600_000, "input": null, "stages": stages, "visible_after": null,
        "answer": { "done": null, "aborted": null, "waiting": null },
    }))
    .expect("a definition");
    Plan::compile(definition).expect("compiles")
}

/// Every way to write `steps` as stages, and every place for the pivot.
fn shapes(steps: usize) -> Vec<Plan> {
    fn compositions(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![Vec::new()];
        }
        (1..=n)
            .flat_map(|first| {
                compositions(n - first)
                    .into_iter()
                    .map(move |rest| [vec![first], rest].concat())
            })
            .collect()
    }
    let pivots = |stages: &Vec<usize>| {
        let alone = stages
            .iter()
            .enumerate()
            .filter(|(_, size)| **size == 1)
            .map(|(n, _)| Some(n));
        std::iter::once(None).chain(alone).collect::<Vec<_>>()
    };
    compositions(steps)
        .iter()
        .flat_map(|stages| {
            pivots(stages)
                .into_iter()
                .map(|pivot| plan(stages, pivot))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// All runs of a plan with up to two faults; the first that breaks an invariant, or how many there were.
fn all_runs(plan: &Plan, without: Without) -> Result<usize, String> {
    let mut runs = 1;
    let calls = run(plan, &Vec::new(), without)?;
    for first_at in 0..calls {
        for first in FAULTS {
            let calls = run(plan, &vec![(first_at, first)], without)?;
            runs += 1;
            for second_at in first_at..calls {
                for second in FAULTS {
                    run(plan, &vec![(first_at, first), (second_at, second)], without)?;
                    runs += 1;
                }
            }
        }
    }
    Ok(runs)
}

#[test]
fn no_placement_of_two_faults_breaks_an_invariant() {
    let mut runs = 0;
    for plan in (1..=4).flat_map(shapes) {
        runs += all_runs(&plan, Without::default()).unwrap_or_else(|error| panic!("{error}"));
    }
    println!("{runs} runs");
    assert!(runs > 70_000, "only {runs} runs: the enumeration has shrunk");
}

#[test]
fn the_checks_notice_when_the_barrier_is_taken_out() {
    let without = Without {
        barrier: true,
        doubt: false,
    };
    let found = shapes(2)
        .iter()
        .find_map(|plan| all_runs(plan, without).err())
        .expect("a late action after its undoing is found");
    assert!(found.contains("I2") || found.contains("I3"), "{found}");
}

#[test]
fn the_checks_notice_when_doubt_is_taken_for_failure() {
    let without = Without {
        barrier: false,
        doubt: true,
    };
    let found = shapes(2)
        .iter()
        .find_map(|plan| all_runs(plan, without).err())
        .expect("an effect that nobody undid is found");
    assert!(found.contains("I2"), "{found}");
}
