//! The outbox: events as rows of the service's own database, written in the transaction that makes them true.
//!
//! Ondol relays committed rows to its log, those of one key in the order of `seq`; an aborted transaction leaves nothing
//! to relay. The manifest says `outbox: true` and which types the service publishes.
//!
//! What must hold
//! - The row and the effect commit together, or neither. On SQLite the transaction begins with `BEGIN IMMEDIATE`.
//! - On PostgreSQL rows of one key are in order when the transactions on that key are: lock what you change first, then
//!   [`enqueue`].
//! - Who deletes: on SQLite the service, up to what `GET /v1/outbox` says ([`trim`]); on PostgreSQL the relay, and nobody
//!   else, since a transaction with a lower `seq` may commit after one with a higher.

use crate::event::{BadEvent, Data, Event};
use crate::{Connection, Dialect};
use serde_json::Value;

/// The table on SQLite. `AUTOINCREMENT`: no number is given twice.
pub const SQLITE: &str = "\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL UNIQUE,
    type    TEXT NOT NULL,
    key     TEXT,
    source  TEXT,
    subject TEXT,
    data    TEXT NOT NULL,              -- JSON
    headers TEXT NOT NULL DEFAULT '{}', -- further attributes, a JSON object
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)";
/// The table on PostgreSQL.
pub const POSTGRES: &str = "\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     bigserial PRIMARY KEY,
    id      text NOT NULL UNIQUE,
    type    text NOT NULL,
    key     text,
    source  text,
    subject text,
    data    text NOT NULL,              -- JSON
    headers text NOT NULL DEFAULT '{}', -- further attributes, a JSON object
    created timestamptz NOT NULL DEFAULT now()
)";

/// Largest data and further attributes of a row together, in bytes: of a larger one Ondol makes a dead letter.
const LARGEST: usize = 640 << 10;

/// Why an event was not written. Roll back.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Ondol would not take it.
    #[error(transparent)]
    Event(#[from] BadEvent),
    /// The database refused: the id is there already, or the table is not.
    #[error("the outbox could not be written")]
    Database(#[from] sqlx::Error),
}

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

/// Writes an event in the caller's transaction. One statement.
///
/// # Errors
/// [`OutboxError`]; nothing is written.
pub async fn enqueue(tx: &mut impl Connection, event: &Event) -> Result<(), OutboxError> {
    event.check()?;
    let Data::Json(data) = &event.data else {
        let rule = "is not JSON, which is what the column holds; publish it, or enqueue where it can be fetched";
        return Err(BadEvent {
            attribute: "data".into(),
            rule,
        }
        .into());
    };
    let mut headers = event.extensions.clone();
    if let Some(kind) = &event.content_type {
        headers.insert("datacontenttype".into(), Value::String(kind.clone()));
    }
    let (data, headers) = (data.to_string(), Value::Object(headers).to_string());
    if data.len() + headers.len() > LARGEST {
        let rule = "and the other attributes have more than 640 KiB; keep it elsewhere and name the place";
        return Err(BadEvent {
            attribute: "data".into(),
            rule,
        }
        .into());
    }
    let insert = "INSERT INTO ondol_outbox (id, type, key, source, subject, data, headers) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        Some(event.id.clone()),
        Some(event.kind.clone()),
        event.key.clone(),
        event.source.clone(),
        event.subject.clone(),
        Some(data),
        Some(headers),
    ];
    tx.change(insert, &values).await?;
    Ok(())
}

/// Deletes rows that are relayed, at most 1,000, so that no transaction grows long; how many went. On PostgreSQL nothing:
/// there the relay deletes.
///
/// # Errors
/// The database's.
pub async fn trim(connection: &mut impl Connection, relayed: u64) -> Result<u64, sqlx::Error> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(0);
    }
    let delete = "DELETE FROM ondol_outbox WHERE seq IN \
                  (SELECT seq FROM ondol_outbox WHERE seq <= CAST($1 AS INTEGER) ORDER BY seq LIMIT 1000)";
    connection.change(delete, &[Some(relayed.to_string())]).await
}

/// How far the platform has relayed this service's outbox: what [`trim`] may delete on SQLite.
///
/// # Errors
/// [`PlatformError`](crate::PlatformError).
#[cfg(feature = "platform")]
pub async fn relayed(platform: &crate::Platform) -> Result<u64, crate::PlatformError> {
    let ask = crate::platform::Ask {
        method: http::Method::GET,
        path: "/v1/outbox",
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        waits: std::time::Duration::ZERO,
    };
    let answer = platform.ask(ask).await?;
    let unreadable = || crate::PlatformError::BadAnswer("expected how far the outbox is relayed".into());
    answer["relayed"].as_u64().ok_or_else(unreadable)
}
