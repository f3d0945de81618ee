//! Resilience policies as pure decisions: time and random bits are arguments, nothing here waits, locks or calls.
//!
//! The proxy asks them per request; sagas use the back-off. Each is checked against a plain reference model with
//! `proptest`, beside it. `now` is always a reading of a monotonic clock that never goes back by much.
//!
//! - before a call: [`deadline`], [`limit`], [`breaker`], [`balance`]
//! - after a call: [`retry`] with [`backoff`] and [`budget`], [`outlier`]
//! - beside calls: [`health`], [`adaptive`]
//!
//! Absent so far: hedging, bulkheads, priority shedding.

pub mod adaptive;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod deadline;
pub mod health;
pub mod limit;
pub mod outlier;
pub mod retry;
mod window;
