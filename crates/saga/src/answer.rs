//! What a participant's answer means, by the table of `docs/` that participants are written to. Pure.
//!
//! | answer | means |
//! |---|---|
//! | 2xx except 202 | done |
//! | 202, 425 | at work: ask at `Location`, else make the same call again |
//! | 400, 409, 422 | a definite business failure |
//! | 429, 503 with `Retry-After` | again at that time; in doubt |
//! | 408, 5xx, no answer | unknown: again after a pause; in doubt |
//! | every other | wrong configuration: a person must look |
//!
//! Tests: beside it.

use crate::machine::Outcome;
use crate::plan::PlannedStep;
use crate::state::Op;
use crate::template::descend;
use http::{HeaderMap, header};
use ondol_core::caller::{Answer, CallError};
use ondol_core::clock::Timestamp;
use serde_json::{Map, Value};

/// Most bytes kept of one answer, as JSON text; more parks the saga.
pub const MAX_KEPT: usize = 256 * 1024;
const MAX_LOCATION: usize = 2_048;
const MAX_REASON: usize = 200;

/// Reads one answer, or its absence. `now` turns a date in `Retry-After` into a span.
pub fn outcome(step: &PlannedStep, op: Op, answer: Result<Answer, CallError>, now: Timestamp) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(CallError::NotSent(why)) => return Outcome::NotSent(short(&why)),
        Err(CallError::Unknown(why)) => {
            return Outcome::Unknown {
                why: short(&why),
                after: None,
            };
        }
    };
    let after = || answer.retry_after(now);
    match answer.status.as_u16() {
        202 | 425 => Outcome::Running {
            poll: location(&answer.headers),
            after: after(),
        },
        200..=299 if op == Op::Compensate || step.needs.is_empty() => Outcome::Done(Map::new()),
        200..=299 => match serde_json::from_slice(&answer.body) {
            Ok(value) => extract(&step.needs, &value).map_or_else(Outcome::Unusable, Outcome::Done),
            Err(error) => Outcome::Unusable(format!("the answer is no JSON: {error}")),
        },
        400 | 409 | 422 => Outcome::Failed(reason(&answer)),
        408 | 429 | 500..=599 => Outcome::Unknown {
            why: answer.status.as_str().to_owned(),
            after: after(),
        },
        _ => Outcome::Misconfigured(format!("{}: {}", answer.status.as_u16(), reason(&answer))),
    }
}

/// The fields that are named anywhere, by dotted path.
///
/// # Errors
/// The first field that is not there, or how far the whole is too large.
pub fn extract(needs: &[(Vec<String>, String)], value: &Value) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    let mut size = 0;
    for (path, dotted) in needs {
        let found =
            descend(value, path).ok_or_else(|| format!("the answer lacks `{dotted}`, which is needed later"))?;
        // Only what can be long is measured by its text.
        size += if found.is_number() || found.is_boolean() {
            8
        } else {
            found.to_string().len()
        };
        out.insert(dotted.clone(), found.clone());
    }
    if size > MAX_KEPT {
        Err(format!(
            "the needed fields have {size} bytes; at most {MAX_KEPT} are kept"
        ))
    } else {
        Ok(out)
    }
}

/// The member `reason` of a problem document, else the status.
fn reason(answer: &Answer) -> String {
    let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let reason = problem
        .as_ref()
        .and_then(|problem| problem.get("reason"))
        .and_then(Value::as_str);
    reason
        .filter(|reason| !reason.is_empty())
        .map_or_else(|| answer.status.as_str().to_owned(), short)
}

fn short(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// A path at the same service. Another host is not followed: the saga calls services by name only.
fn location(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::LOCATION)?.to_str().ok()?;
    let path = match text.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => text,
    };
    let fits =
        path.starts_with('/') && !path.starts_with("//") && path.len() <= MAX_LOCATION && !path.contains(['#', ' ']);
    fits.then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
