//! Single rules, told as scripts: what happens, then where the saga stands and what it sends.

use super::*;
use crate::testing::definition;
use serde_json::json;

struct Told {
    plan: Plan,
    state: State,
    now: Timestamp,
    sent: Vec<String>,
    effects: Vec<Effect>,
    events: Vec<Event>,
}

impl Told {
    fn of(stages: &[&str]) -> Self {
        Self::with(Plan::compile(definition(stages)).expect("compiles"))
    }

    fn with(plan: Plan) -> Self {
        let now = Timestamp(1_000_000);
        let state = State::new(&plan, now);
        let mut told = Self {
            plan,
            state,
            now,
            sent: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
        };
        told.feed(Input::Start).expect("starts");
        told
    }

    fn feed(&mut self, input: Input) -> Result<(), Refused> {
        // The greatest draw gives the longest pause, so that pauses can be foretold.
        let next = step(&self.plan, &self.state, input, self.now, u64::MAX)?;
        self.state = next.state;
        self.events.extend(next.events);
        for effect in next.effects {
            self.sent.push(match &effect {
                Effect::Call {
                    step, op: Op::Action, ..
                } => self.plan.steps[*step].name.to_string(),
                Effect::Call {
                    step,
                    op: Op::Compensate,
                    ..
                } => format!("-{}", self.plan.steps[*step].name),
                Effect::Poll { location, .. } => format!("?{location}"),
            });
            self.effects.push(effect);
        }
        let is_live = !self.state.phase.is_final() && !self.state.phase.is_held();
        assert!(
            !is_live || self.state.wake_at(&self.plan).is_some(),
            "a live saga has a wake-up"
        );
        Ok(())
    }

    /// The last call sent to `name` comes to `outcome`.
    fn answer(&mut self, name: &str, outcome: Outcome) {
        let (name, op) = name
            .strip_prefix('-')
            .map_or((name, Op::Action), |name| (name, Op::Compensate));
        let step = self.plan.index(name).expect("a step");
        let n = self.state.steps[step].leg(op).sent;
        self.feed(Input::Outcome { step, op, n, outcome })
            .expect("outcomes are never refused");
    }

    fn done(&mut self, name: &str) {
        self.answer(name, Outcome::Done(Map::new()));
    }

    fn unknown(&mut self, name: &str) {
        self.answer(
            name,
            Outcome::Unknown {
                why: "503".into(),
                after: None,
            },
        );
    }

    fn fail(&mut self, name: &str) {
        self.answer(name, Outcome::Failed("no".into()));
    }

    fn later(&mut self, ms: i64) {
        self.now = Timestamp(self.now.0 + ms);
        self.feed(Input::Wake).expect("waking is never refused");
    }

    fn act(&mut self, action: Value) -> Result<(), Refused> {
        self.feed(Input::Operator(serde_json::from_value(action).expect("an action")))
    }

    fn check(&self, phase: Phase, sent: &str) {
        assert_eq!(
            (self.state.phase, self.sent.join(" ")),
            (phase, sent.to_owned()),
            "{:#?}",
            self.events
        );
    }
}

#[test]
fn steps_go_in_order_and_a_group_at_once() {
    let mut t = Told::of(&["a", "b+c", "d"]);
    t.check(Phase::Running, "a");
    t.done("a");
    t.check(Phase::Running, "a b c");
    t.done("c");
    t.check(Phase::Running, "a b c");
    t.done("b");
    t.done("d");
    t.check(Phase::Done, "a b c d");
}

#[test]
fn a_definite_failure_undoes_what_was_done_in_reverse_but_not_the_failing_step() {
    let mut t = Told::of(&["a", "b+c", "d"]);
    t.done("a");
    t.done("b");
    t.done("c");
    t.fail("d");
    t.check(Phase::Compensating, "a b c d -b -c");
    t.done("-b");
    t.check(Phase::Compensating, "a b c d -b -c");
    t.done("-c");
    t.done("-a");
    t.check(Phase::Aborted, "a b c d -b -c -a");
    assert_eq!(
        t.state.failure,
        Some(Failure {
            step: "d".into(),
            reason: "no".into()
        })
    );
}

#[test]
fn a_failure_after_an_attempt_in_doubt_undoes_the_failing_step_too() {
    let mut t = Told::of(&["a", "b"]);
    t.done("a");
    t.unknown("b");
    t.later(100);
    t.fail("b");
    t.check(Phase::Compensating, "a b b -b");
    t.done("-b");
    t.done("-a");
    t.check(Phase::Aborted, "a b b -b -a");
}

#[test]
fn attempts_that_were_not_sent_neither_count_nor_leave_doubt() {
    let mut d = definition(&["a"]);
    d.stages[0].steps[0].attempts = Some(2);
    let mut t = Told::with(Plan::compile(d).expect("compiles"));
    for _ in 0..5 {
        t.answer("a", Outcome::NotSent("refused".into()));
        t.later(1_000);
    }
    t.check(Phase::Running, "a a a a a a");
    t.fail("a");
    t.check(Phase::Aborted, "a a a a a a");
}

#[test]
fn out_of_attempts_is_a_failure_in_doubt() {
    let mut d = definition(&["a"]);
    d.stages[0].steps[0].attempts = Some(2);
    let mut t = Told::with(Plan::compile(d).expect("compiles"));
    t.unknown("a");
    t.later(100);
    t.unknown("a");
    t.check(Phase::Compensating, "a a -a");
    assert_eq!(t.state.failure.as_ref().map(|f| f.reason.as_str()), Some("503"));
}

#[test]
fn pauses_double_up_to_the_cap_and_the_services_own_time_is_honoured() {
    let mut t = Told::of(&["a"]);
    for pause in [100, 200, 400, 800, 1_000, 1_000] {
        t.unknown("a");
        assert_eq!(t.state.wake_at(&t.plan), Some(t.now.plus(Duration::from_millis(pause))));
        t.later(i64::try_from(pause).expect("small"));
    }
    t.answer(
        "a",
        Outcome::Unknown {
            why: "429".into(),
            after: Some(Duration::from_secs(2)),
        },
    );
    assert_eq!(t.state.wake_at(&t.plan), Some(t.now.plus(Duration::from_millis(2_100))));
}

#[test]
fn the_deadline_turns_back_and_waits_for_what_is_in_the_air() {
    let mut t = Told::of(&["a", "b"]);
    t.done("a");
    t.later(10_000);
    t.check(Phase::Compensating, "a b");
    t.done("b");
    t.check(Phase::Compensating, "a b -b");
    assert_eq!(
        t.state.failure,
        Some(Failure {
            step: "b".into(),
            reason: "deadline".into()
        })
    );
}

#[test]
fn a_pivot_in_doubt_is_tried_beyond_the_deadline_until_known() {
    let mut t = Told::of(&["a", "p!", "r*"]);
    t.done("a");
    t.unknown("p");
    t.later(60_000);
    t.unknown("p");
    assert!(t.act(json!({ "action": "cancel" })).is_err());
    t.later(60_000);
    t.done("p");
    t.done("r");
    t.check(Phase::Done, "a p p p r");
}

#[test]
fn a_pivots_definite_failure_settles_its_attempts_in_doubt() {
    let mut t = Told::of(&["a", "p!"]);
    t.done("a");
    t.unknown("p");
    t.later(60_000);
    t.fail("p");
    t.check(Phase::Compensating, "a p p -a");
    t.done("-a");
    t.check(Phase::Aborted, "a p p -a");
}

#[test]
fn a_pivot_that_was_never_sent_still_gives_way_to_the_deadline() {
    let mut t = Told::of(&["a", "p!"]);
    t.done("a");
    t.answer("p", Outcome::NotSent("refused".into()));
    t.later(10_000);
    t.check(Phase::Compensating, "a p -a");
}

#[test]
fn a_retriable_step_that_fails_parks_and_can_be_tried_again() {
    let mut t = Told::of(&["p!", "r*"]);
    t.done("p");
    t.fail("r");
    t.check(Phase::Parked, "p r");
    assert_eq!(t.state.wake_at(&t.plan), None);
    assert!(t.act(json!({ "action": "cancel" })).is_err());
    t.act(json!({ "action": "retry" }))
        .expect("a parked saga may be tried again");
    t.done("r");
    t.check(Phase::Done, "p r r");
}

#[test]
fn wrong_configuration_parks_and_the_time_parked_does_not_count() {
    let mut t = Told::of(&["a"]);
    t.later(9_000);
    t.answer("a", Outcome::Misconfigured("404".into()));
    t.check(Phase::Parked, "a");
    t.later(3_600_000);
    t.check(Phase::Parked, "a");
    t.act(json!({ "action": "retry", "step": "a" }))
        .expect("it may be tried again");
    t.check(Phase::Running, "a a");
    t.later(999);
    t.check(Phase::Running, "a a");
    t.later(1);
    t.check(Phase::Compensating, "a a");
}

#[test]
fn an_answer_that_lacks_a_field_parks_until_a_person_gives_it() {
    let mut t = Told::of(&["needs", "b"]);
    t.answer("needs", Outcome::Unusable("the answer lacks `total`".into()));
    t.check(Phase::Parked, "needs");
    for action in ["skip", "force-complete"] {
        let refused = t
            .act(json!({ "action": action, "reason": "x" }))
            .expect_err("an answer is needed");
        assert!(refused.why.contains("set-result"), "{refused}");
    }
    assert!(
        t.act(json!({ "action": "set-result", "result": {}, "reason": "x" }))
            .is_err()
    );
    assert!(
        t.act(json!({ "action": "set-result", "result": { "total": 1 }, "reason": " " }))
            .is_err()
    );
    t.act(json!({ "action": "set-result", "result": { "total": 1 }, "reason": "seen in its log" }))
        .expect("fits");
    t.check(Phase::Running, "needs b");
    t.fail("b");
    t.check(Phase::Compensating, "needs b -needs");
}

#[test]
fn a_compensation_that_fails_or_gives_up_is_stuck() {
    let mut t = Told::of(&["a", "b"]);
    t.done("a");
    t.fail("b");
    t.fail("-a");
    t.check(Phase::Stuck, "a b -a");
    t.act(json!({ "action": "retry" }))
        .expect("a stuck saga may be tried again");
    t.check(Phase::Compensating, "a b -a -a");
    for _ in 0..80 {
        t.unknown("-a");
        t.later(1_000);
    }
    assert_eq!(t.state.phase, Phase::Stuck, "given up after a minute");
    t.act(json!({ "action": "force-compensate", "reason": "refunded by hand" }))
        .expect("a person may settle it");
    assert_eq!(t.state.phase, Phase::Aborted);
}

#[test]
fn a_service_at_work_is_asked_until_it_has_an_answer() {
    let mut t = Told::of(&["a"]);
    t.answer(
        "a",
        Outcome::Running {
            poll: Some("/jobs/1".into()),
            after: None,
        },
    );
    t.later(999);
    t.check(Phase::Running, "a");
    t.later(1);
    t.check(Phase::Running, "a ?/jobs/1");
    t.answer(
        "a",
        Outcome::Running {
            poll: None,
            after: Some(Duration::from_secs(3)),
        },
    );
    t.later(3_000);
    t.unknown("a");
    t.later(100);
    t.check(Phase::Running, "a ?/jobs/1 ?/jobs/1 ?/jobs/1");
    t.done("a");
    t.check(Phase::Done, "a ?/jobs/1 ?/jobs/1 ?/jobs/1");
}

#[test]
fn a_service_at_work_without_a_location_is_called_again_and_compensated_on_abort() {
    let mut t = Told::of(&["a"]);
    t.answer(
        "a",
        Outcome::Running {
            poll: None,
            after: None,
        },
    );
    t.later(1_000);
    t.check(Phase::Running, "a a");
    t.fail("a");
    t.check(Phase::Compensating, "a a -a");
}

#[test]
fn an_attempt_without_an_outcome_is_in_doubt_after_a_restart() {
    let mut t = Told::of(&["a", "b"]);
    t.done("a");
    t.feed(Input::Recovered).expect("recovery is never refused");
    t.check(Phase::Running, "a b b");
    t.fail("b");
    t.check(Phase::Compensating, "a b b -b");
}

#[test]
fn an_attempt_without_an_outcome_counts_as_one() {
    let mut one_attempt = definition(&["a", "p!"]);
    for stage in &mut one_attempt.stages {
        stage.steps[0].attempts = Some(1);
    }
    let mut t = Told::with(Plan::compile(one_attempt.clone()).expect("compiles"));
    t.feed(Input::Recovered).expect("recovery is never refused");
    t.check(Phase::Compensating, "a -a");
    let mut t = Told::with(Plan::compile(one_attempt).expect("compiles"));
    t.done("a");
    t.feed(Input::Recovered).expect("recovery is never refused");
    t.check(Phase::Parked, "a p");
}

#[test]
fn a_service_at_work_cannot_have_itself_asked_without_a_pause() {
    let mut t = Told::of(&["a"]);
    t.answer(
        "a",
        Outcome::Running {
            poll: Some("/jobs/1".into()),
            after: Some(Duration::ZERO),
        },
    );
    t.check(Phase::Running, "a");
    t.later(100);
    t.check(Phase::Running, "a ?/jobs/1");
}

#[test]
fn a_new_attempt_forgets_where_an_earlier_one_was_asked_for() {
    let mut t = Told::of(&["a"]);
    let at_work = |poll: Option<&str>| Outcome::Running {
        poll: poll.map(str::to_owned),
        after: None,
    };
    t.answer("a", at_work(Some("/jobs/1")));
    t.later(1_000);
    t.answer("a", Outcome::Misconfigured("404".into()));
    t.check(Phase::Parked, "a ?/jobs/1");
    t.act(json!({ "action": "retry" })).expect("it may be tried again");
    t.answer("a", at_work(None));
    t.later(1_000);
    t.check(Phase::Running, "a ?/jobs/1 a a");
}

#[test]
fn a_late_result_changes_nothing() {
    let mut t = Told::of(&["a", "b"]);
    t.unknown("a");
    t.later(100);
    let before = t.state.clone();
    t.feed(Input::Outcome {
        step: 0,
        op: Op::Action,
        n: 1,
        outcome: Outcome::Failed("late".into()),
    })
    .expect("ignored");
    assert_eq!(t.state, before);
}

#[test]
fn a_paused_saga_hears_but_begins_nothing_until_it_goes_on() {
    let mut t = Told::of(&["a", "b"]);
    t.act(json!({ "action": "pause" })).expect("running");
    t.done("a");
    t.later(3_600_000);
    t.check(Phase::Paused, "a");
    assert!(t.act(json!({ "action": "pause" })).is_err());
    t.act(json!({ "action": "resume" })).expect("paused");
    t.check(Phase::Running, "a b");
    t.act(json!({ "action": "pause" })).expect("running");
    t.act(json!({ "action": "cancel" })).expect("before the pivot");
    t.check(Phase::Compensating, "a b");
}

#[test]
fn a_person_may_vouch_for_a_misconfigured_pivot_and_turn_back() {
    let mut t = Told::of(&["a", "p!", "r*"]);
    t.done("a");
    t.answer("p", Outcome::Misconfigured("404".into()));
    assert!(
        t.act(json!({ "action": "cancel" })).is_err(),
        "the pivot may have happened"
    );
    t.act(json!({ "action": "force-compensate", "reason": "nothing was shipped" }))
        .expect("a person vouches");
    t.check(Phase::Compensating, "a p -a");
    let mut t = Told::of(&["p!", "r*"]);
    t.done("p");
    t.fail("r");
    assert!(
        t.act(json!({ "action": "force-compensate", "step": "p", "reason": "x" }))
            .is_err(),
        "a later step was sent"
    );
}

#[test]
fn a_skipped_step_in_doubt_is_still_undone_on_abort() {
    let mut t = Told::of(&["a", "b"]);
    t.answer("a", Outcome::Misconfigured("404".into()));
    t.act(json!({ "action": "skip", "reason": "not needed" }))
        .expect("nothing needs its answer");
    t.check(Phase::Running, "a b");
    t.fail("b");
    t.check(Phase::Compensating, "a b -a");
}

#[test]
fn nothing_may_be_done_to_a_saga_that_has_ended() {
    let mut t = Told::of(&["a"]);
    t.done("a");
    for action in ["retry", "pause", "resume", "cancel"] {
        assert!(t.act(json!({ "action": action })).is_err(), "{action}");
    }
}
