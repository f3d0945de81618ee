//! The breaker against its table, its drawing and a plain reference.

use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const SETTINGS: Settings = Settings {
    failure_ratio: 0.5,
    minimum: 20,
    open: Duration::from_secs(5),
};

/// A breaker that opened at `now`.
fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new(SETTINGS);
    for _ in 0..20 {
        let ticket = breaker.admit(now).expect("closed");
        breaker.record(ticket, now, false);
    }
    assert_eq!(breaker.state, Open);
    breaker
}

/// Admits a probe at `now` and records its outcome at once.
fn probe(breaker: &mut Breaker, now: Duration, succeeded: bool) {
    let ticket = breaker.admit(now).expect("a probe");
    breaker.record(ticket, now, succeeded);
}

#[test]
fn it_opens_at_the_minimum_of_calls_and_not_before() {
    let mut breaker = Breaker::new(SETTINGS);
    for call in 0..20 {
        assert_eq!(breaker.state, Closed, "{call}");
        probe(&mut breaker, MS, call % 2 == 0);
    }
    assert_eq!(breaker.state, Open, "10 of 20 failed");
    assert_eq!(
        breaker.admit(2 * MS),
        Err(Refused {
            retry_after: 4_999 * MS
        })
    );
}

#[test]
fn failures_older_than_the_window_do_not_open_it() {
    let mut breaker = Breaker::new(SETTINGS);
    (0..19).for_each(|_| probe(&mut breaker, MS, false));
    (0..19).for_each(|_| probe(&mut breaker, 10_001 * MS, false));
    assert_eq!(breaker.state, Closed);
}

#[test]
fn three_probes_a_tenth_of_a_second_apart_close_it() {
    let mut breaker = opened(Duration::ZERO);
    probe(&mut breaker, 5_000 * MS, true);
    assert_eq!(breaker.state, HalfOpen);
    assert!(breaker.admit(5_099 * MS).is_err(), "too soon");
    probe(&mut breaker, 5_100 * MS, true);
    probe(&mut breaker, 5_200 * MS, true);
    assert_eq!(breaker.state, Closed);
}

#[test]
fn a_failed_probe_doubles_the_opening_up_to_a_minute() {
    let (mut breaker, mut now) = (opened(Duration::ZERO), Duration::ZERO);
    for seconds in [5, 10, 20, 40, 60, 60] {
        let span = Duration::from_secs(seconds);
        assert!(breaker.admit(now + span - MS).is_err(), "{seconds}");
        now += span;
        probe(&mut breaker, now, false);
        assert_eq!(breaker.state, Open);
    }
}

#[test]
fn probes_without_a_verdict_open_it_again_for_as_long() {
    let mut breaker = opened(Duration::ZERO);
    let _lost = breaker.admit(5_000 * MS).expect("a probe");
    assert!(breaker.admit(15_000 * MS).is_err());
    assert_eq!(breaker.state, Open);
    assert!(breaker.admit(19_999 * MS).is_err());
    assert!(breaker.admit(20_000 * MS).is_ok());
}

#[test]
fn it_says_where_a_call_would_find_it_though_none_comes() {
    let breaker = opened(Duration::ZERO);
    assert_eq!((breaker.state(4_999 * MS), breaker.state(5_000 * MS)), (Open, HalfOpen));
    assert_eq!(breaker.state(Duration::from_secs(3_600)), HalfOpen);
    let mut breaker = breaker;
    let _lost = breaker.admit(5_000 * MS).expect("a probe");
    assert_eq!(
        (breaker.state(15_000 * MS), breaker.state(20_000 * MS)),
        (Open, HalfOpen)
    );
}

#[test]
fn a_probe_given_back_frees_its_place() {
    let mut breaker = opened(Duration::ZERO);
    for n in 0..3 {
        let ticket = breaker.admit((5_000 + n * 100) * MS).expect("a probe");
        if n == 2 {
            breaker.give_back(ticket)
        }
    }
    assert!(breaker.admit(5_300 * MS).is_ok(), "two are under way");
    assert!(breaker.admit(5_400 * MS).is_err(), "three are under way");
}

#[test]
fn an_answer_to_a_call_from_before_it_opened_changes_nothing() {
    let mut breaker = Breaker::new(SETTINGS);
    let late: Vec<_> = (0..3).map(|_| breaker.admit(MS).expect("closed")).collect();
    (0..20).for_each(|_| probe(&mut breaker, MS, false));
    let _probe = breaker.admit(5_001 * MS).expect("a probe");
    late.into_iter()
        .for_each(|ticket| breaker.record(ticket, 5_002 * MS, true));
    assert_eq!(breaker.state, HalfOpen);
}

#[test]
fn a_new_instance_closes_it_and_forgets_the_doubling() {
    let mut breaker = opened(Duration::ZERO);
    probe(&mut breaker, 5_000 * MS, false);
    breaker.new_instance(5_001 * MS);
    assert_eq!(breaker.state, Closed);
    (0..20).for_each(|_| probe(&mut breaker, 5_002 * MS, false));
    assert_eq!(
        breaker.admit(5_002 * MS),
        Err(Refused {
            retry_after: 5_000 * MS
        })
    );
}

#[test]
fn the_drawing_is_the_table() {
    let mut drawn = String::from(
        "# Circuit breaker\n\nDrawn from `TRANSITIONS` in `crates/resilience/src/breaker.rs`; a test there compares both.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> Closed\n",
    );
    for (from, event, to) in TRANSITIONS {
        drawn += &format!("    {from:?} --> {to:?}: {event:?}\n");
    }
    drawn += "```\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flows/breaker.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, drawn, "docs/flows/breaker.md should read:\n{drawn}");
}

/// The rules once more, with plain lists and no tickets' eras.
struct Reference {
    state: State,
    since: Duration,
    open_for: Duration,
    /// Seconds and outcomes of counted calls.
    calls: Vec<(u64, bool)>,
    /// When the probes of this half-open time were admitted, and how they ended.
    probes: Vec<(Duration, Option<bool>)>,
}

impl Reference {
    fn admit(&mut self, now: Duration) -> bool {
        if self.state == HalfOpen && now >= self.since + 10_000 * MS {
            (self.state, self.since) = (Open, self.since + 10_000 * MS);
        }
        if self.state == Open && now >= self.since + self.open_for {
            (self.state, self.since, self.probes) = (HalfOpen, now, Vec::new());
        }
        let spaced = self.probes.last().is_none_or(|(at, _)| now >= *at + 100 * MS);
        match self.state {
            Closed => true,
            Open => false,
            HalfOpen if self.probes.len() < 3 && spaced => {
                self.probes.push((now, None));
                true
            }
            HalfOpen => false,
        }
    }

    /// The oldest call under way ends.
    fn end(&mut self, now: Duration, succeeded: bool) {
        if self.state == Closed {
            self.calls.push((now.as_secs(), succeeded));
            let kept: Vec<_> = self.calls.iter().filter(|(at, _)| at + 10 > now.as_secs()).collect();
            let failed = kept.iter().filter(|(_, succeeded)| !succeeded).count();
            if !succeeded && kept.len() >= 20 && failed * 2 >= kept.len() {
                (self.state, self.since, self.open_for) = (Open, now, 5_000 * MS);
            }
        } else if let Some(probe) = self.probes.iter_mut().find(|(_, ended)| ended.is_none()) {
            probe.1 = Some(succeeded);
            if !succeeded {
                (self.state, self.since, self.open_for) = (Open, now, (self.open_for * 2).min(60_000 * MS));
            } else if self.probes.iter().filter(|(_, ended)| *ended == Some(true)).count() == 3 {
                (self.state, self.since) = (Closed, now);
                self.calls.clear();
            }
        }
    }
}

proptest! {
    #[test]
    fn it_moves_as_the_plain_rules_do(
        steps in prop::collection::vec((0..900_u64, prop::bool::weighted(0.6), prop::bool::weighted(0.5)), 0..400),
    ) {
        let mut breaker = Breaker::new(SETTINGS);
        let mut reference = Reference { state: Closed, since: Duration::ZERO, open_for: 5_000 * MS, calls: vec![], probes: vec![] };
        let (mut now, mut under_way) = (Duration::ZERO, std::collections::VecDeque::new());
        for (pause, begins, succeeded) in steps {
            now += Duration::from_millis(pause * pause / 900);
            if begins {
                let foretold = breaker.state(now);
                let ticket = breaker.admit(now);
                prop_assert_eq!(breaker.state, foretold);
                prop_assert_eq!(ticket.is_ok(), reference.admit(now));
                under_way.extend(ticket.ok().map(|ticket| (ticket, breaker.era)));
            } else if let Some((ticket, era)) = under_way.pop_front() {
                // The reference has no eras: it hears only of calls whose state still holds.
                if era == breaker.era { reference.end(now, succeeded) }
                breaker.record(ticket, now, succeeded);
            }
            prop_assert_eq!(breaker.state, reference.state);
        }
    }

    #[test]
    fn every_entry_into_a_state_is_a_row_of_the_table(ops in prop::collection::vec((0..8_000_u64, 0..4_u8), 0..200)) {
        let (mut breaker, mut now, mut held) = (Breaker::new(SETTINGS), Duration::ZERO, Vec::new());
        for (pause, op) in ops {
            now += Duration::from_millis(pause);
            let (before, era) = (breaker.state, breaker.era);
            match (op, held.pop()) {
                (0, Some(ticket)) => breaker.record(ticket, now, false),
                (1, Some(ticket)) => breaker.record(ticket, now, true),
                (2, Some(ticket)) => breaker.give_back(ticket),
                (3, _) if pause % 50 == 0 => breaker.new_instance(now),
                _ => held.extend(breaker.admit(now)),
            }
            let row = |from, to| TRANSITIONS.iter().any(|row| (row.0, row.2) == (from, to));
            let legal = match breaker.era - era {
                0 => before == breaker.state,
                1 => row(before, breaker.state),
                // Half open, undecided, open, opened long enough: two moves at one call.
                2 => before == HalfOpen && breaker.state == HalfOpen,
                _ => false,
            };
            prop_assert!(legal, "{:?} → {:?}", before, breaker.state);
        }
    }
}
