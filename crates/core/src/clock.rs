//! Time. Timers inside a process use the monotonic reading; only `wake_at` and what people read use wall time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Wall time in milliseconds since 1970-01-01 UTC. Never used to order events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `span`; saturates.
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            in_day % 1_000
        )
    }
}

/// A text that no [`Timestamp`] prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a time such as 2024-02-29T12:30:45.007Z")]
pub struct NoTimestamp;

impl std::str::FromStr for Timestamp {
    type Err = NoTimestamp;

    /// Reads what [`Timestamp`] prints for the years 0 to 9999, and nothing else.
    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        let number = |range: std::ops::Range<usize>| -> Option<i64> { text.get(range)?.parse().ok() };
        let read = || {
            let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?);
            let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
            Some(Self(days * 86_400_000 + seconds * 1_000 + number(20..23)?))
        };
        // Printing it again refuses every other form, such as the 30th of February.
        read().filter(|read| read.to_string() == text).ok_or(NoTimestamp)
    }
}

/// A date to days since 1970-01-01; same source as [`civil_from_days`].
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Days since 1970-01-01 to a date. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall time; may jump.
    fn wall(&self) -> Timestamp;
    /// Time since an arbitrary start; never goes back.
    fn mono(&self) -> Duration;
}

/// A clock that can be handed round.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn mono(&self) -> Duration {
        use std::sync::OnceLock;
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_709_209_845_007).to_string(), "2024-02-29T12:30:45.007Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_printed_is_read_and_nothing_else() {
        for ms in [0, -1, 1_709_209_845_007, 951_782_400_000, 253_402_300_799_999] {
            assert_eq!(Timestamp(ms).to_string().parse(), Ok(Timestamp(ms)));
        }
        for text in [
            "",
            "2024-02-30T12:30:45.007Z",
            "2024-02-29 12:30:45.007Z",
            "2024-02-29T12:30:45.007+01:00",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NoTimestamp), "{text}");
        }
    }

    #[test]
    fn a_span_to_an_earlier_moment_is_zero() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MAX).plus(Duration::from_secs(1)), Timestamp(i64::MAX));
    }
}
