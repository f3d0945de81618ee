//! What a Rust service needs to take part in Ondol's sagas and events, and nothing more.
//!
//! - [`barrier`]: a saga's call has its effect once, in order, or never.
//! - [`outbox`]: an [`Event`] that is true exactly when the transaction is that says so.
//! - [`inbox`]: an event that is delivered again has its effect once.
//!
//! A participant is called with an `Idempotency-Key` that names the saga, the step and the operation. The call may come
//! twice (its answer was lost), the compensation may come before the action (the action was lost), and the action may
//! arrive after its compensation (it was only late). The [`barrier`] is two inserts in the participant's own transaction
//! that make all three harmless:
//!
//! ```no_run
//! use ondol_sdk::{Answer, SagaKey, barrier::{self, Entry}};
//! # async fn charge(_: &mut sqlx::Transaction<'_, sqlx::Sqlite>) -> Result<(), sqlx::Error> { Ok(()) }
//! # async fn handler(pool: sqlx::SqlitePool, headers: http::HeaderMap) -> Result<Answer, Box<dyn std::error::Error>> {
//! let key = SagaKey::from_headers(&headers)?;
//! let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//! let answer = match barrier::action(&mut *tx, &key).await? {
//!     Entry::First => {
//!         charge(&mut tx).await?; // The effect, in the same transaction as the barrier's row.
//!         let answer = Answer::ok(serde_json::json!({ "id": key.saga() }));
//!         barrier::store(&mut *tx, &key, &answer).await?;
//!         answer
//!     }
//!     Entry::Duplicate(stored) => stored, // Told again, not done again.
//!     Entry::Late => Answer::late(),      // The saga has given this step up already.
//! };
//! tx.commit().await?;
//! # Ok(answer) }
//! ```
//!
//! No HTTP framework is needed: keys come from an [`http::HeaderMap`], answers are a status and a JSON body.
//!
//! Not here: calling the platform over HTTP (publishing at once, pulling), reading a push, tracing.
//! Tests: `tests/`, on SQLite and on a real PostgreSQL.

mod answer;
pub mod barrier;
mod connection;
mod event;
pub mod inbox;
mod key;
pub mod outbox;
#[cfg(feature = "testing")]
pub mod testing;

pub use answer::Answer;
pub use connection::{Connection, Dialect};
pub use event::{BadEvent, Event};
pub use key::{Attempt, KeyError, Operation, SagaKey};
