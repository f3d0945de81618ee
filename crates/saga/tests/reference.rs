//! The machine against a plain model of sagas without groups: same calls in the same order, same end.
//!
//! The model knows no states and no times: it walks forward until something fails and then walks back.

use ondol_core::clock::Timestamp;
use ondol_saga::config::{Definition, StepKind};
use ondol_saga::machine::{Effect, Input, Outcome, step};
use ondol_saga::phase::Phase;
use ondol_saga::plan::Plan;
use ondol_saga::state::{Op, State};
use proptest::prelude::*;
use serde_json::{Map, json};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Done,
    Fail,
    Unknown,
    NotSent,
    Wrong,
}

#[derive(Clone, Debug)]
struct Step {
    kind: StepKind,
    attempts: Option<u32>,
    action: Vec<Said>,
    undo: Vec<Said>,
}

/// The script's word for the n-th call; after its end all is well.
fn word(script: &[Said], n: usize) -> Said {
    script.get(n).copied().unwrap_or(Said::Done)
}

fn reference(steps: &[Step]) -> (Vec<String>, Phase) {
    let mut calls = Vec::new();
    let mut undo = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let (mut doubt, mut unknown) = (false, 0);
        let failed = 'tries: {
            for n in 0.. {
                calls.push(format!("{at}"));
                match word(&step.action, n) {
                    Said::Done => break 'tries false,
                    Said::Wrong => return (calls, Phase::Parked),
                    Said::Fail if step.kind == StepKind::Retriable => return (calls, Phase::Parked),
                    Said::Fail => break 'tries true,
                    Said::NotSent => {}
                    Said::Unknown => {
                        (doubt, unknown) = (true, unknown + 1);
                        match (step.attempts, step.kind) {
                            (Some(most), StepKind::Compensable) if unknown >= most => break 'tries true,
                            (Some(most), _) if unknown >= most => return (calls, Phase::Parked),
                            _ => {}
                        }
                    }
                }
            }
            false
        };
        if step.kind == StepKind::Compensable && (!failed || doubt) {
            undo.push(at);
        }
        if failed {
            for at in undo.into_iter().rev() {
                for n in 0.. {
                    calls.push(format!("-{at}"));
                    match word(&steps[at].undo, n) {
                        Said::Done => break,
                        Said::Fail | Said::Wrong => return (calls, Phase::Stuck),
                        Said::Unknown | Said::NotSent => {}
                    }
                }
            }
            return (calls, Phase::Aborted);
        }
    }
    (calls, Phase::Done)
}

fn plan(steps: &[Step]) -> Plan {
    let backoff = json!({ "first_ms": 10, "cap_ms": 100 });
    let call = json!({ "method": "POST", "service": "s", "path": "/", "body": null, "timeout_ms": 1_000 });
    let stage = |(at, step): (usize, &Step)| {
        let undo = (step.kind == StepKind::Compensable)
            .then(|| json!({ "call": call, "backoff": backoff, "give_up_ms": 86_400_000 }));
        let step = json!({ "name": format!("s{at}"), "kind": step.kind, "call": call, "attempts": step.attempts, "backoff": backoff, "compensate": undo });
        json!({ "group": null, "steps": [step] })
    };
    let definition: Definition = serde_json::from_value(json!({
        "saga": "one", "owner": "s", "deadline_ms": 86_400_000, "input": null, "visible_after": null,
        "stages": steps.iter().enumerate().map(stage).collect::<Vec<_>>(), "answer": { "done": null, "aborted": null, "waiting": null },
    }))
    .expect("a definition");
    Plan::compile(definition).expect("compiles")
}

fn machine(steps: &[Step], randoms: &[u64]) -> (Vec<String>, Phase) {
    let plan = plan(steps);
    let mut now = Timestamp(0);
    let mut state = State::new(&plan, now);
    let mut calls = Vec::new();
    let mut heard = vec![[0_usize; 2]; steps.len()];
    let mut input = Input::Start;
    for turn in 0.. {
        let next = step(&plan, &state, input, now, randoms[turn % randoms.len()]).expect("no operator acts");
        state = next.state;
        input = match next.effects.as_slice() {
            [] if state.phase.is_final() || state.phase.is_held() => break,
            [] => {
                now = now.max(state.wake_at(&plan).expect("a live saga has a wake-up"));
                Input::Wake
            }
            [Effect::Call { step: at, op, n }] => {
                let (script, sign) = if *op == Op::Action {
                    (&steps[*at].action, "")
                } else {
                    (&steps[*at].undo, "-")
                };
                calls.push(format!("{sign}{at}"));
                let outcome = match word(script, heard[*at][*op as usize]) {
                    Said::Done => Outcome::Done(Map::new()),
                    Said::Fail => Outcome::Failed("no".into()),
                    Said::Unknown => Outcome::Unknown {
                        why: "503".into(),
                        after: None,
                    },
                    Said::NotSent => Outcome::NotSent("refused".into()),
                    Said::Wrong => Outcome::Misconfigured("404".into()),
                };
                heard[*at][*op as usize] += 1;
                Input::Outcome {
                    step: *at,
                    op: *op,
                    n: *n,
                    outcome,
                }
            }
            other => panic!("one step at a time: {other:?}"),
        };
    }
    (calls, state.phase)
}

fn script(longest: usize) -> impl Strategy<Value = Vec<Said>> {
    let said = prop_oneof![4 => Just(Said::Done), 2 => Just(Said::Fail), 4 => Just(Said::Unknown), 2 => Just(Said::NotSent), 1 => Just(Said::Wrong)];
    prop::collection::vec(said, 0..longest)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    (1..7_usize, 0..9_usize).prop_flat_map(|(count, pivot)| {
        let one = |at: usize| {
            let kind = match at.cmp(&pivot) {
                std::cmp::Ordering::Less => StepKind::Compensable,
                std::cmp::Ordering::Equal => StepKind::Pivot,
                std::cmp::Ordering::Greater => StepKind::Retriable,
            };
            (prop::option::of(1..4_u32), script(5), script(4)).prop_map(move |(attempts, action, undo)| Step {
                kind,
                attempts,
                action,
                undo,
            })
        };
        (0..count).map(one).collect::<Vec<_>>()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_machine_makes_the_models_calls_and_comes_to_its_end(steps in steps(), randoms in prop::collection::vec(any::<u64>(), 1..8)) {
        prop_assert_eq!(machine(&steps, &randoms), reference(&steps));
    }
}
