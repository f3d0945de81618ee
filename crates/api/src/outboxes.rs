//! Outboxes: how far each is relayed, for operators; the service's own, for the service.
//!
//! Their dead letters stand under `SERVICE.outbox` at the paths of subscriptions (`subscriptions.rs`).

use crate::problem::Answer;
use crate::service::caller;
use crate::state::Api;
use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use ondol_events::relay::View;
use serde::Serialize;

/// `GET /v1/outboxes`.
#[derive(Serialize)]
pub(crate) struct List {
    outboxes: Vec<View>,
}

/// Every outbox that is relayed, with how far it is.
#[utoipa::path(get, path = "/v1/outboxes", tag = "events",
    responses((status = 200, description = "`{\"outboxes\": […]}`, by service. Dead letters: `/v1/subscriptions/SERVICE.outbox/keys`.")))]
pub(crate) async fn list(State(api): State<Api>) -> Json<List> {
    let outboxes = api.relays.list().await;
    Json(List { outboxes })
}

/// `GET /v1/outbox` of the service API.
#[derive(Serialize)]
pub(crate) struct Relayed {
    relayed: u64,
}

/// Rows up to this `seq` may be deleted.
pub(crate) async fn own(State(api): State<Api>, headers: HeaderMap) -> Answer<Json<Relayed>> {
    let service = caller(&api, &headers)?.service.clone();
    let relayed = api.relays.relayed(&service)?;
    Ok(Json(Relayed { relayed }))
}
