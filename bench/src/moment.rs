//! Moments that processes of one machine can compare, and the data of an event that carries one.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Nanoseconds of the machine's monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The same moment.
    pub(crate) fn of(instant: Instant) -> Self {
        let (now, moment) = (Instant::now(), Self::now());
        let before = now.saturating_duration_since(instant).as_nanos() as u64;
        let after = instant.saturating_duration_since(now).as_nanos() as u64;
        Self(moment.0 - before + after)
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment in the data of an event.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        let digits = body.strip_prefix(b"{\"at\":")?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&digits[..end]).ok()?.parse().ok().map(Self)
    }
}

/// JSON of so many bytes, with a moment in it.
pub(crate) fn body(at: Moment, bytes: usize) -> Vec<u8> {
    let mut body = format!(r#"{{"at":{},"text":""#, at.0).into_bytes();
    body.resize(bytes.max(body.len() + 2) - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_length_and_gives_its_moment_back() {
        let now = Moment::now();
        for bytes in [40, 300, 1_000] {
            let body = body(now, bytes);
            assert_eq!((body.len(), Moment::of_body(&body)), (bytes, Some(now)));
            assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
        assert_eq!(Moment::of_body(b"{\"at\":\"x\"}"), None);
        let earlier = Instant::now();
        assert!(Moment::of(earlier) <= Moment::now());
    }
}
