//! What others compare with theirs: every charge, and every wallet with what its ledger entries come to.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::reconcile::{After, item};
use shop_kit::{Params, Problem};

use crate::Payments;

// Ids are UUIDs in lower case, which come in one order in every collation; so are wallets' owners.
/// A charge last changed with the last movement of its money.
const CHARGES: &str = "\
SELECT id, customer, amount, status, (SELECT MAX(at_ms) FROM entries WHERE movement IN ('charge:' || id, 'refund:' || id))
FROM charges WHERE id > $1 ORDER BY id LIMIT $2";

/// One statement, so that the balance and the entries are of the same moment.
const WALLETS: &str = "\
SELECT owner, balance,
    (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM entries WHERE account = 'wallet:' || owner)
FROM wallets WHERE owner > $1 ORDER BY owner LIMIT $2";

/// `GET /internal/reconcile/charges`.
///
/// # Errors
/// 400; the database's.
pub async fn charges(State(payments): State<Payments>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    type Row = (String, String, i64, String, Option<i64>);
    let select = sqlx::query_as(CHARGES).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<Row> = select.fetch_all(payments.database.read()).await?;
    let items = rows.into_iter().map(|(id, customer, amount, status, at)| {
        let more = json!({ "customer": customer, "amount": amount, "status": status });
        item(&id, at, more)
    });
    Ok(after.page(items.collect()))
}

/// `GET /internal/reconcile/wallets`.
///
/// # Errors
/// 400; the database's.
pub async fn wallets(State(payments): State<Payments>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_as(WALLETS).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<(String, i64, i64)> = select.fetch_all(payments.database.read()).await?;
    let items = rows
        .into_iter()
        .map(|(owner, balance, booked)| item(&owner, None, json!({ "balance": balance, "booked": booked })));
    Ok(after.page(items.collect()))
}
