//! How many requests at once a service can take, by what they take: the limit of a [bulkhead](crate::bulkhead).
//!
//! A window's mean latency is held against what requests took in the long run. While it is at most half as much again, the
//! limit grows, and only if it is used; beyond that it shrinks by as much, at most to a half, smoothed.
//!
//! The long run is an average, not the minimum, which one lucky answer would set too low for good. It does not learn from
//! windows in which the limit was reached and that took longer: there the service is pressed, and would teach that being
//! pressed is normal, until the limit no longer limits. Work may have become heavier all the same; so who has learned nothing
//! for half a minute lets only the smallest limit in until fifty requests have shown what they take then.
//!
//! Not [`adaptive`](crate::adaptive): that one looks for as many calls as make *nobody* wait, begins with one and goes back
//! to one from time to time to measure. A queue of events can bear that, people's requests cannot.
//!
//! Source: `Gradient2` of Netflix's concurrency-limits, 2018; the doubling at first is TCP's slow start.

use std::time::Duration;

/// A window is no shorter than this, nor has it fewer requests.
const WINDOW: (Duration, u32) = (Duration::from_millis(100), 10);
/// What a window may take against the long run.
const TOLERANCE: f64 = 1.5;
/// The most that one window would take away, before smoothing.
const STEEPEST: f64 = 0.5;
/// What a window adds, before smoothing, requests.
const GROWTH: f64 = 4.0;
/// How much of the new limit is taken over.
const SMOOTHING: f64 = 0.2;
/// How much of a window the long run takes over.
const LEARNS: f64 = 0.01;
/// Between two measurements at the smallest limit, if nothing else teaches; and so many times as long as the last one took.
const MEASURES_EVERY: (Duration, u32) = (Duration::from_secs(30), 20);
/// Requests of such a measurement. With ten, the mean of times that scatter as much as they are long was a third too low now and
/// then, and half a minute of a fifth less work followed (`cargo xtask bench resilience`, twice the load).
const MEASURES: u32 = 50;
/// The first limit, if the bounds allow it.
const INITIAL: usize = 20;

/// Between what the limit moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// At least, requests.
    pub min: usize,
    /// At most, requests; `min` if that is more.
    pub max: usize,
}

/// A limit on requests under way at one service.
#[derive(Clone, Debug)]
pub struct Gradient {
    bounds: Bounds,
    limit: f64,
    /// Seconds; `None` before the first window.
    long: Option<f64>,
    /// The mean of the last window.
    last: Duration,
    /// Nothing was ever taken away, so it may double.
    is_new: bool,
    /// Nothing may be learned before.
    measures_at: Duration,
    /// Since when only the smallest limit is let in.
    measuring: Option<Duration>,
    window: Window,
    /// When it grew last because somebody had to wait.
    grew_at: Option<Duration>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Window {
    began_at: Duration,
    sum: Duration,
    count: u32,
    /// The most requests under way that it saw.
    peak: usize,
}

impl Gradient {
    /// Twenty at first.
    pub fn new(bounds: Bounds) -> Self {
        let min = bounds.min.max(1);
        let max = bounds.max.max(min);
        Self {
            bounds: Bounds { min, max },
            limit: INITIAL.clamp(min, max) as f64,
            long: None,
            last: Duration::ZERO,
            is_new: true,
            measures_at: Duration::ZERO,
            measuring: None,
            window: Window::default(),
            grew_at: None,
        }
    }

    /// Somebody has to wait. As long as nothing is known of the service, that is a reason for more: a service that takes
    /// seconds for each request would else have twenty at a time until the first ones are answered.
    pub fn wanted(&mut self, now: Duration) {
        let grew_at = *self.grew_at.get_or_insert(now);
        if self.long.is_none() && now.saturating_sub(grew_at) >= WINDOW.0 {
            self.limit = (self.limit * 2.0).min(self.bounds.max as f64);
            self.grew_at = Some(now);
        }
    }

    /// Requests that may be under way now, at least one.
    pub fn limit(&self) -> usize {
        match self.measuring {
            Some(_) => self.bounds.min,
            None => self.limit as usize,
        }
    }

    /// What a request took lately; zero as long as nothing is known.
    pub fn expected(&self) -> Duration {
        self.last
    }

    /// Takes what a request took; `in_flight` were under way when it ended, itself among them.
    pub fn observe(&mut self, now: Duration, took: Duration, in_flight: usize) {
        // What began before met with more than the smallest limit.
        if self.measuring.is_some_and(|since| now.saturating_sub(took) < since) {
            return;
        }
        let window = &mut self.window;
        if window.count == 0 {
            window.began_at = now;
        }
        window.sum += took;
        window.count += 1;
        window.peak = window.peak.max(in_flight);
        let is_full = match self.measuring {
            Some(_) => window.count >= MEASURES,
            None => window.count >= WINDOW.1 && now.saturating_sub(window.began_at) >= WINDOW.0,
        };
        if is_full {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Duration) {
        let Window { sum, count, peak, .. } = std::mem::take(&mut self.window);
        self.last = sum / count.max(1);
        let short = self.last.as_secs_f64().max(1e-9);
        if let Some(since) = self.measuring.take() {
            self.learned(now, short, now.saturating_sub(since));
            return;
        }
        let long = self.long.unwrap_or(short);
        if short <= long || peak < self.limit() {
            self.learned(now, long + (short - long) * LEARNS, Duration::ZERO);
        } else if now >= self.measures_at {
            self.measuring = Some(now);
            return;
        }
        // Who does not use half of it says nothing of more, and nothing against it.
        if peak >= self.limit() / 2 {
            self.adapt(TOLERANCE * long / short, peak);
        }
    }

    fn learned(&mut self, now: Duration, long: f64, within: Duration) {
        self.long = Some(long);
        self.measures_at = now + MEASURES_EVERY.0.max(within * MEASURES_EVERY.1);
    }

    fn adapt(&mut self, ratio: f64, peak: usize) {
        let gradient = ratio.clamp(STEEPEST, 1.0);
        self.is_new &= gradient == 1.0;
        let next = match self.is_new && peak >= self.limit() {
            true => self.limit * 2.0,
            false => self.limit * (1.0 - SMOOTHING) + (self.limit * gradient + GROWTH) * SMOOTHING,
        };
        self.limit = next.clamp(self.bounds.min as f64, self.bounds.max as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const BOUNDS: Bounds = Bounds { min: 10, max: 1_000 };
    const MS: Duration = Duration::from_millis(1);

    /// As many requests at once as the limit lets, of `most` that wait; the limit at the end. `takes` gives a request's time by
    /// how many are under way when it begins.
    fn course(limit: &mut Gradient, from: u64, seconds: u64, most: usize, takes: impl Fn(usize) -> Duration) -> usize {
        let (mut now, mut flights, mut number) = (Duration::from_secs(from), BTreeMap::new(), 0_u64);
        while now < Duration::from_secs(from + seconds) {
            while flights.len() < limit.limit().min(most) {
                let took = takes(flights.len() + 1);
                flights.insert((now + took, number), took);
                number += 1;
            }
            let in_flight = flights.len();
            let ((at, _), took) = flights.pop_first().expect("at least one is under way");
            now = at;
            limit.observe(now, took, in_flight);
        }
        limit.limit()
    }

    /// A service with so many places, each request 20 ms.
    fn places(places: usize) -> impl Fn(usize) -> Duration {
        move |beside| (20 * MS).mul_f64((beside as f64 / places as f64).max(1.0))
    }

    #[test]
    fn it_ends_a_little_above_the_places_of_the_service_and_stays_there_under_pressure() {
        for count in [20, 100] {
            let mut limit = Gradient::new(BOUNDS);
            let first = course(&mut limit, 0, 60, 10_000, places(count));
            assert!((count..=2 * count).contains(&first), "{count}: {first}");
            let later = course(&mut limit, 60, 60, 10_000, places(count));
            assert!((count..=2 * count).contains(&later), "{count}: {later}");
        }
    }

    #[test]
    fn calls_that_only_wait_go_up_to_the_most() {
        let mut limit = Gradient::new(BOUNDS);
        assert_eq!(course(&mut limit, 0, 20, 10_000, |_| 100 * MS), 1_000);
    }

    #[test]
    fn who_waits_for_a_service_of_which_nothing_is_known_makes_room_and_no_more_once_it_is_known() {
        let mut limit = Gradient::new(BOUNDS);
        for (at, expected) in [(0, 20), (99, 20), (100, 40), (150, 40), (200, 80), (10_000, 160)] {
            limit.wanted(at * MS);
            assert_eq!(limit.limit(), expected, "{at}");
        }
        course(&mut limit, 20, 1, 10, |_| MS);
        let known = limit.limit();
        (30..40).for_each(|second| limit.wanted(Duration::from_secs(second)));
        assert_eq!(limit.limit(), known);
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let mut limit = Gradient::new(BOUNDS);
        assert_eq!(course(&mut limit, 0, 60, 9, |_| MS), 20);
    }

    #[test]
    fn half_the_capacity_is_about_half_the_limit() {
        let mut limit = Gradient::new(BOUNDS);
        let before = course(&mut limit, 0, 60, 10_000, places(200));
        let after = course(&mut limit, 60, 60, 10_000, places(100));
        assert!(after * 10 < before * 8 && after >= 80, "{before}, then {after}");
    }

    #[test]
    fn work_that_becomes_heavier_for_good_is_learned() {
        let mut limit = Gradient::new(BOUNDS);
        course(&mut limit, 0, 10, 10_000, |_| MS);
        let after = course(&mut limit, 10, 60, 10_000, |_| 100 * MS);
        assert!(after > 200, "{after}");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            (min, max) in (0_usize..300, 0_usize..300),
            calls in prop::collection::vec((0_u64..2_000_000, 0_usize..400, 0_u64..50_000), 0..600),
        ) {
            let (mut limit, mut now) = (Gradient::new(Bounds { min, max }), Duration::ZERO);
            for (took, in_flight, pause) in calls {
                now += Duration::from_micros(pause);
                limit.observe(now, Duration::from_micros(took), in_flight);
                prop_assert!(limit.limit() >= min.max(1) && limit.limit() <= max.max(min).max(1));
            }
        }
    }
}
