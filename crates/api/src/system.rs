//! Services, instances, routes, configuration: declared and observed.

use crate::live::changes::{Change, Kind};
use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::Json;
use axum::extract::{Path, State};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::Route;
use ondol_core::wire::supervision::InstanceFact;
use ondol_deploy::status::{ServiceStatus, SystemStatus};
use ondol_telemetry::Summary;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// A system with the last minute of its services.
#[derive(Serialize)]
pub(crate) struct System {
    #[serde(flatten)]
    status: SystemStatus,
    /// By service: requests per second, share of errors, quantiles.
    traffic: BTreeMap<String, Summary>,
}

/// How many instances a service should have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    count: u32,
}

/// What was taken on.
#[derive(Serialize)]
pub(crate) struct Accepted {
    accepted: bool,
}

/// The whole system: services with state, reason, release, instances and build.
#[utoipa::path(get, path = "/v1/services", tag = "system", responses((status = 200, description = "The system's status.")))]
pub(crate) async fn services(State(api): State<Api>) -> Json<System> {
    let traffic = api.red.lock().unwrap_or_else(PoisonError::into_inner).summaries();
    Json(System {
        status: (*api.deploy.status()).clone(),
        traffic,
    })
}

/// One service.
#[utoipa::path(get, path = "/v1/services/{name}", tag = "system", params(("name" = String, Path)),
    responses((status = 200, description = "The service's status."), (status = 404, description = "No such service.")))]
pub(crate) async fn service(State(api): State<Api>, Path(name): Path<ServiceName>) -> Answer<Json<ServiceStatus>> {
    let status = api.deploy.status();
    let found = status.services.iter().find(|service| service.service == name);
    found
        .cloned()
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no service {name}")))
}

/// Replaces every instance of a service by a new one.
#[utoipa::path(post, path = "/v1/services/{name}/restart", tag = "system", params(("name" = String, Path)),
    responses((status = 200, description = "It is durable that it will happen."), (status = 404, description = "No such service."),
        (status = 409, description = "The service is skipped.")))]
pub(crate) async fn restart(State(api): State<Api>, Path(name): Path<ServiceName>) -> Answer<Json<Accepted>> {
    api.deploy.restart(name.clone()).await?;
    api.live
        .changes()
        .add(&Change::new(api.clock.wall(), Kind::Action, name).to("restart"));
    Ok(Json(Accepted { accepted: true }))
}

/// Sets how many instances a service has, within its manifest's bounds.
#[utoipa::path(put, path = "/v1/services/{name}/scale", tag = "system", params(("name" = String, Path)),
    request_body(content_type = "application/json", description = "`{\"count\": 2}`"),
    responses((status = 200, description = "It is durable."), (status = 404, description = "No such service."),
        (status = 422, description = "Outside the manifest's bounds.")))]
pub(crate) async fn scale(
    State(api): State<Api>,
    Path(name): Path<ServiceName>,
    Json(scale): Json<Scale>,
) -> Answer<Json<Accepted>> {
    api.deploy.scale(name, scale.count).await?;
    Ok(Json(Accepted { accepted: true }))
}

/// Every instance of every service.
#[utoipa::path(get, path = "/v1/instances", tag = "system", responses((status = 200, description = "Instances.")))]
pub(crate) async fn instances(State(api): State<Api>) -> Json<Vec<InstanceFact>> {
    Json(
        api.deploy
            .status()
            .services
            .iter()
            .flat_map(|service| service.instances.clone())
            .collect(),
    )
}

/// Gateway routes with their effective policies.
#[utoipa::path(get, path = "/v1/routes", tag = "system", responses((status = 200, description = "Routes.")))]
pub(crate) async fn routes(State(api): State<Api>) -> Json<Vec<Route>> {
    Json(
        api.deploy
            .plan()
            .services
            .iter()
            .flat_map(|service| service.routes.clone())
            .collect(),
    )
}

/// What holds for one route, each value with the file and line that says so; `null` is built in.
#[utoipa::path(get, path = "/v1/routes/{name}", tag = "system", params(("name" = String, Path)),
    responses((status = 200, description = "The route's values."), (status = 404, description = "No such route.")))]
pub(crate) async fn route(State(api): State<Api>, Path(name): Path<String>) -> Answer<Json<Value>> {
    let explained = api.explained.read().unwrap_or_else(PoisonError::into_inner);
    let found = explained.iter().find(|route| route["route"] == name.as_str());
    found
        .cloned()
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no route {name}")))
}

/// What changed lately, oldest first: releases, restarts, health, scale, configuration, and what people did.
#[utoipa::path(get, path = "/v1/changes", tag = "system", responses((status = 200, description = "At most 200 changes.")))]
pub(crate) async fn changes(State(api): State<Api>) -> Json<Vec<Value>> {
    Json(api.live.changes().all())
}

/// The controller lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It lives.")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The controller works: the proxy serves by its newest snapshot and no problem stands.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, description = "Ready."),
    (status = 503, description = "Not ready; the problem says why.")))]
pub(crate) async fn readyz(State(api): State<Api>) -> Answer<&'static str> {
    let status = api.deploy.status();
    let unready = |why: &str| {
        let code = ondol_core::error::ErrorCode::new("AP-005");
        Problem {
            retry_after: Some(1),
            ..Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, code, why)
        }
    };
    match (&status.problem, status.generation) {
        (Some(why), _) => Err(unready(why)),
        (None, None) => Err(unready("no proxy serves by the newest snapshot")),
        (None, Some(_)) => Ok("ok\n"),
    }
}
