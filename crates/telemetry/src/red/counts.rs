//! The sums of one route or edge: what is added up, and what came since an earlier state.

use ondol_core::wire::proxy::{CacheResult, Traffic, bucket_end};
use std::collections::BTreeMap;

/// Sums of one series since the first proxy started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// 1xx to 5xx.
    pub by_class: [u64; 5],
    /// By `Proxy-Status` error word.
    pub own_answers: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Copies for other services that were answered, and that were not.
    pub mirrors: [u64; 2],
    /// How requests were answered where answers are kept, in the order of [`CacheResult::ALL`].
    pub cache: [u64; CacheResult::ALL.len()],
    /// Errors that something stood in for, and those for which it failed too.
    pub fallbacks: [u64; 2],
    /// By [`ondol_core::wire::proxy::bucket_of`].
    pub buckets: BTreeMap<u16, u64>,
    /// Microseconds.
    pub sum_us: u64,
}

impl Counts {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.by_class
            .iter_mut()
            .zip(other.by_class)
            .for_each(|(mine, theirs)| *mine += theirs);
        other
            .own_answers
            .iter()
            .for_each(|(word, n)| *self.own_answers.entry(word.clone()).or_default() += n);
        other
            .buckets
            .iter()
            .for_each(|(bucket, n)| *self.buckets.entry(*bucket).or_default() += n);
        self.retries += other.retries;
        self.mirrors
            .iter_mut()
            .zip(other.mirrors)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.cache
            .iter_mut()
            .zip(other.cache)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.fallbacks
            .iter_mut()
            .zip(other.fallbacks)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.sum_us += other.sum_us;
    }

    /// What came since `earlier`, which is an older state of the same counts.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut out = self.clone();
        out.by_class
            .iter_mut()
            .zip(earlier.by_class)
            .for_each(|(mine, old)| *mine = mine.saturating_sub(old));
        for (bucket, n) in &mut out.buckets {
            *n = n.saturating_sub(earlier.buckets.get(bucket).copied().unwrap_or(0));
        }
        out.sum_us = out.sum_us.saturating_sub(earlier.sum_us);
        out.retries = out.retries.saturating_sub(earlier.retries);
        out.mirrors
            .iter_mut()
            .zip(earlier.mirrors)
            .for_each(|(now, then)| *now = now.saturating_sub(then));
        out.cache
            .iter_mut()
            .zip(earlier.cache)
            .for_each(|(now, then)| *now = now.saturating_sub(then));
        out.fallbacks
            .iter_mut()
            .zip(earlier.fallbacks)
            .for_each(|(now, then)| *now = now.saturating_sub(then));
        out
    }

    /// The duration, microseconds, that a share `q` of requests stayed under; `None` without requests.
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        let total: u64 = self.buckets.values().sum();
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let at = |(bucket, n): (&u16, &u64)| {
            seen += n;
            (seen >= rank).then(|| bucket_end(*bucket))
        };
        if total == 0 {
            None
        } else {
            self.buckets.iter().find_map(at)
        }
    }
}

impl From<&Traffic> for Counts {
    fn from(traffic: &Traffic) -> Self {
        Self {
            by_class: traffic.by_class,
            own_answers: traffic.own_answers.clone(),
            retries: traffic.retries,
            mirrors: [traffic.mirrored, traffic.mirrors_failed],
            cache: traffic.cache,
            fallbacks: traffic.fallbacks,
            buckets: traffic.buckets.iter().copied().collect(),
            sum_us: traffic.sum_us,
        }
    }
}
