//! The routes of products: list, search, one, prices for orders.
//!
//! Tests: `tests/http.rs`.

use crate::cache;
use crate::catalogue::Catalogue;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shop_kit::{Params, Problem, page, page_size};

/// Longest search that is looked at, in bytes.
const LONGEST_SEARCH: usize = 200;
/// Most products of one price question; an order has at most 50.
const MOST_PRICES: usize = 100;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    q: String,
    limit: Option<u32>,
    #[serde(default)]
    after: String,
}

#[derive(Deserialize)]
struct Ids {
    ids: String,
}

/// All routes.
pub fn routes(catalogue: Catalogue) -> Router {
    Router::new()
        .route("/api/products", get(list))
        .route("/api/products/{id}", get(one))
        .route("/internal/products", get(prices))
        .with_state(catalogue)
}

async fn list(
    State(catalogue): State<Catalogue>,
    headers: HeaderMap,
    Params(List { q, limit, after }): Params<List>,
) -> Result<Response, Problem> {
    let limit = page_size(limit)?;
    if q.len() > LONGEST_SEARCH {
        return Err(Problem::bad_request(
            "bad_query",
            format!("q is longer than {LONGEST_SEARCH} bytes"),
        ));
    }
    let found = if q.trim().is_empty() {
        catalogue.list(&after, limit + 1).await?
    } else {
        catalogue.search(&q, &after, limit + 1).await?
    };
    let (items, next) = page(found, limit, |product| &product.id);
    cached(&headers, &json!({"items": items, "next": next}))
}

async fn one(
    State(catalogue): State<Catalogue>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let product = catalogue.one(&id).await?.ok_or_else(unknown)?;
    cached(&headers, &product)
}

async fn prices(State(catalogue): State<Catalogue>, Params(Ids { ids }): Params<Ids>) -> Result<Json<Value>, Problem> {
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.len() > MOST_PRICES {
        return Err(Problem::bad_request(
            "bad_query",
            format!("ids names more than {MOST_PRICES} products"),
        ));
    }
    Ok(Json(json!({"items": catalogue.prices(&ids).await?})))
}

fn cached(headers: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
    Ok(cache::answer(headers, "application/json", body))
}

fn unknown() -> Problem {
    Problem::not_found("There is no such product")
}
