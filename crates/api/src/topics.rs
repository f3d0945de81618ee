//! Topics, streams and single events, for people.

use crate::events::{self, AllQuery, ReadQuery};
use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::HeaderMap;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{KindInfo, Order, Pattern, StoredEvent, Wanted};
use ondol_core::id::StreamName;
use ondol_events::Page;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Types in one list. Types come from manifests and from what services append; nobody has more.
const MAX_TOPICS: u32 = 10_000;
/// Effects of one event that are shown.
const MAX_EFFECTS: usize = 1_000;
/// Events of the flow behind it that are looked at for them.
const MAX_LOOKED_AT: usize = 10_000;
/// Events of one look.
const PAGE: u32 = 1_000;

/// A type of events.
#[derive(Default, Serialize)]
pub(crate) struct Topic {
    #[serde(rename = "type")]
    kind: String,
    /// Who publishes it; `null`: nobody by manifest, it is appended to streams.
    publisher: Option<String>,
    events: u64,
    last_position: Option<u64>,
    last_at: Option<Timestamp>,
    /// Subscriptions that may want it.
    subscriptions: Vec<String>,
}

/// Every type, by name.
#[derive(Serialize)]
pub(crate) struct Topics {
    topics: Vec<Topic>,
}

/// Types of events: declared, or found in the log; with counts, publisher and subscriptions.
#[utoipa::path(get, path = "/v1/topics", tag = "events", responses((status = 200, description = "Topics by name.")))]
pub(crate) async fn topics(State(api): State<Api>) -> Answer<Json<Topics>> {
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    for (kind, publisher) in api.publisher.topics().iter() {
        let topic = topics.entry(kind.to_owned()).or_default();
        topic.publisher = Some(publisher.to_string());
    }
    for KindInfo {
        kind,
        events,
        last_position,
        last_at,
    } in api.streams.kinds(None, MAX_TOPICS).await?
    {
        let topic = topics.entry(kind).or_default();
        (topic.events, topic.last_position, topic.last_at) = (events, Some(last_position), Some(last_at));
    }
    for subscription in api.subscriptions.configs() {
        let patterns: Vec<Pattern> = subscription.types.iter().map(|kind| Pattern::new(kind)).collect();
        for (kind, topic) in &mut topics {
            if patterns.iter().any(|pattern| pattern.matches(kind)) {
                topic.subscriptions.push(subscription.name.to_string());
            }
        }
    }
    let topics = topics
        .into_iter()
        .map(|(kind, topic)| Topic { kind, ..topic })
        .collect();
    Ok(Json(Topics { topics }))
}

/// Events of one type: after a position oldest first, else newest first.
#[utoipa::path(get, path = "/v1/topics/{type}/events", tag = "events",
    params(("type" = String, Path), ("before" = Option<u64>, Query), ("after" = Option<u64>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "CloudEvents with `stream`, `revision`, `position`.")))]
pub(crate) async fn topic_events(
    State(api): State<Api>,
    Path(kind): Path<String>,
    Query(query): Query<TopicQuery>,
) -> Answer<Response> {
    let query = AllQuery::of_type(kind, query.before, query.after, query.limit);
    events::all(&api.streams, &events::View::Everything, &query, &HeaderMap::new()).await
}

/// `GET /v1/topics/{type}/events?before=&after=&limit=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicQuery {
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<u32>,
}

/// `GET /v1/streams?prefix=&after=&limit=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamsQuery {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<u32>,
}

/// A stream.
#[derive(Serialize)]
pub(crate) struct Stream {
    name: StreamName,
    events: u64,
    last_at: Timestamp,
}

/// A page of streams by name.
#[derive(Serialize)]
pub(crate) struct Streams {
    streams: Vec<Stream>,
}

/// Streams whose name begins with a prefix, by name.
#[utoipa::path(get, path = "/v1/streams", tag = "events",
    params(("prefix" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page of streams; the last name goes on as `after`.")))]
pub(crate) async fn streams(State(api): State<Api>, Query(query): Query<StreamsQuery>) -> Answer<Json<Streams>> {
    let found = api
        .streams
        .streams(&query.prefix, query.after, events::limit(query.limit))
        .await?;
    let streams = found.into_iter().map(|info| Stream {
        name: info.stream,
        events: info.events,
        last_at: info.last_at,
    });
    Ok(Json(Streams {
        streams: streams.collect(),
    }))
}

/// A stream's events from a revision on, or back with `order=desc`.
#[utoipa::path(get, path = "/v1/streams/{name}", tag = "events",
    params(("name" = String, Path), ("from" = Option<u64>, Query), ("limit" = Option<u32>, Query),
        ("order" = Option<String>, Query, description = "`asc` or `desc`.")),
    responses((status = 200, description = "CloudEvents with `stream`, `revision`, `position`.")))]
pub(crate) async fn stream(
    State(api): State<Api>,
    Path(name): Path<StreamName>,
    Query(query): Query<ReadQuery>,
) -> Answer<Response> {
    events::read(&api.streams, &name, &query).await
}

/// The log: after a position (`wait` makes it a long poll), or before one, newest first. With
/// `Accept: text/event-stream` a stream of server-sent events, resumable by `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/all", tag = "events",
    params(("after" = Option<u64>, Query), ("before" = Option<u64>, Query), ("limit" = Option<u32>, Query),
        ("wait" = Option<String>, Query), ("types" = Option<String>, Query, description = "`order.*,user.registered.v1`."),
        ("order" = Option<String>, Query, description = "`asc` or `desc`.")),
    responses((status = 200, description = "CloudEvents with `stream`, `revision`, `position`.")))]
pub(crate) async fn all(State(api): State<Api>, Query(query): Query<AllQuery>, headers: HeaderMap) -> Answer<Response> {
    events::all(&api.streams, &events::View::Everything, &query, &headers).await
}

/// An event, what led to it, and what it led to.
#[derive(Serialize)]
pub(crate) struct Shown {
    event: Box<RawValue>,
    /// The event or the saga's call that caused it.
    causes: Vec<Link>,
    /// Events that name it as their cause.
    effects: Vec<Link>,
    /// There may be more effects: those of a great flow are not all looked for.
    truncated: bool,
    /// Where it stands with the subscriptions that want it.
    deliveries: Vec<ondol_events::subscription::view::Standing>,
}

/// One end of a cause.
#[derive(Serialize)]
pub(crate) struct Link {
    /// `event`, or `step`: a saga's call, by its key `SAGA.STEP.action`.
    kind: &'static str,
    id: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

impl Link {
    fn event(stored: &StoredEvent) -> Self {
        Self {
            kind: "event",
            id: stored.event.id.clone(),
            event_type: Some(stored.event.kind.clone()),
            position: Some(stored.position),
        }
    }
}

/// Id of what caused a stored event.
pub(crate) fn causation(stored: &StoredEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Cause {
        causationid: Option<String>,
    }
    serde_json::from_slice::<Cause>(&stored.event.body).ok()?.causationid
}

/// One event with its causes, its effects and its deliveries.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, description = "The event, `causes`, `effects`, `deliveries`."), (status = 404, description = "No such event.")))]
pub(crate) async fn event(State(api): State<Api>, Path(id): Path<String>) -> Answer<Json<Shown>> {
    let stored = api.streams.event(&id).await?;
    let stored = stored.ok_or_else(|| Problem::not_found(format!("there is no event {id:?}")))?;
    let (effects, truncated) = effects_of(&api, &stored).await?;
    let causes = match causation(&stored) {
        None => Vec::new(),
        Some(cause) => vec![cause_of(&api, &id, cause).await?],
    };
    let deliveries = api.subscriptions.standing(vec![stored.clone()]).await?;
    let json = String::from_utf8(Page::event_json(&stored)).unwrap_or_default();
    let event = RawValue::from_string(json).map_err(|error| Problem::unreadable(&id, &error))?;
    Ok(Json(Shown {
        event,
        causes,
        effects,
        truncated,
        deliveries,
    }))
}

/// What names the event as its cause; whether there may be more of it.
async fn effects_of(api: &Api, cause: &StoredEvent) -> Answer<(Vec<Link>, bool)> {
    let id = &cause.event.id;
    // An event that begins a flow is its name; effects stand behind it in the same flow.
    let flow = cause.event.correlation.as_ref().unwrap_or(id);
    let (mut effects, mut looked_at, mut after) = (Vec::new(), 0, cause.position);
    while effects.len() < MAX_EFFECTS && looked_at < MAX_LOOKED_AT {
        let wanted = Wanted::Correlation(flow.clone());
        let page = api.streams.log(wanted, after, Order::Ascending, PAGE).await?;
        // A page ends by its bytes too: only an empty one says that there is no more.
        let Some(last) = page.last_position() else {
            return Ok((effects, false));
        };
        (after, looked_at) = (last, looked_at + page.events.len());
        let caused = page.events.iter().filter(|other| causation(other).as_ref() == Some(id));
        effects.extend(caused.map(Link::event));
    }
    effects.truncate(MAX_EFFECTS);
    Ok((effects, true))
}

/// An event whose id is its own cause's is the first of a saga's call with that key.
async fn cause_of(api: &Api, id: &str, cause: String) -> Answer<Link> {
    let found = if cause == id {
        None
    } else {
        api.streams.event(&cause).await?
    };
    Ok(found.as_ref().map_or_else(
        || Link {
            kind: "step",
            id: cause,
            event_type: None,
            position: None,
        },
        Link::event,
    ))
}
