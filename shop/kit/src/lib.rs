//! What every Rust service of the shop shares, and nothing more: how a service starts, answers, keeps and asks.
//!
//! - [`main`]: logs, socket, accept loop, SIGTERM. A service is a `Router` and this one call.
//! - [`Problem`]: every refusal, as RFC 9457 with a `reason` that programs read. [`reply`]: every other answer.
//! - [`JsonBody`], [`Params`], [`Caller`], [`SagaCall`]: what handlers take from a request.
//! - [`Database`]: SQLite or PostgreSQL behind one type; writes in [`Tx`], reads beside them.
//! - [`Keys`]: a client's `Idempotency-Key`, kept in the transaction of the effect. A *saga's* key is another thing: see
//!   the barrier in `ondol_sdk`.
//! - [`reconcile`]: pages of what a service has, for those who compare it.
//! - [`outbox`]: events, written in the transaction that makes them true.
//! - [`Client`]: calls to other services through `NAME_URL`, with deadline and trace.
//!
//! Nothing here knows a product or an order. No crate of the platform is imported.

mod body;
mod client;
mod database;
mod failure;
mod idempotency;
mod identity;
mod listen;
mod logs;
mod money;
pub mod outbox;
mod params;
mod participant;
mod problem;
pub mod reconcile;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;

pub use body::{JsonBody, MAX_BODY};
pub use client::{CallError, Client};
pub use database::{Database, Tx};
pub use failure::StartError;
pub use idempotency::{Claim, Keys};
pub use identity::Caller;
pub use money::{CURRENCY, MAX_AMOUNT, positive_amount};
pub use ondol_sdk::outbox::SQLITE as OUTBOX;
pub use ondol_sdk::{Answer, Event, barrier};
pub use params::{Params, page, page_size};
pub use participant::SagaCall;
pub use problem::{Problem, reply};
pub use server::{data_folder, main, serve, variable};
