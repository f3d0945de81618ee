//! When requests of an open loop are due: a Poisson process, from a seed. Pure.
//!
//! Clients that do not know of each other come at random, and crowds among them are what makes a service's queue.

use crate::random::Random;
use std::time::Duration;

/// The moments since the beginning, without an end.
pub(super) struct Arrivals {
    random: Random,
    /// Seconds.
    mean: f64,
    at: f64,
}

impl Arrivals {
    /// `rate` a second on average.
    pub(super) fn new(rate: f64, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            mean: 1.0 / rate,
            at: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // In (0, 1], of which the logarithm is finite.
        let even = ((self.random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.at -= self.mean * even.ln();
        Some(Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_rate_and_the_scatter_of_a_poisson_process() {
        for seed in 0..20 {
            let all: Vec<_> = Arrivals::new(500.0, seed).take(50_000).collect();
            let gaps: Vec<f64> = all
                .windows(2)
                .map(|two| (two[1] - two[0]).as_secs_f64() * 500.0)
                .collect();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let squares: Vec<f64> = gaps.iter().map(|gap| (gap - 1.0).powi(2)).collect();
            assert!((mean(&gaps) - 1.0).abs() < 0.03, "{seed}: {}", mean(&gaps));
            assert!((mean(&squares) - 1.0).abs() < 0.08, "{seed}: {}", mean(&squares));
        }
    }

    #[test]
    fn the_same_seed_is_the_same_crowd_and_another_one_is_not() {
        let crowd = |seed| Arrivals::new(100.0, seed).take(100).collect::<Vec<_>>();
        assert_eq!(crowd(1), crowd(1));
        assert_ne!(crowd(1), crowd(2));
    }
}
