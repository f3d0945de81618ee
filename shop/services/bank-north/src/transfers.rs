//! Transfers that leave this bank, as written down and as shown.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{Caller, Database, Problem, Tx};

/// What to move: from an account here to one in the other bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Transfer {
    /// Here.
    pub from: String,
    /// There.
    pub to: String,
    /// Cents.
    pub amount: i64,
}

/// `GET /api/banks/{bank}/transfers/{id}`.
///
/// # Errors
/// 401, 404; the database's.
pub async fn show(State(database): State<Database>, _: Caller, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    type Row = (String, String, i64, String, Option<String>);
    let select = "SELECT from_account, to_account, amount, status, reason FROM transfers WHERE id = $1";
    let row: Option<Row> = sqlx::query_as(select)
        .bind(id.clone())
        .fetch_optional(database.read())
        .await?;
    let (from, to, amount, status, reason) = row.ok_or_else(|| Problem::not_found("There is no such transfer"))?;
    let mut body = json!({ "id": id, "status": status, "from": from, "to": to, "amount": amount });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    Ok(Json(body))
}

/// Writes a transfer down as it begins: `pending` when the money has been taken, else `cancelled` with the reason.
///
/// # Errors
/// The database's.
pub async fn begin(tx: &mut Tx, id: &str, transfer: &Transfer, refused: Option<&str>) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO transfers (id, from_account, to_account, amount, status, reason, changed_ms) \
                  VALUES ($1, $2, $3, $4, $5, $6, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ON CONFLICT DO NOTHING";
    let insert = sqlx::query(insert)
        .bind(id.to_owned())
        .bind(transfer.from.clone())
        .bind(transfer.to.clone());
    let insert = insert
        .bind(transfer.amount)
        .bind(if refused.is_some() { "cancelled" } else { "pending" });
    insert
        .bind(refused.map(str::to_owned))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Ends a pending transfer: `done`, or `cancelled` with a reason. `false`: it is not pending.
///
/// # Errors
/// The database's.
pub async fn end(tx: &mut Tx, id: &str, cancelled: Option<&str>) -> Result<bool, sqlx::Error> {
    let status = if cancelled.is_some() { "cancelled" } else { "done" };
    let update = "UPDATE transfers SET status = $2, reason = $3, changed_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) \
                  WHERE id = $1 AND status = 'pending'";
    let update = sqlx::query(update);
    let update = update
        .bind(id.to_owned())
        .bind(status)
        .bind(cancelled.map(str::to_owned));
    Ok(update.execute(&mut **tx).await?.rows_affected() == 1)
}
