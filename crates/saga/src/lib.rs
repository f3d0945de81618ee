//! Durable sagas: a declared sequence of calls that ends whole or is undone, whatever dies meanwhile.
//!
//! A start is checked and made durable ([`start`], [`handle`]); the pure machine decides ([`machine`]); its records are
//! durable before its effects are released (`driver`); what a dead process left is taken up again (`service`).
//!
//! Rules that the whole room keeps
//! - A lost answer is *unknown*, never failure: on the way back every step that may have happened is compensated.
//! - The state row's `wake_at` is the only queue.
//! - A saga keeps the definition it was started with ([`plan`], by hash).
//!
//! Where to look: definition [`config`], templates [`template`], phases and their table [`phase`], what an HTTP answer
//! means `answer`, what operators may do [`operator`], stored forms [`record`], lists and figures [`query`].

mod answer;
pub mod config;
mod driver;
pub mod error;
pub mod handle;
mod hub;
pub mod machine;
pub mod operator;
pub mod phase;
pub mod plan;
pub mod query;
pub mod record;
pub mod render;
mod service;
mod shared;
pub mod start;
pub mod state;
pub mod template;
#[cfg(test)]
mod testing;

pub use error::SagaError;
pub use handle::Sagas;
pub use operator::Action;
pub use shared::{Ports, Settings};
pub use start::{StartAnswer, StartRequest};
