//! orders: each order is a stream of events, and everything else is made of those.
//!
//! Three lessons.
//! - Event sourcing: what is stored is what happened (`event.rs`), what is true follows (`order.rs`), and a change is an
//!   append that fails when somebody was faster (`command.rs`).
//! - CQRS: reads are answered from rows of our own (`view.rs`, `model.rs`) that follow the log (`follow.rs`). Reads need
//!   neither the log nor the platform.
//! - Saga by orchestration: `place-order.saga.yaml` carries an order over five services. This one is its first step, its
//!   last, and the owner of its definition.
//!
//! Read `order.rs` first. `log.rs` and `prices.rs` talk to others, `api.rs` to the saga and to customers.
//!
//! Tests: beside each file; over HTTP against a small log server in `tests/http/`.

pub mod api;
pub mod command;
pub mod decide;
pub mod event;
pub mod follow;
pub mod log;
pub mod model;
pub mod order;
pub mod prices;
pub mod reconcile;
pub mod view;

use crate::command::Commands;
use crate::log::Log;
use crate::model::Model;
use crate::prices::Prices;
use axum::Router;
use shop_kit::{Client, Database, StartError};

/// The service: its read model in `database`, its truth in the `log`, its prices from `products`. Follows the log from
/// now on, in a task that ends with the runtime.
///
/// # Errors
/// [`StartError::Service`] when the read model cannot be read.
pub async fn service(database: Database, log: Client, products: Client) -> Result<Router, StartError> {
    let failed = |source: sqlx::Error| StartError::Service {
        what: "could not read the read model's position".to_owned(),
        source: source.into(),
    };
    let model = Model::open(database).await.map_err(failed)?;
    let log = Log::new(log);
    tokio::spawn(follow::follow(log.clone(), model.clone()));
    Ok(api::routes(
        Commands::new(log, model.clone(), Prices::new(products)),
        model,
    ))
}
