//! The saga's step `ship`: hand the parcel over.
//!
//! # The lesson: the pivot
//!
//! Before this step everything can be undone: money refunded, goods released. After it nothing can: the parcel has left.
//! So it stands exactly where all that can fail lies behind it, and all that lies ahead (deduct, confirm) can only
//! succeed. While its outcome is unknown, the saga neither undoes nor goes on: it asks until it knows. That is why its
//! answer is kept under its key, and why it is owed no compensation.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use ondol_sdk::barrier::{self, Entry};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{Answer, Caller, Database, JsonBody, Problem, SagaCall, Tx, reply};

use crate::{deliveries, tracking};

/// Lines of one parcel at most.
const MAX_ITEMS: usize = 100;

/// What to send, and to whom.
#[derive(Debug, Deserialize)]
pub struct Shipment {
    /// The user's id.
    pub customer: String,
    /// The order's lines.
    pub items: Vec<Item>,
}

/// A line: so many of this product.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// Which.
    pub product_id: String,
    /// How many.
    pub quantity: i64,
}

/// `PUT /internal/shipments/{id}`: the pivot's action.
///
/// # Errors
/// 400 for lines that are none; 5xx when nothing is known. There is no business refusal: the goods are held already.
pub async fn ship(
    State(database): State<Database>,
    Path(id): Path<String>,
    call: SagaCall,
    body: JsonBody<Shipment>,
) -> Result<Response, Problem> {
    let (key, shipment) = (call.action()?, body.value);
    if shipment.items.is_empty() || shipment.items.len() > MAX_ITEMS || shipment.items.iter().any(|i| i.quantity < 1) {
        return Err(Problem::bad_request(
            "bad_items",
            format!("A parcel has 1 to {MAX_ITEMS} lines of 1 or more each"),
        ));
    }
    let mut tx = database.write().await?;
    let answer = match barrier::action(&mut *tx, &key).await? {
        Entry::First => {
            let tracking = hand_over(&mut tx, &id, &shipment).await?;
            let answer = Answer {
                status: 201,
                body: json!({ "id": id, "tracking": tracking }),
            };
            barrier::store(&mut *tx, &key, &answer).await?;
            answer
        }
        Entry::Duplicate(stored) => stored,
        Entry::Late => Answer::late(),
    };
    tx.commit().await?;
    Ok(reply(answer))
}

/// `GET /internal/shipments/{id}`.
///
/// # Errors
/// 404; the database's.
pub async fn show(State(database): State<Database>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_as::<_, (String, String)>("SELECT customer, tracking FROM shipments WHERE id = $1");
    let found = select.bind(id.clone()).fetch_optional(database.read()).await?;
    let (customer, tracking) = found.ok_or_else(|| Problem::not_found("There is no such shipment"))?;
    let items = "SELECT product_id, quantity FROM shipment_items WHERE shipment_id = $1 ORDER BY line";
    let items = sqlx::query_as::<_, (String, i64)>(items)
        .bind(id.clone())
        .fetch_all(database.read())
        .await?;
    let items: Value = items
        .into_iter()
        .map(|(id, quantity)| json!({ "product_id": id, "quantity": quantity }))
        .collect();
    let delivery = deliveries::of(&database, &tracking).await?;
    Ok(Json(
        json!({ "id": id, "customer": customer, "tracking": tracking, "items": items, "delivery": delivery }),
    ))
}

/// `GET /api/shipments/{id}`: where a customer's parcel is and when it will be delivered, as far as the carriers have said.
///
/// # Errors
/// 404, for somebody else's too; the database's.
pub async fn of_customer(
    State(database): State<Database>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_scalar::<_, String>("SELECT tracking FROM shipments WHERE id = $1 AND customer = $2");
    let select = select.bind(id.clone()).bind(caller.subject);
    let found = select.fetch_optional(database.read()).await?;
    let tracking = found.ok_or_else(|| Problem::not_found("There is no such shipment"))?;
    let delivery = deliveries::of(&database, &tracking).await?;
    Ok(Json(json!({ "id": id, "tracking": tracking, "delivery": delivery })))
}

/// Writes the parcel down, gives it a number, and leaves word for the courier.
async fn hand_over(tx: &mut Tx, id: &str, shipment: &Shipment) -> Result<String, sqlx::Error> {
    let number = tracking::number();
    let insert = "INSERT INTO shipments (id, customer, tracking, created_ms) \
                  VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    let insert = sqlx::query(insert)
        .bind(id.to_owned())
        .bind(shipment.customer.clone())
        .bind(number.clone());
    insert.execute(&mut **tx).await?;
    for (line, item) in (1_i64..).zip(&shipment.items) {
        let insert = "INSERT INTO shipment_items (shipment_id, line, product_id, quantity) VALUES ($1, $2, $3, $4)";
        let insert = sqlx::query(insert).bind(id.to_owned()).bind(line);
        insert
            .bind(item.product_id.clone())
            .bind(item.quantity)
            .execute(&mut **tx)
            .await?;
    }
    // A sum beyond the largest number is more than any carrier takes, and so is the largest number.
    let pieces = shipment
        .items
        .iter()
        .fold(0_i64, |sum, item| sum.saturating_add(item.quantity));
    deliveries::expect(tx, &number, pieces).await?;
    Ok(number)
}
