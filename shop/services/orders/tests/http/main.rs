//! orders over HTTP: a real router on a real socket with a real SQLite, beside a small event log and a small products.
//!
//! - `commands`: what the saga's calls do, whatever arrives twice, late or in the wrong order, whatever is lost on the way.
//! - `reads`: what customers read, from the read model alone, whatever becomes of the log.
//! - `support`: what stands around the service.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod commands;
mod reads;
mod support;
