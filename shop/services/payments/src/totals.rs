//! What audit asks: every sum, taken at one moment.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::{CURRENCY, Problem};

use crate::Payments;

/// One statement, so that all sums are of the same moment, whatever is being charged meanwhile.
const TOTALS: &str = "\
SELECT
    (SELECT COUNT(*) FROM wallets),
    (SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT) FROM wallets),
    (SELECT COUNT(*) FROM charges),
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM charges),
    (SELECT COUNT(*) FROM charges WHERE status = 'refunded'),
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM charges WHERE status = 'refunded'),
    (SELECT CAST(COALESCE(-SUM(amount), 0) AS BIGINT) FROM entries WHERE account = 'world'),
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM entries WHERE account = 'shop'),
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM entries WHERE account LIKE 'wallet:%'),
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM entries)";

/// `GET /internal/totals`.
///
/// # Errors
/// The database's.
pub async fn totals(State(payments): State<Payments>) -> Result<Json<Value>, Problem> {
    type Row = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);
    let row: Row = sqlx::query_as(TOTALS).fetch_one(payments.database.read()).await?;
    let (wallets, balance, charges, charged, refunds, refunded, deposited, earned, in_wallets, sum) = row;
    Ok(Json(json!({
        "currency": CURRENCY,
        "wallets": { "count": wallets, "balance": balance },
        "deposits": deposited,
        "charges": { "count": charges, "amount": charged },
        "refunds": { "count": refunds, "amount": refunded },
        "ledger": { "shop": earned, "wallets": in_wallets, "sum": sum },
    })))
}
