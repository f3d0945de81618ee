//! Resilience policies as pure decisions: time and random bits are arguments, nothing here waits, locks or calls.
//!
//! The proxy asks them per request; sagas and events use the back-off, subscriptions the adaptive limit. Each is checked
//! against a plain reference model with `proptest`, beside it. `now` is always a reading of a monotonic clock that never
//! goes back by much.
//!
//! - before a call: [`deadline`], [`limit`], [`bulkhead`] with its limit by [`gradient`], [`breaker`]
//! - which instance: [`balance`], [`round_robin`], [`hashing`] with [`bounded`] loads, near by [`zone`]
//! - in place of a call: [`cache`]
//! - during a call: [`hedge`]
//! - after a call: [`retry`] with [`backoff`] and [`budget`], [`outlier`]
//! - beside calls: [`health`], [`adaptive`]

pub mod adaptive;
pub mod backoff;
pub mod balance;
pub mod bounded;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod cache;
pub mod deadline;
pub mod gradient;
pub mod hashing;
pub mod health;
pub mod hedge;
pub mod limit;
pub mod outlier;
pub mod retry;
pub mod round_robin;
mod window;
pub mod zone;
