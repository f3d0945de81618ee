//! What audit asks: how many parcels, what the carriers said of them, and what was in them, at one moment.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::{Database, Problem};

/// One statement for the counts and the list, so that they are of the same moment. Counts have no product.
const TOTALS: &str = "\
SELECT 'shipments' AS what, '' AS product_id, COUNT(*) AS quantity FROM shipments
UNION ALL
SELECT CASE status WHEN 'unbooked' THEN 'waiting' WHEN 'refused' THEN 'refused' ELSE 'promised' END, '', COUNT(*)
FROM deliveries GROUP BY 1
UNION ALL
SELECT '', product_id, SUM(quantity) FROM shipment_items GROUP BY product_id
ORDER BY 2";

/// `GET /internal/totals`.
///
/// # Errors
/// The database's.
pub async fn totals(State(database): State<Database>) -> Result<Json<Value>, Problem> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(TOTALS).fetch_all(database.read()).await?;
    let count = |what: &str| rows.iter().find(|row| row.0 == what).map_or(0, |row| row.2);
    let items = rows.iter().filter(|row| !row.1.is_empty());
    let shipped = items.map(|(_, id, quantity)| json!({ "product_id": id, "quantity": quantity }));
    Ok(Json(json!({
        "shipments": count("shipments"),
        "deliveries": { "promised": count("promised"), "refused": count("refused"), "waiting": count("waiting") },
        "shipped": shipped.collect::<Value>(),
    })))
}
