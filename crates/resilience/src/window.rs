//! Counts over the last ten seconds, in ten buckets of one second: the memory of breaker, budget and outlier detection.
//!
//! A count leaves between nine and ten seconds after it came. Fixed size, no allocation.

use std::time::Duration;

const BUCKETS: u64 = 10;

/// Counters of `KINDS` kinds over the last ten seconds.
#[derive(Clone, Debug)]
pub struct Window<const KINDS: usize> {
    buckets: [[u32; KINDS]; BUCKETS as usize],
    /// The second, counted from the clock's start, that the newest bucket holds.
    newest: u64,
}

impl<const KINDS: usize> Default for Window<KINDS> {
    fn default() -> Self {
        Self {
            buckets: [[0; KINDS]; BUCKETS as usize],
            newest: 0,
        }
    }
}

impl<const KINDS: usize> Window<KINDS> {
    /// Counts one. A reading of the clock older than the newest bucket counts there.
    ///
    /// # Panics
    /// When `kind` is not below `KINDS`.
    pub fn add(&mut self, now: Duration, kind: usize) {
        self.advance(now);
        let count = &mut self.buckets[(self.newest % BUCKETS) as usize][kind];
        *count = count.saturating_add(1);
    }

    /// The sums by kind.
    pub fn sums(&mut self, now: Duration) -> [u32; KINDS] {
        self.advance(now);
        let mut sums = [0_u32; KINDS];
        for bucket in &self.buckets {
            for (sum, count) in sums.iter_mut().zip(bucket) {
                *sum = sum.saturating_add(*count);
            }
        }
        sums
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets = [[0; KINDS]; BUCKETS as usize];
    }

    fn advance(&mut self, now: Duration) {
        let second = now.as_secs();
        for passed in 0..second.saturating_sub(self.newest).min(BUCKETS) {
            self.buckets[((second - passed) % BUCKETS) as usize] = [0; KINDS];
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_a_list_of_all_counts(steps in prop::collection::vec((0..4_000_u64, 0..2_usize), 0..200)) {
            let (mut window, mut all, mut now) = (Window::<2>::default(), Vec::new(), Duration::ZERO);
            for (pause, kind) in steps {
                now += Duration::from_millis(pause);
                window.add(now, kind);
                all.push((now.as_secs(), kind));
                let kept = |kind| all.iter().filter(|(at, k)| at + 10 > now.as_secs() && *k == kind).count() as u32;
                prop_assert_eq!(window.sums(now), [kept(0), kept(1)]);
            }
        }
    }

    #[test]
    fn a_clock_reading_from_before_counts_in_the_newest_bucket() {
        let mut window = Window::<1>::default();
        window.add(Duration::from_secs(20), 0);
        window.add(Duration::from_secs(19), 0);
        assert_eq!(window.sums(Duration::from_secs(29)), [2]);
        assert_eq!(window.sums(Duration::from_secs(30)), [0]);
    }
}
