//! The machine, case by case: one letter is one key.

use super::*;

pub(super) const SMALL: Bounds = Bounds {
    window: 16,
    window_bytes: 1_000,
    keys: 8,
    queue: 12,
    events: 40,
};
pub(super) const RETRY: Retry = Retry {
    attempts: 3,
    first: Duration::from_millis(100),
    cap: Duration::from_secs(1),
};

pub(super) fn machine() -> Machine<()> {
    let mut machine = Machine::new(SMALL, 0, Vec::new());
    machine.configure(4, RETRY);
    machine
}

pub(super) fn seen(position: u64, key: &str) -> Seen<()> {
    Seen {
        position,
        key: key.into(),
        deliver_at: None,
        bytes: 10,
        body: (),
    }
}

/// Takes in one event for each letter: its key.
fn feed(machine: &mut Machine<()>, keys: &str, now: i64) {
    let first = machine.read + 1;
    let events: Vec<_> = keys
        .chars()
        .zip(first..)
        .map(|(key, at)| seen(at, &key.to_string()))
        .collect();
    let upto = machine.read + events.len() as u64;
    machine.take(events, upto, Timestamp(now));
}

/// Everything that may be sent now, as `KEY POSITION`.
fn sent(machine: &mut Machine<()>, now: i64) -> Vec<(u64, String)> {
    machine.wake(Timestamp(now));
    let deliveries = std::iter::from_fn(|| machine.next(Timestamp(now), None));
    deliveries
        .map(|one| (one.flight, format!("{}{}", one.key, one.position)))
        .collect()
}

fn names(sent: &[(u64, String)]) -> Vec<&str> {
    sent.iter().map(|(_, name)| name.as_str()).collect()
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed {
        why: "answered 500".into(),
        after: None,
    }
}

pub(super) fn away() -> Outcome {
    Outcome::Unreachable {
        why: "refused".into(),
        after: None,
    }
}

#[test]
fn one_flight_for_a_key_and_keys_side_by_side() {
    let mut m = machine();
    feed(&mut m, "aabbcde", 0);
    let first = sent(&mut m, 0);
    assert_eq!(names(&first), ["a1", "b3", "c5", "d6"], "four places");
    assert_eq!(m.position(), 0);
    m.done(first[1].0, Outcome::Done, Timestamp(0), 0);
    assert_eq!(m.position(), 0, "a1 is not done");
    assert_eq!(names(&sent(&mut m, 0)), ["e7"]);
    m.done(first[0].0, Outcome::Done, Timestamp(0), 0);
    assert_eq!(m.position(), 1);
    assert_eq!(names(&sent(&mut m, 0)), ["b4"], "b came back before a");
}

#[test]
fn a_failing_key_leaves_the_window_and_is_parked_after_its_attempts() {
    let mut m = machine();
    feed(&mut m, "ab", 0);
    let first = sent(&mut m, 0);
    m.done(first[1].0, Outcome::Done, Timestamp(0), 0);
    m.done(first[0].0, failed(), Timestamp(0), u64::MAX);
    assert_eq!(
        (m.position(), m.tally.retrying),
        (2, 1),
        "the position passes what is in a row"
    );
    feed(&mut m, "ac", 10);
    let next = sent(&mut m, 10);
    assert_eq!(names(&next), ["c4"], "a3 waits behind a1");
    assert_eq!(m.wake_at(), Some(Timestamp(100)));
    for (now, pause) in [(100, 200), (300, 0)] {
        let again = sent(&mut m, now);
        assert_eq!(names(&again), ["a1"]);
        m.done(again[0].0, failed(), Timestamp(now), u64::MAX);
        assert_eq!(m.wake_at(), (pause > 0).then_some(Timestamp(now + pause)));
    }
    assert_eq!((m.tally.parked, m.tally.parked_events), (1, 2));
    assert_eq!(sent(&mut m, 100_000), [], "a person must act");
    let dry = m.redrive(&m.parked(), 1.0, true, Timestamp(100_000));
    assert_eq!((dry.keys, dry.events, m.tally.parked), (1, 2, 1));
    m.redrive(&m.parked(), 1.0, false, Timestamp(100_000));
    let again = sent(&mut m, 100_000);
    assert_eq!(names(&again), ["a1"]);
    m.done(again[0].0, Outcome::Done, Timestamp(100_000), 0);
    assert_eq!(names(&sent(&mut m, 100_000)), ["a3"]);
}

#[test]
fn a_lowered_pace_holds_back_the_window_and_no_row() {
    let mut m = machine();
    feed(&mut m, "ab", 0);
    let first = sent(&mut m, 0);
    m.done(first[0].0, failed(), Timestamp(0), u64::MAX);
    m.done(first[1].0, failed(), Timestamp(0), u64::MAX);
    feed(&mut m, "cdefg", 10);
    m.paced = 1;
    let paced = sent(&mut m, 10);
    assert_eq!(names(&paced), ["c3"]);
    assert_eq!(names(&sent(&mut m, 100)), ["a1", "b2"], "half of four places beside it");
    m.done(paced[0].0, Outcome::Done, Timestamp(100), 0);
    assert_eq!(names(&sent(&mut m, 100)), ["d4"], "rows that hang hold up no other key");
    m.paced = 4;
    assert_eq!(names(&sent(&mut m, 100)), ["e5"], "four places in all");
}

#[test]
fn a_refused_event_parks_its_key_at_once() {
    let mut m = machine();
    feed(&mut m, "a", 0);
    let first = sent(&mut m, 0);
    m.done(first[0].0, Outcome::Refused("answered 422".into()), Timestamp(0), 0);
    assert_eq!(m.tally.parked, 1);
    assert_eq!(m.lanes["a"].error.as_deref(), Some("answered 422"));
}

#[test]
fn while_the_service_is_away_one_probe_is_sent_after_each_pause_and_nothing_is_counted() {
    let mut m = machine();
    feed(&mut m, "abcd", 0);
    let first = sent(&mut m, 0);
    m.done(first[0].0, away(), Timestamp(0), u64::MAX);
    assert_eq!((m.mode, m.wake_at()), (Mode::Waiting, Some(Timestamp(100))));
    // Sent before the pause: neither lengthens nor ends it.
    m.done(first[1].0, away(), Timestamp(10), u64::MAX);
    m.done(first[2].0, Outcome::Done, Timestamp(20), 0);
    assert_eq!((m.mode, m.wake_at()), (Mode::Waiting, Some(Timestamp(100))));
    assert_eq!(sent(&mut m, 99), []);
    let probe = sent(&mut m, 100);
    assert_eq!(names(&probe), ["b2"], "one");
    m.done(probe[0].0, away(), Timestamp(100), u64::MAX);
    assert_eq!(m.wake_at(), Some(Timestamp(300)), "twice as long");
    let probe = sent(&mut m, 300);
    m.done(probe[0].0, Outcome::Done, Timestamp(300), 0);
    assert_eq!(m.mode, Mode::Running);
    assert_eq!(names(&sent(&mut m, 300)), ["a1"], "d4 is still under way");
    assert_eq!(m.tally.keys(), 0, "no attempt was counted");
}

#[test]
fn a_wrong_path_is_told_apart_and_the_next_manifest_ends_the_pause() {
    let mut m = machine();
    feed(&mut m, "a", 0);
    let first = sent(&mut m, 0);
    m.done(
        first[0].0,
        Outcome::Misanswered("answered 404".into()),
        Timestamp(0),
        u64::MAX,
    );
    assert_eq!(
        (m.mode, m.reason(), m.wake_at()),
        (Mode::Misconfigured, Some("answered 404"), Some(Timestamp(1_000)))
    );
    m.configure(4, RETRY);
    assert_eq!((m.mode, names(&sent(&mut m, 1))), (Mode::Running, vec!["a1"]));
}

#[test]
fn a_named_pause_is_kept() {
    let mut m = machine();
    feed(&mut m, "ab", 0);
    let first = sent(&mut m, 0);
    let after = Some(Duration::from_secs(7));
    m.done(
        first[0].0,
        Outcome::Unreachable {
            why: "429".into(),
            after,
        },
        Timestamp(0),
        0,
    );
    assert_eq!(m.wake_at(), Some(Timestamp(7_000)));
    let after = Some(Duration::from_secs(9));
    m.done(
        first[1].0,
        Outcome::Unreachable {
            why: "429".into(),
            after,
        },
        Timestamp(0),
        0,
    );
    assert_eq!(m.wake_at(), Some(Timestamp(9_000)));
}

#[test]
fn a_paused_subscription_sends_and_reads_nothing() {
    let mut m = machine();
    feed(&mut m, "ab", 0);
    let first = sent(&mut m, 0);
    m.pause();
    m.done(first[0].0, Outcome::Done, Timestamp(0), 0);
    m.done(first[1].0, away(), Timestamp(0), 0);
    feed(&mut m, "a", 0);
    assert_eq!((sent(&mut m, 0), m.room(), m.mode), (vec![], None, Mode::Paused));
    m.resume();
    assert_eq!(names(&sent(&mut m, 0)), ["b2", "a3"]);
}

#[test]
fn keys_that_hang_take_no_more_than_half_of_the_places() {
    let mut m = machine();
    feed(&mut m, "abcd", 0);
    for (flight, _) in sent(&mut m, 0) {
        m.done(flight, failed(), Timestamp(0), 0);
    }
    feed(&mut m, "efgh", 1);
    let mut now = sent(&mut m, 1);
    now.sort();
    let rows = now.iter().filter(|(_, name)| name.as_str() < "e").count();
    assert_eq!((now.len(), rows), (4, 2), "{now:?}");
}

#[test]
fn at_the_bound_of_rows_nothing_more_is_read_until_there_is_room() {
    let mut m = machine();
    for (at, key) in ('a'..='h').enumerate() {
        feed(&mut m, &key.to_string(), 0);
        assert!(m.room().is_some(), "{at}");
        let first = sent(&mut m, 0);
        m.done(first[0].0, Outcome::Refused("no".into()), Timestamp(0), 0);
    }
    assert_eq!((m.room(), m.mode), (None, Mode::Full));
    m.skip("a", 1, Timestamp(0)).expect("parked");
    m.take_changed();
    assert_eq!((m.room().is_some(), m.mode), (true, Mode::Running));
    for _ in 0..12 {
        feed(&mut m, "b", 0);
    }
    assert_eq!((m.room(), m.mode), (None, Mode::Full), "one long row is enough");
}

#[test]
fn the_window_is_full_by_events_and_by_bytes() {
    let mut m = machine();
    feed(&mut m, "abcdefghijkl", 0);
    assert_eq!(m.room(), Some(4));
    feed(&mut m, "m", 0);
    assert_eq!(m.room(), None, "three are not worth a read");
    let mut m = machine();
    m.take(
        vec![Seen {
            bytes: 1_000,
            ..seen(1, "a")
        }],
        1,
        Timestamp(0),
    );
    assert_eq!(m.room(), None);
}

#[test]
fn slow_keys_that_fill_the_window_make_room_for_others() {
    let mut m = machine();
    feed(&mut m, "aaaaaaaaaaaabbbb", 0);
    assert_eq!(names(&sent(&mut m, 0)), ["a1", "b13"]);
    assert_eq!((m.room(), m.wake_at()), (None, None));
    m.wake(Timestamp(1));
    assert_eq!(m.wake_at(), Some(Timestamp(1_001)));
    m.wake(Timestamp(1_001));
    assert_eq!(
        (m.room(), m.tally.retrying, m.tally.events),
        (None, 1, 12),
        "a long row is a bound too"
    );
    assert_eq!(m.lanes["a"].attempts, 0, "it did not fail");
    assert_eq!(m.lanes["a"].flight, Some(1), "and goes on");
    m.done(1, Outcome::Done, Timestamp(1_002), 0);
    assert_eq!((m.room(), names(&sent(&mut m, 1_002))), (Some(12), vec!["a2"]));
}

#[test]
fn a_delayed_event_waits_alone_and_lets_the_position_pass() {
    let mut m = machine();
    let later = Seen {
        deliver_at: Some(Timestamp(5_000)),
        ..seen(1, "e-1")
    };
    let past = Seen {
        deliver_at: Some(Timestamp(-1)),
        ..seen(2, "e-2")
    };
    m.take(vec![later, past], 2, Timestamp(0));
    assert_eq!(names(&sent(&mut m, 0)), ["e-22"]);
    assert_eq!((m.tally.delayed, m.wake_at()), (1, Some(Timestamp(5_000))));
    let due = sent(&mut m, 5_000);
    assert_eq!(names(&due), ["e-11"]);
    m.done(due[0].0, failed(), Timestamp(5_000), 0);
    assert_eq!((m.tally.delayed, m.tally.retrying), (0, 1));
}

#[test]
fn a_lease_that_ends_is_a_failed_attempt_and_a_late_answer_says_nothing() {
    let mut m = machine();
    feed(&mut m, "a", 0);
    let secs = Duration::from_secs;
    let leased = m.next(Timestamp(0), Some(secs(30))).expect("ready");
    assert_eq!((m.ended(secs(29)), m.lease_end()), (vec![], Some(secs(30))));
    // Whatever the wall clock says meanwhile.
    for now in [90_000, -90_000, 0] {
        m.wake(Timestamp(now));
        assert_eq!(m.ended(secs(29)), [0; 0], "{now}");
    }
    assert_eq!(m.ended(secs(30)), [leased.flight]);
    m.done(leased.flight, failed(), Timestamp(30_000), 0);
    assert!(!m.done(leased.flight, Outcome::Done, Timestamp(30_001), 0));
    let again = sent(&mut m, 30_001);
    assert_eq!(names(&again), ["a1"]);
}

#[test]
fn when_the_clock_goes_back_nothing_waits_for_its_return() {
    let mut m = machine();
    feed(&mut m, "ab", 1_000_000);
    let first = sent(&mut m, 1_000_000);
    m.done(first[0].0, failed(), Timestamp(1_000_000), u64::MAX);
    assert_eq!(names(&sent(&mut m, 400_000)), ["a1"]);
}

#[test]
fn an_event_in_flight_is_neither_edited_nor_skipped_and_a_skipped_one_frees_its_key() {
    let mut m = machine();
    feed(&mut m, "aaa", 0);
    let first = sent(&mut m, 0);
    assert_eq!(
        m.skip("a", 1, Timestamp(0)),
        Err(super::super::operate::Refused::NoKey("a".into()))
    );
    m.done(first[0].0, failed(), Timestamp(0), 0);
    let again = sent(&mut m, 0);
    assert_eq!(
        m.skip("a", 1, Timestamp(0)),
        Err(super::super::operate::Refused::InFlight(1))
    );
    assert_eq!(
        m.edit("a", 9, "{}".into()),
        Err(super::super::operate::Refused::NoEvent(9))
    );
    m.skip("a", 2, Timestamp(0)).expect("it only waits");
    m.edit("a", 3, "{\"x\":1}".into()).expect("it only waits");
    m.done(again[0].0, Outcome::Refused("no".into()), Timestamp(0), 0);
    m.skip("a", 1, Timestamp(0)).expect("parked");
    let last = m.next(Timestamp(0), None).or_else(|| {
        m.wake(Timestamp(0));
        m.next(Timestamp(0), None)
    });
    let last = last.expect("the last goes on");
    assert_eq!(
        (last.position, last.edited.as_deref(), last.attempt),
        (3, Some("{\"x\":1}"), 1)
    );
}

#[test]
fn a_reset_needs_a_pause_and_reads_again_what_comes_after_it() {
    let mut m = machine();
    feed(&mut m, "abab", 0);
    let first = sent(&mut m, 0);
    m.done(first[0].0, Outcome::Refused("no".into()), Timestamp(0), 0);
    m.done(first[1].0, Outcome::Done, Timestamp(0), 0);
    assert!(m.reset(0, 4).is_err());
    m.pause();
    assert!(m.reset(9, 4).is_err(), "beyond the log");
    m.reset(2, 4).expect("paused and idle");
    assert_eq!(m.lanes["a"].queue, [1], "a3 will be read again");
    m.resume();
    feed(&mut m, "ab", 0);
    assert_eq!(m.lanes["a"].queue, [1, 3]);
    assert_eq!(names(&sent(&mut m, 0)), ["b4"]);
    m.pause();
    assert!(m.reset(0, 4).is_err(), "b4 is under way");
}

#[test]
fn a_key_that_always_fails_holds_nobody_up() {
    let mut m = machine();
    for round in 0..12 {
        let now = round * 1_000;
        feed(&mut m, "xabcd", now);
        loop {
            let sent = sent(&mut m, now);
            if sent.is_empty() {
                break;
            }
            for (flight, name) in sent {
                let outcome = if name.starts_with('x') { failed() } else { Outcome::Done };
                m.done(flight, outcome, Timestamp(now), u64::MAX);
            }
        }
        assert_eq!(m.position(), m.read, "round {round}: nothing is left of the others");
        assert_eq!(m.lanes.len(), 1, "but x");
    }
    assert_eq!((m.delivered, m.tally.parked_events), (48, 12));
}
