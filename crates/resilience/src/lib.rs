//! Resilience policies as pure decisions: time and random bits are arguments, nothing here waits, locks or calls.
//!
//! The proxy asks them per request, sagas and subscriptions use the back-off. Every policy is checked against a plain
//! reference model with `proptest`, beside it.

pub mod backoff;
