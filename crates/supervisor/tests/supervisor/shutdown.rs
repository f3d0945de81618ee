//! The end, in order.

use crate::bed::{Bed, PROGRAM, alive, behaving, job, kill, wait};
use ondol_core::wire::supervision::{Facts, InstanceSpec, Phase};
use ondol_core::wire::supervision_client::LogQuery;

fn three_ranks(options: &[&str]) -> (Bed, Vec<u32>) {
    let bed = Bed::new(options);
    let mut pids = Vec::new();
    for (id, rank) in [("low.1", 1), ("high.1", 3), ("mid.1", 2)] {
        bed.start(InstanceSpec {
            rank,
            ..behaving(id, "bye", "^here")
        });
        pids.push(bed.ready(id).pid.expect("pid"));
    }
    pids.push(
        bed.until("proxy.1", "running", |fact| fact.pid.is_some())
            .pid
            .expect("pid"),
    );
    bed.line("proxy", "here");
    (bed, pids)
}

/// In every state that was seen, nobody ends before those of higher rank have, and the role before nobody.
fn ended_in_order(seen: impl Iterator<Item = Facts>) {
    let mut last = None;
    for facts in seen {
        let of = |id: &str| {
            facts
                .instances
                .iter()
                .chain(&facts.roles)
                .find(|fact| fact.id.to_string() == id)
        };
        let phases = ["high.1", "mid.1", "low.1", "proxy.1"].map(|id| of(id).expect("fact").phase);
        let ended = phases.iter().take_while(|phase| **phase == Phase::Stopped).count();
        assert!(
            phases.iter().skip(ended + 1).all(|phase| *phase == Phase::Ready),
            "{phases:?}"
        );
        last = Some((phases, facts.stopping));
    }
    assert_eq!(last, Some(([Phase::Stopped; 4], true)));
}

/// Everyone said goodbye, as the next supervisor finds it stored.
fn said_goodbye(bed: &mut Bed) {
    bed.again(&[]);
    let lines = bed
        .client
        .logs(LogQuery {
            tail: 1_000,
            ..LogQuery::default()
        })
        .expect("logs");
    let lines = lines.map(|line| line.expect("line")).filter(|line| line.text == "bye");
    let mut sources: Vec<String> = lines.map(|line| line.source).collect();
    sources.sort();
    assert_eq!(sources, ["high.1", "low.1", "mid.1", "proxy"]);
}

#[test]
fn services_end_by_descending_rank_and_roles_last() {
    let (mut bed, pids) = three_ranks(&["role=proxy:bye"]);
    ended_in_order(bed.client.shutdown().expect("shutdown").map_while(Result::ok));
    assert!(bed.wait_for_end().success());
    assert!(!pids.into_iter().any(alive));
    said_goodbye(&mut bed);
}

#[test]
fn sigterm_to_the_supervisor_does_the_same() {
    let (mut bed, pids) = three_ranks(&["role=proxy:bye"]);
    let mut seen = bed.client.watch().expect("watch");
    seen.next().expect("facts").expect("facts");
    terminate(bed.pid());
    ended_in_order(seen.map_while(Result::ok));
    assert!(bed.wait_for_end().success());
    assert!(!pids.into_iter().any(alive));
    said_goodbye(&mut bed);
}

#[test]
fn a_second_sigterm_waits_for_nobody() {
    let mut bed = Bed::new(&[]);
    bed.start(InstanceSpec {
        stop_within_ms: 3_600_000,
        ..behaving("a.1", "stubborn", "^nap")
    });
    let pid = bed.ready("a.1").pid.expect("pid");
    terminate(bed.pid());
    bed.until("a.1", "told to end", |fact| fact.phase == Phase::Stopping);
    terminate(bed.pid());
    assert!(bed.wait_for_end().success());
    assert!(!alive(pid));
}

#[test]
fn jobs_end_and_nothing_starts_while_it_stops() {
    let mut bed = Bed::new(&[]);
    bed.start(InstanceSpec {
        stop_within_ms: 3_600_000,
        ..behaving("a.1", "stubborn", "^nap")
    });
    let stubborn = bed.ready("a.1").pid.expect("pid");
    let mut events = bed.client.job(job("build/a", &[PROGRAM, "nap"])).expect("job");
    events.next().expect("a line").expect("a line");
    let _facts = bed.client.shutdown().expect("shutdown");
    wait("the job's end", || bed.facts().jobs.is_empty().then_some(()));
    let refused = bed.client.start(behaving("b.1", "nap", "")).expect_err("refused");
    assert_eq!(refused.code().as_str(), "SV-019");
    kill(stubborn);
    assert!(bed.wait_for_end().success());
}

#[test]
fn watching_shows_the_state_at_once_and_every_change() {
    let bed = Bed::new(&[]);
    let mut watch = bed.client.watch().expect("watch");
    let mut next = || watch.next().expect("facts").expect("facts");
    assert_eq!(next().instances, []);
    bed.start(behaving("a.1", "nap", "^nap"));
    while !next().instances.iter().any(|fact| fact.phase == Phase::Ready) {}
    kill(bed.fact("a.1").expect("fact").pid.expect("pid"));
    while next().instances[0].restarts == 0 {}
}

fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
}
