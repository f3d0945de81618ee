//! What a start says and gets, and the checks before anything is written. Pure; the waiting is in `handle.rs`.
//!
//! Tests: beside it and in `tests/engine.rs`.

mod refusal;

use crate::plan::{Plan, hex};
use crate::record::{Auth, FinalAnswer};
use crate::template::{self, Claim, Source};
use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ondol_core::error::ErrorCode;
use ondol_core::id::{SagaId, SagaName};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

pub(crate) use refusal::Refusal;

/// Largest body of a start, bytes.
pub const MAX_INPUT: usize = 1024 * 1024;
/// Longest start key, bytes.
pub const MAX_KEY: usize = 255;
/// Longest `wait`.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// A wish to start a saga, or to join the one that the same key started.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Which definition.
    pub saga: SagaName,
    /// What the key is unique in: [`scope`] of issuer, subject and route, or of the service that starts.
    pub scope: String,
    /// The header `Idempotency-Key` as it came, bare or quoted.
    pub key: Option<String>,
    /// Without a key the start is refused.
    pub key_required: bool,
    /// JSON as it came; empty is `null`. The same key with other bytes is refused.
    pub body: Bytes,
    /// Who starts, where the route verified it.
    pub auth: Option<Auth>,
    /// The correlation id that the request brought; else the saga's id is used.
    pub correlation: Option<String>,
    /// Id of the event or call that led to it.
    pub causation: Option<String>,
    /// The header `traceparent`.
    pub traceparent: Option<String>,
    /// How long to wait for the end, at most [`MAX_WAIT`].
    pub wait: Duration,
}

/// Joins the parts that scope a key, so that no two lists of parts give the same text.
pub fn scope(parts: &[&str]) -> String {
    parts
        .iter()
        .map(|part| format!("{}:{part}", part.len()))
        .collect::<Vec<_>>()
        .join(",")
}

/// The HTTP answer to a start.
#[derive(Clone, Debug)]
pub struct StartAnswer {
    /// Status.
    pub status: StatusCode,
    /// `Content-Type`, `Location`, `Retry-After`.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
    /// The saga that was started or joined.
    pub saga: Option<SagaId>,
    /// Of a refusal; also a member of the body.
    pub code: Option<ErrorCode>,
}

impl StartAnswer {
    pub(crate) fn rendered(answer: &FinalAnswer, saga: SagaId) -> Self {
        let mut headers = HeaderMap::with_capacity(2);
        put(&mut headers, header::CONTENT_TYPE, &answer.content_type);
        if let Some(location) = &answer.location {
            put(&mut headers, header::LOCATION, location);
        }
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            headers,
            body: Bytes::from(answer.body.clone()),
            saga: Some(saga),
            code: None,
        }
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A key's row, and the body's hash that it must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyRow {
    pub(crate) key: String,
    pub(crate) body: String,
}

/// The row of the request's key. `None`: there is no key, and none is needed.
pub(crate) fn key_row(request: &StartRequest) -> Result<Option<KeyRow>, Refusal> {
    let Some(header) = &request.key else {
        let detail = "send a header Idempotency-Key; the same key always leads to the same saga";
        let refusal = Refusal::new(
            ErrorCode::new("SG-004"),
            StatusCode::BAD_REQUEST,
            "Idempotency-Key is missing",
            detail,
        );
        return if request.key_required { Err(refusal) } else { Ok(None) };
    };
    let key = parse_key(header).ok_or_else(|| {
        let detail =
            format!("an Idempotency-Key is 1 to {MAX_KEY} visible ASCII characters, bare or as a quoted string");
        Refusal::new(
            ErrorCode::new("SG-005"),
            StatusCode::BAD_REQUEST,
            "Idempotency-Key is malformed",
            detail,
        )
    })?;
    // Both parts may be long, and a row's key is bounded; the length keeps them apart.
    let mut context = Context::new(&SHA256);
    context.update(&(request.scope.len() as u64).to_le_bytes());
    context.update(request.scope.as_bytes());
    context.update(key.as_bytes());
    let body = hex(digest(&SHA256, &request.body).as_ref());
    Ok(Some(KeyRow {
        key: hex(context.finish().as_ref()),
        body,
    }))
}

/// `abc` or `"abc"` (a string of RFC 9651, with `\"` and `\\`).
fn parse_key(header: &str) -> Option<Cow<'_, str>> {
    let header = header.trim_matches([' ', '\t']);
    let key = match header.strip_prefix('"') {
        None => Cow::Borrowed(header),
        Some(rest) => {
            let inner = rest.strip_suffix('"')?;
            let mut key = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(char) = chars.next() {
                match char {
                    '"' => return None,
                    '\\' => key.push(chars.next().filter(|next| matches!(next, '"' | '\\'))?),
                    _ => key.push(char),
                }
            }
            Cow::Owned(key)
        }
    };
    let visible = |b: u8| (0x21..=0x7e).contains(&b) || (b == b' ' && header.starts_with('"'));
    ((1..=MAX_KEY).contains(&key.len()) && key.bytes().all(visible)).then_some(key)
}

/// The body as JSON that fits the plan.
pub(crate) fn input(plan: &Plan, request: &StartRequest) -> Result<Value, Refusal> {
    if request.body.len() > MAX_INPUT {
        let detail = format!(
            "the body has {} bytes; at most {MAX_INPUT} start a saga",
            request.body.len()
        );
        return Err(Refusal::too_large(detail));
    }
    let input = match request.body.as_ref() {
        b"" => Value::Null,
        text => serde_json::from_slice(text)
            .map_err(|error| Refusal::no_fit("", format!("the body is no JSON: {error}")))?,
    };
    if plan.uses_auth && request.auth.is_none() {
        return Err(Refusal::no_fit(
            "",
            "this saga names who starts it, so only a route with `auth` may start it",
        ));
    }
    plan.check_input(&input)
        .map_err(|(pointer, why)| Refusal::no_fit(pointer, why))?;
    for (reference, in_path) in &plan.scalars {
        let auth = request.auth.as_ref();
        let value = match reference.source {
            Source::Input => template::descend(&input, &reference.path).cloned(),
            Source::Auth(Claim::Sub) => auth.map(|auth| auth.subject.as_str().into()),
            Source::Auth(Claim::Scope) => auth.map(|auth| auth.scope.as_str().into()),
            _ => None,
        };
        let fits = match &value {
            Some(Value::String(text)) => !in_path || !matches!(text.as_str(), "" | "." | ".."),
            Some(Value::Number(_) | Value::Bool(_)) => true,
            _ => false,
        };
        if !fits {
            let pointer: String = reference.path.iter().map(|field| format!("/{field}")).collect();
            return Err(Refusal::no_fit(
                pointer,
                format!("`{reference}` must be a text or a number that fits its place"),
            ));
        }
    }
    Ok(input)
}

/// A usable correlation id: at most 128 visible characters.
pub(crate) fn correlation(given: Option<&str>) -> Option<&str> {
    given.filter(|text| (1..=128).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7e).contains(&b)))
}

/// A usable `traceparent` (W3C Trace Context, section 3.2): the four known parts, no id of zeros.
pub(crate) fn traceparent(given: Option<&str>) -> Option<&str> {
    given.filter(|text| {
        let parts: Vec<&str> = text.split('-').collect();
        let hex = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let zeros = |part: &str| part.bytes().all(|b| b == b'0');
        matches!(parts.as_slice(), [version, trace, span, flags]
            if hex(version, 2) && *version != "ff" && hex(trace, 32) && !zeros(trace) && hex(span, 16) && !zeros(span) && hex(flags, 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_and_a_quoted_key_are_the_same_key() {
        for (given, key) in [
            ("abc", Some("abc")),
            ("\"abc\"", Some("abc")),
            (" a-1 ", Some("a-1")),
            (r#""a\"b\\""#, Some(r#"a"b\"#)),
            ("\"a b\"", Some("a b")),
        ] {
            assert_eq!(parse_key(given).as_deref(), key, "{given}");
        }
        for given in [
            "",
            "\"\"",
            "a b",
            "\"a",
            "\"a\"b\"",
            "é",
            "\"a\\x\"",
            "a\u{7f}",
            &"k".repeat(256),
        ] {
            assert_eq!(parse_key(given), None, "{given}");
        }
    }

    #[test]
    fn scopes_of_different_parts_never_meet() {
        assert_ne!(scope(&["a", "b,c"]), scope(&["a,b", "c"]));
        assert_ne!(scope(&["ab", ""]), scope(&["a", "b"]));
    }

    #[test]
    fn only_a_well_formed_trace_is_passed_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(Some(good)), Some(good));
        for bad in [
            "",
            "00-4bf9-00f0-01",
            &good.to_uppercase(),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &format!("{good}-x"),
        ] {
            assert_eq!(traceparent(Some(bad)), None, "{bad}");
        }
    }
}
