//! What others compare with theirs: every reservation, and the stock of every product with what its reservations come to.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::reconcile::{After, item};
use shop_kit::{Params, Problem};

use crate::Inventory;

const RESERVATIONS: &str = "\
SELECT id, status, changed_ms, (SELECT COALESCE(SUM(quantity), 0) FROM reservation_items WHERE reservation_id = id)
FROM reservations WHERE id > $1 ORDER BY id LIMIT $2";

/// One statement, so that the stock and its reservations are of the same moment.
const STOCK: &str = "\
SELECT product_id, received, on_hand + shipped, reserved, shipped,
    (SELECT COALESCE(SUM(quantity), 0) FROM reservation_items AS i JOIN reservations AS r ON r.id = i.reservation_id
     WHERE i.product_id = stock.product_id AND r.status = 'held'),
    (SELECT COALESCE(SUM(quantity), 0) FROM reservation_items AS i JOIN reservations AS r ON r.id = i.reservation_id
     WHERE i.product_id = stock.product_id AND r.status = 'deducted')
FROM stock WHERE product_id > $1 ORDER BY product_id LIMIT $2";

/// `GET /internal/reconcile/reservations`.
///
/// # Errors
/// 400; the database's.
pub async fn reservations(
    State(inventory): State<Inventory>,
    Params(after): Params<After>,
) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_as(RESERVATIONS)
        .bind(after.after.clone())
        .bind(after.rows()?);
    let rows: Vec<(String, String, i64, i64)> = select.fetch_all(inventory.database.read()).await?;
    let items = rows
        .into_iter()
        .map(|(id, status, at, pieces)| item(&id, Some(at), json!({ "status": status, "pieces": pieces })));
    Ok(after.page(items.collect()))
}

/// `GET /internal/reconcile/stock`.
///
/// # Errors
/// 400; the database's.
pub async fn stock(State(inventory): State<Inventory>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    type Row = (String, i64, i64, i64, i64, i64, i64);
    let select = sqlx::query_as(STOCK).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<Row> = select.fetch_all(inventory.database.read()).await?;
    let items = rows
        .into_iter()
        .map(|(id, received, accounted, reserved, shipped, held, deducted)| {
            let more = json!({
                "received": received, "accounted": accounted, "reserved": reserved, "held": held, "shipped": shipped,
                "deducted": deducted,
            });
            item(&id, None, more)
        });
    Ok(after.page(items.collect()))
}
