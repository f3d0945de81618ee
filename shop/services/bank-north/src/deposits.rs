//! This bank's part of a transfer that comes from the other one: `deposit`, its saga's pivot.
//!
//! It is refused for good when there is no such account: that answer is kept under its key, and the other bank refunds.
//! It is never undone, so it has no compensation.

use axum::extract::{Path, State};
use axum::response::Response;
use ondol_sdk::barrier::{self, Entry};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, Database, JsonBody, Problem, SagaCall, Tx, positive_amount, reply};

use crate::accounts;

/// What arrives.
#[derive(Debug, Deserialize)]
pub struct Deposit {
    /// For whom.
    pub account: String,
    /// Cents.
    pub amount: i64,
}

/// `PUT /internal/deposits/{id}`.
///
/// # Errors
/// 400 `bad_amount`; 409 `unknown_account`; 5xx when nothing is known.
pub async fn deposit(
    State(database): State<Database>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Deposit>,
) -> Result<Response, Problem> {
    let (key, deposit) = (call.action()?, body.value);
    positive_amount(deposit.amount)?;
    let mut tx = database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            let answer = arrive(&mut tx, &id, &deposit).await?;
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

async fn arrive(tx: &mut Tx, id: &str, deposit: &Deposit) -> Result<Answer, sqlx::Error> {
    if !accounts::put(tx, &deposit.account, deposit.amount).await? {
        let problem = Problem::conflict("unknown_account", "There is no such account here");
        return Ok(problem.with("account", deposit.account.clone()).answer());
    }
    let insert = "INSERT INTO deposits (id, account, amount, at_ms) \
                  VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    let insert = sqlx::query(insert);
    let insert = insert
        .bind(id.to_owned())
        .bind(deposit.account.clone())
        .bind(deposit.amount);
    insert.execute(&mut **tx).await?;
    Ok(Answer {
        status: 201,
        body: json!({ "id": id, "status": "deposited" }),
    })
}
