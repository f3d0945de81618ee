//! Balancing: two random candidates, the one with the lower cost wins; cost is expected latency times work in hand.
//!
//! The expected latency jumps up to a peak at once and forgets it over ten seconds. One that is unknown is zero as
//! long as nothing is in hand, so that a new endpoint is tried, and high after that, so that it is tried with one.
//! Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; Finagle's `PeakEwma`;
//! Linkerd's failure penalty.

use std::time::Duration;

/// Time in which a peak fades to 1/e.
const DECAY_SECS: f64 = 10.0;
/// What a failure counts as.
const PENALTY: Duration = Duration::from_secs(5);
/// The most that a `Retry-After` counts as.
const LONGEST_PENALTY: Duration = Duration::from_secs(300);
/// Each call in hand at an endpoint of unknown latency, in nanoseconds.
const UNKNOWN: f64 = 1e9;
/// From the first to the full share of an endpoint that has just come.
const WARM_UP: Duration = Duration::from_secs(10);

/// Peak-sensitive moving average of one endpoint's latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    nanos: f64,
    at: Duration,
}

impl Latency {
    /// Takes the latency of a call that went well.
    pub fn observe(&mut self, now: Duration, took: Duration) {
        let (took, decayed) = (took.as_nanos() as f64, self.fade(now));
        let peak = took > self.nanos;
        self.nanos = if peak {
            took
        } else {
            self.nanos * decayed + took * (1.0 - decayed)
        };
        self.at = self.at.max(now);
    }

    /// Takes a failure: as if it had taken five seconds, or as long as the endpoint asks to be left alone.
    pub fn penalise(&mut self, now: Duration, retry_after: Option<Duration>) {
        self.observe(now, retry_after.unwrap_or_default().clamp(PENALTY, LONGEST_PENALTY));
    }

    /// What one more call would cost with `pending` in hand. Compare only; the unit is nanoseconds of work.
    pub fn cost(&self, now: Duration, pending: u64) -> f64 {
        // An idle endpoint's past fades too, else one bad moment would keep it out for good.
        let expected = if pending == 0 {
            self.nanos * self.fade(now)
        } else {
            self.nanos
        };
        if expected == 0.0 {
            pending as f64 * UNKNOWN
        } else {
            expected * (pending + 1) as f64
        }
    }

    fn fade(&self, now: Duration) -> f64 {
        (-now.saturating_sub(self.at).as_secs_f64() / DECAY_SECS).exp()
    }
}

/// The share of its turns that an endpoint takes, `age` after it came (back): from a tenth up to all over ten seconds.
pub fn warmth(age: Duration) -> f64 {
    (0.1 + 0.9 * age.as_secs_f64() / WARM_UP.as_secs_f64()).min(1.0)
}

/// Two different positions below `n`, each pair as likely; `None` when there are not two. `random` is 64 random bits.
pub fn two_of(n: usize, random: u64) -> Option<(usize, usize)> {
    let below = |bound: usize, half: u32| ((u64::from(half) * bound as u64) >> 32) as usize;
    if n < 2 {
        return None;
    }
    let first = below(n, (random >> 32) as u32);
    let second = below(n - 1, random as u32);
    Some((first, if second < first { second } else { second + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut latency = Latency::default();
        latency.observe(MS, 2 * MS);
        latency.observe(MS, 200 * MS);
        assert_eq!(latency.cost(MS, 0), 200e6);
        latency.observe(10_001 * MS, 2 * MS);
        let expected = 2e6 + 198e6 / std::f64::consts::E;
        assert!((latency.cost(10_001 * MS, 0) - expected).abs() < 1.0);
    }

    #[test]
    fn an_unknown_endpoint_is_tried_with_one_call() {
        let (new, mut known) = (Latency::default(), Latency::default());
        known.observe(MS, 3 * MS);
        assert!(new.cost(MS, 0) < known.cost(MS, 0));
        assert!(new.cost(MS, 1) > known.cost(MS, 1));
    }

    #[test]
    fn a_failed_endpoint_costs_more_than_a_busy_one_until_the_failure_has_faded() {
        let (mut failed, mut busy) = (Latency::default(), Latency::default());
        failed.penalise(MS, None);
        busy.observe(MS, 10 * MS);
        assert!(failed.cost(MS, 0) > busy.cost(MS, 100));
        assert!(failed.cost(120_000 * MS, 0) < busy.cost(MS, 1));
        let mut asked = Latency::default();
        asked.penalise(MS, Some(Duration::from_secs(9_999)));
        assert_eq!(asked.cost(MS, 0), 300e9);
    }

    #[test]
    fn a_new_endpoint_warms_up_over_ten_seconds() {
        let share = |secs| (warmth(Duration::from_secs(secs)) * 100.0).round();
        assert_eq!([0, 5, 10, 99].map(share), [10.0, 55.0, 100.0, 100.0]);
    }

    proptest! {
        #[test]
        fn the_average_lies_between_the_last_and_the_largest(took in prop::collection::vec((1..5_000_u64, 0..500_u64), 1..100)) {
            let (mut latency, mut now, mut largest, mut last) = (Latency::default(), Duration::ZERO, 0.0_f64, 0.0);
            for (micros, pause) in took {
                now += Duration::from_millis(pause);
                last = micros as f64 * 1e3;
                largest = largest.max(last);
                latency.observe(now, Duration::from_micros(micros));
            }
            let cost = latency.cost(now, 0);
            prop_assert!(cost >= last - 1.0 && cost <= largest + 1.0, "{} not in {}..{}", cost, last, largest);
        }

        #[test]
        fn two_of_gives_two_different_ones(n in 0..1_000_usize, random: u64) {
            match two_of(n, random) {
                None => prop_assert!(n < 2),
                Some((a, b)) => prop_assert!(a != b && a < n && b < n),
            }
        }
    }

    #[test]
    fn every_pair_is_as_likely() {
        let mut counts = [[0_u32; 3]; 3];
        for a in 0..60_u64 {
            for b in 0..60_u64 {
                let (i, j) = two_of(3, (a * (1 << 32) / 60) << 32 | (b * (1 << 32) / 60)).expect("three");
                counts[i][j] += 1;
            }
        }
        let pairs: Vec<u32> = counts.iter().flatten().copied().filter(|n| *n > 0).collect();
        assert_eq!(pairs.len(), 6);
        assert!(pairs.iter().all(|n| n.abs_diff(600) <= 60), "{pairs:?}");
    }
}
