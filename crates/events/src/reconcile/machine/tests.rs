//! Moves and laws of the machine, as tables and under random courses.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const EVERY: Duration = Duration::from_secs(60);

fn finding(value: u32) -> Finding {
    Finding {
        why: vec![format!("a.b: {value}, expected 0")],
        values: [("a.b".to_owned(), json!(value))].into(),
        mend: Some(Mend {
            saga: "mend".parse().expect("a name"),
            input: json!({ "value": value }),
        }),
    }
}

/// Runs once: each key with what it is found to be; `None` for a key that moves.
fn run(machine: &mut Machine, at: i64, found: &[(&str, Option<u32>)]) -> Changes {
    let mut report = machine.begin();
    for (key, value) in found {
        let verdict = match value {
            None => Verdict::Moving,
            Some(0) => Verdict::Holds,
            Some(value) => Verdict::Broken(finding(*value)),
        };
        report.add((*key).to_owned(), verdict);
    }
    machine.end(Timestamp(at), Ok(report), Timestamp(at))
}

fn machine() -> Machine {
    Machine::new(EVERY, Timestamp(0))
}

fn reported(machine: &Machine) -> Vec<(&str, i64, u32)> {
    machine
        .reported()
        .map(|(key, drift)| (key.as_str(), drift.since.0, drift.seen))
        .collect()
}

#[test]
fn a_drift_is_reported_when_two_runs_find_the_same_and_goes_when_it_holds() {
    let mut m = machine();
    let first = run(&mut m, 10, &[("k", Some(1)), ("l", Some(0))]);
    assert_eq!(
        (first.put, first.found, reported(&m)),
        (vec!["k".to_owned()], vec![], vec![])
    );
    let second = run(&mut m, 20, &[("k", Some(1))]);
    assert_eq!((second.found, reported(&m)), (vec!["k".to_owned()], vec![("k", 10, 2)]));
    let third = run(&mut m, 30, &[("k", Some(1))]);
    assert_eq!((third.found, reported(&m)), (vec![], vec![("k", 10, 3)]));
    let fourth = run(&mut m, 40, &[("k", Some(0))]);
    assert_eq!(
        (fourth.gone, fourth.deleted, m.drifts.len()),
        (vec!["k".to_owned()], vec!["k".to_owned()], 0)
    );
}

#[test]
fn other_values_begin_anew_and_a_suspicion_that_goes_was_never_told() {
    let mut m = machine();
    run(&mut m, 10, &[("k", Some(1))]);
    let other = run(&mut m, 20, &[("k", Some(2))]);
    assert_eq!((other.found, other.gone, reported(&m)), (vec![], vec![], vec![]));
    run(&mut m, 30, &[("k", Some(2))]);
    assert_eq!(reported(&m), [("k", 20, 2)]);
    assert_eq!(run(&mut m, 40, &[("k", Some(3))]).gone, ["k"]);
    assert_eq!(run(&mut m, 50, &[]).gone, Vec::<String>::new());
    assert!(m.drifts.is_empty());
}

#[test]
fn what_was_not_judged_stays_as_it_was() {
    let mut m = machine();
    run(&mut m, 10, &[("k", Some(1)), ("l", Some(1))]);
    run(&mut m, 20, &[("k", Some(1)), ("l", None)]);
    assert_eq!((reported(&m), m.drifts["l"].seen), (vec![("k", 10, 2)], 1));
    let unknown = m.end(Timestamp(30), Err("payments answered 500".into()), Timestamp(31));
    assert_eq!(unknown, Changes::default());
    assert_eq!((reported(&m), m.drifts.len()), (vec![("k", 10, 2)], 2));
    assert_eq!(
        m.last.as_ref().and_then(|last| last.unknown.as_deref()),
        Some("payments answered 500")
    );
    run(&mut m, 40, &[("l", Some(1))]);
    assert_eq!(reported(&m), [("l", 10, 2)]);
}

#[test]
fn a_run_that_was_not_finished_is_tried_again_sooner_and_ever_more_rarely() {
    let mut m = machine();
    assert_eq!(m.until_due(Timestamp(0)), EVERY);
    let pauses = (0..6).map(|_| {
        m.end(Timestamp(0), Err("x".into()), Timestamp(0));
        m.until_due(Timestamp(0)).as_secs()
    });
    assert_eq!(pauses.collect::<Vec<_>>(), [5, 10, 20, 40, 60, 60]);
    run(&mut m, 0, &[]);
    assert_eq!(
        (m.until_due(Timestamp(0)), m.until_due(Timestamp(60_000))),
        (EVERY, Duration::ZERO)
    );
    assert_eq!(m.until_due(Timestamp(-9_000_000)), EVERY, "a clock that was set back");
}

#[test]
fn the_first_thousand_are_kept_known_ones_before_new_ones() {
    let mut m = machine();
    run(&mut m, 1, &[("z", Some(1))]);
    let names: Vec<String> = (0..1_500).map(|n| format!("k{n:04}")).collect();
    let mut many: Vec<(&str, Option<u32>)> = names.iter().map(|name| (name.as_str(), Some(1))).collect();
    many.push(("z", Some(1)));
    for at in 2..4 {
        run(&mut m, at, &many);
        assert_eq!(m.drifts.len(), KEPT);
        assert_eq!(m.last.as_ref().map(|last| last.tally.more), Some(501));
    }
    assert_eq!(reported(&m).len(), KEPT);
    assert!(m.drifts.contains_key("z") && m.drifts.contains_key("k0998") && !m.drifts.contains_key("k0999"));
}

#[test]
fn a_repair_is_started_once_a_drift_and_a_few_a_run() {
    let mut m = machine();
    let names: Vec<String> = (0..15).map(|n| format!("k{n:02}")).collect();
    let all: Vec<(&str, Option<u32>)> = names.iter().map(|name| (name.as_str(), Some(1))).collect();
    run(&mut m, 10, &all);
    assert!(m.repairs().is_empty(), "a suspicion is not mended");
    run(&mut m, 20, &all);
    let due = m.repairs();
    assert_eq!(
        (due.len(), due[0].0.as_str(), due[0].1),
        (REPAIRS, "k00", Timestamp(10))
    );
    for (key, _, _) in &due[1..] {
        m.repaired(key, Repaired::Started("s".into()));
    }
    m.repaired("k00", Repaired::Refused("full".into()));
    run(&mut m, 30, &all);
    let due: Vec<String> = m.repairs().into_iter().map(|(key, _, _)| key).collect();
    assert_eq!(
        due,
        ["k10", "k11", "k12", "k13", "k14", "k00"],
        "what was refused comes last"
    );
}

proptest! {
    /// Against a plain model: reported is what the last two runs that judged it found the same of.
    #[test]
    fn reported_is_what_two_judgements_in_a_row_agree_on(
        runs in prop::collection::vec(prop::option::weighted(0.9, prop::collection::vec(prop::option::of(0_u32..3), 4)), 1..12),
    ) {
        let keys = ["a", "b", "c", "d"];
        let mut m = machine();
        let mut judged: Vec<Vec<u32>> = vec![Vec::new(); keys.len()];
        for (at, run_of) in runs.iter().enumerate() {
            let at = i64::try_from(at).expect("few");
            let Some(found) = run_of else {
                m.end(Timestamp(at), Err("down".into()), Timestamp(at));
                continue;
            };
            let verdicts: Vec<(&str, Option<u32>)> = keys.iter().copied().zip(found.iter().copied()).collect();
            run(&mut m, at, &verdicts);
            for (history, value) in judged.iter_mut().zip(found) {
                history.extend(*value);
            }
        }
        let agrees = |history: &Vec<u32>| matches!(history.as_slice(), [.., a, b] if a == b && *b != 0);
        let want: Vec<&str> = keys.iter().zip(&judged).filter(|(_, history)| agrees(history)).map(|(key, _)| *key).collect();
        let got: Vec<&str> = m.reported().map(|(key, _)| key.as_str()).collect();
        prop_assert_eq!(got, want);
    }
}
