//! Shipping: parcels and their tracking numbers.
//!
//! The lesson is in [`shipments`]: the pivot, the step after which an order can only go forward.
//!
//! What must hold
//! - One shipment per order, with one tracking number, however often it is asked for.
//! - A shipment is never taken back. There is no compensation here, and the saga's manifest says so.

pub mod shipments;
pub mod totals;
pub mod tracking;

use axum::Router;
use axum::routing::get;
use shop_kit::{Database, StartError, barrier};

/// The tables, in the order in which they were added.
pub const MIGRATIONS: &[&str] = &[barrier::SCHEMA, include_str!("../migrations/001-shipments.sql")];

/// Opens the database and gives the routes.
///
/// # Errors
/// [`StartError`] without a usable database.
pub async fn start() -> Result<Router, StartError> {
    Ok(router(Database::from_env(MIGRATIONS).await?))
}

/// The routes: all internal, customers see their shipment in the order.
pub fn router(database: Database) -> Router {
    Router::new()
        .route("/internal/shipments/{id}", get(shipments::show).put(shipments::ship))
        .route("/internal/totals", get(totals::totals))
        .with_state(database)
}
