//! The saga's steps `pay`: charge an order to its customer's wallet, and give it back.
//!
//! # The lesson: why a barrier
//!
//! The saga calls over a network, so it may not know whether a charge was made. It then calls again, or gives up and asks
//! for a refund, and three things can happen that no `if` in this file could tell apart:
//!
//! 1. *Duplicate*: the charge was made and the answer was lost. Charging again would take the money twice.
//! 2. *Null compensation*: the charge never arrived, and the refund does. Refunding would give money away.
//! 3. *Late action*: the refund has been here, and now the charge arrives after all, having slept in some buffer. Charging
//!    would take money for an order that does not exist.
//!
//! `barrier::action` and `barrier::compensation` tell them apart by two inserts in the transaction that also moves the
//! money. So the money and the knowledge about it are one: they commit together, or neither does.

use axum::extract::{Path, State};
use axum::response::Response;
use ondol_sdk::barrier::{self, Entry, Undo};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, CURRENCY, Event, JsonBody, Problem, SagaCall, Tx, outbox, positive_amount, reply};

use crate::{Payments, ledger};

/// What to charge.
#[derive(Debug, Deserialize)]
pub struct Charge {
    /// Whose wallet.
    pub customer: String,
    /// Cents.
    pub amount: i64,
    /// Must be the shop's.
    pub currency: String,
}

/// `PUT /internal/charges/{id}`: the action.
///
/// # Errors
/// 400 for an amount or a currency that is none; 409 `insufficient_funds`; 5xx when nothing is known.
pub async fn charge(
    State(payments): State<Payments>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Charge>,
) -> Result<Response, Problem> {
    let (key, charge) = (call.action()?, body.value);
    if charge.currency != CURRENCY {
        return Err(Problem::bad_request(
            "bad_currency",
            format!("Wallets hold {CURRENCY} only"),
        ));
    }
    positive_amount(charge.amount)?;

    let mut tx = payments.database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            let answer = take(&mut tx, &id, &charge).await?;
            // A refusal is kept like a success: the wallet may be full again when a late attempt of the same charge
            // arrives, and it must hear what the saga has already acted on.
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `POST /internal/charges/{id}/refund`: the compensation. There is always a 200 to be had, also when there is nothing to
/// give back, because a saga that is undoing has no other way to go.
///
/// # Errors
/// 5xx when nothing is known; nothing has happened then, the saga asks again.
pub async fn refund(
    State(payments): State<Payments>,
    Path(id): Path<String>,
    call: SagaCall,
) -> Result<Response, Problem> {
    let key = call.compensation()?;
    let mut tx = payments.database.write().await?;
    let answer = match barrier::compensation(&mut *tx, &key).await? {
        Undo::Duplicate(stored) => stored,
        undo => {
            if undo == Undo::Needed {
                give_back(&mut tx, &id).await?;
            }
            let status = if undo == Undo::Needed {
                "refunded"
            } else {
                "never_charged"
            };
            let answer = Answer::ok(json!({ "id": id, "status": status }));
            // Stored and committed even when nothing was undone: that is what stops the late action.
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// Moves the money from the wallet to the shop, or says why not.
async fn take(tx: &mut Tx, id: &str, charge: &Charge) -> Result<Answer, sqlx::Error> {
    // The look and the taking are one statement: no other charge can come between them.
    let take = "UPDATE wallets SET balance = balance - $2 WHERE owner = $1 AND balance >= $2";
    let take = sqlx::query(take).bind(charge.customer.clone()).bind(charge.amount);
    if take.execute(&mut **tx).await?.rows_affected() == 0 {
        let problem = Problem::conflict("insufficient_funds", "The wallet does not hold enough");
        return Ok(problem.with("amount", charge.amount).answer());
    }
    let insert = "INSERT INTO charges (id, customer, amount, status) VALUES ($1, $2, $3, 'charged')";
    let insert = sqlx::query(insert)
        .bind(id.to_owned())
        .bind(charge.customer.clone())
        .bind(charge.amount);
    insert.execute(&mut **tx).await?;
    let wallet = ledger::wallet(&charge.customer);
    ledger::record(tx, &format!("charge:{id}"), &wallet, ledger::SHOP, charge.amount).await?;
    outbox::announce(tx, moved("wallet.charged", id, &charge.customer, charge.amount)).await?;
    let body = json!({ "id": id, "status": "charged", "amount": charge.amount, "currency": CURRENCY });
    Ok(Answer { status: 201, body })
}

/// Moves it back. The barrier has said that there is a charge.
async fn give_back(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    let mark = "UPDATE charges SET status = 'refunded' WHERE id = $1 AND status = 'charged' RETURNING customer, amount";
    let mark = sqlx::query_as::<_, (String, i64)>(mark).bind(id.to_owned());
    let (customer, amount) = mark.fetch_one(&mut **tx).await?;
    let give = sqlx::query("UPDATE wallets SET balance = balance + $2 WHERE owner = $1");
    give.bind(customer.clone()).bind(amount).execute(&mut **tx).await?;
    ledger::record(
        tx,
        &format!("refund:{id}"),
        ledger::SHOP,
        &ledger::wallet(&customer),
        amount,
    )
    .await?;
    outbox::announce(tx, moved("wallet.refunded", id, &customer, amount)).await
}

/// What others are told: one event for each movement, those of one wallet in the order of its balance, since its row is
/// locked by then.
fn moved(what: &str, order: &str, customer: &str, amount: i64) -> Event {
    let data = json!({ "order": order, "customer": customer, "amount": amount, "currency": CURRENCY });
    let event = Event::new(format!("{what}.v1"), data).id(format!("{what}:{order}"));
    event.subject(order).key(ledger::wallet(customer))
}
