//! A bank: accounts, and transfers to the other bank. One program, deployed twice, a database each.
//!
//! # The lesson: money that is never lost, without a transaction over two databases
//!
//! A transfer takes money out of one database and puts it into another, and no transaction spans both. Its saga has three
//! steps, and after each it is written down somewhere where the money is:
//!
//! | step | here | if it ends here |
//! |---|---|---|
//! | `withdraw` | taken from `from`, the transfer is `pending` | the refund gives it back |
//! | `deposit` (the pivot, in the other bank) | put to `to` | it goes on: there is no way back |
//! | `finish` | the transfer is `done` | tried again until it is |
//!
//! The deposit is the pivot because it is the last that can be refused (there may be no such account) and the first that
//! cannot be taken back: `to` may have spent the money the moment it arrived. The other way round, deposit first, a
//! failing withdrawal would have to take money from somebody who no longer has it. A deposit whose answer was lost is
//! asked for again until it is known; it is never refunded on a guess.
//!
//! What must hold
//! - Balances never go below zero.
//! - Both banks' balances and what is pending between them always add up to the same; with nothing pending, the balances
//!   alone do.
//!
//! Accounts belong to nobody in particular: any signed-in customer may move money. It is a bank to learn by.

pub mod accounts;
pub mod deposits;
pub mod reconcile;
pub mod totals;
pub mod transfers;
pub mod withdrawals;

use axum::Router;
use axum::routing::{get, post, put};
use shop_kit::{Database, StartError, barrier, variable};

/// The tables, in the order in which they were added.
pub const MIGRATIONS: &[&str] = &[
    barrier::SCHEMA,
    include_str!("../migrations/001-bank.sql"),
    include_str!("../migrations/002-changed.sql"),
];

/// Opens the database and gives the routes of the bank that `BANK` names.
///
/// # Errors
/// [`StartError`] without a name or a usable database.
pub async fn start() -> Result<Router, StartError> {
    let name = variable("BANK")?;
    if !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(StartError::BadVariable {
            name: "BANK",
            value: name,
            expected: "expected lower-case letters",
        });
    }
    Ok(router(&name, Database::from_env(MIGRATIONS).await?))
}

/// The routes of one bank: `/api/banks/{name}` for clients behind the gateway, `/internal` for sagas and audit. A
/// transfer is started by Ondol, which answers `POST /api/banks/{name}/transfers` by the saga of this name.
pub fn router(name: &str, database: Database) -> Router {
    Router::new()
        .route(&format!("/api/banks/{name}/accounts/{{account}}"), get(accounts::show))
        .route(&format!("/api/banks/{name}/transfers/{{id}}"), get(transfers::show))
        .route("/internal/withdrawals/{id}", put(withdrawals::withdraw))
        .route("/internal/withdrawals/{id}/refund", post(withdrawals::refund))
        .route("/internal/withdrawals/{id}/finish", post(withdrawals::finish))
        .route("/internal/deposits/{id}", put(deposits::deposit))
        .route("/internal/reconcile/transfers", get(reconcile::transfers))
        .route("/internal/reconcile/deposits", get(reconcile::deposits))
        .route("/internal/reconcile/books", get(reconcile::books))
        .route("/internal/totals", get(totals::totals))
        .with_state(database)
}
