//! Hedging: a second attempt at another endpoint while the first one takes longer than nearly all do.
//!
//! It cuts the tail that one slow endpoint makes, and must never become load of its own: it begins after the 95th percentile
//! of what requests take, at least 5 ms, and at most a small share of the requests is hedged. The retry budget is asked too,
//! by the caller. Only for requests that are safe.
//!
//! The percentile comes from a histogram of eight buckets per power of two, so it is at most 12.5 % too high; it forgets
//! what is older than twenty seconds.
//!
//! Source: Dean and Barroso, "The Tail at Scale", 2013.

use crate::window::Window;
use std::time::Duration;

/// The second attempt never begins sooner.
const SOONEST: Duration = Duration::from_millis(5);
/// The share of requests that are quicker than the delay, percent.
const PERCENTILE: u64 = 95;
/// Requests that must have been seen before anything is said.
const MINIMUM: u64 = 50;
/// How long a half of the histogram is filled.
const HALF: Duration = Duration::from_secs(10);
/// From 1 µs to over a minute; what is longer counts as that.
const BUCKETS: usize = 200;

const REQUESTS: usize = 0;
const HEDGED: usize = 1;

/// What requests to one target take, and how many of them were hedged.
#[derive(Clone, Debug)]
pub struct Hedging {
    filling: Box<[u32; BUCKETS]>,
    full: Box<[u32; BUCKETS]>,
    since: Duration,
    window: Window<2>,
}

impl Default for Hedging {
    fn default() -> Self {
        Self {
            filling: Box::new([0; BUCKETS]),
            full: Box::new([0; BUCKETS]),
            since: Duration::ZERO,
            window: Window::default(),
        }
    }
}

impl Hedging {
    /// Takes what an attempt took until its answer's head.
    pub fn observe(&mut self, now: Duration, took: Duration) {
        self.turn(now);
        let count = &mut self.filling[bucket_of(took)];
        *count = count.saturating_add(1);
    }

    /// Counts a request that may be hedged, and says after which time without an answer; `None`: too little is known.
    pub fn begin(&mut self, now: Duration) -> Option<Duration> {
        self.turn(now);
        self.window.add(now, REQUESTS);
        let both = || {
            self.filling
                .iter()
                .zip(self.full.iter())
                .map(|(a, b)| u64::from(*a) + u64::from(*b))
        };
        let all: u64 = both().sum();
        let mut seen = 0;
        let at = both().position(|count| {
            seen += count;
            seen * 100 >= all * PERCENTILE
        });
        (all >= MINIMUM).then(|| end_of(at.unwrap_or(BUCKETS - 1)).max(SOONEST))
    }

    /// Takes leave for one more attempt; false: the share (0 to 1) of the requests of the last ten seconds is used up, or
    /// `also` forbids it, which is asked only where the share allows it. What is not allowed uses up nothing.
    pub fn admit(&mut self, now: Duration, share: f64, also: impl FnOnce() -> bool) -> bool {
        let [requests, hedged] = self.window.sums(now);
        let admitted = f64::from(hedged) + 1.0 <= f64::from(requests) * share && also();
        if admitted {
            self.window.add(now, HEDGED);
        }
        admitted
    }

    fn turn(&mut self, now: Duration) {
        let age = now.saturating_sub(self.since);
        if age < HALF {
            return;
        }
        std::mem::swap(&mut self.filling, &mut self.full);
        self.filling.fill(0);
        if age >= HALF * 2 {
            self.full.fill(0);
        }
        self.since = now;
    }
}

/// Eight buckets per power of two of microseconds.
fn bucket_of(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if us < 8 {
        return us as usize;
    }
    let power = u64::from(63 - us.leading_zeros());
    (((power - 2) * 8 + ((us >> (power - 3)) & 7)) as usize).min(BUCKETS - 1)
}

/// The shortest time beyond the bucket.
fn end_of(bucket: usize) -> Duration {
    let us = match bucket as u64 {
        small @ 0..8 => small + 1,
        bucket => (8 + bucket % 8 + 1) << (bucket / 8 - 1),
    };
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEC: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_begins_after_what_nearly_all_take_and_never_at_once() {
        let mut hedging = Hedging::default();
        (0..49).for_each(|_| hedging.observe(SEC, 20 * MS));
        assert_eq!(hedging.begin(SEC), None, "too little is known");
        (0..50).for_each(|_| hedging.observe(SEC, 20 * MS));
        (0..3).for_each(|_| hedging.observe(SEC, 900 * MS));
        let delay = hedging.begin(SEC).expect("known");
        assert!(delay >= 20 * MS && delay <= 23 * MS, "{delay:?}");
        let mut quick = Hedging::default();
        (0..100).for_each(|_| quick.observe(SEC, MS));
        assert_eq!(quick.begin(SEC), Some(SOONEST));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut hedging = Hedging::default();
        (0..100).for_each(|_| hedging.observe(SEC, 800 * MS));
        (0..100).for_each(|_| hedging.observe(12 * SEC, 10 * MS));
        assert!(hedging.begin(12 * SEC) > Some(500 * MS));
        (0..100).for_each(|_| hedging.observe(23 * SEC, 10 * MS));
        assert!(hedging.begin(23 * SEC) < Some(12 * MS));
        assert_eq!(hedging.begin(60 * SEC), None);
    }

    proptest! {
        #[test]
        fn every_time_lies_in_its_bucket(us in 0..60_000_000_u64) {
            let took = Duration::from_micros(us);
            let end = end_of(bucket_of(took));
            prop_assert!(took < end && end <= took.mul_f64(1.126) + Duration::from_micros(1), "{:?} {:?}", took, end);
        }

        #[test]
        fn no_more_than_the_share_is_hedged_and_what_is_forbidden_uses_up_nothing(
            share in 0.0..0.3_f64,
            steps in prop::collection::vec((0..200_u64, 0..4_u8), 0..500),
        ) {
            let (mut hedging, mut now) = (Hedging::default(), SEC);
            let (mut requests, mut hedged) = (Vec::new(), Vec::new());
            for (pause, what) in steps {
                now += Duration::from_millis(pause);
                let kept = |all: &Vec<u64>| all.iter().filter(|at| *at + 10 > now.as_secs()).count() as f64;
                if what < 2 {
                    hedging.begin(now);
                    requests.push(now.as_secs());
                } else {
                    let allowed = kept(&hedged) + 1.0 <= kept(&requests) * share;
                    let (mut asked, also) = (false, what == 3);
                    let admitted = hedging.admit(now, share, || { asked = true; also });
                    prop_assert_eq!((admitted, asked), (allowed && also, allowed));
                    if admitted { hedged.push(now.as_secs()); }
                }
            }
        }
    }
}
