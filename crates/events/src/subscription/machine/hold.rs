//! A subscription that waits for its service: when it asks again, and what ends the wait.
//!
//! Flights that were sent before the wait began belong to an earlier era: what they come to neither ends nor lengthens it,
//! unless the service asks for a longer one.

use super::{LONGEST_PAUSE, Machine};
use crate::subscription::phase::Move;
use ondol_core::clock::Timestamp;
use ondol_resilience::backoff::full_jitter;
use std::time::Duration;

/// Pauses of a subscription whose service cannot be reached. Short, because asking the proxy costs little.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Pauses of one whose path or rights are wrong: only another manifest or another release mends that.
const MISCONFIGURED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause of a held subscription.
#[derive(Default)]
pub(super) struct Hold {
    pub(super) until: Timestamp,
    pub(super) tries: u32,
    pub(super) probe: Option<u64>,
    pub(super) reason: Option<String>,
}

impl<B: Clone> Machine<B> {
    pub(crate) fn answered(&mut self, era: u64) {
        if era == self.era && self.mode.is_held() {
            self.go(Move::Answered);
        }
    }

    pub(crate) fn wait(
        &mut self,
        by: Move,
        why: String,
        after: Option<Duration>,
        era: u64,
        now: Timestamp,
        random: u64,
    ) {
        let Some(mode) = self.mode.next(by) else { return };
        let after = after.map(|after| after.min(LONGEST_PAUSE));
        if self.mode.is_held() && era != self.era {
            // Sent before the present pause: only a longer wish counts.
            let wished = after.map_or(self.hold.until, |after| now.plus(after));
            self.hold.until = self.hold.until.max(wished);
            return;
        }
        let (first, cap) = if by == Move::Misanswered { MISCONFIGURED } else { WAIT };
        let tries = if self.mode.is_held() { self.hold.tries + 1 } else { 0 };
        let pause = after.unwrap_or_else(|| full_jitter(first, cap, tries, random));
        let until = now.plus(pause);
        (self.mode, self.era) = (mode, self.era + 1);
        self.hold = Hold {
            until,
            tries,
            probe: None,
            reason: Some(why),
        };
    }

    /// Moves the subscription; a pair that the table lacks changes nothing.
    pub(crate) fn go(&mut self, by: Move) {
        let Some(mode) = self.mode.next(by) else { return };
        self.mode = mode;
        self.hold = Hold::default();
        self.era += 1;
    }

    /// Why it does not run.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.hold.reason.as_deref()
    }
}
