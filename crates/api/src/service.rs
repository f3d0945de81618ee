//! The service API: what a service reaches at `ONDOL_URL`, and the gateway for routes that start a saga.
//!
//! It listens on a Unix socket that only the proxy opens. On a service's edge the proxy sets `Ondol-Caller`; then the
//! bearer token must be that service's own, and it may do only what its manifest names. Without `Ondol-Caller` the
//! request comes from the gateway, which strips every `Ondol-*` header from outside and sends nothing here but starts.

use crate::events::{self, AllQuery, ReadQuery};
use crate::outboxes;
use crate::problem::{self, Answer, Problem};
use crate::pulls;
use crate::state::Api;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ondol_core::id::{RouteName, SagaName, StreamName};
use ondol_core::unit::parse_duration;
use ondol_core::wire::proxy::Action;
use ondol_deploy::config::{ServicePlan, SystemPlan};
use ondol_events::{CloudEvent, Context};
use ondol_saga::record::Auth;
use ondol_saga::start::scope;
use ondol_saga::{StartAnswer, StartRequest};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// 1,000 events of the largest size would be more; a batch of this many bytes is refused.
const MAX_BODY: usize = 4 << 20;

/// The router of the service API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/starts/{route}", post(start_by_route))
        .route("/v1/sagas", post(start_by_service))
        .route("/v1/streams/{name}/events", post(append))
        .route("/v1/streams/{name}", get(read))
        .route("/v1/all", get(all))
        .route("/v1/events", post(publish))
        .route("/v1/outbox", get(outboxes::own))
        .merge(pulls::routes())
        .fallback(|| async { Problem::not_found("there is nothing at this path of the service API") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(problem::complete))
        .with_state(api)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The plan of the service that calls. A look into the system's and no copy: plans are large, and every event that is
/// published asks.
pub(crate) struct Caller {
    system: Arc<SystemPlan>,
    index: usize,
}

impl Deref for Caller {
    type Target = ServicePlan;

    fn deref(&self) -> &ServicePlan {
        &self.system.services[self.index]
    }
}

/// The service that calls, proved by its token.
pub(crate) fn caller(api: &Api, headers: &HeaderMap) -> Answer<Caller> {
    let edge = text(headers, "ondol-caller").ok_or_else(|| Problem::forbidden("this path is for services"))?;
    let token = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer $ONDOL_TOKEN`"))?;
    let service = api
        .tokens
        .verify(token)
        .ok_or_else(|| Problem::unauthorized("this token is of no service here"))?;
    if service.as_str() != edge {
        return Err(Problem::forbidden(format!(
            "this is the token of {service}, but the caller is {edge}"
        )));
    }
    let system = api.deploy.plan();
    let index = system.services.iter().position(|plan| plan.service == service);
    let index = index.ok_or_else(|| Problem::forbidden(format!("service {service} is not declared any more")))?;
    Ok(Caller { system, index })
}

/// The stream, if the service owns its family.
fn owned(service: &Caller, stream: &str) -> Answer<StreamName> {
    let stream = StreamName::new(stream).map_err(|error| Problem::bad_request(error.to_string()))?;
    let topic = stream.family() == ondol_events::FAMILY;
    if !topic && service.streams.iter().any(|family| family == stream.family()) {
        return Ok(stream);
    }
    let (name, family) = (&service.service, stream.family());
    Err(Problem::forbidden(format!(
        "{name} does not own the streams {family}-*; its service.yaml names them in `streams:`"
    )))
}

async fn append(
    State(api): State<Api>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let service = caller(&api, &headers)?;
    let stream = owned(&service, &stream)?;
    events::append(&api.publisher, &service.service, &stream, &headers, &body).await
}

async fn read(
    State(api): State<Api>,
    Path(stream): Path<String>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let stream = owned(&caller(&api, &headers)?, &stream)?;
    events::read(&api.streams, &stream, &query).await
}

/// Only events that the service may see: of its own families, and of types that it publishes or subscribes to.
async fn all(State(api): State<Api>, Query(query): Query<AllQuery>, headers: HeaderMap) -> Answer<Response> {
    let service = caller(&api, &headers)?;
    let view = events::View::of(&api, &service);
    events::all(&api.streams, &view, &query, &headers).await
}

async fn publish(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let service = caller(&api, &headers)?;
    let events = CloudEvent::read_request(&headers, &body)?;
    let published = api
        .publisher
        .publish(&service.service, &Context::of(&headers), events)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(json!({ "events": published }))).into_response())
}

/// `POST /v1/sagas`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceStart {
    saga: SagaName,
    key: String,
    input: Box<RawValue>,
    /// Such as `5s`.
    wait: Option<String>,
}

async fn start_by_service(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let service = caller(&api, &headers)?;
    let start: ServiceStart =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    if !service.sagas.contains(&start.saga) {
        let (name, saga) = (&service.service, &start.saga);
        return Err(Problem::forbidden(format!(
            "{name} does not own the saga {saga}; its service.yaml names them in `sagas:`"
        )));
    }
    let wait = start.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration);
    let context = Context::of(&headers);
    let request = StartRequest {
        saga: start.saga,
        scope: scope(&["service", service.service.as_str()]),
        key: Some(start.key),
        key_required: true,
        body: Bytes::copy_from_slice(start.input.get().as_bytes()),
        auth: None,
        correlation: context.correlation,
        causation: context.causation,
        traceparent: context.traceparent,
        wait: wait.map_err(|error| Problem::bad_request(format!("wait: {error}")))?,
    };
    Ok(respond(api.sagas.start(request).await))
}

async fn start_by_route(
    State(api): State<Api>,
    Path(route): Path<RouteName>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    if headers.contains_key("ondol-caller") {
        return Err(Problem::forbidden("services start sagas by POST /v1/sagas"));
    }
    let plan = api.deploy.plan();
    let found = plan
        .services
        .iter()
        .flat_map(|service| &service.routes)
        .find(|known| known.name == route);
    let Some(Action::Start {
        saga,
        wait_ms,
        key_required,
    }) = found.map(|route| &route.action)
    else {
        return Err(Problem::not_found(format!("route {route} starts no saga")));
    };
    let auth = found.and_then(|route| route.auth.as_ref()).map(|_| verified(&headers));
    let (issuer, subject) = auth
        .as_ref()
        .map_or(("", ""), |auth| (auth.issuer.as_str(), auth.subject.as_str()));
    let context = Context::of(&headers);
    let request = StartRequest {
        saga: saga.clone(),
        scope: scope(&["route", issuer, subject, route.as_str()]),
        key: key(&headers)?,
        key_required: *key_required,
        body,
        auth: auth.clone(),
        correlation: context.correlation,
        causation: context.causation,
        traceparent: context.traceparent,
        wait: Duration::from_millis(*wait_ms),
    };
    Ok(respond(api.sagas.start(request).await))
}

/// The key of a start. One that cannot be read must not pass for none: where keys are optional, each repeat would start
/// another saga.
fn key(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    match (key.to_str(), keys.next()) {
        (Ok(key), None) => Ok(Some(key.into())),
        _ => Err(Problem::bad_request(
            "Idempotency-Key: one value of visible ASCII characters is needed",
        )),
    }
}

/// What the gateway verified.
fn verified(headers: &HeaderMap) -> Auth {
    let part = |name| text(headers, name).unwrap_or_default().to_owned();
    Auth {
        subject: part("ondol-subject"),
        scope: part("ondol-scope"),
        roles: part("ondol-roles")
            .split([' ', ','])
            .filter(|role| !role.is_empty())
            .map(Into::into)
            .collect(),
        issuer: part("ondol-issuer"),
    }
}

fn respond(answer: StartAnswer) -> Response {
    (answer.status, answer.headers, answer.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_be_read_is_refused_and_not_taken_for_none() {
        let with = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = http::HeaderValue::from_bytes(value).expect("header");
                headers.append("idempotency-key", value);
            }
            key(&headers).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[b"a-1"]), Ok(Some("a-1".into())));
        assert_eq!(with(&["cl\u{e9}".as_bytes()]), Err(400));
        assert_eq!(with(&[b"a", b"b"]), Err(400));
    }
}
