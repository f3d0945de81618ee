//! How often a password may be guessed: five wrong ones for an email within a minute, then none for a while.
//!
//! Only decisions over time given as an argument. Kept in memory, per instance: a restart forgets, which gives a guesser
//! five more tries, not the password.
//!
//! Invariants
//! - At most [`MOST_EMAILS`] emails are remembered. When more come, the one whose last wrong guess is oldest goes.
//! - An email that has no account counts the same, so that the limit tells nobody which emails exist.
//!
//! Tests: below.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Wrong passwords before the email is locked.
pub const MOST_WRONG: usize = 5;
/// They must lie within this span.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Emails remembered. Each costs one password hash to get in, so that pushing one out takes longer than [`WINDOW`]
/// on any machine that hashes fewer than 160 passwords a second.
pub const MOST_EMAILS: usize = 10_000;

/// The wrong guesses of the last minute.
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: HashMap<String, VecDeque<Instant>>,
}

impl Attempts {
    /// May a password for `email` be tried at `now`?
    ///
    /// # Errors
    /// How long to wait, when five wrong ones lie within the last minute.
    pub fn check(&mut self, email: &str, now: Instant) -> Result<(), Duration> {
        let Some(times) = self.wrong.get_mut(email) else {
            return Ok(());
        };
        while times
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW)
        {
            times.pop_front();
        }
        match times.front() {
            None => {
                self.wrong.remove(email);
                Ok(())
            }
            Some(oldest) if times.len() >= MOST_WRONG => Err(WINDOW - now.saturating_duration_since(*oldest)),
            Some(_) => Ok(()),
        }
    }

    /// A wrong password was given for `email` at `now`.
    pub fn wrong(&mut self, email: &str, now: Instant) {
        if self.wrong.len() >= MOST_EMAILS && !self.wrong.contains_key(email) {
            self.make_room();
        }
        let times = self.wrong.entry(email.to_owned()).or_default();
        if times.len() >= MOST_WRONG {
            times.pop_front();
        }
        times.push_back(now);
    }

    /// The right password was given: the slate is clean.
    pub fn right(&mut self, email: &str) {
        self.wrong.remove(email);
    }

    fn make_room(&mut self) {
        let oldest = self.wrong.iter().min_by_key(|(_, times)| times.back().copied());
        if let Some(email) = oldest.map(|(email, _)| email.clone()) {
            self.wrong.remove(&email);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn wrong(attempts: &mut Attempts, start: Instant, seconds: impl IntoIterator<Item = u64>) {
        for second in seconds {
            attempts.wrong("a@shop.example", after(start, second));
        }
    }

    #[test]
    fn the_fifth_wrong_password_in_a_minute_locks_until_the_first_is_a_minute_old() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        wrong(&mut attempts, start, [0, 10, 20, 30]);
        assert_eq!(attempts.check("a@shop.example", after(start, 40)), Ok(()));
        wrong(&mut attempts, start, [40]);
        assert_eq!(
            attempts.check("a@shop.example", after(start, 45)),
            Err(Duration::from_secs(15))
        );
        assert_eq!(attempts.check("a@shop.example", after(start, 60)), Ok(()));
    }

    #[test]
    fn wrong_passwords_far_apart_never_lock() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for second in (0..600).step_by(15) {
            assert_eq!(
                attempts.check("a@shop.example", after(start, second)),
                Ok(()),
                "{second} s"
            );
            wrong(&mut attempts, start, [second]);
        }
    }

    #[test]
    fn the_right_password_forgives_the_wrong_ones_before() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        wrong(&mut attempts, start, [0, 1, 2, 3]);
        attempts.right("a@shop.example");
        wrong(&mut attempts, start, [4]);
        assert_eq!(attempts.check("a@shop.example", after(start, 5)), Ok(()));
    }

    #[test]
    fn one_email_does_not_lock_another() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        wrong(&mut attempts, start, 0..5);
        assert!(attempts.check("a@shop.example", after(start, 6)).is_err());
        assert_eq!(attempts.check("b@shop.example", after(start, 6)), Ok(()));
    }

    #[test]
    fn more_emails_than_fit_push_out_the_one_guessed_longest_ago() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        wrong(&mut attempts, start, 0..5);
        for index in 0..MOST_EMAILS {
            attempts.wrong(&format!("{index}@shop.example"), after(start, 10));
        }
        assert_eq!(attempts.wrong.len(), MOST_EMAILS);
        assert_eq!(
            attempts.check("a@shop.example", after(start, 11)),
            Ok(()),
            "it was the oldest"
        );
    }
}
