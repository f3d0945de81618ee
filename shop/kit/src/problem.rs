//! Refusals as RFC 9457 problems. `reason` is the one word that a program decides by; a saga hands it to its starter.
//!
//! Statuses are chosen with sagas in mind: 400, 409 and 422 are definite, the saga gives up and undoes; 503 and 500 mean
//! that nothing is known, it tries again. So a business refusal is never a 5xx, and a full disk never a 4xx.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ondol_sdk::Answer;
use ondol_sdk::barrier::BarrierError;
use serde_json::{Map, Value, json};

use crate::trace;

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    reason: &'static str,
    title: Box<str>,
    members: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem with a status, a `reason` in snake case and a title for people.
    pub fn new(status: StatusCode, reason: &'static str, title: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            title: title.into().into_boxed_str(),
            members: Map::new(),
            retry_after: None,
        }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(reason: &'static str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, title)
    }

    /// 401: nobody has said who asks.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Sign in first")
    }

    /// 403: not this one.
    pub fn forbidden(title: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", title)
    }

    /// 404: no such thing.
    pub fn not_found(title: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", title)
    }

    /// 409: a business refusal, definite.
    pub fn conflict(reason: &'static str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, title)
    }

    /// 503: not now; `seconds` until it is worth trying again.
    pub fn unavailable(reason: &'static str, title: impl Into<String>, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, title)
        }
    }

    /// 500: our fault. The cause goes to the log with the trace id, never to the client.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        log_cause(cause, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here; it has been written down",
        )
    }

    /// Adds a member, such as `detail` or the thing's id.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds `Retry-After`, in seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The word that programs decide by.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// As an answer that a barrier or a key can keep.
    pub fn answer(&self) -> Answer {
        let mut body = json!({ "title": self.title, "status": self.status.as_u16(), "reason": self.reason });
        if let Value::Object(object) = &mut body {
            object.extend(self.members.clone());
        }
        Answer {
            status: self.status.as_u16(),
            body,
        }
    }
}

/// Sends an answer: problems as `application/problem+json`, the rest as JSON.
pub fn reply(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(answer.body)).into_response();
    if status.as_u16() >= 400 {
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = reply(self.answer());
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The database's failures are never definite: a full disk, a busy writer and a lost connection are 503, the rest 500.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if !passes(&error) {
            return Self::internal(&error);
        }
        log_cause(&error, "database not available");
        Self::unavailable("database_unavailable", "The database cannot be used at the moment", 1)
    }
}

impl From<BarrierError> for Problem {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Database(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

/// Whether trying again later may help. SQLite's primary codes: 5 busy, 6 locked, 10 I/O, 13 full. PostgreSQL's classes:
/// 08 connection, 40 rollback, 53 resources, 55 lock, 57 operator intervention.
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| match code.parse::<u32>() {
            Ok(sqlite) if code.len() != 5 => matches!(sqlite & 0xff, 5 | 6 | 10 | 13),
            _ => ["08", "40", "53", "55", "57"]
                .iter()
                .any(|class| code.starts_with(class)),
        }),
        _ => false,
    }
}

fn log_cause(cause: &(dyn std::error::Error + 'static), message: &'static str) {
    tracing::error!(trace_id = trace::id(), error = chain(cause), "{message}");
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_status_reason_and_members() {
        let answer = Problem::conflict("out_of_stock", "Not enough left")
            .with("product_id", "p01")
            .answer();
        let expected =
            json!({ "title": "Not enough left", "status": 409, "reason": "out_of_stock", "product_id": "p01" });
        assert_eq!((answer.status, answer.body), (409, expected));
    }

    #[test]
    fn a_lost_connection_is_tried_again_and_a_broken_statement_is_not() {
        assert!(passes(&sqlx::Error::PoolTimedOut));
        assert!(!passes(&sqlx::Error::RowNotFound));
        assert_eq!(
            Problem::from(sqlx::Error::PoolTimedOut).status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(
            Problem::from(sqlx::Error::RowNotFound).status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
}
