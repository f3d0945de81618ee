//! Event streams on both surfaces. Who may see which families is decided by the caller of these functions.

use crate::problem::{Answer, Problem};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ondol_core::engine::{Order, Selector, Wanted};
use ondol_core::id::StreamName;
use ondol_core::unit::parse_duration;
use ondol_events::{CloudEvent, Page, Streams, expected_from_if_match};
use serde::Deserialize;
use std::time::Duration;

/// Events in one answer, where the client names no number, and at most.
const DEFAULT_LIMIT: u32 = 200;
const MAX_LIMIT: u32 = 1_000;

/// `GET /v1/streams/{name}?from=&limit=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    #[serde(default)]
    from: u64,
    limit: Option<u32>,
}

/// `GET /v1/all?after=&limit=&wait=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllQuery {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
    /// Such as `20s`: a long poll.
    wait: Option<String>,
}

pub(crate) async fn append(
    streams: &Streams,
    stream: &StreamName,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<Response> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let expected = expected_from_if_match(text(header::IF_MATCH))?;
    let events = CloudEvent::read_body(text(header::CONTENT_TYPE).unwrap_or_default(), body)?;
    let receipt = streams.append(stream, expected, events).await?;
    Ok((StatusCode::CREATED, axum::Json(receipt)).into_response())
}

pub(crate) async fn read(streams: &Streams, stream: &StreamName, query: &ReadQuery) -> Answer<Response> {
    Ok(page(
        streams
            .read(stream, query.from, Order::Ascending, limit(query.limit))
            .await?,
    ))
}

pub(crate) async fn all(streams: &Streams, families: Option<Vec<String>>, query: &AllQuery) -> Answer<Response> {
    let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration);
    let wait = wait.map_err(|error| Problem::bad_request(format!("wait: {error}")))?;
    let wanted = families.map_or(Wanted::All, |names| {
        Wanted::Any(names.into_iter().map(Selector::family).collect())
    });
    Ok(page(
        streams.follow(&wanted, query.after, limit(query.limit), wait).await?,
    ))
}

fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
}

fn page(page: Page) -> Response {
    let body: Bytes = page.to_json();
    let kind = HeaderValue::from_static("application/cloudevents-batch+json");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
