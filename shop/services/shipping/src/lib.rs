//! Shipping: parcels and their tracking numbers.
//!
//! Two lessons. [`shipments`]: the pivot, the step after which an order can only go forward. [`courier`]: a dependency that is
//! slow and not always there; it is asked beside the work, and its last answers are served while it is away.
//!
//! What must hold
//! - One shipment per order, with one tracking number, however often it is asked for.
//! - A shipment is never taken back. There is no compensation here, and the saga's manifest says so.

pub mod carriers;
pub mod courier;
pub mod deliveries;
pub mod reconcile;
pub mod shipments;
pub mod totals;
pub mod tracking;

use axum::Router;
use axum::routing::get;
use carriers::Carriers;
use courier::Courier;
use deliveries::Deliveries;
use shop_kit::{Database, StartError, barrier};

/// The tables, in the order in which they were added.
pub const MIGRATIONS: &[&str] = &[
    barrier::SCHEMA,
    include_str!("../migrations/001-shipments.sql"),
    include_str!("../migrations/002-deliveries.sql"),
];

/// Opens the database, sends the courier to the carriers of `CARRIERS_URL`, and gives the routes. Without that variable nobody
/// asks carriers, and no parcel has a delivery date.
///
/// # Errors
/// [`StartError`] without a usable database, or for a `CARRIERS_URL` that is no URL.
pub async fn start() -> Result<Router, StartError> {
    let database = Database::from_env(MIGRATIONS).await?;
    if let Ok(url) = shop_kit::variable("CARRIERS_URL") {
        let carriers = Carriers::new(url.clone()).map_err(|_| StartError::BadVariable {
            name: "CARRIERS_URL",
            value: url,
            expected: "expected a URL, such as http://127.0.0.1:20001",
        })?;
        tokio::spawn(Courier::new(Deliveries::new(database.clone()), carriers).run());
    }
    Ok(router(database))
}

/// The routes.
pub fn router(database: Database) -> Router {
    Router::new()
        .route("/internal/shipments/{id}", get(shipments::show).put(shipments::ship))
        .route("/api/shipments/{id}", get(shipments::of_customer))
        .route("/internal/reconcile/shipments", get(reconcile::shipments))
        .route("/internal/totals", get(totals::totals))
        .with_state(database)
}
