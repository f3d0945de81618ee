//! Outlier detection: takes an endpoint out of rotation that fails where others do not, for longer each time.
//!
//! Out after five hard failures in a row (connect, reset, 5xx), or when fewer than 70 % of at least 20 calls in ten
//! seconds went well. 4xx and 429 are no failures. The values are after Envoy's.
//! Not here: slow start after the return (`balance::warmth`), active checks (`health.rs`).

use crate::window::Window;
use std::time::Duration;

/// Hard failures in a row.
const IN_A_ROW: u32 = 5;
/// Calls in ten seconds before their ratio counts.
const MINIMUM: u32 = 20;
/// Percent of calls that must go well.
const WELL_PERCENT: u64 = 70;
/// The first ejection; doubles.
const FIRST: Duration = Duration::from_secs(5);
/// The longest; also how long without a new one until the doubling is forgotten.
const LONGEST: Duration = Duration::from_secs(120);

const CALLS: usize = 0;
const FAILED: usize = 1;

/// What one endpoint did lately.
#[derive(Clone, Debug, Default)]
pub struct Outlier {
    in_a_row: u32,
    window: Window<2>,
    ejections: u32,
    back_at: Option<Duration>,
}

impl Outlier {
    /// Takes an outcome; true when the endpoint should go, which is [`may_eject`]'s to allow.
    pub fn record(&mut self, now: Duration, failed: bool) -> bool {
        self.window.add(now, CALLS);
        if !failed {
            self.in_a_row = 0;
            return false;
        }
        self.window.add(now, FAILED);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let [calls, failures] = self.window.sums(now).map(u64::from);
        let ratio_broken = calls >= u64::from(MINIMUM) && (calls - failures) * 100 < calls * WELL_PERCENT;
        !self.is_out(now) && (self.in_a_row >= IN_A_ROW || ratio_broken)
    }

    /// Takes it out for 5 s × 2^n, at most 120 s, ± 20 % by `random` (64 random bits), and forgets its calls.
    pub fn eject(&mut self, now: Duration, random: u64) {
        if self.back_at.is_some_and(|back| now >= back + LONGEST) {
            self.ejections = 0;
        }
        let span = FIRST.saturating_mul(1 << self.ejections.min(16)).min(LONGEST);
        let percent = 80 + ((u128::from(random) * 41) >> 64) as u32;
        *self = Self {
            ejections: self.ejections.saturating_add(1),
            back_at: Some(now + span * percent / 100),
            ..Self::default()
        };
    }

    /// Whether it is out of rotation.
    pub fn is_out(&self, now: Duration) -> bool {
        self.back_at.is_some_and(|back| now < back)
    }

    /// When it came back, or will; `None` if it never was out.
    pub fn back_at(&self) -> Option<Duration> {
        self.back_at
    }
}

/// Whether one more of `endpoints` may go when `out` are: at most half of them, rounded down.
pub fn may_eject(endpoints: usize, out: usize) -> bool {
    out < endpoints / 2
}

/// Whether so few are well that choosing among them would only break them too: all are used then.
pub fn is_panic(endpoints: usize, well: usize) -> bool {
    well * 100 < endpoints * 30
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEC: Duration = Duration::from_secs(1);
    /// The draw that gives exactly the nominal span.
    const NOMINAL: u64 = u64::MAX / 41 * 20 + u64::MAX / 82;

    #[test]
    fn five_failures_in_a_row_are_too_many_and_one_success_between_is_not() {
        let mut endpoint = Outlier::default();
        assert_eq!(
            [true; 5].map(|failed| endpoint.record(SEC, failed)),
            [false, false, false, false, true]
        );
        let mut endpoint = Outlier::default();
        assert!(
            [true, true, true, true, false, true, true, true, true]
                .iter()
                .all(|failed| !endpoint.record(SEC, *failed))
        );
    }

    #[test]
    fn ejections_double_up_to_two_minutes_and_start_again_after_two_good_minutes() {
        let (mut endpoint, mut now) = (Outlier::default(), SEC);
        for seconds in [5, 10, 20, 40, 80, 120, 120] {
            endpoint.eject(now, NOMINAL);
            assert_eq!(endpoint.back_at(), Some(now + seconds * SEC));
            assert!(endpoint.is_out(now) && !endpoint.is_out(now + seconds * SEC));
            now += seconds * SEC;
        }
        endpoint.eject(now + 120 * SEC, NOMINAL);
        assert_eq!(endpoint.back_at(), Some(now + 125 * SEC));
    }

    #[test]
    fn at_most_half_rounded_down_go() {
        let most = |endpoints| (0..=endpoints).find(|out| !may_eject(endpoints, *out));
        assert_eq!([0, 1, 2, 3, 4, 5, 10].map(most), [0, 0, 1, 1, 2, 2, 5].map(Some));
    }

    #[test]
    fn below_three_in_ten_well_all_are_used() {
        assert!(is_panic(10, 2) && !is_panic(10, 3) && is_panic(1, 0) && !is_panic(2, 1) && !is_panic(0, 0));
    }

    proptest! {
        #[test]
        fn it_asks_to_go_by_the_plain_rules(steps in prop::collection::vec((0..2_500_u64, prop::bool::weighted(0.35)), 0..300)) {
            let (mut endpoint, mut now, mut all) = (Outlier::default(), Duration::ZERO, Vec::<(u64, bool)>::new());
            for (pause, failed) in steps {
                now += Duration::from_millis(pause);
                all.push((now.as_secs(), failed));
                let kept: Vec<_> = all.iter().filter(|(at, _)| at + 10 > now.as_secs()).collect();
                let well = kept.iter().filter(|(_, failed)| !failed).count();
                let row = all.iter().rev().take_while(|(_, failed)| *failed).count();
                let expected = failed && (row >= 5 || (kept.len() >= 20 && well * 10 < kept.len() * 7));
                prop_assert_eq!(endpoint.record(now, failed), expected);
            }
        }

        #[test]
        fn an_ejection_is_within_a_fifth_of_its_span(random: u64) {
            let mut endpoint = Outlier::default();
            endpoint.eject(SEC, random);
            let span = endpoint.back_at().expect("out") - SEC;
            prop_assert!(span >= 4 * SEC && span <= 6 * SEC);
        }
    }
}
