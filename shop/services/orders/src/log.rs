//! The truth: one event stream for each order, kept by Ondol and asked for over HTTP.
//!
//! | call | for |
//! |---|---|
//! | `POST /v1/streams/order-ID/events` with `If-Match` | append, if nobody else has in the meantime |
//! | `GET /v1/streams/order-ID?from=` | everything about one order |
//! | `GET /v1/all?after=&limit=&wait=` | everything about all orders, in order, for the read model |
//!
//! Invariant: an answer that is lost may have been an append. Whoever gets [`LogError::Away`] does not know; the same append
//! again is safe, because the log knows the first event's id.
//!
//! Tests: `tests/http/`, against a small log server with the same rules.

use crate::event::{Event, Stored, Unreadable};
use crate::order::second_id;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{CallError, Client};
use std::time::Duration;

/// One call of the log, but a long poll. Less than a saga step's 5 s, so that its caller hears why.
const LIMIT: Duration = Duration::from_secs(4);
/// How much later than the asked wait a long poll's answer may come.
const GRACE: Duration = Duration::from_secs(5);
/// Events in one page, and so in one transaction of the read model.
const PAGE: u32 = 200;
/// In every event's `source`.
const SOURCE: &str = "/services/orders";

/// Why the log could not be read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No answer, or one that says "later". Whether an append happened is unknown.
    #[error("the event log does not answer")]
    Away(#[from] CallError),
    /// It refuses: a wrong token, a full disk, a bug.
    #[error("the event log answered {status} to {call}")]
    Refused {
        /// What was asked.
        call: String,
        /// Its status.
        status: StatusCode,
    },
    /// The stream is not at the expected revision: somebody else appended.
    #[error("the stream of order {0} has moved on")]
    Moved(String),
    /// A stored event that this version cannot read.
    #[error("event {id}")]
    Event {
        /// Its id.
        id: String,
        /// Why.
        source: Unreadable,
    },
    /// The answer is not what the contract says.
    #[error("the answer to {call} does not fit")]
    Answer {
        /// What was asked.
        call: String,
        /// Where it does not.
        source: serde_json::Error,
    },
}

/// The call that an append is made for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cause {
    /// Its `Idempotency-Key`: the first event's id.
    pub key: String,
    /// Its place in a trace.
    pub traceparent: Option<String>,
}

/// What an append came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Receipt {
    /// Of the last event, in the log of all events.
    pub position: u64,
    /// Of the first event, in the log of all events.
    pub first_position: u64,
    /// It was appended before; the stream holds what was appended then.
    pub duplicate: bool,
}

/// An entry of the log of all events.
#[derive(Debug)]
pub struct Entry {
    /// Its place.
    pub position: u64,
    /// Which order, and what happened; an error when this version cannot read it.
    pub event: Result<(String, Stored), LogError>,
}

/// A CloudEvent as the log gives it.
#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    time: jiff::Timestamp,
    #[serde(default)]
    data: Value,
    stream: String,
    revision: u64,
    position: u64,
}

impl Wire {
    fn stored(self) -> Result<Stored, LogError> {
        let Self {
            id,
            kind,
            time,
            data,
            revision,
            position,
            ..
        } = self;
        match Event::read(&kind, data) {
            Ok(event) => Ok(Stored {
                id,
                revision,
                position,
                at: time,
                event,
            }),
            Err(source) => Err(LogError::Event { id, source }),
        }
    }
}

/// The log. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Log {
    client: Client,
}

impl Log {
    /// At `ONDOL_URL`, as the service whose token the client bears.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Everything that happened to an order; empty when there is no such order.
    ///
    /// # Errors
    /// [`LogError`], but never [`LogError::Moved`].
    pub async fn read(&self, order: &str) -> Result<Vec<Stored>, LogError> {
        let path = format!("/v1/streams/order-{order}?from=0");
        let response = self.get(&path, LIMIT).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        decode::<Vec<Wire>>(path, &response)?
            .into_iter()
            .map(Wire::stored)
            .collect()
    }

    /// Everything that happened after `position` to any order. Waits up to `wait` when that is nothing yet; may then still
    /// be nothing.
    ///
    /// # Errors
    /// [`LogError`], but never [`LogError::Moved`].
    pub async fn after(&self, position: u64, wait: Duration) -> Result<Vec<Entry>, LogError> {
        let path = format!("/v1/all?after={position}&limit={PAGE}&wait={}s", wait.as_secs());
        let response = self.get(&path, wait + GRACE).await?;
        let entry = |wire: Wire| {
            let order = wire.stream.strip_prefix("order-").unwrap_or(&wire.stream).to_owned();
            Entry {
                position: wire.position,
                event: wire.stored().map(|stored| (order, stored)),
            }
        };
        Ok(decode::<Vec<Wire>>(path, &response)?.into_iter().map(entry).collect())
    }

    /// Appends `events` to an order whose last event has revision `last` (`None`: there is none yet), all or none.
    ///
    /// # Errors
    /// [`LogError::Moved`]: nothing was appended. [`LogError::Away`]: unknown, append the same again.
    pub async fn append(
        &self,
        order: &str,
        last: Option<u64>,
        cause: &Cause,
        events: &[Event],
    ) -> Result<Receipt, LogError> {
        let path = format!("/v1/streams/order-{order}/events");
        let batch = batch(order, cause, events).map_err(|source| LogError::Answer {
            call: path.clone(),
            source,
        })?;
        let expected = last.map_or_else(|| "\"no-stream\"".to_owned(), |revision| format!("\"{revision}\""));
        let request = Request::post(&path)
            .header(header::CONTENT_TYPE, "application/cloudevents-batch+json")
            .header(header::IF_MATCH, expected)
            // The events' own ids make a repeat safe; the key tells the mesh so.
            .header("idempotency-key", format!("\"{}\"", cause.key))
            .body(Bytes::from(batch))
            .map_err(|_| CallError::BadPath(path.clone()))?;
        let response = self.client.send(request, LIMIT).await?;
        match response.status() {
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Err(LogError::Moved(order.to_owned())),
            _ => decode(path, &response),
        }
    }

    async fn get(&self, path: &str, limit: Duration) -> Result<Response<Bytes>, LogError> {
        let request = Request::get(path)
            .body(Bytes::new())
            .map_err(|_| CallError::BadPath(path.to_owned()))?;
        Ok(self.client.send(request, limit).await?)
    }
}

fn decode<T: for<'de> Deserialize<'de>>(call: String, response: &Response<Bytes>) -> Result<T, LogError> {
    if !response.status().is_success() {
        return Err(LogError::Refused {
            call,
            status: response.status(),
        });
    }
    serde_json::from_slice(response.body()).map_err(|source| LogError::Answer { call, source })
}

/// The events as CloudEvents. Their ids come from the call's key, so the same call makes the same ids. The flow that they
/// belong to, and their cause, stand in the call's baggage: the log takes them from there.
fn batch(order: &str, cause: &Cause, events: &[Event]) -> Result<Vec<u8>, serde_json::Error> {
    let mut batch = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let id = if index == 0 {
            cause.key.clone()
        } else {
            second_id(&cause.key)
        };
        let mut cloud = json!({
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": event.kind(),
            "subject": order,
            "time": jiff::Timestamp::now().to_string(),
            "datacontenttype": "application/json",
            "partitionkey": order,
            "data": event.data()?,
        });
        if let Some(parent) = &cause.traceparent {
            cloud["traceparent"] = json!(parent);
        }
        batch.push(cloud);
    }
    serde_json::to_vec(&batch)
}
