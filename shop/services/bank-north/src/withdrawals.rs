//! This bank's part of a transfer that leaves it: `withdraw`, its refund, and `finish`.

use axum::extract::{Path, State};
use axum::response::Response;
use ondol_sdk::barrier::{self, Entry, Undo};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, Database, JsonBody, Problem, SagaCall, Tx, positive_amount, reply};

use crate::accounts::{self, Taken};
use crate::transfers::{self, Transfer};

/// A refund knows what it undoes and why, so that it can write down a transfer whose withdrawal never came.
#[derive(Debug, Deserialize)]
pub struct Refund {
    #[serde(flatten)]
    transfer: Transfer,
    reason: String,
}

/// `PUT /internal/withdrawals/{id}`: takes the money, or refuses and keeps the refusal.
///
/// # Errors
/// 400 `bad_amount`; 409 `insufficient_funds` or `unknown_account`; 5xx when nothing is known.
pub async fn withdraw(
    State(database): State<Database>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Transfer>,
) -> Result<Response, Problem> {
    let (key, transfer) = (call.action()?, body.value);
    positive_amount(transfer.amount)?;
    let mut tx = database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            let answer = take(&mut tx, &id, &transfer).await?;
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `POST /internal/withdrawals/{id}/refund`: the compensation.
///
/// # Errors
/// 5xx when nothing is known; the saga asks again.
pub async fn refund(
    State(database): State<Database>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Refund>,
) -> Result<Response, Problem> {
    let (key, Refund { transfer, reason }) = (call.compensation()?, body.value);
    let mut tx = database.write().await?;
    let answer = match barrier::compensation(&mut *tx, &key).await? {
        Undo::Duplicate(stored) => stored,
        Undo::Needed => {
            // What was withdrawn is what goes back: the amount is the written one, not the one in the request.
            let pending = transfers::end(&mut tx, &id, Some(&reason)).await?;
            if !pending || !give_back(&mut tx, &id).await? {
                // Only a saga that undoes after its pivot could ask this. Nothing is stored, nothing has happened.
                return Err(Problem::conflict(
                    "not_pending",
                    "The money has arrived; it cannot be given back",
                ));
            }
            keep(&mut tx, &key, &id, "refunded").await?
        }
        Undo::NotNeeded => {
            // Never withdrawn, or refused: nothing to give back. If it was never heard of, it is now seen as cancelled.
            transfers::begin(&mut tx, &id, &transfer, Some(&reason)).await?;
            keep(&mut tx, &key, &id, "never_withdrawn").await?
        }
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `POST /internal/withdrawals/{id}/finish`: the money has arrived. Retriable, so a failure is not kept.
///
/// # Errors
/// 409 `not_pending`: the saga is parked and a person looks; 5xx when nothing is known.
pub async fn finish(
    State(database): State<Database>,
    Path(id): Path<String>,
    call: SagaCall,
) -> Result<Response, Problem> {
    let key = call.action()?;
    let mut tx = database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            if !transfers::end(&mut tx, &id, None).await? {
                return Err(Problem::conflict("not_pending", "There is no pending transfer to finish").with("id", id));
            }
            keep(&mut tx, &key, &id, "done").await?
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// Takes the money out and writes the transfer down, also when it is refused.
async fn take(tx: &mut Tx, id: &str, transfer: &Transfer) -> Result<Answer, sqlx::Error> {
    let refusal = match accounts::take(tx, &transfer.from, transfer.amount).await? {
        Taken::Done => None,
        Taken::Insufficient => Some(Problem::conflict(
            "insufficient_funds",
            "The account does not hold enough",
        )),
        Taken::Unknown => Some(Problem::conflict("unknown_account", "There is no such account here")),
    };
    transfers::begin(tx, id, transfer, refusal.as_ref().map(Problem::reason)).await?;
    Ok(match refusal {
        Some(problem) => problem.with("account", transfer.from.clone()).answer(),
        None => Answer {
            status: 201,
            body: json!({ "id": id, "status": "pending" }),
        },
    })
}

async fn give_back(tx: &mut Tx, id: &str) -> Result<bool, sqlx::Error> {
    let select = sqlx::query_as::<_, (String, i64)>("SELECT from_account, amount FROM transfers WHERE id = $1");
    let (account, amount) = select.bind(id.to_owned()).fetch_one(&mut **tx).await?;
    accounts::put(tx, &account, amount).await
}

async fn keep(tx: &mut Tx, key: &ondol_sdk::SagaKey, id: &str, status: &str) -> Result<Answer, Problem> {
    let answer = Answer::ok(json!({ "id": id, "status": status }));
    barrier::store(&mut **tx, key, &answer).await?;
    Ok(answer)
}
