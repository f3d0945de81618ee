//! The slowest that the other side may be: of a request's body as it comes, of an answer as it is taken.
//!
//! A budget of waiting: spent while we wait, earned by bytes. Who sends at [`RATE`] earns as much as it spends; who sends one byte
//! now and then runs out. It holds little, so a fast start buys no long silence. What our own side takes is never counted.
//!
//! Pure: time is given. Idea: Kestrel's MinRequestBodyDataRate, with a cap on what is earned.

use std::time::Duration;

/// The least, bytes per second.
pub const RATE: u64 = 240;

/// What is left of one side's budget.
#[derive(Clone, Debug)]
pub struct Pace {
    left: Duration,
    most: Duration,
    since: Option<Duration>,
}

impl Pace {
    /// May be waited for `grace` at first, and never longer than `most` at a time.
    pub fn new(grace: Duration, most: Duration) -> Self {
        Self {
            left: grace,
            most,
            since: None,
        }
    }

    /// It is waited for, `now` at the latest; until when that may go on.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.since.get_or_insert(now).saturating_add(self.left)
    }

    /// It is not waited for any more, for it has moved so many `bytes`, or waits itself.
    pub fn moved(&mut self, now: Duration, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_sub(since));
        }
        let earned = Duration::from_micros(bytes.saturating_mul(1_000_000) / RATE);
        self.left = self.left.saturating_add(earned).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    /// For how many of `rounds` it comes in time, `bytes` every `every`.
    fn rounds(mut pace: Pace, every: Duration, bytes: u64, rounds: u32) -> u32 {
        let mut now = 7 * SEC;
        for round in 0..rounds {
            let until = pace.wait(now);
            now += every;
            if now > until {
                return round;
            }
            pace.moved(now, bytes);
        }
        rounds
    }

    #[test]
    fn the_least_rate_lasts_for_ever_and_a_little_less_does_not() {
        for every in [SEC / 10, SEC, 9 * SEC] {
            let bytes = |rate: u64| u64::try_from(every.as_millis()).expect("fits") * rate / 1_000;
            let pace = || Pace::new(10 * SEC, 30 * SEC);
            assert_eq!(rounds(pace(), every, bytes(RATE), 100_000), 100_000, "{every:?}");
            assert!(
                rounds(pace(), every, bytes(RATE * 3 / 4), 100_000) < 100_000,
                "{every:?}"
            );
        }
        assert_eq!(
            rounds(Pace::new(10 * SEC, 30 * SEC), SEC, 1, 100),
            10,
            "a byte a second"
        );
        assert_eq!(
            rounds(Pace::new(10 * SEC, 30 * SEC), 11 * SEC, 1 << 20, 100),
            0,
            "silence"
        );
    }

    #[test]
    fn a_fast_start_buys_no_more_than_the_most() {
        let mut pace = Pace::new(10 * SEC, 30 * SEC);
        pace.moved(SEC, u64::MAX);
        assert_eq!(pace.wait(2 * SEC), 32 * SEC);
        assert_eq!(pace.wait(20 * SEC), 32 * SEC, "the wait began at 2 s");
    }

    #[test]
    fn time_in_which_nobody_waits_costs_nothing() {
        let mut pace = Pace::new(10 * SEC, 30 * SEC);
        pace.wait(SEC);
        pace.moved(5 * SEC, 0);
        assert_eq!(pace.wait(1_000 * SEC), 1_006 * SEC);
    }
}
