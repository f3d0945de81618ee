//! Restocking, for people with the role `admin`. The gateway asks for the role, too; this is the second look.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, Caller, JsonBody, Problem, reply};

use crate::{Inventory, stock};

/// Most that comes in at once.
const MAX_DELIVERY: i64 = 1_000_000;

/// Goods that have arrived.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// How many.
    pub add: i64,
}

/// `POST /api/admin/products/{id}/stock`.
///
/// # Errors
/// 400 `bad_quantity`, 401, 403, 404, 409 `in_progress`, 422 `key_reused`; the database's.
pub async fn restock(
    State(inventory): State<Inventory>,
    Path(product_id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody<Delivery>,
) -> Result<Response, Problem> {
    caller.require_role("admin")?;
    let add = body.value.add;
    if !(1..=MAX_DELIVERY).contains(&add) {
        let title = format!("A delivery is a whole number from 1 to {MAX_DELIVERY}");
        return Err(Problem::bad_request("bad_quantity", title));
    }
    let route = format!("POST /api/admin/products/{product_id}/stock");
    let claim = inventory.keys.claim(&caller.subject, &route, &headers, &body.bytes)?;
    let mut tx = inventory.database.write().await?;
    if let Some(answer) = claim.enter(&mut tx).await? {
        return Ok(reply(answer));
    }
    let available = stock::restock(&mut tx, &product_id, add).await?;
    let available = available.ok_or_else(|| Problem::not_found(format!("There is no product {product_id}")))?;
    let answer = Answer::ok(json!({ "available": available }));
    claim.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok(reply(answer))
}
