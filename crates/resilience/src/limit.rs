//! Token bucket as GCRA: one moment per client instead of a count and a stamp.
//!
//! The moment is when the bucket would be full again. Source: ITU-T I.371, the generic cell rate algorithm.

use std::time::Duration;

/// How fast and how much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Between two tokens.
    interval: Duration,
    /// From empty to full.
    depth: Duration,
}

impl Rate {
    /// `per_second` tokens flow in, `burst` fit (at least one). A rate that is not a positive number lets nothing flow in.
    pub fn new(per_second: f64, burst: u32) -> Self {
        const LONGEST: Duration = Duration::from_secs(86_400 * 365);
        let interval = Duration::try_from_secs_f64(1.0 / per_second)
            .unwrap_or(LONGEST)
            .clamp(Duration::from_nanos(1), LONGEST);
        Self {
            interval,
            depth: interval.saturating_mul(burst.max(1)),
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether it may pass.
    pub allowed: bool,
    /// Whole tokens left.
    pub remaining: u32,
    /// Until the bucket is full.
    pub full_in: Duration,
    /// Until the next token; zero when one is left.
    pub next_in: Duration,
}

/// One client's bucket; a fresh one is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes a token if there is one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Verdict {
        let missing = self.full_at.saturating_sub(now);
        let allowed = missing + rate.interval <= rate.depth;
        let missing = if allowed { missing + rate.interval } else { missing };
        self.full_at = now + missing;
        let left = rate.depth.saturating_sub(missing);
        Verdict {
            allowed,
            remaining: u32::try_from(left.as_nanos() / rate.interval.as_nanos()).unwrap_or(u32::MAX),
            full_in: missing,
            next_in: rate.interval.saturating_sub(left),
        }
    }

    /// Whether it is full, so that forgetting it changes nothing.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rate, mut bucket) = (Rate::new(10.0, 3), Bucket::default());
        let taken: Vec<_> = (0..4).map(|_| bucket.take(rate, 50 * MS)).collect();
        assert_eq!(taken.iter().map(|v| v.remaining).collect::<Vec<_>>(), [2, 1, 0, 0]);
        assert!(taken[2].allowed && !taken[3].allowed);
        assert_eq!((taken[3].next_in, taken[3].full_in), (100 * MS, 300 * MS));
        assert!(!bucket.take(rate, 149 * MS).allowed);
        assert!(bucket.take(rate, 150 * MS).allowed);
    }

    #[test]
    fn a_rate_that_is_no_number_stops_after_the_burst() {
        for per_second in [0.0, -1.0, f64::NAN, 1e-300] {
            let (rate, mut bucket) = (Rate::new(per_second, 1), Bucket::default());
            assert!(bucket.take(rate, MS).allowed, "{per_second}");
            assert!(!bucket.take(rate, 3_600_000 * MS).allowed, "{per_second}");
        }
    }

    proptest! {
        #[test]
        fn the_same_requests_pass_as_with_a_counted_bucket(
            per_second in 1..2_000_u32, burst in 1..50_u32, pauses in prop::collection::vec(0..100_000_u64, 0..300),
        ) {
            let (rate, mut bucket) = (Rate::new(f64::from(per_second), burst), Bucket::default());
            let token = rate.interval.as_nanos() as i128;
            let (mut level, mut now) = (token * i128::from(burst), Duration::ZERO);
            for pause in pauses {
                now += Duration::from_micros(pause);
                level = (level + i128::from(pause) * 1_000).min(token * i128::from(burst));
                let allowed = level >= token;
                if allowed { level -= token; }
                let verdict = bucket.take(rate, now);
                prop_assert_eq!(verdict.allowed, allowed);
                prop_assert_eq!(i128::from(verdict.remaining), level / token);
            }
        }
    }
}
