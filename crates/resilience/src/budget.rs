//! Retry budget: retries stay a small share of the first tries, so that they never become the load that breaks a service.
//!
//! Over the last ten seconds: retries ≤ 20 % of first tries + 10 per second. One budget per caller and service, shared
//! by everything that sends a request again. Source: Finagle's `RetryBudget`; Gateway API GEP-3388 has the same values.

use crate::window::Window;
use std::time::Duration;

const FIRST: usize = 0;
const AGAIN: usize = 1;

/// Retries allowed per hundred first tries.
const PERCENT: u64 = 20;
/// Retries allowed whatever the traffic: 10 per second over the ten seconds of the window.
const FLOOR: u64 = 100;

/// What one caller may send again to one service.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    window: Window<2>,
}

impl Budget {
    /// Counts a first try.
    pub fn deposit(&mut self, now: Duration) {
        self.window.add(now, FIRST);
    }

    /// Takes one retry; false when there is none left. Nothing is taken then.
    pub fn withdraw(&mut self, now: Duration) -> bool {
        let [first, again] = self.window.sums(now);
        let allowed = u64::from(again) < FLOOR + u64::from(first) * PERCENT / 100;
        if allowed {
            self.window.add(now, AGAIN);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_idle_caller_has_ten_retries_per_second_of_the_window() {
        let mut budget = Budget::default();
        assert_eq!((0..500).filter(|_| budget.withdraw(Duration::ZERO)).count(), 100);
        assert!(budget.withdraw(Duration::from_secs(10)), "the window has passed");
    }

    #[test]
    fn a_fifth_of_the_first_tries_may_be_sent_again() {
        let mut budget = Budget::default();
        (0..1_000).for_each(|_| budget.deposit(Duration::ZERO));
        assert_eq!(
            (0..5_000).filter(|_| budget.withdraw(Duration::from_secs(1))).count(),
            300
        );
    }

    proptest! {
        #[test]
        fn never_more_retries_in_ten_seconds_than_the_share_and_the_floor(
            steps in prop::collection::vec((0..300_u64, prop::bool::weighted(0.3)), 0..600),
        ) {
            let (mut budget, mut now) = (Budget::default(), Duration::ZERO);
            let (mut first, mut again) = (Vec::new(), Vec::new());
            for (pause, is_first) in steps {
                now += Duration::from_millis(pause);
                let kept = |all: &Vec<u64>| all.iter().filter(|at| *at + 10 > now.as_secs()).count() as u64;
                if is_first {
                    budget.deposit(now);
                    first.push(now.as_secs());
                } else {
                    let expected = kept(&again) < 100 + kept(&first) / 5;
                    prop_assert_eq!(budget.withdraw(now), expected);
                    if expected { again.push(now.as_secs()); }
                }
            }
        }
    }
}
