//! One reader's stream of server-sent events.
//!
//! Pulled by the connection: while the socket takes nothing, nothing is gathered. What a reader is owed waits in the
//! ring and with the supervisor, not here.

use super::Topic;
use super::frame::Frame;
use super::hub::{Live, Reader, encode};
use super::logs::{Follower, Wanted};
use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ondol_core::error::ErrorCode;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;

/// Without news a comment is sent, so that both ends see a connection that is dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two frames of log lines.
const LOG_PAUSE: Duration = Duration::from_millis(100);
/// Until every topic was looked at once.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Kept log lines at the beginning, where the reader names no number, and at most.
const TAIL: u32 = 500;
const MAX_TAIL: u32 = 5_000;

/// `GET /v1/live?topics=&logs=&tail=&after=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Names of topics, parted by commas.
    topics: Option<String>,
    /// A source of log lines: a service, an instance, a build, `proxy` or `controller`; `access/SERVICE` for
    /// the requests that a service answered.
    logs: Option<String>,
    /// So many kept lines first.
    tail: Option<u32>,
    /// Only kept lines after this number: a reader that comes back.
    after: Option<u64>,
}

impl Asked {
    fn topics(&self) -> Answer<Vec<Topic>> {
        let names = self
            .topics
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .filter(|name| !name.is_empty());
        let known = || Topic::ALL.map(Topic::name).join(", ");
        let one = |name: &str| {
            let found = Topic::ALL.into_iter().find(|topic| topic.name() == name);
            found.ok_or_else(|| Problem::bad_request(format!("there is no topic `{name}`; there are {}", known())))
        };
        let mut topics = names.map(one).collect::<Answer<Vec<_>>>()?;
        topics.sort();
        topics.dedup();
        Ok(topics)
    }
}

/// Server-sent events: snapshots of the topics, then what changes; with `logs` also the lines of one source.
#[utoipa::path(get, path = "/v1/live", tag = "live",
    params(("topics" = Option<String>, Query, description = "system, services, traffic, sagas, events, changes"),
        ("logs" = Option<String>, Query, description = "A source of log lines: a service, an instance, a build, `proxy` or `controller`; `access/SERVICE` for the requests that a service answered."), ("tail" = Option<u32>, Query, description = "So many kept lines first, at most 5,000 (= 500, with `after` 5,000)."),
        ("after" = Option<u64>, Query, description = "Only kept lines after this number."),
        ("last-event-id" = Option<String>, Header, description = "Goes on after this event, while it is kept.")),
    responses((status = 200, description = "A stream of `text/event-stream`."),
        (status = 503, description = "Too many follow.")))]
pub(crate) async fn live(State(api): State<Api>, Query(asked): Query<Asked>, headers: HeaderMap) -> Answer<Response> {
    let live = api.live.clone();
    let topics = asked.topics()?;
    let busy = || Problem {
        retry_after: Some(1),
        ..Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::new("AP-006"),
            "too many streams are open",
        )
    };
    let mut reader = live.join(topics).ok_or_else(busy)?;
    let lines = match asked.logs {
        None => None,
        Some(source) => {
            let usual = if asked.after.is_some() { MAX_TAIL } else { TAIL };
            let wanted = Wanted {
                source,
                tail: asked.tail.unwrap_or(usual).min(MAX_TAIL),
                after: asked.after,
            };
            Some(follow(&live, wanted).await?)
        }
    };
    // A store that is away must not keep the rest from being told.
    let _ = tokio::time::timeout(FIRST_LOOK, reader.fresh()).await;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let seen = last.and_then(|id| id.strip_prefix(live.life())?.strip_prefix('-')?.parse().ok());
    let mut stream = Stream {
        life: live.life().to_owned(),
        reader,
        lines,
        cursor: 0,
        begun: false,
        rests: false,
        n: 0,
    };
    if let Some(seen) = seen
        && stream.reader.after(seen).is_ok()
    {
        (stream.cursor, stream.begun) = (seen, true);
    }
    let chunks = stream::unfold(Some(stream), |stream| async move {
        let mut stream = stream?;
        let (chunk, goes_on) = stream.next().await;
        Some((Ok::<_, Infallible>(chunk), goes_on.then_some(stream)))
    });
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((fields, Body::from_stream(chunks)).into_response())
}

async fn follow(live: &Live, wanted: Wanted) -> Answer<Follower> {
    let (supervisor, access) = (live.ports().supervisor.clone(), live.ports().access.clone());
    let started = tokio::task::spawn_blocking(move || Follower::start(&supervisor, access, wanted)).await;
    let away = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("AP-007"), why);
    started
        .map_err(|error| away(error.to_string()))?
        .map_err(|error| away(error.to_string()))
}

struct Stream {
    life: String,
    reader: Reader,
    lines: Option<Follower>,
    /// The last frame that the reader has.
    cursor: u64,
    /// The snapshots are out.
    begun: bool,
    /// Lines were sent just now.
    rests: bool,
    /// Of the frames of log lines.
    n: u64,
}

impl Stream {
    /// The next bytes, and whether more will come.
    async fn next(&mut self) -> (Bytes, bool) {
        if !self.begun {
            self.begun = true;
            let (frames, last) = self.reader.snapshot();
            self.cursor = last;
            return (self.with_id(&frames), true);
        }
        if std::mem::take(&mut self.rests) {
            tokio::time::sleep(LOG_PAUSE).await;
        }
        let heartbeat = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(heartbeat);
        loop {
            let Ok((mut frames, last)) = self.reader.after(self.cursor) else {
                return (Bytes::from_static(b"event: cut\ndata: {}\n\n"), false);
            };
            self.cursor = last;
            let lines = self.lines.as_ref().map(Follower::take);
            if let Some(None) = lines {
                return (Bytes::from_static(b"event: cut\ndata: {}\n\n"), false);
            }
            let lines = lines.flatten().filter(|lines| !lines.is_empty());
            if let Some(items) = lines {
                self.rests = true;
                frames.push(self.log_frame(items));
            }
            if !frames.is_empty() {
                return (self.with_id(&frames), true);
            }
            let Self { reader, lines, .. } = self;
            let more_lines = async {
                match lines {
                    Some(lines) => lines.news().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = reader.news() => {}
                () = more_lines => {}
                () = &mut heartbeat => return (Bytes::from_static(b": still here\n\n"), true),
            }
        }
    }

    fn log_frame(&mut self, items: Vec<serde_json::Value>) -> Bytes {
        self.n += 1;
        // The first one replaces what a reader may still have.
        encode(
            "logs",
            &Frame {
                n: self.n,
                snapshot: self.n == 1,
                items,
                ..Frame::default()
            },
        )
    }

    fn with_id(&self, frames: &[Bytes]) -> Bytes {
        let mut out = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 32).sum());
        let id = format!("id: {}-{}\n", self.life, self.cursor);
        for (index, frame) in frames.iter().enumerate() {
            // Only the last one says how far the reader is: a connection that breaks in between repeats the others.
            if index + 1 == frames.len() {
                out.extend_from_slice(id.as_bytes());
            }
            out.extend_from_slice(frame);
        }
        out.into()
    }
}
