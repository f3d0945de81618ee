//! Pulled subscriptions, for the services that own them: pull, acknowledge, give back, and the same as a stream.

use crate::problem::{Answer, Problem};
use crate::service::caller;
use crate::sse;
use crate::state::Api;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use ondol_core::unit::parse_duration;
use ondol_events::subscription::{Leased, Settled, SubscriptionError, SubscriptionName, Subscriptions, Verdict};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::time::Duration;

/// Events of one pull where the client names no number.
const DEFAULT_LIMIT: u32 = 100;
/// Leased events of one piece of a stream; as many are in flight before the service has acknowledged any.
const STREAMED: usize = 64;
/// A stream says so often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The paths under `/v1/subscriptions/{name}`, where the name is the short one.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/subscriptions/{name}/pull", post(pull))
        .route("/v1/subscriptions/{name}/ack", post(ack))
        .route("/v1/subscriptions/{name}/nack", post(nack))
        .route("/v1/subscriptions/{name}/stream", get(follow))
}

/// The calling service's own subscription of this name.
fn own(api: &Api, headers: &HeaderMap, name: String) -> Answer<SubscriptionName> {
    let service = caller(api, headers)?.service.clone();
    Ok(SubscriptionName { service, name })
}

/// `{"limit": 10, "wait": "20s", "lease": "30s"}`, all of it optional.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PullBody {
    limit: Option<u32>,
    wait: Option<String>,
    lease: Option<String>,
}

/// What was pulled.
#[derive(Serialize)]
struct Pulled {
    events: Vec<Leased>,
}

async fn pull(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<Json<Pulled>> {
    let (name, body) = (own(&api, &headers, name)?, body::<PullBody>(&bytes)?);
    let wait = span("wait", body.wait.as_deref())?.unwrap_or_default();
    let lease = span("lease", body.lease.as_deref())?;
    let limit = body.limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let events = api.subscriptions.pull(&name, limit, wait, lease).await?;
    Ok(Json(Pulled { events }))
}

/// `{"leases": ["7.42"]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckBody {
    leases: Vec<String>,
}

async fn ack(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<Json<Settled>> {
    let (name, body) = (own(&api, &headers, name)?, body::<AckBody>(&bytes)?);
    Ok(Json(api.subscriptions.settle(&name, body.leases, Verdict::Ack).await?))
}

/// `{"leases": ["7.42"], "delay": "5s", "reject": false, "reason": "…"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NackBody {
    leases: Vec<String>,
    delay: Option<String>,
    #[serde(default)]
    reject: bool,
    #[serde(default)]
    reason: String,
}

async fn nack(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<Json<Settled>> {
    let (name, body) = (own(&api, &headers, name)?, body::<NackBody>(&bytes)?);
    let (delay, reject, reason) = (span("delay", body.delay.as_deref())?, body.reject, body.reason);
    let reason = if reason.is_empty() {
        "given back by the service".to_owned()
    } else {
        reason
    };
    let verdict = Verdict::Nack { delay, reject, reason };
    Ok(Json(api.subscriptions.settle(&name, body.leases, verdict).await?))
}

/// `GET …/stream?lease=30s`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    lease: Option<String>,
}

/// Leased events as they come: `id:` is the lease, `event:` the type, `data:` what a pull gives. A client that goes away
/// leaves what it has not acknowledged to the end of its lease.
async fn follow(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let (name, lease) = (own(&api, &headers, name)?, span("lease", query.lease.as_deref())?);
    // Asked once before the head is out, so that a subscription that cannot be pulled is a clear error.
    let first = api.subscriptions.pull(&name, STREAMED, Duration::ZERO, lease).await?;
    let start = (api.subscriptions.clone(), name, Some(first));
    let pieces = stream::try_unfold(start, move |(subscriptions, name, first)| async move {
        let leased = match first {
            Some(first) => first,
            None => wait(&subscriptions, &name, lease).await?,
        };
        Ok::<_, SubscriptionError>(Some((piece(&leased), (subscriptions, name, None))))
    });
    Ok(sse::response(Body::from_stream(pieces)))
}

async fn wait(
    subscriptions: &Subscriptions,
    name: &SubscriptionName,
    lease: Option<Duration>,
) -> Result<Vec<Leased>, SubscriptionError> {
    subscriptions.pull(name, STREAMED, HEARTBEAT, lease).await
}

fn piece(leased: &[Leased]) -> Bytes {
    if leased.is_empty() {
        return Bytes::from_static(b":\n\n");
    }
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    let mut out = Vec::new();
    for one in leased {
        let kind = serde_json::from_str::<Typed>(one.event.get())
            .map(|typed| typed.kind)
            .unwrap_or_default();
        let lease = &one.lease;
        let _ = write!(
            out,
            "id: {lease}\nevent: {kind}\ndata: {{\"lease\":\"{lease}\",\"event\":"
        );
        // White space between the tokens of a producer's data may hold a line break, which would end the field.
        let event = one.event.get().bytes();
        out.extend(event.map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        out.extend_from_slice(b"}\n\n");
    }
    out.into()
}

fn span(name: &str, text: Option<&str>) -> Answer<Option<Duration>> {
    let span = text.map(parse_duration).transpose();
    span.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
}

/// Reads a body that may be absent.
fn body<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Answer<T> {
    let bytes = if bytes.is_empty() { b"{}".as_slice() } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn a_leased_event_is_one_field_whatever_its_data_holds() {
        let event = RawValue::from_string("{\"type\":\"a.v1\",\n\"data\":\"x\\n\"}".into()).expect("JSON");
        let text = piece(&[Leased {
            lease: "7.42".into(),
            event,
        }]);
        let claim =
            "id: 7.42\nevent: a.v1\ndata: {\"lease\":\"7.42\",\"event\":{\"type\":\"a.v1\", \"data\":\"x\\n\"}}\n\n";
        assert_eq!(std::str::from_utf8(&text), Ok(claim));
        assert_eq!(&*piece(&[]), b":\n\n");
    }

    #[test]
    fn bodies_may_be_absent_but_not_odd() {
        assert_eq!(body::<PullBody>(&Bytes::new()).map(|body| body.limit).ok(), Some(None));
        assert!(body::<PullBody>(&Bytes::from_static(br#"{"limits":1}"#)).is_err());
        assert!(body::<AckBody>(&Bytes::new()).is_err());
        assert!(span("wait", Some("5")).is_err());
    }
}
