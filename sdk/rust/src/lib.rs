//! What a Rust service needs to take part in an Ondol saga, and nothing more.
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
//! Not here: calling the platform, publishing events, tracing. Plain HTTP does the first; the others come with later parts.
//! Tests: `tests/barrier.rs`, on SQLite and on a real PostgreSQL.

mod answer;
pub mod barrier;
mod connection;
mod key;
#[cfg(feature = "testing")]
pub mod testing;

pub use answer::Answer;
pub use connection::Connection;
pub use key::{Attempt, KeyError, Operation, SagaKey};
