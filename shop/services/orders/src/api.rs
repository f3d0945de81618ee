//! The routes of orders: what customers read, what the saga calls, what audit asks.
//!
//! `POST /api/orders` is not here: the gateway starts the saga `place-order`, and its step `create` comes in at
//! `PUT /internal/orders/{id}`.
//!
//! Tests: `tests/http/`.

use crate::command::{Command, Commands, Failure};
use crate::decide::placed_before;
use crate::event::{Asked, Item};
use crate::log::Cause;
use crate::model::{Model, Totals};
use crate::order::{Order, Status};
use crate::reconcile;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{Caller, JsonBody, Params, Problem, SagaCall, page, page_size};

/// Most lines of an order.
const MOST_LINES: usize = 50;
/// Most pieces of one line.
const MOST_PIECES: u32 = 1000;
/// Longest id, in characters, as the contract counts them.
const LONGEST_ID: usize = 64;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Orders {
    commands: Commands,
    pub(crate) model: Model,
}

#[derive(Deserialize)]
struct Cancel {
    #[serde(flatten)]
    asked: Asked,
    reason: String,
}

#[derive(Deserialize)]
struct Confirm {
    payment: String,
    shipment: String,
}

#[derive(Deserialize)]
struct List {
    limit: Option<u32>,
    #[serde(default)]
    after: String,
}

/// All routes.
pub fn routes(commands: Commands, model: Model) -> Router {
    Router::new()
        .route("/api/orders", get(list))
        .route("/api/orders/{id}", get(one))
        .route("/internal/orders/{id}", put(create))
        .route("/internal/orders/{id}/cancel", post(cancel))
        .route("/internal/orders/{id}/confirm", post(confirm))
        .route("/internal/reconcile/orders", get(reconcile::orders))
        .route("/internal/totals", get(totals))
        .with_state(Orders { commands, model })
}

async fn one(State(orders): State<Orders>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    // Somebody else's is answered like one that does not exist.
    let view = orders.model.one(&caller.subject, &id).await?;
    Ok(as_json(
        view.ok_or_else(|| Problem::not_found("There is no such order"))?,
    ))
}

async fn list(
    State(orders): State<Orders>,
    caller: Caller,
    Params(List { limit, after }): Params<List>,
) -> Result<Response, Problem> {
    let limit = page_size(limit)?;
    let found = orders.model.list(&caller.subject, &after, limit + 1).await?;
    let (items, next) = page(found, limit, |(id, _)| id);
    // The rows hold the answers already: they are put between brackets, not read and written again.
    let items: Vec<String> = items.into_iter().map(|(_, view)| view).collect();
    Ok(as_json(format!(
        r#"{{"items":[{}],"next":{}}}"#,
        items.join(","),
        json!(next)
    )))
}

async fn create(
    State(orders): State<Orders>,
    Path(id): Path<String>,
    call: SagaCall,
    headers: HeaderMap,
    body: JsonBody<Asked>,
) -> Result<Json<Value>, Problem> {
    let cause = cause(call.action()?.to_string(), &headers);
    let (id, asked) = (order_id(id)?, fitting(body.value)?);
    let order = orders
        .commands
        .run(&id, &cause, &Command::Create(asked))
        .await
        .map_err(problem)?;
    // An order that could not be priced is in the log and in the model by now, cancelled; the saga is told why.
    placed_before(&order, &cause.key).map_err(|refused| problem(refused.into()))?;
    let Order { total, currency, .. } = order;
    Ok(Json(
        json!({"id": id, "status": Status::Pending, "total": total, "currency": currency}),
    ))
}

async fn cancel(
    State(orders): State<Orders>,
    Path(id): Path<String>,
    call: SagaCall,
    headers: HeaderMap,
    body: JsonBody<Cancel>,
) -> Result<Json<Value>, Problem> {
    let cause = cause(call.compensation()?.to_string(), &headers);
    let Cancel { asked, reason } = body.value;
    let (id, asked) = (order_id(id)?, fitting(asked)?);
    changed(&orders, id, &cause, Command::Cancel { asked, reason }).await
}

async fn confirm(
    State(orders): State<Orders>,
    Path(id): Path<String>,
    call: SagaCall,
    headers: HeaderMap,
    body: JsonBody<Confirm>,
) -> Result<Json<Value>, Problem> {
    let cause = cause(call.action()?.to_string(), &headers);
    let Confirm { payment, shipment } = body.value;
    changed(&orders, order_id(id)?, &cause, Command::Confirm { payment, shipment }).await
}

async fn totals(State(orders): State<Orders>) -> Result<Json<Totals>, Problem> {
    Ok(Json(orders.model.totals().await?))
}

async fn changed(orders: &Orders, id: String, cause: &Cause, command: Command) -> Result<Json<Value>, Problem> {
    let order = orders.commands.run(&id, cause, &command).await.map_err(problem)?;
    Ok(Json(json!({"id": id, "status": order.status})))
}

fn cause(key: String, headers: &HeaderMap) -> Cause {
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    Cause {
        key,
        traceparent: parent.map(str::to_owned),
    }
}

fn as_json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The id as part of a stream's name.
fn order_id(id: String) -> Result<String, Problem> {
    let fits =
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits {
        Ok(id)
    } else {
        Err(Problem::bad_request("bad_order_id", "An order's id is a UUID"))
    }
}

/// What the saga's input schema has checked at the gateway, checked again where it matters.
fn fitting(asked: Asked) -> Result<Asked, Problem> {
    let line = |item: &Item| {
        let letters = item.product_id.chars().count();
        (1..=MOST_PIECES).contains(&item.quantity) && (1..=LONGEST_ID).contains(&letters)
    };
    if asked.customer.is_empty() || !(1..=MOST_LINES).contains(&asked.items.len()) || !asked.items.iter().all(line) {
        let title = format!("An order has a customer and 1 to {MOST_LINES} items of 1 to {MOST_PIECES} pieces");
        return Err(Problem::bad_request("bad_order", title));
    }
    Ok(asked)
}

/// Definite failures are 409; whatever leaves it open is a 5xx, so that the saga asks again instead of undoing.
fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refused) => Problem::conflict(refused.reason(), refused.to_string()),
        Failure::History(_) => Problem::internal(&failure),
        Failure::Prices(_) => later("prices_unknown", &failure),
        Failure::Log(_) => later("log_unavailable", &failure),
        Failure::Behind(_) => later("not_visible_yet", &failure),
        Failure::Contended => later("contended", &failure),
    }
}

fn later(reason: &'static str, failure: &Failure) -> Problem {
    let cause = std::error::Error::source(failure).map(ToString::to_string);
    tracing::warn!(reason, error = %failure, cause, "a saga's call was put off");
    Problem::unavailable(reason, "The order cannot be changed at this moment", 1)
}
