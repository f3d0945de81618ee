//! Wallets as their owners see them: the balance, and putting money in.
//!
//! # The lesson: two kinds of keys
//!
//! A deposit is asked for by a person's program, with an `Idempotency-Key` of its own making: [`shop_kit::Keys`]. A charge
//! is asked for by a saga, whose key names a step that can also be undone: the barrier, in [`crate::charges`]. Both are
//! rows that commit with the effect; only the second must also know about compensations.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{Answer, CURRENCY, Caller, JsonBody, Problem, positive_amount, reply};
use uuid::Uuid;

use crate::{Payments, ledger};

/// Money to put in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// Cents.
    pub amount: i64,
}

/// `GET /api/wallet`: who has never put anything in has nothing.
///
/// # Errors
/// 401; the database's.
pub async fn show(State(payments): State<Payments>, caller: Caller) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_scalar::<_, i64>("SELECT balance FROM wallets WHERE owner = $1").bind(caller.subject);
    let balance = select.fetch_optional(payments.database.read()).await?.unwrap_or(0);
    Ok(Json(json!({ "balance": balance, "currency": CURRENCY })))
}

/// `POST /api/wallet/deposits`. The shop has no bank of its own: the money comes from `world`.
///
/// # Errors
/// 400 `bad_amount`, 401, 409 `in_progress`, 422 `key_reused`; the database's.
pub async fn deposit(
    State(payments): State<Payments>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody<Deposit>,
) -> Result<Response, Problem> {
    let amount = positive_amount(body.value.amount)?;
    let claim = payments
        .keys
        .claim(&caller.subject, "POST /api/wallet/deposits", &headers, &body.bytes)?;
    let mut tx = payments.database.write().await?;
    if let Some(answer) = claim.enter(&mut tx).await? {
        return Ok(reply(answer));
    }
    let add = "INSERT INTO wallets (owner, balance) VALUES ($1, $2) \
               ON CONFLICT (owner) DO UPDATE SET balance = wallets.balance + excluded.balance RETURNING balance";
    let add = sqlx::query_scalar::<_, i64>(add)
        .bind(caller.subject.clone())
        .bind(amount);
    let balance = add.fetch_one(&mut *tx).await?;
    let movement = format!("deposit:{}", Uuid::now_v7());
    ledger::record(
        &mut tx,
        &movement,
        ledger::WORLD,
        &ledger::wallet(&caller.subject),
        amount,
    )
    .await?;
    let answer = Answer {
        status: 201,
        body: json!({ "balance": balance, "currency": CURRENCY }),
    };
    claim.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok(reply(answer))
}
