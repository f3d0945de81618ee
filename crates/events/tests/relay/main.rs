//! Outboxes over a real store and real databases, SQLite and PostgreSQL.

mod letters;
#[path = "../../../store/tests/support/postgres.rs"]
#[allow(dead_code, reason = "the store's tests use the rest")]
mod postgres;
mod relaying;
mod system;
mod trouble;
