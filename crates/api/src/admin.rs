//! The admin API: its routes in one table, and the OpenAPI document made from the handlers.

use crate::problem;
use crate::state::Api;
use crate::{
    cache, config, console, flows, guard, live, metrics, outboxes, reconciliations, sagas, subscriptions, system,
    topics,
};
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use utoipa::OpenApi;

/// Largest body.
const MAX_BODY: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ondol admin API",
        description = "Bearer token in `.ondol/token`; errors are RFC 9457 problems."
    ),
    paths(
        system::healthz,
        system::readyz,
        system::services,
        system::service,
        system::restart,
        system::scale,
        system::instances,
        system::routes,
        system::route,
        system::changes,
        config::show,
        config::take,
        cache::purge,
        metrics::metrics,
        sagas::list,
        sagas::show,
        sagas::act,
        sagas::start,
        topics::topics,
        topics::topic_events,
        topics::streams,
        topics::stream,
        topics::all,
        topics::event,
        flows::flow,
        outboxes::list,
        reconciliations::list,
        reconciliations::show,
        reconciliations::run,
        subscriptions::list,
        subscriptions::show,
        subscriptions::act,
        subscriptions::keys,
        subscriptions::key,
        subscriptions::redrive,
        subscriptions::act_on_key,
        live::stream::live,
        console::session,
        console::link,
        console::sign_in,
        console::sign_out,
    )
)]
struct Document;

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The router of the admin API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/services", get(system::services))
        .route("/v1/services/{name}", get(system::service))
        .route("/v1/services/{name}/restart", post(system::restart))
        .route("/v1/services/{name}/scale", put(system::scale))
        .route("/v1/instances", get(system::instances))
        .route("/v1/routes", get(system::routes))
        .route("/v1/routes/{name}", get(system::route))
        .route("/v1/changes", get(system::changes))
        .route("/v1/config", get(config::show).post(config::take))
        .route("/v1/cache/purge", post(cache::purge))
        .route("/v1/sagas", get(sagas::list).post(sagas::start))
        .route("/v1/sagas/{id}", get(sagas::show))
        .route("/v1/sagas/{id}/actions", post(sagas::act))
        .route("/v1/topics", get(topics::topics))
        .route("/v1/topics/{type}/events", get(topics::topic_events))
        .route("/v1/streams", get(topics::streams))
        .route("/v1/streams/{name}", get(topics::stream))
        .route("/v1/all", get(topics::all))
        .route("/v1/events/{id}", get(topics::event))
        .route("/v1/flows/{correlation}", get(flows::flow))
        .route("/v1/outboxes", get(outboxes::list))
        .route("/v1/reconciliations", get(reconciliations::list))
        .route("/v1/reconciliations/{name}", get(reconciliations::show))
        .route("/v1/reconciliations/{name}/run", post(reconciliations::run))
        .route("/v1/subscriptions", get(subscriptions::list))
        .route("/v1/subscriptions/{name}", get(subscriptions::show))
        .route("/v1/subscriptions/{name}/actions", post(subscriptions::act))
        .route("/v1/subscriptions/{name}/keys", get(subscriptions::keys))
        .route("/v1/subscriptions/{name}/keys/{key}", get(subscriptions::key))
        .route(
            "/v1/subscriptions/{name}/keys/{key}/actions",
            post(subscriptions::act_on_key),
        )
        .route("/v1/subscriptions/{name}/redrive", post(subscriptions::redrive))
        .route("/v1/live", get(live::stream::live))
        .route("/v1/console", get(console::session))
        .route("/v1/console/links", post(console::link))
        .route("/v1/console/sign-out", post(console::sign_out))
        .route("/sign-in", get(console::sign_in))
        .fallback(console::otherwise)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(api.clone(), guard::admin))
        .layer(middleware::map_response(problem::complete))
        .with_state(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_path_of_the_router() {
        let document = serde_json::to_value(openapi()).expect("json");
        let source = include_str!("admin.rs");
        // However rustfmt breaks the lines of the router.
        let routed = source
            .split(".route(")
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .filter(|path| path.starts_with('/'));
        for path in routed.filter(|path| *path != "/openapi.json") {
            assert!(document["paths"].get(path).is_some(), "{path} is not in the document");
        }
    }
}
