//! The saga's steps `reserve` and `deduct`: hold the goods, then let go of them or send them.
//!
//! # The lesson: three moments, three rules
//!
//! - *Reserve* can fail and can be undone. Its refusal is stored in the barrier, so that a late attempt hears the same.
//! - *Release* undoes it. It comes also when the reservation never did, and then it closes the door: see the barrier.
//! - *Deduct* comes after the order's point of no return (the pivot, `ship`). It can only succeed; if it cannot, that is
//!   a bug for a person to look at. So its failure is **not** stored: the transaction rolls back, barrier row and all,
//!   and when the person has repaired the cause, the saga's retry is a first attempt again.

use axum::extract::{Path, State};
use axum::response::Response;
use ondol_sdk::barrier::{self, Entry, Undo};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, JsonBody, Problem, SagaCall, Tx, reply};
use sqlx::Acquire;

use crate::Inventory;
use crate::stock::{self, Item, Reserved};

/// Lines of one order at most.
const MAX_ITEMS: usize = 100;
/// Of one product in one line at most.
const MAX_QUANTITY: i64 = 10_000;

/// What to hold.
#[derive(Debug, Deserialize)]
pub struct Reservation {
    /// The order's lines; a product may come twice.
    pub items: Vec<Item>,
}

/// `PUT /internal/reservations/{id}`: the action of `reserve`. All lines or none.
///
/// # Errors
/// 400 for lines that are none; 409 `out_of_stock` or `unknown_product`; 5xx when nothing is known.
pub async fn reserve(
    State(inventory): State<Inventory>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Reservation>,
) -> Result<Response, Problem> {
    let key = call.action()?;
    let items = checked(body.value.items)?;
    let mut tx = inventory.database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            let answer = hold(&mut tx, &id, &items).await?;
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `DELETE /internal/reservations/{id}`: the compensation of `reserve`.
///
/// # Errors
/// 5xx when nothing is known; the saga asks again.
pub async fn release(
    State(inventory): State<Inventory>,
    Path(id): Path<String>,
    call: SagaCall,
) -> Result<Response, Problem> {
    let key = call.compensation()?;
    let mut tx = inventory.database.write().await?;
    let answer = match barrier::compensation(&mut *tx, &key).await? {
        Undo::Duplicate(stored) => stored,
        undo => {
            if undo == Undo::Needed && !stock::end(&mut tx, &id, stock::RELEASE).await? {
                // Deducted already: only a saga that undoes after its pivot could ask this. Nothing is stored.
                return Err(Problem::conflict(
                    "not_held",
                    "The goods have left; they cannot be released",
                ));
            }
            let status = if undo == Undo::Needed {
                "released"
            } else {
                "never_reserved"
            };
            let answer = Answer::ok(json!({ "id": id, "status": status }));
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `POST /internal/reservations/{id}/deduct`: the action of `deduct`, retriable.
///
/// # Errors
/// 409 `not_held`, not stored: the saga is parked and a person looks; 5xx when nothing is known.
pub async fn deduct(
    State(inventory): State<Inventory>,
    Path(id): Path<String>,
    call: SagaCall,
) -> Result<Response, Problem> {
    let key = call.action()?;
    let mut tx = inventory.database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            if !stock::end(&mut tx, &id, stock::DEDUCT).await? {
                return Err(Problem::conflict("not_held", "There is no held reservation to deduct").with("id", id));
            }
            let answer = Answer::ok(json!({ "id": id, "status": "deducted" }));
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// Holds all lines or none. The barrier's row must stay when a line is refused, since it keeps the refusal; what the
/// earlier lines have taken must go. Hence the inner transaction (a SAVEPOINT): only it is rolled back.
async fn hold(tx: &mut Tx, id: &str, items: &[Item]) -> Result<Answer, Problem> {
    let mut attempt = tx.begin().await?;
    let refused = match stock::reserve(&mut attempt, id, items).await? {
        Reserved::All => None,
        Reserved::OutOfStock(item) => {
            let problem = Problem::conflict("out_of_stock", format!("Not enough of {} left", item.product_id));
            Some(problem.with("product_id", item.product_id.clone()))
        }
        Reserved::Unknown(item) => {
            let problem = Problem::conflict("unknown_product", format!("There is no product {}", item.product_id));
            Some(problem.with("product_id", item.product_id.clone()))
        }
    };
    if let Some(problem) = refused {
        attempt.rollback().await?;
        return Ok(problem.answer());
    }
    attempt.commit().await?;
    Ok(Answer {
        status: 201,
        body: json!({ "id": id, "status": "held" }),
    })
}

/// Bounds, and one line per product.
fn checked(items: Vec<Item>) -> Result<Vec<Item>, Problem> {
    let quantities = items.iter().all(|item| (1..=MAX_QUANTITY).contains(&item.quantity));
    if items.is_empty() || items.len() > MAX_ITEMS || !quantities {
        let title = format!("An order has 1 to {MAX_ITEMS} lines of 1 to {MAX_QUANTITY} each");
        return Err(Problem::bad_request("bad_items", title));
    }
    Ok(stock::merged(items))
}
