//! What an answer to a push means. Pure; the body is never read.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | done |
//! | 400, 409, 410, 413, 415, 422 | refused: the key is parked at once |
//! | 401, 403, 404, 405 | wrong configuration: the whole subscription waits |
//! | 429, 503 with `Retry-After`, not sent | the whole subscription waits |
//! | everything else | failed: again after a pause, counted |
//!
//! Tests: beside it.

use ondol_core::caller::{Answer, CallError};
use ondol_core::clock::Timestamp;
use std::time::Duration;

/// Longest reason kept, in characters.
const LONGEST_REASON: usize = 300;

/// What an attempt came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The event is done.
    Done,
    /// The service will never take it.
    Refused(String),
    /// It may pass another time.
    Failed {
        /// What was seen.
        why: String,
        /// The pause that was asked for.
        after: Option<Duration>,
    },
    /// Says nothing of this event: the service is not there, or wants to be left alone.
    Unreachable {
        /// What was seen.
        why: String,
        /// The pause that was asked for.
        after: Option<Duration>,
    },
    /// Says nothing of this event: the path or the rights are wrong.
    Misanswered(String),
    /// Nobody took it; not an attempt.
    Released,
}

impl Outcome {
    /// Its names, for metrics.
    pub(crate) const NAMES: [&'static str; 6] =
        ["done", "refused", "failed", "unreachable", "misconfigured", "released"];

    /// Its place in [`Outcome::NAMES`].
    pub(crate) const fn number(&self) -> usize {
        match self {
            Self::Done => 0,
            Self::Refused(_) => 1,
            Self::Failed { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::Misanswered(_) => 4,
            Self::Released => 5,
        }
    }
}

/// Reads an answer, or its absence. `now` turns a date in `Retry-After` into a span.
pub(crate) fn outcome(answer: Result<Answer, CallError>, now: Timestamp) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(CallError::NotSent(why)) => {
            return Outcome::Unreachable {
                why: short(&why),
                after: None,
            };
        }
        Err(CallError::Unknown(why)) => {
            return Outcome::Failed {
                why: short(&why),
                after: None,
            };
        }
    };
    let (after, why) = (answer.retry_after(now), format!("answered {}", answer.status));
    match answer.status.as_u16() {
        200..=299 => Outcome::Done,
        400 | 409 | 410 | 413 | 415 | 422 => Outcome::Refused(refusal(&answer, why)),
        401 | 403 | 404 | 405 => Outcome::Misanswered(why),
        429 => Outcome::Unreachable { why, after },
        503 if after.is_some() => Outcome::Unreachable { why, after },
        _ => Outcome::Failed { why, after },
    }
}

/// The status and the first line of what the service said about it, for whoever looks at the dead letter.
fn refusal(answer: &Answer, status: String) -> String {
    let head = &answer.body[..answer.body.len().min(4 * LONGEST_REASON)];
    let text = String::from_utf8_lossy(head);
    let said: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match said.trim() {
        "" => status,
        said => short(&format!("{status}: {said}")),
    }
}

/// A reason, cut.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode, header};

    fn answered(status: u16, retry_after: Option<&str>, body: &'static str) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, value.parse().expect("a header"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        let body = Bytes::from_static(body.as_bytes());
        outcome(Ok(Answer { status, headers, body }), Timestamp(0))
    }

    #[test]
    fn every_status_means_what_the_table_says() {
        for status in 200..600 {
            let claim = match status {
                200..=299 => 0,
                400 | 409 | 410 | 413 | 415 | 422 => 1,
                401 | 403 | 404 | 405 => 4,
                429 => 3,
                _ => 2,
            };
            assert_eq!(answered(status, None, "").number(), claim, "{status}");
        }
    }

    #[test]
    fn a_service_that_names_a_time_is_left_alone_until_then() {
        let after = Some(Duration::from_secs(7));
        let why = || "answered 503 Service Unavailable".to_owned();
        assert_eq!(answered(503, Some("7"), ""), Outcome::Unreachable { why: why(), after });
        assert_eq!(
            answered(503, Some("soon"), ""),
            Outcome::Failed {
                why: why(),
                after: None
            }
        );
        assert!(matches!(
            answered(500, Some("7"), ""),
            Outcome::Failed { after: Some(_), .. }
        ));
    }

    #[test]
    fn no_answer_is_told_apart_by_whether_it_was_sent() {
        let away = outcome(Err(CallError::NotSent("connection_refused".into())), Timestamp(0));
        assert!(matches!(away, Outcome::Unreachable { after: None, .. }));
        let lost = outcome(Err(CallError::Unknown("reset".into())), Timestamp(0));
        assert!(matches!(lost, Outcome::Failed { after: None, .. }));
    }

    #[test]
    fn a_refusal_says_what_the_service_said_and_no_more_than_fits() {
        let refused = answered(422, None, "{\"detail\":\n\"no such order\"}");
        let words = "answered 422 Unprocessable Entity: {\"detail\": \"no such order\"}";
        assert_eq!(refused, Outcome::Refused(words.into()));
        let long: &'static str = "주".repeat(2_000).leak();
        let Outcome::Refused(why) = answered(400, None, long) else {
            panic!("refused")
        };
        assert_eq!(why.chars().count(), LONGEST_REASON);
    }
}
