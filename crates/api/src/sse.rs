//! Server-sent events of the log: `id:` is the position, `event:` the type, `data:` the CloudEvent.
//!
//! The body is made as the client takes it, so a slow client holds one page and nobody else waits for it; one that took
//! longer than [`PATIENCE`] for a page is cut and goes on by `Last-Event-ID`. While nothing happens a comment is sent
//! every [`HEARTBEAT`], so that both sides notice when the other has gone.
//!
//! Source: HTML Living Standard, section 9.2.

use crate::problem::{Answer, Problem};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use ondol_core::engine::Wanted;
use ondol_events::{EventsError, Page, Streams};
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;

const HEARTBEAT: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the client asks for a stream.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    let accepts = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut kinds = accepts
        .flat_map(|text| text.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim());
    kinds.any(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// Where the client left off.
pub(crate) fn last_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some)
        .ok_or_else(|| Problem::bad_request("Last-Event-ID: the position of an event is needed"))
}

/// An answer whose body is `stream`, marked as server-sent events.
pub(crate) fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

/// Where a stream stands.
struct Follower {
    streams: Streams,
    wanted: Wanted,
    after: u64,
    limit: u32,
    given: Option<Instant>,
}

/// Everything that is wanted after position `after`, without an end.
pub(crate) fn follow(streams: Streams, wanted: Wanted, after: u64, limit: u32) -> Response {
    let follower = Follower {
        streams,
        wanted,
        after,
        limit,
        given: None,
    };
    response(Body::from_stream(stream::try_unfold(
        follower,
        |mut follower| async move { Ok::<_, EventsError>(follower.next().await?.map(|chunk| (chunk, follower))) },
    )))
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Bytes>, EventsError> {
        if self.given.is_some_and(|given| given.elapsed() > PATIENCE) {
            return Ok(None);
        }
        // At once, so that the client knows that it is connected.
        let wait = if self.given.is_none() {
            Duration::ZERO
        } else {
            HEARTBEAT
        };
        let page = self.streams.follow(&self.wanted, self.after, self.limit, wait).await?;
        self.after = page.last_position().unwrap_or(self.after);
        self.given = Some(Instant::now());
        Ok(Some(chunk(&page)))
    }
}

/// A page as server-sent events; a comment when it is empty.
fn chunk(page: &Page) -> Bytes {
    if page.events.is_empty() {
        return Bytes::from_static(b":\n\n");
    }
    let mut out = Vec::with_capacity(page.events.iter().map(|stored| stored.event.body.len() + 256).sum());
    for stored in &page.events {
        // Neither a type nor the stored JSON may hold a line break: types hold no control characters, and JSON text
        // written by the platform escapes them; white space between the tokens of a producer's data may hold one.
        let _ = write!(out, "id: {}\nevent: {}\ndata: ", stored.position, stored.event.kind);
        let json = Page::event_json(stored);
        out.extend(
            json.iter()
                .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
        );
        out.extend_from_slice(b"\n\n");
    }
    out.into()
}
