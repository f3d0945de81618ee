//! The relay: rows of a service's own table `ondol_outbox`, written in its own transactions, published as events.
//!
//! - `config.rs`: whose outbox, where; `row.rs`: a row, and the event that it is.
//! - `machine.rs`: the pure decisions: how far, which rows wait behind one that cannot be published, when it is full.
//! - `source.rs`, `sqlite.rs`, `postgres.rs`: reading the two databases; `record.rs`: what is durable here.
//! - `service.rs`: the loop; `request.rs`: what it is asked; `handle.rs`: what others may ask, [`Relays`].
//!
//! Invariants
//! - Only what is committed is read, so an event of an aborted local transaction is never published.
//! - A row counts as relayed once its event is durable, or it is a durable dead letter; at least once. The event's id
//!   makes the second time nothing.
//! - Rows of one key are published by rising `seq`. One that cannot be published parks its key: later rows of the key wait
//!   behind it, rows of other keys go on.
//! - The relay of SQLite writes nothing into the service's database; that of PostgreSQL deletes what is relayed.
//!
//! Bounds: 1,000 rows or 2 MiB a batch; 10,000 rows or 32 MiB of dead letters an outbox, and a batch more; then it is
//! `full` and reads nothing until a person acts.
//!
//! Not here: HTTP (`ondol-api`), manifests. Tests: `tests/relay`.

pub mod config;
mod handle;
mod machine;
mod postgres;
mod record;
mod request;
mod row;
mod service;
mod source;
mod sqlite;

pub use handle::{Relays, View};
pub use service::Ports;

/// The name, beside its service's, under which rows that cannot be published are dead letters: `orders.outbox`.
pub const OUTBOX: &str = "outbox";
