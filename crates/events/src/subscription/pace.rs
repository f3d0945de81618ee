//! How many pushes at once: what the manifest allows, or fewer while the subscription catches up.
//!
//! A backlog would otherwise take all that the machine has for as long as it lasts, and whoever publishes meanwhile would
//! stand behind it. So from [`FAR`] unread events down to [`NEAR`] only as many pushes are sent at once as do not slow each
//! other down ([`Adaptive`]). A subscription that keeps up is never held back.

use ondol_resilience::adaptive::Adaptive;
use std::time::Duration;

/// Unread events, wanted or not, beyond which a subscription catches up, and down to which it does so.
const FAR: u64 = 4_096;
const NEAR: u64 = 256;

/// A push that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// From its start to the answer.
    pub(crate) took: Duration,
    /// How many were under way when it began, itself among them.
    pub(crate) beside: usize,
}

#[derive(Debug)]
pub(crate) struct Pace {
    most: usize,
    limit: Adaptive,
    catches_up: bool,
}

impl Pace {
    pub(crate) fn new(most: u16) -> Self {
        let most = usize::from(most.max(1));
        Self {
            most,
            limit: Adaptive::new(most),
            catches_up: false,
        }
    }

    /// Pushes that may be under way now.
    pub(crate) fn places(&self) -> usize {
        if self.catches_up { self.limit.limit() } else { self.most }
    }

    /// All was read up to `upto` of a log that ends at `end`.
    pub(crate) fn read(&mut self, upto: u64, end: u64) {
        let unread = end.saturating_sub(upto);
        self.catches_up = unread > if self.catches_up { NEAR } else { FAR };
    }

    pub(crate) fn answered(&mut self, push: Answered, now: Duration) {
        if self.catches_up {
            self.limit.observe(push.took, push.beside, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_catches_up_is_held_back() {
        let mut pace = Pace::new(16);
        assert_eq!(pace.places(), 16);
        pace.read(10, 10 + FAR);
        assert_eq!(pace.places(), 16, "not far");
        pace.read(10, 11 + FAR);
        assert_eq!(pace.places(), 1, "until it is known what a push takes");
        pace.read(20, 21 + NEAR);
        assert_eq!(pace.places(), 1, "not far any more, but not near");
        pace.read(20, 20 + NEAR);
        assert_eq!(pace.places(), 16);
    }
}
