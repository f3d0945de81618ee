//! What one subscription does next. Pure: events of the log, outcomes and time come in; deliveries and rows come out.
//!
//! Events that are wanted and not done stand in the *window*, each in the *lane* of its key. When a key's event fails, or
//! is to be delayed, its lane moves into a durable row and leaves the window: the position may pass, and no other key
//! waits. Later events of that key queue in its row.
//!
//! Invariants
//! - One flight per key. An event is sent only when every earlier one of its key was acknowledged or skipped.
//! - [`Machine::position`] passes no event that is neither done nor in a row. What a checkpoint writes (rows first, the
//!   position last) may be cut off anywhere: an event that a row has known is not taken in twice, not even when it was
//!   skipped; one that was done without a row is delivered again at worst, in order.
//! - Rows take at most half of the places in flight, so that keys that hang never hold up those that do not.
//! - Bounds: [`Bounds`]. At the bound of rows nothing more is read; the window may still overflow into rows.
//!
//! Time is wall time, since rows outlive the process; when it goes back, pauses end at once. Leases do not outlive it and
//! end by the monotonic clock, so that no change of the time takes an event from who works on it.
//!
//! Rows are in `machine/rows.rs`, waits of the whole subscription in `machine/hold.rs`. Not here: operators (`operate.rs`), sending (`push.rs`, `pull.rs`), the store (`checkpoint.rs`).
//! Tests: `machine/tests.rs`: cases; `machine/course.rs`: random courses against a plain reference, with crashes between any
//! two writes.

#[cfg(test)]
mod course;
mod hold;
mod rows;
#[cfg(test)]
mod tests;

use self::hold::Hold;
use super::answer::Outcome;
use super::config::Retry;
use super::lane::{Lane, Tally};
use super::phase::{KeyMove, KeyState, Mode, Move};
use ondol_core::clock::Timestamp;
use ondol_resilience::backoff::full_jitter;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one subscription may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    /// Events in the window.
    pub(crate) window: usize,
    /// Bytes of them.
    pub(crate) window_bytes: usize,
    /// Keys with rows.
    pub(crate) keys: usize,
    /// Events that queue in one row.
    pub(crate) queue: usize,
    /// Events that queue in all rows.
    pub(crate) events: usize,
}

/// A key takes some 200 bytes of memory and an event of a row 8: 30 MiB at most for one subscription, beside the window.
pub(crate) const BOUNDS: Bounds = Bounds {
    window: 4_096,
    window_bytes: 8 << 20,
    keys: 100_000,
    queue: 10_000,
    events: 1_000_000,
};

/// Longest pause that a `Retry-After` or a `delay` is given.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3_600);
/// How long a full window may have idle places before its longest lane moves into a row.
const SPILL_AFTER: Duration = Duration::from_secs(1);

/// An event that the log showed and the filter wants.
pub(crate) struct Seen<B> {
    pub(crate) position: u64,
    pub(crate) key: Arc<str>,
    pub(crate) deliver_at: Option<Timestamp>,
    pub(crate) bytes: usize,
    pub(crate) body: B,
}

/// An event to send now.
#[derive(Debug)]
pub(crate) struct Delivery<B> {
    pub(crate) flight: u64,
    pub(crate) key: Arc<str>,
    pub(crate) position: u64,
    /// Which attempt, from 1.
    pub(crate) attempt: u32,
    /// `None`: it is to be read from the log.
    pub(crate) body: Option<B>,
    /// Data in place of the event's.
    pub(crate) edited: Option<Arc<str>>,
}

struct Held<B> {
    bytes: usize,
    body: B,
}

struct Flight {
    key: Arc<str>,
    from_row: bool,
    era: u64,
    /// By the monotonic clock.
    until: Option<Duration>,
}

/// One subscription. `B` is what it carries along for each event of the window.
pub(crate) struct Machine<B> {
    pub(super) bounds: Bounds,
    pub(super) parallel: usize,
    /// Of these places so many are for events of the window. Whoever runs it lowers it for a while.
    pub(super) paced: usize,
    pub(super) retry: Retry,
    pub(super) mode: Mode,
    hold: Hold,
    /// Flights of an earlier era were sent before the present pause: what they come to says nothing of it.
    era: u64,
    /// Everything up to here was taken in.
    pub(super) read: u64,
    window: BTreeMap<u64, Held<B>>,
    window_bytes: usize,
    starved_since: Option<Timestamp>,
    pub(super) lanes: HashMap<Arc<str>, Lane>,
    pub(super) tally: Tally,
    fresh: VecDeque<Arc<str>>,
    again: VecDeque<Arc<str>>,
    rows_turn: bool,
    rows_flying: usize,
    flights: HashMap<u64, Flight>,
    /// The number of the next flight. Shared by all that a process runs: a lease of a loop that has ended must never name a
    /// flight of the one that follows it.
    pub(super) numbers: Arc<AtomicU64>,
    due: BTreeSet<(Timestamp, Arc<str>)>,
    leases: BTreeSet<(Duration, u64)>,
    latest: Timestamp,
    /// Keys whose rows are not as the store has them.
    changed: BTreeSet<Arc<str>>,
    /// The position that the store has.
    written: u64,
    /// Rows whose events are all done, by the last of them.
    finished: BTreeSet<(u64, Arc<str>)>,
    pub(super) delivered: u64,
}

impl<B: Clone> Machine<B> {
    /// One that stands at `position`, with the rows that the store has.
    pub(crate) fn new(bounds: Bounds, position: u64, rows: Vec<(Arc<str>, Lane)>) -> Self {
        let mut machine = Self {
            bounds,
            parallel: 1,
            paced: usize::MAX,
            retry: Retry::default(),
            mode: Mode::Running,
            hold: Hold::default(),
            era: 0,
            read: position,
            window: BTreeMap::new(),
            window_bytes: 0,
            starved_since: None,
            lanes: HashMap::new(),
            tally: Tally::default(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            rows_turn: false,
            rows_flying: 0,
            flights: HashMap::new(),
            numbers: Arc::new(AtomicU64::new(1)),
            due: BTreeSet::new(),
            leases: BTreeSet::new(),
            latest: Timestamp::default(),
            changed: BTreeSet::new(),
            written: position,
            finished: BTreeSet::new(),
            delivered: 0,
        };
        for (key, lane) in rows {
            machine.tally.put(&lane, bounds.queue);
            machine.due.extend(lane.wake_at.map(|at| (at, key.clone())));
            if lane.queue.is_empty() {
                machine.finished.insert((lane.known, key.clone()));
            }
            machine.lanes.insert(key, lane);
        }
        machine
    }

    /// What the manifest says, now or again; a subscription that was held tries anew.
    pub(crate) fn configure(&mut self, parallel: u16, retry: Retry) {
        (self.parallel, self.retry) = (usize::from(parallel.max(1)), retry);
        if self.mode.is_held() {
            self.go(Move::Resume);
        }
    }

    /// Low-water mark: every wanted event up to here is done or in a row.
    pub(crate) fn position(&self) -> u64 {
        self.window.first_key_value().map_or(self.read, |(first, _)| first - 1)
    }

    /// How many events may be read now; `None`: too few to be worth a read, or none at all.
    pub(crate) fn room(&mut self) -> Option<usize> {
        let tally = &self.tally;
        // With an empty window only reading moves the position, and nothing else frees the rows that are finished.
        let keys = tally.keys() + if self.window.is_empty() { 0 } else { self.finished.len() };
        let at_bound = keys >= self.bounds.keys || tally.events >= self.bounds.events || tally.long > 0;
        self.go(if at_bound { Move::AtBound } else { Move::BelowBound });
        let room = self.bounds.window.saturating_sub(self.window.len());
        let open = !at_bound && self.mode != Mode::Paused && self.window_bytes < self.bounds.window_bytes;
        (open && room >= (self.bounds.window / 4).max(1)).then_some(room)
    }

    /// Takes in what the log has after [`Machine::read`] up to `upto`.
    pub(crate) fn take(&mut self, seen: Vec<Seen<B>>, upto: u64, now: Timestamp) {
        for one in seen {
            if one.position > self.read {
                self.accept(one, now);
            }
        }
        self.read = self.read.max(upto);
    }

    fn accept(&mut self, seen: Seen<B>, now: Timestamp) {
        let (key, position) = (seen.key, seen.position);
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| Lane::new(now));
        if position <= lane.known {
            return;
        }
        if lane.state.has_row() {
            self.tally.take(lane, self.bounds.queue);
            lane.queue.push_back(position);
            lane.known = position;
            self.tally.put(lane, self.bounds.queue);
            self.changed.insert(key);
            return;
        }
        lane.queue.push_back(position);
        if let Some(at) = seen.deliver_at.filter(|at| *at > now && lane.queue.len() == 1) {
            return self.put_in_row(&key, KeyMove::Deferred, Some(at), None, now);
        }
        self.window_bytes += seen.bytes;
        let (bytes, body) = (seen.bytes, seen.body);
        self.window.insert(position, Held { bytes, body });
        self.make_ready(&key);
    }

    /// What is due becomes ready.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        if now < self.latest {
            let retrying = self.lanes.iter().filter(|(_, lane)| lane.state == KeyState::Retrying);
            for key in retrying.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                self.wake_lane_at(&key, Some(now));
            }
            self.hold.until = self.hold.until.min(now);
            self.starved_since = None;
        }
        self.latest = now;
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.due.pop_first() {
                self.make_ready(&key);
            }
        }
        self.relieve(now);
    }

    /// Flights whose lease has ended at `mono` of the monotonic clock: each is then to be reported as failed.
    pub(crate) fn ended(&self, mono: Duration) -> Vec<u64> {
        let ended = self.leases.iter().take_while(|(until, _)| *until <= mono);
        ended.map(|(_, flight)| *flight).collect()
    }

    /// When the next lease ends, by the monotonic clock.
    pub(crate) fn lease_end(&self) -> Option<Duration> {
        self.leases.first().map(|(until, _)| *until)
    }

    /// When [`Machine::wake`] is wanted next.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        let hold = (self.mode.is_held() && self.hold.probe.is_none()).then_some(self.hold.until);
        let spill = self.starved_since.map(|since| since.plus(SPILL_AFTER));
        // What is due already waits for a flight to end, which wakes by itself.
        let times = [due, hold, spill].into_iter().flatten();
        times.filter(|at| *at > self.latest).min()
    }

    /// A full window with idle places belongs to few keys that are slow: the longest of them makes room for the others.
    fn relieve(&mut self, now: Timestamp) {
        let full = self.window.len() >= self.bounds.window || self.window_bytes >= self.bounds.window_bytes;
        let idle = self.fresh.is_empty() && self.flights.len() < self.parallel && self.mode == Mode::Running;
        if !full || !idle {
            self.starved_since = None;
            return;
        }
        let since = *self.starved_since.get_or_insert(now);
        if now.since(since) < SPILL_AFTER {
            return;
        }
        self.starved_since = Some(now);
        let flowing = self.lanes.iter().filter(|(_, lane)| lane.state == KeyState::Flowing);
        let longest = flowing
            .max_by_key(|(key, lane)| (lane.queue.len(), *key))
            .map(|(key, _)| key.clone());
        if let Some(key) = longest {
            self.put_in_row(&key, KeyMove::Spilled, Some(now), None, now);
        }
    }

    /// The next event to send; with `until` of the monotonic clock as a lease that ends then. `None`: none may be sent now.
    pub(crate) fn next(&mut self, now: Timestamp, until: Option<Duration>) -> Option<Delivery<B>> {
        let may_send = match self.mode {
            Mode::Running | Mode::Full => self.flights.len() < self.parallel,
            Mode::Waiting | Mode::Misconfigured => self.hold.probe.is_none() && now >= self.hold.until,
            Mode::Paused => false,
        };
        if !may_send {
            return None;
        }
        loop {
            let key = self.pick()?;
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.is_ready = false;
            let early = lane.wake_at.is_some_and(|at| at > now);
            let (None, Some(&position), false) = (lane.flight, lane.queue.front(), early) else {
                continue;
            };
            if lane.state == KeyState::Parked {
                continue;
            }
            let (flight, from_row) = (self.numbers.fetch_add(1, Ordering::Relaxed), lane.state.has_row());
            lane.flight = Some(flight);
            let (attempt, edited) = (lane.attempts + 1, lane.edits.get(&position).cloned());
            let body = self.window.get(&position).map(|held| held.body.clone());
            self.rows_flying += usize::from(from_row);
            self.leases.extend(until.map(|until| (until, flight)));
            if self.mode.is_held() {
                self.hold.probe = Some(flight);
            }
            let (era, of) = (self.era, key.clone());
            self.flights.insert(
                flight,
                Flight {
                    key: of,
                    from_row,
                    era,
                    until,
                },
            );
            return Some(Delivery {
                flight,
                key,
                position,
                attempt,
                body,
                edited,
            });
        }
    }

    /// Fresh keys and rows take turns; rows take no more than half of the places, fresh keys no more than they are paced to.
    fn pick(&mut self) -> Option<Arc<str>> {
        let is_paced = self.fresh_in_flight() >= self.paced && !self.mode.is_held();
        let fresh = !self.fresh.is_empty() && !is_paced;
        let rows = !self.again.is_empty() && self.rows_flying < (self.parallel / 2).max(1);
        if rows && (self.rows_turn || !fresh) {
            self.rows_turn = false;
            return self.again.pop_front();
        }
        self.rows_turn = true;
        if fresh { self.fresh.pop_front() } else { None }
    }

    /// What a flight came to; `random` is 64 random bits for the pause. `false`: there is no such flight any more.
    pub(crate) fn done(&mut self, flight: u64, outcome: Outcome, now: Timestamp, random: u64) -> bool {
        let Some(Flight {
            key,
            from_row,
            era,
            until,
        }) = self.flights.remove(&flight)
        else {
            return false;
        };
        self.rows_flying -= usize::from(from_row);
        if let Some(until) = until {
            self.leases.remove(&(until, flight));
        }
        if self.hold.probe == Some(flight) {
            self.hold.probe = None;
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.flight = None;
        }
        match outcome {
            Outcome::Done => {
                self.answered(era);
                self.delivered += 1;
                self.pass(&key, now);
            }
            Outcome::Refused(why) => {
                self.answered(era);
                self.attempted(&key);
                self.put_in_row(&key, KeyMove::GaveUp, None, Some(why), now);
            }
            Outcome::Failed { why, after } => {
                self.answered(era);
                self.failed(&key, why, after, now, random);
            }
            Outcome::Unreachable { why, after } => self.wait(Move::Unreachable, why, after, era, now, random),
            Outcome::Misanswered(why) => self.wait(Move::Misanswered, why, None, era, now, random),
            Outcome::Released => {}
        }
        self.make_ready_first(&key);
        true
    }

    fn failed(&mut self, key: &Arc<str>, why: String, after: Option<Duration>, now: Timestamp, random: u64) {
        let attempts = self.attempted(key);
        if attempts >= self.retry.attempts {
            return self.put_in_row(key, KeyMove::GaveUp, None, Some(why), now);
        }
        let jittered = || full_jitter(self.retry.first, self.retry.cap, attempts.saturating_sub(1), random);
        let pause = after.map_or_else(jittered, |after| after.min(LONGEST_PAUSE));
        self.put_in_row(key, KeyMove::Failed, Some(now.plus(pause)), Some(why), now);
    }

    fn attempted(&mut self, key: &str) -> u32 {
        let lane = self.lanes.get_mut(key);
        lane.map_or(0, |lane| {
            lane.attempts = lane.attempts.saturating_add(1);
            lane.attempts
        })
    }

    fn make_ready(&mut self, key: &Arc<str>) {
        if let Some(row) = self.readiness(key) {
            if row { &mut self.again } else { &mut self.fresh }.push_back(key.clone());
        }
    }

    /// One that came back from a flight goes on before those that have not begun.
    fn make_ready_first(&mut self, key: &Arc<str>) {
        let waits = self.lanes.get(key).is_some_and(|lane| lane.state.has_row());
        if !waits && self.readiness(key).is_some() {
            self.fresh.push_front(key.clone());
        } else {
            self.make_ready(key);
        }
    }

    /// Marks a key that may be sent and does not stand in line yet; whether it has a row.
    fn readiness(&mut self, key: &str) -> Option<bool> {
        let lane = self.lanes.get_mut(key)?;
        let due = lane.wake_at.is_none_or(|at| at <= self.latest) && lane.state != KeyState::Parked;
        let may = due && !lane.is_ready && lane.flight.is_none() && !lane.queue.is_empty();
        lane.is_ready |= may;
        may.then_some(lane.state.has_row())
    }

    /// This flight is a lease that has not ended.
    pub(crate) fn is_leased(&self, flight: u64) -> bool {
        self.flights.get(&flight).is_some_and(|flight| flight.until.is_some())
    }

    /// Events of the window under way.
    pub(crate) fn fresh_in_flight(&self) -> usize {
        self.flights.len() - self.rows_flying
    }

    /// Events under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }
}
