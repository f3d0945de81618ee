//! The admin API for people and the service API for services.
//!
//! - [`admin`]: `http://127.0.0.1:7070`, guarded by `guard.rs`; its OpenAPI is generated from the handlers
//! - [`service`]: `ONDOL_URL` of every service, behind the proxy
//! - [`serve`]: the accept loop of both
//! - [`console`]: the console's pages and who is signed in to them
//! - [`live`]: one stream of what is and what changes
//!
//! Not here: what happens (the rooms behind the handles of [`Api`]).

pub mod admin;
mod cache;
mod config;
pub mod console;
mod events;
mod flows;
mod guard;
pub mod live;
mod metrics;
mod outboxes;
mod problem;
mod pulls;
mod reconciliations;
mod sagas;
pub mod serve;
pub mod service;
mod sse;
mod stall;
mod state;
mod subscriptions;
mod system;
mod topics;

pub use state::{Api, Parts};
