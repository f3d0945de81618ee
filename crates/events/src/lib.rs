//! Event streams: CloudEvents in, CloudEvents out, over the store's one event log.
//!
//! - `envelope.rs`: CloudEvents 1.0 in its JSON format, checked; the stored form is that very JSON.
//! - `streams.rs`: the handle [`Streams`]: append, read a stream, follow everything.
//! - `page.rs`: what a read gives, and how it is written as JSON without reading it again.
//!
//! Shapes on the wire: an append takes `application/cloudevents-batch+json` (an array) or one
//! `application/cloudevents+json`, and answers [`Receipt`]; a read answers an array of CloudEvents, each with the extra
//! attributes `stream`, `revision` (in its stream, from 0) and `position` (in the log of all events, from 1).
//!
//! Invariants
//! - An append is idempotent by the first event's id, which is looked at before the expected revision.
//! - A follower that asks after the last position it has seen misses nothing and sees nothing twice.
//!
//! Not here: HTTP (`ondol-api`), outbox, relay, subscriptions, projections.

mod envelope;
mod error;
mod page;
mod streams;

pub use envelope::CloudEvent;
pub use error::EventsError;
pub use page::Page;
pub use streams::{Receipt, Streams, expected_from_if_match};
