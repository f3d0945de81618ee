//! Sagas for operators: lists, one with its history, actions, and starts by hand.

use crate::live::changes::{Change, Kind};
use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ondol_core::id::{SagaId, SagaName};
use ondol_core::unit::parse_duration;
use ondol_saga::phase::Phase;
use ondol_saga::query::{ListQuery, Page, View};
use ondol_saga::start::scope;
use ondol_saga::{Action, StartRequest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// Who acts through the admin API; one token, so one name in the audit.
pub(crate) const OPERATOR: &str = "operator";

/// `GET /v1/sagas?…`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    state: Option<Phase>,
    saga: Option<String>,
    step: Option<String>,
    service: Option<String>,
    text: Option<String>,
    before: Option<SagaId>,
    limit: Option<u32>,
}

/// Sagas, newest first; filtered by state, definition, step, a service that takes part, and a text of the start's body,
/// correlation id or starter. `next` goes on as `before`; a page may be short of what was asked for, or empty, and have
/// a `next`.
#[utoipa::path(get, path = "/v1/sagas", tag = "sagas",
    params(("state" = Option<String>, Query), ("saga" = Option<String>, Query), ("step" = Option<String>, Query),
        ("service" = Option<String>, Query), ("text" = Option<String>, Query),
        ("before" = Option<String>, Query, description = "`next` of the page before."), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page of sagas.")))]
pub(crate) async fn list(State(api): State<Api>, Query(filter): Query<Filter>) -> Answer<Json<Page>> {
    let limit = filter.limit.unwrap_or(100).clamp(1, 1_000);
    let query = ListQuery {
        state: filter.state,
        definition: filter.saga,
        step: filter.step,
        service: filter.service,
        text: filter.text.filter(|text| !text.is_empty()),
        before: filter.before,
        limit,
    };
    Ok(Json(api.sagas.list(query).await?))
}

/// One saga with its steps and everything that happened to it.
#[utoipa::path(get, path = "/v1/sagas/{id}", tag = "sagas", params(("id" = String, Path)),
    responses((status = 200, description = "The saga."), (status = 404, description = "No such saga.")))]
pub(crate) async fn show(State(api): State<Api>, Path(id): Path<SagaId>) -> Answer<Json<View>> {
    Ok(Json(api.sagas.show(id).await?))
}

/// What an action led to.
#[derive(Serialize)]
pub(crate) struct Acted {
    state: Phase,
}

/// Acts on a saga: retry, pause, resume, cancel, skip, set-result, force-complete, force-compensate. Audited.
#[utoipa::path(post, path = "/v1/sagas/{id}/actions", tag = "sagas", params(("id" = String, Path)),
    request_body(content_type = "application/json", description = "`{\"action\": \"skip\", \"step\": \"pay\", \"reason\": \"…\"}`"),
    responses((status = 200, description = "Done; the saga's state."), (status = 404, description = "No such saga."),
        (status = 409, description = "Not possible in this state.")))]
pub(crate) async fn act(
    State(api): State<Api>,
    Path(id): Path<SagaId>,
    Json(action): Json<Action>,
) -> Answer<Json<Acted>> {
    let (name, step) = (action.name(), action.step().map(ToString::to_string));
    let reason = action.reason().map(str::to_owned);
    let state = api.sagas.act(id, action, OPERATOR).await?;
    let change = Change::new(api.clock.wall(), Kind::Action, id).to(name).why(reason);
    api.live.changes().add(&Change { from: step, ..change });
    Ok(Json(Acted { state }))
}

/// `POST /v1/sagas`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    saga: SagaName,
    key: String,
    input: Box<RawValue>,
    wait: Option<String>,
}

/// Starts a saga by hand, with an operator's key.
#[utoipa::path(post, path = "/v1/sagas", tag = "sagas",
    request_body(content_type = "application/json", description = "`{\"saga\": \"…\", \"key\": \"…\", \"input\": …, \"wait\": \"5s\"}`"),
    responses((status = 200, description = "As the definition answers; other statuses too.")))]
pub(crate) async fn start(State(api): State<Api>, Json(start): Json<Start>) -> Answer<Response> {
    let wait = start.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration);
    let request = StartRequest {
        saga: start.saga,
        scope: scope(&["operator"]),
        key: Some(start.key),
        key_required: true,
        body: Bytes::copy_from_slice(start.input.get().as_bytes()),
        auth: None,
        correlation: None,
        causation: None,
        traceparent: None,
        wait: wait.map_err(|error| Problem::bad_request(format!("wait: {error}")))?,
    };
    let answer = api.sagas.start(request).await;
    Ok((answer.status, answer.headers, answer.body).into_response())
}
