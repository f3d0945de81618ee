//! The port through which sagas and pushes call services: through the proxy, as the built-in caller `ondol`.

use crate::BoxFuture;
use crate::clock::Timestamp;
use crate::http_date;
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
    /// The pause that `Retry-After` asks for; see [`http_date::retry_after`].
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        http_date::retry_after(self.headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
    }
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
