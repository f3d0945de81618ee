//! Inventory: what is in the warehouse, and what of it is promised.
//!
//! The lesson is in [`reservations`]: try, confirm, cancel. An order first *reserves* (try), and only when it can no
//! longer fail are the goods *deducted* (confirm); a failed order is *released* (cancel). In between the goods are still
//! there, but nobody else can have them: a saga has no isolation, and the reservation is what stands in for it.
//!
//! What must hold, whatever is repeated, lost or late
//! - `0 <= reserved <= on_hand` for each product: nothing is sold that is not there.
//! - `on_hand + shipped = received`: nothing vanishes.
//! - A reservation is released or deducted, never both, and once.

pub mod admin;
pub mod reconcile;
pub mod reservations;
pub mod stock;
pub mod totals;

use axum::Router;
use axum::routing::{get, post, put};
use shop_kit::{Database, Keys, StartError, barrier};

/// The tables, in the order in which they were added.
pub const MIGRATIONS: &[&str] = &[
    barrier::SCHEMA,
    Keys::SCHEMA,
    include_str!("../migrations/001-stock.sql"),
    include_str!("../migrations/002-changed.sql"),
];

/// What handlers share.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Ours alone.
    pub database: Database,
    /// Clients' idempotency keys that are in use at the moment.
    pub keys: Keys,
}

/// Opens the database and gives the routes.
///
/// # Errors
/// [`StartError`] without a usable database.
pub async fn start() -> Result<Router, StartError> {
    Ok(router(Database::from_env(MIGRATIONS).await?))
}

/// The routes: `/api` for clients behind the gateway, `/internal` for sagas and audit.
pub fn router(database: Database) -> Router {
    let reservation = put(reservations::reserve).delete(reservations::release);
    Router::new()
        .route("/api/admin/products/{id}/stock", post(admin::restock))
        .route("/internal/reservations/{id}", reservation)
        .route("/internal/reservations/{id}/deduct", post(reservations::deduct))
        .route("/internal/reconcile/reservations", get(reconcile::reservations))
        .route("/internal/reconcile/stock", get(reconcile::stock))
        .route("/internal/totals", get(totals::totals))
        .with_state(Inventory {
            database,
            keys: Keys::default(),
        })
}
