//! users: accounts, sessions, and the key that the gateway checks tokens with.
//!
//! The lesson here is authentication at the gateway: this service is asked once an hour, when somebody signs in. After
//! that the gateway reads the token by itself, and every other service finds `Ondol-Subject` and `Ondol-Roles` in the
//! request, already verified.
//!
//! - `account`: what an email, a name and a password may look like.
//! - `password`: hashing, bounded. `attempts`: how often one may guess.
//! - `token`: the signing key and what a token says. `secret_file`: how a secret is written down.
//! - `store`: the accounts. `first`: the two that are there from the beginning.
//! - `api`: the routes.
//!
//! Tests: beside each file; over HTTP in `tests/http.rs`, on SQLite and on PostgreSQL.

pub mod account;
pub mod api;
pub mod attempts;
pub mod first;
pub mod password;
pub mod secret_file;
pub mod store;
pub mod token;

use crate::api::Users;
use crate::password::Passwords;
use crate::store::Store;
use crate::token::Signer;
use axum::Router;
use shop_kit::{Database, StartError};
use std::path::Path;
use std::sync::Arc;

/// The service with its accounts in `database` and its key in `folder`.
///
/// # Errors
/// [`StartError`] when the key or the first accounts can be neither read nor made.
pub async fn service(database: Database, folder: &Path) -> Result<Router, StartError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source: Box<dyn std::error::Error + Send + Sync>| StartError::Service { what, source }
    };
    let at_once = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let passwords = Passwords::new(at_once)
        .await
        .map_err(|e| failed("could not hash passwords")(e.into()))?;
    let signer = Signer::open(folder).map_err(|e| failed("could not keep the signing key")(e.into()))?;
    let store = Store::new(database);
    first::make(&store, &passwords, folder)
        .await
        .map_err(|e| failed("could not make the first accounts")(e.into()))?;
    Ok(api::routes(Arc::new(Users::new(store, passwords, signer))))
}
