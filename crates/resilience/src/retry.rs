//! Whether a failed attempt may be made again: only where that cannot do harm, and only by one hop.
//!
//! Three classes allow it: the attempt was *not sent*; the request is *safe* (GET, HEAD, OPTIONS); it is *keyed*
//! (carries an idempotency key). The budget (`budget.rs`) is asked last, by the caller, since asking it spends.

use crate::backoff;
use std::time::Duration;

/// Largest first pause between attempts.
const FIRST: Duration = Duration::from_millis(25);
/// Largest pause.
const CAP: Duration = Duration::from_millis(250);

/// What a repeat of the request would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// Nothing: the method is safe.
    Safe,
    /// The same as the first time: it carries a key.
    Keyed,
    /// Perhaps something twice.
    Harmful,
}

impl Repeat {
    /// By the method, in upper case, and whether there is an idempotency key.
    pub fn of(method: &str, keyed: bool) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Safe,
            _ if keyed => Self::Keyed,
            _ => Self::Harmful,
        }
    }
}

/// How an attempt ended, other than well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// No byte reached the service: refused, no endpoint, no place.
    NotSent,
    /// Sent, and no complete head came back: reset, closed, timed out.
    Unknown,
    /// The service answered.
    Answered {
        /// With this status; gRPC's `UNAVAILABLE` counts as 503.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// An inner hop has already tried again (`Ondol-Retried`).
        retried: bool,
    },
}

/// Everything the decision rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The request's nature.
    pub repeat: Repeat,
    /// How this attempt ended.
    pub ended: Ended,
    /// Attempts made, this one included.
    pub made: u32,
    /// Extra attempts that the policy grants; 0 for callers that retry by themselves.
    pub extra: u32,
    /// Whether the request's body, if any, can be sent again from its first byte.
    pub replayable: bool,
    /// What is left until the deadline.
    pub left: Duration,
}

/// Why there is no other attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// All that the policy grants were made.
    NoneLeft,
    /// The answer is an answer, not a failure that may pass.
    Definite,
    /// It might do something twice.
    Harmful,
    /// The body is gone.
    BodyGone,
    /// An inner hop retries.
    RetriedInside,
    /// It would begin after the deadline.
    TooLate,
}

/// The pause before the next attempt, or why there is none; `random` is 64 random bits.
///
/// # Errors
/// [`Stop`]: hand on what there is.
pub fn decide(attempt: &Attempt, random: u64) -> Result<Duration, Stop> {
    let asked = match attempt.ended {
        Ended::NotSent => Duration::ZERO,
        _ if attempt.repeat == Repeat::Harmful => return Err(Stop::Harmful),
        Ended::Unknown => Duration::ZERO,
        Ended::Answered { retried: true, .. } => return Err(Stop::RetriedInside),
        Ended::Answered {
            status: 502..=504,
            retry_after,
            ..
        } => retry_after.unwrap_or_default(),
        Ended::Answered {
            status: 429,
            retry_after: Some(asked),
            ..
        } => asked,
        Ended::Answered { .. } => return Err(Stop::Definite),
    };
    if attempt.made > attempt.extra {
        return Err(Stop::NoneLeft);
    }
    if !attempt.replayable {
        return Err(Stop::BodyGone);
    }
    let pause = backoff::full_jitter(FIRST, CAP, attempt.made.saturating_sub(1), random).max(asked);
    if pause < attempt.left {
        Ok(pause)
    } else {
        Err(Stop::TooLate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answered(status: u16) -> Ended {
        Ended::Answered {
            status,
            retry_after: None,
            retried: false,
        }
    }

    fn asking(status: u16, seconds: u64) -> Ended {
        Ended::Answered {
            status,
            retry_after: Some(Duration::from_secs(seconds)),
            retried: false,
        }
    }

    /// A first attempt with two more granted and ten seconds left.
    fn first(repeat: Repeat, ended: Ended) -> Attempt {
        Attempt {
            repeat,
            ended,
            made: 1,
            extra: 2,
            replayable: true,
            left: Duration::from_secs(10),
        }
    }

    #[test]
    fn each_class_is_sent_again_only_after_what_cannot_harm() {
        use Repeat::{Harmful, Keyed, Safe};
        let retried = Ended::Answered {
            status: 503,
            retry_after: None,
            retried: true,
        };
        for (repeat, ended, expected) in [
            (Safe, Ended::NotSent, Ok(())),
            (Harmful, Ended::NotSent, Ok(())),
            (Safe, Ended::Unknown, Ok(())),
            (Keyed, Ended::Unknown, Ok(())),
            (Harmful, Ended::Unknown, Err(Stop::Harmful)),
            (Safe, answered(502), Ok(())),
            (Keyed, answered(503), Ok(())),
            (Safe, answered(504), Ok(())),
            (Harmful, answered(503), Err(Stop::Harmful)),
            (Safe, answered(500), Err(Stop::Definite)),
            (Safe, answered(404), Err(Stop::Definite)),
            (Safe, answered(429), Err(Stop::Definite)),
            (Safe, asking(429, 2), Ok(())),
            (Safe, asking(429, 60), Err(Stop::TooLate)),
            (Safe, asking(503, 60), Err(Stop::TooLate)),
            (Safe, retried, Err(Stop::RetriedInside)),
        ] {
            let decided = decide(&first(repeat, ended), 0);
            assert_eq!(decided.map(drop), expected, "{repeat:?} {ended:?}");
        }
    }

    #[test]
    fn a_gone_body_a_passed_deadline_and_spent_attempts_end_it() {
        let base = first(Repeat::Safe, Ended::Unknown);
        assert_eq!(
            decide(
                &Attempt {
                    replayable: false,
                    ..base
                },
                0
            ),
            Err(Stop::BodyGone)
        );
        assert_eq!(
            decide(
                &Attempt {
                    left: Duration::ZERO,
                    ..base
                },
                0
            ),
            Err(Stop::TooLate)
        );
        assert_eq!(decide(&Attempt { made: 3, ..base }, 0), Err(Stop::NoneLeft));
        assert_eq!(
            decide(
                &Attempt {
                    extra: 0,
                    ended: Ended::NotSent,
                    ..base
                },
                0
            ),
            Err(Stop::NoneLeft)
        );
    }

    #[test]
    fn methods_and_keys_give_the_class() {
        for (method, keyed, repeat) in [
            ("GET", false, Repeat::Safe),
            ("HEAD", true, Repeat::Safe),
            ("POST", true, Repeat::Keyed),
            ("POST", false, Repeat::Harmful),
            ("PUT", false, Repeat::Harmful),
            ("get", false, Repeat::Harmful),
        ] {
            assert_eq!(Repeat::of(method, keyed), repeat, "{method}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_ends_before_the_deadline_and_honours_retry_after(
            made in 1..5_u32, extra in 0..5_u32, left in 0..5_000_u64, asked in prop::option::of(0..5_000_u64), random: u64,
        ) {
            let (left, asked) = (Duration::from_millis(left), asked.map(Duration::from_millis));
            let ended = Ended::Answered { status: 503, retry_after: asked, retried: false };
            let attempt = Attempt { made, extra, left, ..first(Repeat::Safe, ended) };
            if let Ok(pause) = decide(&attempt, random) {
                prop_assert!(made <= extra && pause < left && pause >= asked.unwrap_or_default());
                prop_assert!(pause <= CAP.max(asked.unwrap_or_default()));
            }
        }
    }
}
