//! The machine on random courses with crashes between any two writes, beside the plainest account of what happened.

use super::tests::{RETRY, SMALL, away, failed, machine, seen};
use super::*;
use ondol_core::entropy::{Entropy, SeededEntropy};
use std::collections::BTreeMap;

/// What a store would hold: the rows, and the position that was written after them.
#[derive(Clone, Default)]
struct Durable {
    position: u64,
    rows: BTreeMap<Arc<str>, Lane>,
}

/// A random course of one subscription, beside the plainest account of what happened.
struct Course {
    random: SeededEntropy,
    now: i64,
    /// What the clock has shown at the latest, since it also goes back.
    latest: i64,
    log: Vec<(String, Option<i64>)>,
    machine: Machine<()>,
    durable: Durable,
    flights: Vec<(u64, u64)>,
    /// Acknowledged or skipped, in whatever life.
    settled: Vec<bool>,
    skipped: Vec<bool>,
    delivered: Vec<u32>,
}

impl Course {
    fn new(seed: u64) -> Self {
        let (random, machine) = (SeededEntropy::new(seed), machine());
        Self {
            random,
            now: 0,
            latest: 0,
            log: Vec::new(),
            machine,
            durable: Durable::default(),
            flights: Vec::new(),
            settled: vec![true],
            skipped: vec![true],
            delivered: vec![1],
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn append(&mut self) {
        let id = self.log.len() + 1;
        let delayed = self.below(10) == 0;
        let key = if delayed {
            format!("e{id}")
        } else {
            format!("k{}", self.below(5))
        };
        let at = delayed.then(|| self.now + self.below(3_000) as i64);
        self.log.push((key, at));
        self.settled.push(false);
        self.skipped.push(false);
        self.delivered.push(0);
    }

    fn read(&mut self) {
        let Some(room) = self.machine.room() else { return };
        let (first, page) = (self.machine.read as usize, 1 + self.below(room as u64) as usize);
        let events = self.log[first..].iter().take(page).zip(first as u64 + 1..);
        let events: Vec<_> = events
            .map(|((key, at), position)| Seen {
                deliver_at: at.map(Timestamp),
                ..seen(position, key)
            })
            .collect();
        let upto = first as u64 + events.len() as u64;
        self.machine.take(events, upto, Timestamp(self.now));
    }

    fn send(&mut self) {
        self.machine.wake(Timestamp(self.now));
        let mono = Duration::from_millis(self.latest.unsigned_abs());
        for flight in self.machine.ended(mono) {
            self.end(flight, failed());
        }
        let until = (self.below(4) == 0).then(|| mono + Duration::from_millis(50));
        let Some(one) = self.machine.next(Timestamp(self.now), until) else {
            return;
        };
        let (at, key) = (one.position as usize, &self.log[one.position as usize - 1].0);
        let earlier = self.log[..at - 1]
            .iter()
            .enumerate()
            .filter(|(_, (other, _))| other == key);
        for (index, _) in earlier {
            assert!(
                self.settled[index + 1],
                "{key}: {at} is sent before {} was done",
                index + 1
            );
        }
        assert!(!self.skipped[at], "{at} was skipped and is sent");
        assert!(
            self.flights
                .iter()
                .all(|(_, other)| &self.log[*other as usize - 1].0 != key),
            "{key} flies twice"
        );
        let due = self.log[at - 1].1;
        assert!(due.is_none_or(|due| due <= self.latest), "{at} is sent too early");
        self.delivered[at] += 1;
        self.flights.push((one.flight, one.position));
    }

    fn end(&mut self, flight: u64, outcome: Outcome) {
        let index = self.flights.iter().position(|(id, _)| *id == flight).expect("it flies");
        let (_, position) = self.flights.swap_remove(index);
        self.settled[position as usize] |= outcome == Outcome::Done;
        assert!(
            self.machine
                .done(flight, outcome, Timestamp(self.now), self.random.next_u64())
        );
    }

    fn answer(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let (flight, _) = self.flights[self.below(self.flights.len() as u64) as usize];
        let outcome = match self.below(12) {
            0..5 => Outcome::Done,
            5..8 => failed(),
            8 => Outcome::Refused("no".into()),
            9 => away(),
            10 => Outcome::Misanswered("404".into()),
            _ => Outcome::Released,
        };
        self.end(flight, outcome);
    }

    fn operate(&mut self) {
        match self.below(6) {
            0 => self.machine.pause(),
            1 | 2 => self.machine.resume(),
            3 => drop(
                self.machine
                    .redrive(&self.machine.parked(), 10.0, false, Timestamp(self.now)),
            ),
            4 => {
                let position = 1 + self.below(self.log.len() as u64);
                let key = self.log[position as usize - 1].0.clone();
                if self.machine.skip(&key, position, Timestamp(self.now)).is_ok() {
                    (self.settled[position as usize], self.skipped[position as usize]) = (true, true);
                    // What an operator is told is durable.
                    self.checkpoint(usize::MAX);
                }
            }
            _ => self.machine.configure(4, RETRY),
        }
    }

    /// Writes at most `writes` times: a row each, the position last. `false`: it was cut off.
    fn checkpoint(&mut self, writes: usize) -> bool {
        let position = self.machine.position();
        let keys = self.machine.take_changed();
        let all = keys.len() < writes;
        for key in keys.iter().take(writes) {
            match self.machine.lanes.get(key).filter(|lane| lane.is_stored()) {
                Some(lane) => drop(self.durable.rows.insert(key.clone(), stored(lane))),
                None => drop(self.durable.rows.remove(key)),
            }
        }
        if all {
            self.durable.position = position;
            self.machine.written(position);
        }
        for at in 1..=self.durable.position {
            let in_row = self.durable.rows.values().any(|lane| lane.queue.contains(&at));
            assert!(self.settled[at as usize] || in_row, "the position passed {at}");
        }
        all
    }

    fn crash(&mut self) {
        let writes = self.below(4) as usize;
        if self.below(2) == 0 {
            self.checkpoint(writes);
        }
        let rows = self
            .durable
            .rows
            .iter()
            .map(|(key, lane)| (key.clone(), lane.clone()))
            .collect();
        self.machine = Machine::new(SMALL, self.durable.position, rows);
        self.machine.configure(4, RETRY);
        self.flights.clear();
    }

    fn step(&mut self) {
        match self.below(100) {
            0..15 if self.log.len() < 120 => self.append(),
            15..30 => self.read(),
            30..60 => self.send(),
            60..85 => self.answer(),
            85..90 => self.now += self.below(400) as i64,
            90..96 => drop(self.checkpoint(usize::MAX)),
            96 => self.crash(),
            97 => self.now -= self.below(200) as i64,
            _ if self.log.is_empty() => {}
            _ => self.operate(),
        }
        self.latest = self.latest.max(self.now);
        let m = &self.machine;
        assert!(m.window.len() <= SMALL.window && m.tally.keys() <= SMALL.keys + SMALL.window);
        assert_eq!(m.tally, self.recounted(), "the counts are those of the lanes");
    }

    fn recounted(&self) -> Tally {
        let mut tally = Tally::default();
        self.machine
            .lanes
            .values()
            .for_each(|lane| tally.put(lane, SMALL.queue));
        tally
    }

    /// From here on everything is well: all that was ever appended arrives.
    fn drain(&mut self) {
        for turn in 0.. {
            assert!(
                turn < 10_000,
                "it comes to an end: {:?} {:?} {:?}",
                self.machine.mode,
                self.machine.lanes,
                self.now
            );
            self.machine.resume();
            self.machine
                .redrive(&self.machine.parked(), 1_000.0, false, Timestamp(self.now));
            self.read();
            self.send();
            for (flight, _) in self.flights.clone() {
                self.end(flight, Outcome::Done);
            }
            self.now += 50;
            self.latest = self.latest.max(self.now);
            self.checkpoint(usize::MAX);
            if self.durable.position == self.log.len() as u64 && self.machine.lanes.is_empty() {
                break;
            }
        }
        assert!(self.durable.rows.is_empty(), "{:?}", self.durable.rows);
        assert_eq!(self.durable.position, self.log.len() as u64);
        for (at, (delivered, skipped)) in self.delivered.iter().zip(&self.skipped).enumerate() {
            assert!(*delivered > 0 || *skipped, "{at} never arrived");
        }
    }
}

/// As it comes back from the store: without what only a life has.
fn stored(lane: &Lane) -> Lane {
    let queue = if lane.state.has_row() {
        lane.queue.clone()
    } else {
        VecDeque::new()
    };
    Lane {
        flight: None,
        is_ready: false,
        queue,
        ..lane.clone()
    }
}

#[test]
fn on_any_course_with_crashes_everything_arrives_in_order_and_nothing_is_passed() {
    for seed in 0..150 {
        let mut course = Course::new(seed);
        (0..1_500).for_each(|_| course.step());
        course.drain();
    }
}
