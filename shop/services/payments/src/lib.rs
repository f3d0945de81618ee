//! Payments: wallets, charges and refunds over a double-entry ledger.
//!
//! Read [`charges`] first: it is the shop's lesson about the barrier. [`wallets`] shows a client's idempotency key beside
//! it, and [`ledger`] why no amount can come from nowhere.
//!
//! What must hold
//! - A wallet never goes below zero: the rule is in the UPDATE that takes the money, not in a look before it.
//! - A wallet's balance is the sum of its ledger entries: both are written in one transaction, and `/internal/totals`
//!   compares them.
//! - A charge is made at most once per order and refunded at most once, whatever is repeated, lost or late.
//!
//! Who wants to know of charges and refunds hears it as events, `wallet.charged.v1` and `wallet.refunded.v1`, which are
//! rows in the transaction that moves the money.
//!
//! Database: SQLite, or PostgreSQL by `DATABASE_URL`; every statement here runs on both.

pub mod charges;
pub mod ledger;
pub mod reconcile;
pub mod totals;
pub mod wallets;

use axum::Router;
use axum::routing::{get, post, put};
use shop_kit::{Database, Keys, OUTBOX, StartError, barrier, outbox};

/// The tables, in the order in which they were added.
pub const MIGRATIONS: &[&str] = &[
    barrier::SCHEMA,
    Keys::SCHEMA,
    include_str!("../migrations/001-ledger.sql"),
    OUTBOX,
];

/// What handlers share.
#[derive(Clone, Debug)]
pub struct Payments {
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
    let database = Database::from_env(MIGRATIONS).await?;
    outbox::tidy(database.clone())?;
    Ok(router(database))
}

/// The routes: `/api` for clients behind the gateway, `/internal` for sagas and audit.
pub fn router(database: Database) -> Router {
    Router::new()
        .route("/api/wallet", get(wallets::show))
        .route("/api/wallet/deposits", post(wallets::deposit))
        .route("/internal/charges/{id}", put(charges::charge))
        .route("/internal/charges/{id}/refund", post(charges::refund))
        .route("/internal/reconcile/charges", get(reconcile::charges))
        .route("/internal/reconcile/wallets", get(reconcile::wallets))
        .route("/internal/totals", get(totals::totals))
        .with_state(Payments {
            database,
            keys: Keys::default(),
        })
}
