//! What is known of a service for hedging, and what was counted. Decisions are `ondol_resilience::hedge`'s.

use super::endpoint::lock;
use ondol_resilience::hedge::Hedging;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Second attempts at one service.
#[derive(Debug, Default)]
pub struct Hedges {
    hedging: Mutex<Hedging>,
    sent: AtomicU64,
    won: AtomicU64,
}

impl Hedges {
    /// See [`Hedging::begin`].
    pub fn begin(&self, now: Duration) -> Option<Duration> {
        lock(&self.hedging).begin(now)
    }

    /// See [`Hedging::observe`].
    pub fn observe(&self, now: Duration, took: Duration) {
        lock(&self.hedging).observe(now, took);
    }

    /// See [`Hedging::admit`]; what is admitted is sent. `also` is asked under the lock, so that of two workers one gets the last.
    pub fn admit(&self, now: Duration, share: f64, also: impl FnOnce() -> bool) -> bool {
        lock(&self.hedging).admit(now, share, also)
    }

    /// Counts one that is sent.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one whose answer was the one.
    pub fn won(&self) {
        self.won.fetch_add(1, Ordering::Relaxed);
    }

    /// Sent, won.
    pub(super) fn counts(&self) -> [u64; 2] {
        [&self.sent, &self.won].map(|count| count.load(Ordering::Relaxed))
    }
}
