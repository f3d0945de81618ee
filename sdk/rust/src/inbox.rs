//! The inbox: an event that comes again has its effect once.
//!
//! Events are delivered at least once. A row in the transaction of the effect remembers that it was taken:
//!
//! ```no_run
//! # async fn give_points(_: &mut sqlx::Transaction<'_, sqlx::Sqlite>) -> Result<(), sqlx::Error> { Ok(()) }
//! # async fn handler(pool: sqlx::SqlitePool, subscription: &str, event: &str) -> Result<(), sqlx::Error> {
//! let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//! if ondol_sdk::inbox::once(&mut *tx, subscription, event).await? {
//!     give_points(&mut tx).await?;
//! }
//! tx.commit().await // Either way the answer is a 2xx.
//! # }
//! ```
//!
//! Nothing here deletes rows: as long as an event can come again (a redrive, a reset) its row must be there.

use crate::{Connection, Dialect};

/// The table on SQLite.
pub const SQLITE: &str = "\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription TEXT NOT NULL,
    event        TEXT NOT NULL,
    at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (subscription, event)
) WITHOUT ROWID";
/// The table on PostgreSQL.
pub const POSTGRES: &str = "\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription text NOT NULL,
    event        text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, event)
)";

/// Makes the table where it is missing.
///
/// # Errors
/// The database's.
pub async fn create(connection: &mut impl Connection) -> Result<(), sqlx::Error> {
    let sql = match connection.dialect() {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    };
    connection.run(sql).await
}

/// Takes an event by its id for a subscription, `SERVICE.NAME`. `false`: it was taken before, do nothing. On PostgreSQL it
/// waits for another transaction that takes the same event.
///
/// # Errors
/// The database's; roll back.
pub async fn once(tx: &mut impl Connection, subscription: &str, event: &str) -> Result<bool, sqlx::Error> {
    let insert = "INSERT INTO ondol_inbox (subscription, event) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let values = [Some(subscription.to_owned()), Some(event.to_owned())];
    Ok(tx.change(insert, &values).await? == 1)
}
