//! What others compare with theirs: every parcel.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::reconcile::{After, item};
use shop_kit::{Database, Params, Problem};

/// A parcel never changes once it is on its way.
const SHIPMENTS: &str = "\
SELECT id, customer, created_ms, (SELECT COALESCE(SUM(quantity), 0) FROM shipment_items WHERE shipment_id = id)
FROM shipments WHERE id > $1 ORDER BY id LIMIT $2";

/// `GET /internal/reconcile/shipments`.
///
/// # Errors
/// 400; the database's.
pub async fn shipments(State(database): State<Database>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_as(SHIPMENTS).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<(String, String, i64, i64)> = select.fetch_all(database.read()).await?;
    let items = rows
        .into_iter()
        .map(|(id, customer, at, pieces)| item(&id, Some(at), json!({ "customer": customer, "pieces": pieces })));
    Ok(after.page(items.collect()))
}
