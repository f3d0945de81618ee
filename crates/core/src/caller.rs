//! The port through which sagas and pushes call services: through the proxy, as the built-in caller `ondol`.

use crate::BoxFuture;
use crate::clock::Timestamp;
use crate::id::ServiceName;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// A call of one service.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom.
    pub service: ServiceName,
    /// How.
    pub method: Method,
    /// Path with query, starting with `/`.
    pub path: String,
    /// Headers; Host, Content-Length and hop-by-hop ones are the caller's own affair.
    pub headers: HeaderMap,
    /// JSON or nothing.
    pub body: Bytes,
    /// How long to wait for the whole answer; also sent as `Ondol-Deadline-Ms`.
    pub timeout: Duration,
}

/// What the service itself answered, at most 1 MiB of body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The pause that `Retry-After` asks for: seconds, or an HTTP date (RFC 9110, section 10.2.3) seen from `now`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Some(http_date(text)?.since(now)),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that senders may use.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || !(1..=31).contains(&day) || !(1970..10_000).contains(&year) {
        return None;
    }
    // Days before the month in a year that begins in March, so that the leap day is last. Source: Howard Hinnant.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000))
}

/// The call has no answer of the service.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// Certain not to have reached the service: refused, no instance, no place. By the proxy's `Proxy-Status`.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have reached the service: time out, reset, an answer cut short, a proxy that died.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Calls services.
pub trait HttpCaller: Send + Sync + 'static {
    /// Makes one attempt, no retry.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; the outcome is then unknown.
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>>;
}

/// A caller that can be handed round.
pub type SharedCaller = Arc<dyn HttpCaller>;
