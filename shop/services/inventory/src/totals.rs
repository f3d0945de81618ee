//! What audit asks: the stock per product and the reservations by status, at one moment.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use shop_kit::Problem;

use crate::Inventory;

/// One statement for both lists, so that they are of the same moment.
const TOTALS: &str = "\
SELECT 'product' AS kind, product_id AS name, received, on_hand, reserved, shipped FROM stock
UNION ALL
SELECT 'reservations', status, COUNT(*), 0, 0, 0 FROM reservations GROUP BY status
ORDER BY kind, name";

/// `GET /internal/totals`.
///
/// # Errors
/// The database's.
pub async fn totals(State(inventory): State<Inventory>) -> Result<Json<Value>, Problem> {
    type Row = (String, String, i64, i64, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(TOTALS).fetch_all(inventory.database.read()).await?;
    let mut reservations: Map<String, Value> = ["held", "released", "deducted"]
        .map(|s| (s.to_owned(), 0.into()))
        .into_iter()
        .collect();
    let mut products = Vec::new();
    for (kind, name, received, on_hand, reserved, shipped) in rows {
        if kind == "reservations" {
            reservations.insert(name, received.into());
            continue;
        }
        products.push(json!({
            "product_id": name, "received": received, "on_hand": on_hand, "reserved": reserved, "shipped": shipped,
        }));
    }
    Ok(Json(json!({ "products": products, "reservations": reservations })))
}
