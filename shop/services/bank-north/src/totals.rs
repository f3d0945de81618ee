//! What audit asks: where the money is, at one moment.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::{CURRENCY, Database, Problem};

/// One statement, so that all sums are of the same moment.
const TOTALS: &str = "\
SELECT
    (SELECT COUNT(*) FROM accounts),
    (SELECT COALESCE(SUM(balance), 0) FROM accounts),
    (SELECT COUNT(*) FROM transfers WHERE status = 'pending'),
    (SELECT COALESCE(SUM(amount), 0) FROM transfers WHERE status = 'pending'),
    (SELECT COUNT(*) FROM transfers WHERE status = 'done'),
    (SELECT COALESCE(SUM(amount), 0) FROM transfers WHERE status = 'done'),
    (SELECT COUNT(*) FROM transfers WHERE status = 'cancelled'),
    (SELECT COUNT(*) FROM deposits),
    (SELECT COALESCE(SUM(amount), 0) FROM deposits)";

/// `GET /internal/totals`.
///
/// # Errors
/// The database's.
pub async fn totals(State(database): State<Database>) -> Result<Json<Value>, Problem> {
    type Row = (i64, i64, i64, i64, i64, i64, i64, i64, i64);
    let row: Row = sqlx::query_as(TOTALS).fetch_one(database.read()).await?;
    let (accounts, balance, pending, pending_amount, done, done_amount, cancelled, deposits, deposited) = row;
    Ok(Json(json!({
        "currency": CURRENCY,
        "accounts": { "count": accounts, "balance": balance },
        "transfers": {
            "pending": { "count": pending, "amount": pending_amount },
            "done": { "count": done, "amount": done_amount },
            "cancelled": { "count": cancelled },
        },
        "deposits": { "count": deposits, "amount": deposited },
    })))
}
