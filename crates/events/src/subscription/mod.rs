//! Subscriptions: events of the one log, delivered at least once to each service that wants them, in order per key.
//!
//! - `config.rs`: what a subscription is; `filter.rs`: which events it wants and which must stay in order.
//! - `phase.rs`, `machine.rs`, `lane.rs`, `operate.rs`: the pure decisions.
//! - `source.rs`: the log, read once for all; `push.rs`, `answer.rs`: events sent; `pull.rs`: events fetched.
//! - `record.rs`, `checkpoint.rs`: what is durable; `service.rs`, `request.rs`, `deliver.rs`: the loop; `handle.rs`, `letters.rs`,
//!   `view.rs`: what others may ask.
//!
//! Guarantees, in plain words: `docs/concepts/subscriptions.md`.
//!
//! Not here: HTTP of both APIs (`ondol-api`), manifests (`ondol-manifest`), the relay of outboxes.

mod answer;
mod checkpoint;
pub mod config;
mod deliver;
mod error;
mod filter;
mod handle;
mod lane;
mod letters;
mod machine;
mod operate;
mod pace;
pub mod phase;
mod pull;
pub(crate) mod push;
mod reading;
pub(crate) mod record;
mod request;
mod service;
mod source;
pub mod view;
mod writing;

pub use config::{Begin, Retry, Subscription, SubscriptionName};
pub use error::SubscriptionError;
pub use handle::Subscriptions;
pub use letters::RedriveRequest;
pub use operate::Refused;
pub use pull::{Leased, Settled, Verdict};
pub use request::{Act, Action, KeyAction};
pub use service::Ports;
