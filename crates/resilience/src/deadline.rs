//! Deadlines: a moment on the caller's monotonic clock, and the span that is left of it, as hops tell each other.
//!
//! Between hops only the span that is left travels, since clocks differ; it is computed anew for every attempt and is
//! a little shorter than the truth, so that the inner hop gives up first and its answer still arrives.

use std::time::Duration;

/// One attempt where another may follow.
const PER_TRY: Duration = Duration::from_secs(5);
/// The largest part of what is left that is kept for the way back.
const MARGIN: Duration = Duration::from_millis(10);

/// When a request must be answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(pub Duration);

impl Deadline {
    /// `span` from now; at most what the caller has `announced` to have left.
    pub fn new(now: Duration, span: Duration, announced: Option<Duration>) -> Self {
        Self(now.saturating_add(announced.map_or(span, |announced| announced.min(span))))
    }

    /// What is left; `None` when it has passed, and then nothing may be sent.
    pub fn left(self, now: Duration) -> Option<Duration> {
        self.0.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// How long one attempt may take: cut to five seconds only where another attempt may follow.
    pub fn per_try(self, now: Duration, another_may_follow: bool) -> Option<Duration> {
        self.left(now)
            .map(|left| if another_may_follow { left.min(PER_TRY) } else { left })
    }
}

/// What to announce to the next hop of an attempt that may take `span`: a tenth less, at most 10 ms less.
pub fn announced(span: Duration) -> Duration {
    span - (span / 10).min(MARGIN)
}

/// A span as `Ondol-Deadline-Ms` has it; at least 1.
pub fn to_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Reads `Ondol-Deadline-Ms`; `None` for anything but digits.
pub fn parse_millis(text: &str) -> Option<Duration> {
    digits(text).map(Duration::from_millis)
}

/// A span as `grpc-timeout` has it: at most eight digits and a unit, never longer than the span (but at least 1 µs).
pub fn to_grpc(span: Duration) -> String {
    const MOST: u128 = 99_999_999;
    match (span.as_micros().max(1), span.as_millis(), u128::from(span.as_secs())) {
        (micros, ..) if micros <= MOST => format!("{micros}u"),
        (_, millis, _) if millis <= MOST => format!("{millis}m"),
        (.., seconds) => format!("{}S", seconds.min(MOST)),
    }
}

/// Reads `grpc-timeout`; `None` for what the gRPC specification does not allow.
pub fn parse_grpc(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count = digits(count).filter(|_| count.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A number that is digits only: `parse` alone would take `+5`.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_caller_can_only_shorten_the_deadline() {
        assert_eq!(Deadline::new(10 * MS, 100 * MS, None), Deadline(110 * MS));
        assert_eq!(Deadline::new(10 * MS, 100 * MS, Some(40 * MS)), Deadline(50 * MS));
        assert_eq!(Deadline::new(10 * MS, 100 * MS, Some(900 * MS)), Deadline(110 * MS));
    }

    #[test]
    fn an_attempt_is_cut_short_only_where_another_may_follow() {
        let deadline = Deadline(15_000 * MS);
        assert_eq!(deadline.per_try(Duration::ZERO, true), Some(5_000 * MS));
        assert_eq!(deadline.per_try(Duration::ZERO, false), Some(15_000 * MS));
        assert_eq!(deadline.per_try(14_000 * MS, true), Some(1_000 * MS));
        assert_eq!(deadline.per_try(15_000 * MS, true), None);
    }

    #[test]
    fn spans_outside_the_format_are_refused() {
        for text in ["", "S", "5", "5x", "-5S", "+5S", "123456789S", "5 S", "５S", "1é"] {
            assert_eq!(parse_grpc(text), None, "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "99999999999999999999"] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
        assert_eq!(parse_millis("1500"), Some(1_500 * MS));
    }

    proptest! {
        #[test]
        fn a_grpc_span_reads_back_as_at_most_the_span_and_nearly_all_of_it(micros in 1..u64::MAX / 2) {
            let span = Duration::from_micros(micros);
            let text = to_grpc(span);
            let read = parse_grpc(&text).expect(&text);
            prop_assert!(text.len() <= 9 && read <= span, "{}", text);
            prop_assert!(read >= span.mul_f64(0.99) || read >= Duration::from_secs(99_999_999), "{}", text);
        }

        #[test]
        fn the_inner_hop_gets_a_little_less_but_never_nothing(micros in 1..u64::MAX / 2) {
            let span = Duration::from_micros(micros);
            let inner = announced(span);
            prop_assert!(inner <= span && !inner.is_zero() && span - inner <= MARGIN);
        }
    }
}
