//! Reconciliations for operators: what they have found, and a run by hand.

use crate::problem::Answer;
use crate::state::Api;
use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use ondol_events::reconcile::View;
use serde::{Deserialize, Serialize};

/// Drifts of one answer, when nothing else is asked for.
const LIMIT: usize = 100;

/// `GET /v1/reconciliations`.
#[derive(Serialize)]
pub(crate) struct List {
    reconciliations: Vec<View>,
}

/// Every declared reconciliation, by name: what it compares, what is known, and its first 100 drifts.
#[utoipa::path(get, path = "/v1/reconciliations", tag = "reconciliations",
    responses((status = 200, description = "`{\"reconciliations\": […]}`; `state` is `pass`, `fail` or `unknown`.")))]
pub(crate) async fn list(State(api): State<Api>) -> Json<List> {
    let reconciliations = api.reconciliations.list().await;
    Json(List { reconciliations })
}

/// `GET /v1/reconciliations/{name}?…`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// One of them, with its drifts by key.
#[utoipa::path(get, path = "/v1/reconciliations/{name}", tag = "reconciliations",
    params(("name" = String, Path), ("after" = Option<String>, Query, description = "Drifts after this key."),
        ("limit" = Option<usize>, Query, description = "Drifts, at most 1,000; 100.")),
    responses((status = 200, description = "The reconciliation."), (status = 404, description = "No such reconciliation.")))]
pub(crate) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Answer<Json<View>> {
    let limit = page.limit.unwrap_or(LIMIT);
    Ok(Json(api.reconciliations.show(&name, page.after, limit).await?))
}

/// Runs one now. A drift is reported once two runs have found it.
#[utoipa::path(post, path = "/v1/reconciliations/{name}/run", tag = "reconciliations", params(("name" = String, Path)),
    responses((status = 200, description = "As it stands after the run."),
        (status = 202, description = "The run goes on; as it stands now."), (status = 404, description = "No such reconciliation.")))]
pub(crate) async fn run(State(api): State<Api>, Path(name): Path<String>) -> Answer<(StatusCode, Json<View>)> {
    let (view, ended) = api.reconciliations.run(&name).await?;
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(view)))
}
