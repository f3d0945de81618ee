//! audit: asks every service for its totals, at once, and shows them side by side.
//!
//! A read across services, and the honest way to do one: nobody's database is opened, each service is asked over its own
//! edge for what it alone knows. One that does not answer in time is named, and the others are shown all the same;
//! a missing total is never taken for zero.
//!
//! The totals are of as many moments as there are services, not of one. They add up when nothing is under way: while orders are being placed a
//! charge may be counted whose order is not confirmed yet.
//!
//! It owns nothing and keeps nothing, and does not look into what it is told: the shape of each part is its service's.
//!
//! Tests: `tests/http.rs`.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Map, Value};
use shop_kit::{CallError, Caller, Client, Problem};
use std::sync::Arc;
use std::time::Duration;

/// How long one service may take. All are asked at the same time, so the whole takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// Every service that has totals, and the variable that holds the address of the edge to it.
pub const SERVICES: [(&str, &str); 9] = [
    ("users", "USERS_URL"),
    ("orders", "ORDERS_URL"),
    ("payments", "PAYMENTS_URL"),
    ("inventory", "INVENTORY_URL"),
    ("shipping", "SHIPPING_URL"),
    ("bank-north", "BANK_NORTH_URL"),
    ("bank-south", "BANK_SOUTH_URL"),
    ("points", "POINTS_URL"),
    ("notifications", "NOTIFICATIONS_URL"),
];

/// The edges in the order of [`SERVICES`]; `None`: this system runs without that service.
pub type Edges = [Option<Client>; SERVICES.len()];

/// What a service said, or why it did not.
type Heard = Result<Value, String>;

/// The answer.
#[derive(Serialize)]
struct Audit {
    /// Totals by service; null for one that could not be reached.
    totals: Map<String, Value>,
    /// Who could not be reached, and why.
    unreachable: Vec<Unreachable>,
}

#[derive(Serialize)]
struct Unreachable {
    service: &'static str,
    why: String,
}

/// The service, with an edge to each of the others.
pub fn service(edges: Edges) -> Router {
    Router::new()
        .route("/api/admin/audit", get(audit))
        .with_state(Arc::new(edges))
}

async fn audit(State(edges): State<Arc<Edges>>, caller: Caller) -> Result<Json<Audit>, Problem> {
    // The gateway has checked it already. Here it is checked by the one who knows why it matters.
    caller.require_role("admin")?;
    let [
        users,
        orders,
        payments,
        inventory,
        shipping,
        north,
        south,
        points,
        mails,
    ] = &*edges;
    // Joined, not spawned: each call stays inside this request's trace.
    let heard: [Heard; SERVICES.len()] = tokio::join!(
        ask(users),
        ask(orders),
        ask(payments),
        ask(inventory),
        ask(shipping),
        ask(north),
        ask(south),
        ask(points),
        ask(mails),
    )
    .into();
    Ok(Json(side_by_side(heard)))
}

async fn ask(edge: &Option<Client>) -> Heard {
    let Some(edge) = edge else {
        return Err("it is not part of this system".to_owned());
    };
    edge.get("/internal/totals", LIMIT).await.map_err(|error| match error {
        CallError::Refused { status, .. } => format!("it answered {status}"),
        CallError::Deadline { limit, .. } => format!("no answer within {limit:?}"),
        CallError::BadAnswer { .. } => "its answer is no JSON".to_owned(),
        CallError::NoAnswer { .. } | CallError::BadPath(_) => "no answer".to_owned(),
    })
}

fn side_by_side(heard: [Heard; SERVICES.len()]) -> Audit {
    let mut audit = Audit {
        totals: Map::new(),
        unreachable: Vec::new(),
    };
    for ((service, _), heard) in SERVICES.into_iter().zip(heard) {
        let total = heard.unwrap_or_else(|why| {
            audit.unreachable.push(Unreachable { service, why });
            Value::Null
        });
        audit.totals.insert(service.to_owned(), total);
    }
    audit
}
