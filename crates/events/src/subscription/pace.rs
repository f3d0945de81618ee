//! How many pushes at once: what the manifest allows, or fewer while the subscription catches up.
//!
//! A backlog would otherwise take all that the machine has for as long as it lasts, and whoever publishes meanwhile would
//! stand behind it. So from [`FAR`] unread events down to [`NEAR`] only as many pushes are sent at once as do not slow each
//! other down ([`Adaptive`]). A subscription that keeps up is never held back.

use ondol_resilience::adaptive::Adaptive;
use std::time::Duration;

/// Unread events, wanted or not, beyond which a subscription catches up, and down to which it does so. Those in its window
/// count as read.
const FAR: u64 = 4_096;
const NEAR: u64 = 1_024;
/// So often it is looked at whether the backlog shrinks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

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
    /// While it catches up.
    behind: Option<Behind>,
}

#[derive(Debug)]
struct Behind {
    limit: Adaptive,
    /// At least so many, as the backlog would not shrink with fewer.
    floor: usize,
    unread: u64,
    look_at: Duration,
    /// Nothing was to be sent since the last look.
    stood: bool,
}

impl Pace {
    pub(crate) fn new(most: u16) -> Self {
        Self {
            most: usize::from(most.max(1)),
            behind: None,
        }
    }

    /// Another most; a subscription that catches up goes on doing so.
    pub(crate) fn configure(&mut self, most: u16, now: Duration) {
        self.most = usize::from(most.max(1));
        if let Some(behind) = &mut self.behind {
            (behind.limit, behind.floor) = (Adaptive::new(self.most, now), 1);
        }
    }

    /// Pushes of the window that may be under way now.
    pub(crate) fn places(&mut self, now: Duration) -> usize {
        let most = self.most;
        let paced = self
            .behind
            .as_mut()
            .map(|behind| behind.limit.limit(now).max(behind.floor));
        paced.map_or(most, |paced| paced.min(most))
    }

    /// So many events are unread now. To be told of each page that was read.
    pub(crate) fn read(&mut self, unread: u64, now: Duration) {
        let Some(behind) = &mut self.behind else {
            if unread > FAR {
                let limit = Adaptive::new(self.most, now);
                self.behind = Some(Behind {
                    limit,
                    floor: 1,
                    unread,
                    look_at: now + LOOK_EVERY,
                    stood: false,
                });
            }
            return;
        };
        if unread <= NEAR {
            self.behind = None;
        } else if std::mem::take(&mut behind.stood) {
            (behind.unread, behind.look_at) = (unread, now + LOOK_EVERY);
        } else if now >= behind.look_at {
            // More come than go: to be gentle would be to stay behind for ever.
            if unread >= behind.unread {
                behind.floor = behind
                    .limit
                    .limit(now)
                    .max(behind.floor)
                    .saturating_mul(2)
                    .min(self.most);
            }
            (behind.unread, behind.look_at) = (unread, now + LOOK_EVERY);
        }
    }

    /// The subscription is paused, or its service away: that the backlog grows meanwhile says nothing.
    pub(crate) fn stands(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.stood = true;
        }
    }

    pub(crate) fn answered(&mut self, push: Answered, now: Duration) {
        if let Some(behind) = &mut self.behind {
            behind.limit.observe(push.took, push.beside, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    /// Pushes that all stand in one line, and when the last was answered.
    fn push_in_one_line(pace: &mut Pace, mut now: Duration) -> Duration {
        for _ in 0..128 {
            now += Duration::from_millis(1);
            let beside = pace.places(now);
            let took = Duration::from_millis(beside as u64);
            pace.answered(Answered { took, beside }, now);
        }
        now
    }

    #[test]
    fn only_who_catches_up_is_held_back() {
        let mut pace = Pace::new(16);
        assert_eq!(pace.places(START), 16);
        pace.read(FAR, START);
        assert_eq!(pace.places(START), 16, "not far");
        pace.read(FAR + 1, START);
        assert_eq!(pace.places(START), 1, "until it is known what a push takes");
        pace.configure(8, START);
        assert_eq!(pace.places(START), 1, "another manifest ends no backlog");
        pace.read(NEAR + 1, START);
        assert_eq!(pace.places(START), 1, "not far any more, but not near");
        pace.read(NEAR, START);
        assert_eq!(pace.places(START), 8);
    }

    #[test]
    fn a_backlog_that_does_not_shrink_gets_more_places_until_it_does() {
        let (mut pace, mut now) = (Pace::new(16), START);
        pace.read(10_000, now);
        let mut places = Vec::new();
        for unread in [10_500, 11_000, 11_500, 11_000, 12_000] {
            now += LOOK_EVERY;
            now = push_in_one_line(&mut pace, now);
            pace.read(unread, now);
            places.push(pace.places(now));
        }
        assert!(places.is_sorted() && places[0] >= 2 && places[4] == 16, "{places:?}");
    }

    #[test]
    fn a_backlog_that_grew_during_a_pause_is_taken_as_gently_as_before() {
        let mut pace = Pace::new(16);
        pace.read(10_000, START);
        let resumed = push_in_one_line(&mut pace, START) + 3 * LOOK_EVERY;
        pace.stands();
        pace.read(90_000, resumed);
        assert_eq!(pace.places(resumed), 1);
    }

    #[test]
    fn slow_pushes_that_do_not_shrink_a_backlog_get_more_places_however_seldom_it_is_read() {
        let mut pace = Pace::new(16);
        pace.read(10_000, START);
        let looked = push_in_one_line(&mut pace, START) + 7 * LOOK_EVERY;
        pace.read(10_100, looked);
        assert!(pace.places(looked) > 1);
    }
}
