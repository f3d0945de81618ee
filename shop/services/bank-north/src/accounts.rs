//! Accounts: a balance that is taken from and put to, each in one statement.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use shop_kit::{CURRENCY, Caller, Database, Problem, Tx};

/// How a withdrawal from an account went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The money is out.
    Done,
    /// There is not enough.
    Insufficient,
    /// There is no such account.
    Unknown,
}

/// `GET /api/banks/{bank}/accounts/{account}`.
///
/// # Errors
/// 401, 404; the database's.
pub async fn show(
    State(database): State<Database>,
    _: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_scalar::<_, i64>("SELECT balance FROM accounts WHERE name = $1").bind(name.clone());
    let balance = select.fetch_optional(database.read()).await?;
    let balance = balance.ok_or_else(|| Problem::not_found(format!("There is no account {name}")))?;
    Ok(Json(json!({ "name": name, "balance": balance, "currency": CURRENCY })))
}

/// Takes money out.
///
/// # Errors
/// The database's.
pub async fn take(tx: &mut Tx, name: &str, amount: i64) -> Result<Taken, sqlx::Error> {
    let update = sqlx::query("UPDATE accounts SET balance = balance - $2 WHERE name = $1 AND balance >= $2");
    if update
        .bind(name.to_owned())
        .bind(amount)
        .execute(&mut **tx)
        .await?
        .rows_affected()
        == 1
    {
        return Ok(Taken::Done);
    }
    let known = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM accounts WHERE name = $1").bind(name.to_owned());
    Ok(if known.fetch_one(&mut **tx).await? == 1 {
        Taken::Insufficient
    } else {
        Taken::Unknown
    })
}

/// Puts money in. `false`: there is no such account.
///
/// # Errors
/// The database's.
pub async fn put(tx: &mut Tx, name: &str, amount: i64) -> Result<bool, sqlx::Error> {
    let update = sqlx::query("UPDATE accounts SET balance = balance + $2 WHERE name = $1");
    Ok(update
        .bind(name.to_owned())
        .bind(amount)
        .execute(&mut **tx)
        .await?
        .rows_affected()
        == 1)
}
