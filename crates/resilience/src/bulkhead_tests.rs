//! The bulkhead: its cases, and a plain list as the reference.

use super::*;
use Priority::{Batch, BestEffort, Critical, Default as Usual};
use proptest::prelude::*;

const SEC: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::MAX;

fn fixed(limit: usize) -> Bulkhead<u32> {
    Bulkhead::new(Bounds { min: limit, max: limit })
}

/// All that follows.
fn follow(bulkhead: &mut Bulkhead<u32>, now: Duration) -> Vec<Next<u32>> {
    std::iter::from_fn(|| bulkhead.next(now)).collect()
}

/// One gives its place back, and what follows.
fn leave(bulkhead: &mut Bulkhead<u32>, now: Duration) -> Vec<Next<u32>> {
    bulkhead.leave();
    follow(bulkhead, now)
}

#[test]
fn up_to_the_limit_all_go_in_and_then_they_stand_in_line() {
    let mut one = fixed(2);
    assert_eq!([0, 1, 2].map(|_| one.try_enter(SEC, Usual)), [true, true, false]);
    assert!(one.wait(SEC, Usual, NEVER, 7).is_ok());
    assert_eq!((one.in_flight(), one.waiting()), (2, 1));
    assert_eq!(leave(&mut one, SEC), [Next::Admitted(7)]);
    assert_eq!((one.in_flight(), one.waiting()), (2, 0));
}

#[test]
fn the_highest_class_goes_first_and_of_it_the_newest() {
    let mut one = fixed(1);
    assert!(one.try_enter(SEC, Usual));
    for (token, class) in [(1, Batch), (2, Usual), (3, BestEffort), (4, Usual), (5, Critical)] {
        assert!(one.wait(SEC, class, NEVER, token).is_ok());
    }
    let order: Vec<_> = (0..5).flat_map(|_| leave(&mut one, SEC)).collect();
    assert_eq!(order, [5, 4, 2, 1, 3].map(Next::Admitted));
}

#[test]
fn a_full_line_sheds_the_oldest_of_the_lowest_class_and_never_for_a_lower_one() {
    let mut one = fixed(1);
    assert!(one.try_enter(SEC, Usual));
    for token in 0..LINE as u32 {
        let class = if token < 2 { Batch } else { Usual };
        assert!(one.wait(SEC, class, NEVER, token).is_ok());
    }
    assert_eq!(one.wait(SEC, BestEffort, NEVER, 1_000), Err(1_000));
    let shed = |waits: Result<InLine<u32>, u32>| waits.expect("in line").shed;
    assert_eq!(shed(one.wait(SEC, Batch, NEVER, 1_001)), Some((0, Batch)));
    assert_eq!(shed(one.wait(SEC, Critical, NEVER, 1_002)), Some((1, Batch)));
    assert_eq!(shed(one.wait(SEC, Usual, NEVER, 1_003)), Some((1_001, Batch)));
    assert_eq!(shed(one.wait(SEC, Usual, NEVER, 1_004)), Some((2, Usual)));
    assert_eq!(one.wait(SEC, Batch, NEVER, 1_005), Err(1_005));
}

#[test]
fn one_that_would_come_too_late_does_not_wait_and_is_let_go() {
    let mut one = Bulkhead::new(Bounds { min: 1, max: 1 });
    let took = Duration::from_millis(200);
    for step in 1..=20 {
        assert!(one.try_enter(SEC, Usual));
        one.observe(SEC + took * step, took);
        one.leave();
    }
    let now = 9 * SEC;
    assert!(one.try_enter(now, Usual));
    assert_eq!(one.wait(now, Critical, now + took / 2, 1), Err(1));
    assert!(one.wait(now, Usual, now + took * 2, 2).is_ok());
    assert!(one.wait(now, Usual, NEVER, 3).is_ok());
    one.leave();
    let later = follow(&mut one, now + 2 * took);
    assert_eq!(later, [Next::Shed(2, Usual), Next::Admitted(3)]);
}

#[test]
fn who_leaves_the_line_is_not_called() {
    let mut one = fixed(1);
    assert!(one.try_enter(SEC, Usual));
    let first = one.wait(SEC, Usual, NEVER, 1).expect("in line").number;
    let second = one.wait(SEC, Usual, NEVER, 2).expect("in line").number;
    assert_eq!((one.cancel(Usual, second), one.cancel(Usual, second)), (Some(2), None));
    assert_eq!(leave(&mut one, SEC), [Next::Admitted(1)]);
    assert_eq!(
        one.cancel(Usual, first),
        None,
        "it has a place, which is another thing to give back"
    );
}

#[test]
fn while_higher_classes_wait_the_share_of_lower_ones_shrinks_and_then_comes_back() {
    let mut one = fixed(100);
    (0..100).for_each(|_| assert!(one.try_enter(SEC, Critical)));
    (0..60).for_each(|token| assert!(one.wait(SEC, Critical, NEVER, token).is_ok()));
    let shares = Priority::ALL.map(|class| one.room(SEC, class));
    assert_eq!(shares[0], 100);
    assert!(shares[1] < 90 && shares[2] < 50 && shares[3] < 15, "{shares:?}");
    assert!(shares[3] >= 1);
    let later = Priority::ALL.map(|class| one.room(20 * SEC, class));
    assert!(later.iter().all(|room| *room >= 99), "{later:?}");
}

#[test]
fn lower_classes_among_themselves_press_nobody_above() {
    let mut one = fixed(10);
    (0..10).for_each(|_| assert!(one.try_enter(SEC, Batch)));
    (0..60).for_each(|token| assert!(one.wait(SEC, Batch, NEVER, token).is_ok()));
    assert_eq!([Critical, Usual, Batch].map(|class| one.room(SEC, class)), [10; 3]);
    assert!(one.room(SEC, BestEffort) < 5);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Enters, or waits for so many milliseconds at most.
    Comes(Priority, Option<u64>),
    Leaves,
    /// One of those in line, by its place among them.
    GivesUp(usize),
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = (0..4_usize).prop_map(|class| Priority::ALL[class]);
    let step = prop_oneof![
        5 => (class, prop::option::of(0..400_u64)).prop_map(|(class, within)| Step::Comes(class, within)),
        3 => Just(Step::Leaves),
        1 => (0..30_usize).prop_map(Step::GivesUp),
        2 => (0..120_u64).prop_map(Step::Passes),
    ];
    prop::collection::vec(step, 0..400)
}

/// The reference: everybody in line as one list, oldest first.
#[derive(Default)]
struct Plain {
    line: Vec<(u32, Priority, Duration, u64)>,
    in_flight: usize,
}

impl Plain {
    /// Whom a place goes to: of the highest class the newest that is in time.
    fn admits(&self, now: Duration) -> Option<u32> {
        let class = self.line.iter().map(|one| one.1).min()?;
        let mut of_it = self.line.iter().rev().filter(|one| one.1 == class);
        of_it.find(|one| one.2 >= now).map(|one| one.0)
    }

    fn take(&mut self, token: u32) -> (u32, Priority, Duration, u64) {
        let at = self.line.iter().position(|one| one.0 == token).expect("in line");
        self.line.remove(at)
    }
}

proptest! {
    #[test]
    fn it_calls_those_whom_a_plain_list_calls(limit in 1..6_usize, steps in steps()) {
        let (mut one, mut plain) = (fixed(limit), Plain::default());
        let mut now = SEC;
        for (token, step) in (0..).zip(steps) {
            match step {
                Step::Passes(ms) => now += Duration::from_millis(ms),
                Step::Comes(class, within) => {
                    let deadline = within.map_or(NEVER, |ms| now + Duration::from_millis(ms));
                    let higher_waits = plain.line.iter().any(|one| one.1 <= class);
                    if one.try_enter(now, class) {
                        prop_assert!(!higher_waits && plain.in_flight < limit);
                        plain.in_flight += 1;
                    } else {
                        prop_assert!(plain.in_flight > 0, "refused although nothing is under way");
                        let waits = one.wait(now, class, deadline, token).expect("the line is not full");
                        plain.line.push((token, class, deadline, waits.number));
                    }
                }
                Step::Leaves if plain.in_flight == 0 => {}
                Step::Leaves => {
                    one.leave();
                    plain.in_flight -= 1;
                    while let Some(next) = one.next(now) {
                        match next {
                            Next::Admitted(token) => {
                                prop_assert_eq!(plain.admits(now), Some(token));
                                plain.take(token);
                                plain.in_flight += 1;
                                prop_assert!(plain.in_flight <= limit);
                            }
                            Next::Shed(token, class) => {
                                let shed = plain.take(token);
                                prop_assert!(shed.1 == class && shed.2 < now, "it was in time");
                            }
                        }
                    }
                }
                Step::GivesUp(at) if at < plain.line.len() => {
                    let gone = plain.line.remove(at);
                    prop_assert_eq!(one.cancel(gone.1, gone.3), Some(gone.0));
                }
                Step::GivesUp(_) => {}
            }
            prop_assert_eq!((one.in_flight(), one.waiting()), (plain.in_flight, plain.line.len()));
            prop_assert!(plain.in_flight > 0 || plain.line.is_empty(), "in line with nobody to wait for");
            let rooms = Priority::ALL.map(|class| one.room(now, class));
            prop_assert!(rooms.is_sorted_by(|a, b| a >= b) && rooms[0] == limit && rooms[3] >= 1, "{:?}", rooms);
        }
    }
}
