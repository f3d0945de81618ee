//! Event streams: CloudEvents in, CloudEvents out, over the store's one event log.
//!
//! - `envelope.rs`: CloudEvents 1.0 in its JSON format, checked; the stored form is that very JSON.
//! - `binary.rs`: the same over HTTP's binary mode; `context.rs`: the flow that a call belongs to, from its baggage.
//! - `streams.rs`: the handle [`Streams`]: append, read a stream, follow everything; `hops.rs`: chains of causes end.
//! - `config.rs`, `topics.rs`: who publishes which types; `publish.rs`: the handle [`Publisher`].
//! - `page.rs`: what a read gives, and how it is written as JSON without reading it again.
//! - `subscription/`: events delivered to services, [`Subscriptions`]; `relay/`: rows of their outboxes, published.
//! - `reconcile/`: what services say of the same thing, compared.
//!
//! Shapes on the wire: an append takes `application/cloudevents-batch+json` (an array) or one
//! `application/cloudevents+json`, and answers [`Receipt`]; a read answers an array of CloudEvents, each with the extra
//! attributes `stream`, `revision` (in its stream, from 0) and `position` (in the log of all events, from 1).
//!
//! Invariants
//! - An append is idempotent by the first event's id, which is looked at before the expected revision.
//! - A published event is idempotent by its id; a batch is published whole or not at all.
//! - A follower that asks after the last position it has seen misses nothing and sees nothing twice.
//!
//! Not here: HTTP (`ondol-api`), projections.

mod binary;
pub mod config;
mod context;
mod envelope;
mod error;
mod hops;
mod page;
mod publish;
pub mod reconcile;
pub mod relay;
mod streams;
pub mod subscription;
mod topics;

pub use context::Context;
pub use envelope::CloudEvent;
pub use error::EventsError;
pub use page::Page;
pub use publish::{Published, Publisher};
pub use streams::{Receipt, Streams, expected_from_if_match};
pub use subscription::Subscriptions;
pub use topics::{FAMILY, Topics};
