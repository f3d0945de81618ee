//! The admin API: its routes in one table, and the OpenAPI document made from the handlers.

use crate::events::{self, AllQuery, ReadQuery};
use crate::problem::{self, Answer};
use crate::state::Api;
use crate::{console, guard, live, metrics, sagas, system};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use ondol_core::id::StreamName;
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
        system::config,
        metrics::metrics,
        sagas::list,
        sagas::show,
        sagas::act,
        sagas::start,
        live::stream::live,
        console::session,
        console::link,
        console::sign_in,
        console::sign_out,
        stream,
        all,
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
        .route("/v1/config", get(system::config))
        .route("/v1/sagas", get(sagas::list).post(sagas::start))
        .route("/v1/sagas/{id}", get(sagas::show))
        .route("/v1/sagas/{id}/actions", post(sagas::act))
        .route("/v1/live", get(live::stream::live))
        .route("/v1/console", get(console::session))
        .route("/v1/console/links", post(console::link))
        .route("/v1/console/sign-out", post(console::sign_out))
        .route("/sign-in", get(console::sign_in))
        .route("/v1/streams/{name}", get(stream))
        .route("/v1/all", get(all))
        .fallback(console::otherwise)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(api.clone(), guard::admin))
        .layer(middleware::map_response(problem::complete))
        .with_state(api)
}

/// A stream's events from a revision.
#[utoipa::path(get, path = "/v1/streams/{name}", tag = "events",
    params(("name" = String, Path), ("from" = Option<u64>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "CloudEvents with `stream`, `revision`, `position`.")))]
async fn stream(
    State(api): State<Api>,
    Path(name): Path<StreamName>,
    Query(query): Query<ReadQuery>,
) -> Answer<Response> {
    events::read(&api.streams, &name, &query).await
}

/// All events after a position; `wait` makes it a long poll.
#[utoipa::path(get, path = "/v1/all", tag = "events",
    params(("after" = Option<u64>, Query), ("limit" = Option<u32>, Query), ("wait" = Option<String>, Query)),
    responses((status = 200, description = "CloudEvents with `stream`, `revision`, `position`.")))]
async fn all(State(api): State<Api>, Query(query): Query<AllQuery>) -> Answer<Response> {
    events::all(&api.streams, None, &query).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_path_of_the_router() {
        let document = serde_json::to_value(openapi()).expect("json");
        let source = include_str!("admin.rs");
        let routed = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next());
        for path in routed.filter(|path| *path != "/openapi.json") {
            assert!(document["paths"].get(path).is_some(), "{path} is not in the document");
        }
    }
}
