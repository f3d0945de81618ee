//! What audit asks: how many parcels, and what was in them, at one moment.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::{Database, Problem};

/// One statement for the count and the list, so that they are of the same moment.
const TOTALS: &str = "\
SELECT '' AS product_id, COUNT(*) AS quantity FROM shipments
UNION ALL
SELECT product_id, SUM(quantity) FROM shipment_items GROUP BY product_id
ORDER BY product_id";

/// `GET /internal/totals`.
///
/// # Errors
/// The database's.
pub async fn totals(State(database): State<Database>) -> Result<Json<Value>, Problem> {
    let rows: Vec<(String, i64)> = sqlx::query_as(TOTALS).fetch_all(database.read()).await?;
    let count = rows.first().map_or(0, |(_, count)| *count);
    let shipped = rows
        .iter()
        .skip(1)
        .map(|(id, quantity)| json!({ "product_id": id, "quantity": quantity }));
    Ok(Json(
        json!({ "shipments": count, "shipped": shipped.collect::<Value>() }),
    ))
}
