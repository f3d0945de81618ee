//! Publishing: events of the types that the service's manifest names, durable when the call returns.
//!
//! For what must be true together with a change in the service's own database use the outbox instead: between a commit and
//! a call to [`publish`] the process may die.
//!
//! ```no_run
//! use ondol_sdk::{Context, Event, Platform, publish};
//! # async fn handler(request: &http::HeaderMap) -> Result<(), Box<dyn std::error::Error>> {
//! let platform = Platform::from_environment()?; // Once, at start.
//! let event = Event::new("reading.taken.v1", serde_json::json!({ "celsius": 21.5 })).key("sensor-7");
//! publish(&platform, &[event], &Context::from_headers(request)).await?; // On disk when this returns.
//! # Ok(()) }
//! ```
//!
//! Tests: `conformance/sdk/cases/publish.json`.

use crate::context::Context;
use crate::event::{BadEvent, Data, Event};
use crate::platform::{Ask, Platform, PlatformError};
use crate::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value};
use std::time::Duration;

/// Events of one call, and bytes of its body: the platform's own bounds.
const MOST_EVENTS: usize = 1_000;
const LARGEST: usize = 4 << 20;

/// How events are written; all say the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Attributes are headers, the data is the body. One event.
    Binary,
    /// The CloudEvent is the body. One event.
    Structured,
    /// An array of CloudEvents is the body.
    Batch,
}

/// Where an event is in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// Its place in the log.
    pub position: u64,
    /// It was there before, with the same content.
    pub duplicate: bool,
}

/// Why nothing was published, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Ondol would not take it; nothing was sent.
    #[error(transparent)]
    Event(#[from] BadEvent),
    /// After [`PlatformError::Unavailable`] they may be there: publish the same events again.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// Publishes all or none. `context` is their cause, from which the platform fills correlation, causation and trace.
///
/// # Errors
/// [`PublishError`].
pub async fn publish(platform: &Platform, events: &[Event], context: &Context) -> Result<Vec<Published>, PublishError> {
    let mode = if events.len() == 1 {
        Mode::Structured
    } else {
        Mode::Batch
    };
    publish_as(mode, platform, events, context).await
}

/// The same for whoever must know how they are written.
///
/// # Errors
/// [`PublishError`].
pub async fn publish_as(
    mode: Mode,
    platform: &Platform,
    events: &[Event],
    context: &Context,
) -> Result<Vec<Published>, PublishError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    if events.len() > if mode == Mode::Batch { MOST_EVENTS } else { 1 } {
        return bad("events", "are more than one call takes: 1,000 as a batch, else one");
    }
    events.iter().try_for_each(Event::check)?;
    let (written, body) = write(mode, events, &platform.source());
    if body.len() > LARGEST {
        return bad("data", "makes the body larger than 4 MiB");
    }
    let mut headers = context.headers();
    headers.extend(written);
    let ask = Ask {
        method: Method::POST,
        path: "/v1/events",
        headers,
        body: body.into(),
        waits: Duration::ZERO,
    };
    let answer = platform.ask(ask).await?;
    let places = answer["events"]
        .as_array()
        .and_then(|all| all.iter().map(place).collect());
    let unreadable = || PlatformError::BadAnswer("expected the events' places".into());
    Ok(places.ok_or_else(unreadable)?)
}

fn bad<T>(attribute: &str, rule: &'static str) -> Result<T, PublishError> {
    let attribute = attribute.to_owned();
    Err(BadEvent { attribute, rule }.into())
}

fn place(one: &Value) -> Option<Published> {
    Some(Published {
        id: one["id"].as_str()?.to_owned(),
        position: one["position"].as_u64()?,
        duplicate: one["duplicate"].as_bool()?,
    })
}

fn write(mode: Mode, events: &[Event], source: &str) -> (HeaderMap, Vec<u8>) {
    let json = |event: &Event| Value::Object(structured(event, source));
    let (kind, body) = match (mode, events) {
        (Mode::Binary, [event]) => return binary(event, source),
        (Mode::Structured, [event]) => ("application/cloudevents+json", json(event)),
        _ => (
            "application/cloudevents-batch+json",
            Value::Array(events.iter().map(json).collect()),
        ),
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    (headers, body.to_string().into_bytes())
}

/// All that is said, by the names of CloudEvents, without content and its type.
fn attributes(event: &Event, source: &str) -> Map<String, Value> {
    let source = event.source.as_deref().unwrap_or(source);
    let named = [
        ("specversion", Some("1.0")),
        ("id", Some(&*event.id)),
        ("source", Some(source)),
        ("type", Some(&*event.kind)),
        ("subject", event.subject.as_deref()),
        ("partitionkey", event.key.as_deref()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
    named.chain(event.extensions.clone()).collect()
}

fn structured(event: &Event, source: &str) -> Map<String, Value> {
    let mut json = attributes(event, source);
    if let Some(kind) = &event.content_type {
        json.insert("datacontenttype".into(), Value::from(&**kind));
    }
    match &event.data {
        Data::Json(Value::Null) => None,
        Data::Json(data) => json.insert("data".into(), data.clone()),
        Data::Bytes(bytes) => json.insert("data_base64".into(), Value::from(STANDARD.encode(bytes))),
    };
    json
}

fn binary(event: &Event, source: &str) -> (HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::new();
    let kind = event.content_type.as_deref().unwrap_or("application/json");
    let attributes = attributes(event, source).into_iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("ce-{name}"), text::header(&value))
    });
    for (name, value) in attributes.chain([("content-type".to_owned(), kind.to_owned())]) {
        // Names and values were checked, and are encoded: none is left out.
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        if let Some((name, value)) = name.zip(HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    let body = match &event.data {
        Data::Json(Value::Null) => Vec::new(),
        Data::Json(data) => data.to_string().into_bytes(),
        Data::Bytes(bytes) => bytes.clone(),
    };
    (headers, body)
}
