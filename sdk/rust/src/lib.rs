//! What a Rust service needs to take part in Ondol's sagas and events, and nothing more.
//!
//! - [`barrier`]: a saga's call has its effect once, in order, or never.
//! - [`outbox`]: an [`Event`] that is true exactly when the transaction is that says so.
//! - [`inbox`]: an event that is delivered again has its effect once.
//! - [`publish`](mod@publish): events by HTTP, tried again until they are durable.
//! - [`subscribe`]: a push read as an event; or events pulled, handled and acknowledged.
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
//! No HTTP framework is needed: keys and pushes come from an [`http::HeaderMap`], answers are a status and a JSON body.
//! [`publish`](mod@publish) and [`subscribe`] bring their own small client and need a tokio runtime; they are behind the feature
//! `platform`.
//!
//! Not here: tracing.
//! Tests: `tests/` on SQLite and on a real PostgreSQL; `conformance/sdk` by `examples/conformance.rs`.

mod answer;
pub mod barrier;
mod connection;
mod context;
mod event;
pub mod inbox;
mod key;
pub mod outbox;
#[cfg(feature = "platform")]
pub mod platform;
#[cfg(feature = "platform")]
pub mod publish;
#[cfg(feature = "platform")]
mod received;
#[cfg(feature = "platform")]
pub mod subscribe;
#[cfg(feature = "testing")]
pub mod testing;
mod text;

pub use answer::Answer;
pub use connection::{Connection, Dialect};
pub use context::Context;
pub use event::{BadEvent, Data, Event};
pub use key::{Attempt, KeyError, Operation, SagaKey};
#[cfg(feature = "platform")]
pub use platform::{Platform, PlatformError};
#[cfg(feature = "platform")]
pub use publish::publish;
#[cfg(feature = "platform")]
pub use received::Received;
