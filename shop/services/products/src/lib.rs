//! products: the catalogue and its search.
//!
//! Two lessons. CQRS in its smallest form: products are kept in one table and *read* through another that is made for
//! searching (`catalogue.rs`); the database keeps the second up to date in the transaction that changes the first.
//! Caching: what everybody reads and nobody changes says for how long it holds and how to ask whether it still does
//! (`cache.rs`).
//!
//! What an order costs is asked at `/internal/products`, which is never cached: a price is only true now.
//!
//! Tests: beside each file; over HTTP in `tests/http.rs`.

pub mod api;
pub mod cache;
pub mod catalogue;

use crate::catalogue::Catalogue;
use axum::Router;
use shop_kit::{Database, StartError};

/// The service over `database`, seeded when it is empty.
///
/// # Errors
/// [`StartError::Service`] when the seed cannot be written.
pub async fn service(database: Database) -> Result<Router, StartError> {
    let catalogue = Catalogue::new(database);
    let failed = |error: catalogue::SeedError| StartError::Service {
        what: "could not seed the catalogue".to_owned(),
        source: error.into(),
    };
    catalogue.seed().await.map_err(failed)?;
    Ok(api::routes(catalogue))
}
