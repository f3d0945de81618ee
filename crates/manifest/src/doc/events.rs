//! `events:` of `service.yaml`: what a service tells others, and what it wants to be told.

use crate::document::document;
use crate::read::{Filled, Named, Read, Reader};
use crate::source::At;
use crate::tree::{Node, Value};
use crate::value::{Millis, UrlPath};
use crate::value_event::{AnyOf, Attribute, Begin, EventType, Label};
use schemars::{Schema, SchemaGenerator, json_schema};

document! {
    /// Events that a service publishes, and those that it subscribes to.
    "events" struct EventsDoc {
        /// Types that it alone publishes: at `POST /v1/events`, by its outbox, or into its own streams.
        publishes: Vec<Publish>,
        /// Events that are delivered to it.
        subscribes: Vec<SubscribeDoc>,
    }
}

document! {
    /// A type of events.
    "a published type" struct PublishDoc {
        /// Its name, with its version, such as `order.confirmed.v1`.
        r#type: At<EventType>,
        /// A file with the JSON Schema (2020-12) of `data`, relative to this file; checked when an event is published.
        schema: Option<At<String>>,
    }
}

document! {
    /// Events that are delivered to a service, at least once, in order per key.
    "a subscription" struct SubscribeDoc {
        /// Its name, a DNS label, unique in the service; others call it `SERVICE.NAME`.
        name: At<Label>,
        /// Types, exact or with one trailing `*`, which stands for the declared types that fit.
        types: At<Vec<At<AnyOf>>>,
        /// Sources, likewise. Absent: every source.
        sources: Vec<At<AnyOf>>,
        /// Attributes of an event that must be equal, all of them.
        extensions: Named<At<Attribute>>,
        /// A path of this service to which events are posted. Absent: the service pulls them.
        push: Option<At<UrlPath>>,
        /// Keys in flight at once, 1 to 256.
        parallel: At<u32> = "16",
        /// For one attempt of a push.
        timeout: At<Millis> = "10s",
        /// How often and how soon an event is tried again; then its key is parked.
        retry: Filled<DeliveryRetryDoc>,
        /// Where a new subscription begins: with the first event there is, or with the next one.
        from: At<Begin> = "start",
    }
}

document! {
    /// How often and how soon an event is delivered again.
    "retry" struct DeliveryRetryDoc {
        /// Attempts before its key is parked; those that reached nobody do not count.
        attempts: At<u32> = "8",
        /// The largest first pause; doubles.
        first: At<Millis> = "200ms",
        /// The largest pause.
        cap: At<Millis> = "30s",
    }
}

/// A published type, in its short form (the name alone) or its long one.
#[derive(Clone, PartialEq, Debug)]
pub struct Publish(pub PublishDoc);

impl Read for Publish {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Scalar { .. } = node.value else {
            return PublishDoc::read(node, cx).map(Self);
        };
        let long = At {
            value: EventType::read(node, cx)?,
            at: node.at,
        };
        Some(Self(PublishDoc {
            at: node.at,
            r#type: long,
            schema: None,
        }))
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let forms = [EventType::schema(generator), PublishDoc::schema(generator)];
        json_schema!({ "anyOf": forms })
    }
}
