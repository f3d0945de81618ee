//! Events that other services may see, written in the transaction that makes them true; Ondol publishes them from there.
//!
//! The service's manifest says `outbox: true` and which types it publishes. Its migrations have
//! [`OUTBOX`](crate::OUTBOX).

use std::time::Duration;

use ondol_sdk::Event;
use ondol_sdk::outbox::{self, OutboxError};
use serde::Deserialize;

use crate::{Client, Database, StartError, Tx, trace, variable};

/// Between two looks at what may be deleted.
const PAUSE: Duration = Duration::from_secs(10);
/// For the one question of each.
const LIMIT: Duration = Duration::from_secs(5);
/// What one transaction deletes at most.
const BATCH: u64 = 1_000;

/// Writes an event in `tx`; flow, cause and trace are those of the request that is being handled.
///
/// # Errors
/// The database's. An event that Ondol would not take is one too: a mistake of this program.
pub async fn announce(tx: &mut Tx, event: Event) -> Result<(), sqlx::Error> {
    let written = outbox::enqueue(&mut **tx, &event.caused_by(&trace::headers())).await;
    written.map_err(|error| match error {
        OutboxError::Database(error) => error,
        OutboxError::Event(error) => sqlx::Error::Encode(error.into()),
    })
}

#[derive(Deserialize)]
struct Relayed {
    relayed: u64,
}

/// Deletes rows that are published, in a task that ends with the runtime. On PostgreSQL Ondol does it, and this nothing.
///
/// # Errors
/// [`StartError::MissingVariable`].
pub fn tidy(database: Database) -> Result<(), StartError> {
    let platform = Client::from_env("ONDOL_URL")?.with_bearer(&variable("ONDOL_TOKEN")?);
    if !database.is_postgres() {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Err(why) = trim(&database, &platform).await {
                    tracing::debug!(why, "the outbox is tidied later");
                }
            }
        });
    }
    Ok(())
}

async fn trim(database: &Database, platform: &Client) -> Result<(), String> {
    let Relayed { relayed } = platform
        .get("/v1/outbox", LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    loop {
        let mut tx = database.write().await.map_err(|problem| problem.reason().to_owned())?;
        let gone = outbox::trim(&mut *tx, relayed)
            .await
            .map_err(|error| error.to_string())?;
        tx.commit().await.map_err(|error| error.to_string())?;
        if gone < BATCH {
            return Ok(());
        }
    }
}
