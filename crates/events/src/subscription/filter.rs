//! Which events a subscription wants, and in which order they must stay.
//!
//! The type is looked at first: it stands beside the stored event and needs no reading. Only what passes is parsed, once.

use super::config::Subscription;
use crate::envelope::CloudEvent;
use crate::topics::FAMILY;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Pattern, Selector, StoredEvent, Wanted};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Keys that are alike in so many bytes are one key: a row's key holds the subscription's name too.
const LONGEST_KEY: usize = 320;

/// A stored event and what was read from it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) stored: Arc<StoredEvent>,
    pub(crate) event: CloudEvent,
}

/// The compiled filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    types: Vec<Pattern>,
    sources: Vec<Pattern>,
    extensions: Vec<(String, String)>,
}

impl Filter {
    pub(crate) fn new(config: &Subscription) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Self {
            types: patterns(&config.types),
            sources: patterns(&config.sources),
            extensions: config.extensions.clone().into_iter().collect(),
        }
    }

    /// What a read of the log should look for.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted::Any(self.types.iter().cloned().map(Selector::kind).collect())
    }

    /// Whether an event of this type may be wanted.
    pub(crate) fn wants_type(&self, kind: &str) -> bool {
        self.types.iter().any(|pattern| pattern.matches(kind))
    }

    /// The event, if it is wanted. A stored event that cannot be read (which no append lets in) is passed over and told.
    pub(crate) fn read(&self, stored: &Arc<StoredEvent>) -> Option<Arc<Read>> {
        if !self.wants_type(&stored.event.kind) {
            return None;
        }
        let read = match Read::new(stored.clone()) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(position = stored.position, %error, "a stored event is no CloudEvent; it is passed over");
                return None;
            }
        };
        let event = &read.event;
        let source = self.sources.is_empty() || self.sources.iter().any(|pattern| pattern.matches(&event.source));
        let equal = |(name, value): &(String, String)| attribute(event, name).is_some_and(|found| found == *value);
        let wanted = source && self.extensions.iter().all(equal);
        wanted.then(|| Arc::new(read))
    }
}

impl Read {
    pub(crate) fn new(stored: Arc<StoredEvent>) -> Result<Self, serde_json::Error> {
        let event = serde_json::from_slice(&stored.event.body)?;
        Ok(Self { stored, event })
    }

    /// Events of one key are delivered one after the other. One that is to be delayed, and one of a topic without
    /// `partitionkey`, has itself as its key.
    pub(crate) fn key(&self) -> Arc<str> {
        let (event, stream) = (&self.event, &self.stored.stream);
        let key = match &event.partitionkey {
            _ if self.deliver_at().is_some() => &event.id,
            Some(key) => key,
            None if stream.family() == FAMILY => &event.id,
            None => stream.as_str(),
        };
        key[..key.floor_char_boundary(LONGEST_KEY)].into()
    }

    /// The attribute `deliverat`; one that is no moment counts as none.
    pub(crate) fn deliver_at(&self) -> Option<Timestamp> {
        let text = attribute(&self.event, "deliverat")?;
        let moment: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp(moment.as_millisecond()))
    }
}

/// Every attribute of an event but `specversion`, as its text.
pub(crate) fn attributes(event: &CloudEvent) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let required = [("id", &event.id), ("source", &event.source), ("type", &event.kind)];
    let optional = [
        ("subject", &event.subject),
        ("time", &event.time),
        ("datacontenttype", &event.datacontenttype),
        ("dataschema", &event.dataschema),
        ("partitionkey", &event.partitionkey),
        ("correlationid", &event.correlationid),
        ("causationid", &event.causationid),
        ("traceparent", &event.traceparent),
    ];
    let required = required
        .into_iter()
        .map(|(name, text)| (name, Cow::from(text.as_str())));
    let optional = optional
        .into_iter()
        .filter_map(|(name, text)| Some((name, Cow::from(text.as_deref()?))));
    let others = event
        .extensions
        .iter()
        .map(|(name, value)| (name.as_str(), plain(value)));
    required.chain(optional).chain(others)
}

fn attribute<'e>(event: &'e CloudEvent, name: &str) -> Option<Cow<'e, str>> {
    attributes(event)
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::from(text.as_str()),
        other => Cow::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ondol_core::engine::NewEvent;
    use serde_json::json;

    fn stored(stream: &str, more: Value) -> Arc<StoredEvent> {
        let mut event =
            json!({ "specversion": "1.0", "id": "e-1", "source": "/services/orders", "type": "order.placed.v1" });
        let members = event.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        Arc::new(StoredEvent {
            position: 7,
            stream: stream.parse().expect("valid"),
            revision: 3,
            event: NewEvent {
                id: "e-1".into(),
                kind: event["type"].as_str().expect("a type").into(),
                at: Timestamp(0),
                correlation: None,
                body: Bytes::from(event.to_string()),
            },
        })
    }

    fn filter(types: &[&str], sources: &[&str], extensions: &[(&str, &str)]) -> Filter {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let mut config = Subscription::new("points.orders".parse().expect("valid"), texts(types));
        config.sources = texts(sources);
        config.extensions = extensions
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Filter::new(&config)
    }

    #[test]
    fn type_source_and_every_extension_must_fit() {
        let event = stored("order-1", json!({ "region": "eu", "level": 3, "urgent": true }));
        let check = |filter: Filter, claim: bool| assert_eq!(filter.read(&event).is_some(), claim, "{filter:?}");
        check(filter(&["order.placed.v1"], &[], &[]), true);
        check(filter(&["user.*", "order.*"], &[], &[]), true);
        check(filter(&["order"], &[], &[]), false);
        check(filter(&["*"], &["/services/orders"], &[]), true);
        check(filter(&["*"], &["/services/*"], &[]), true);
        check(filter(&["*"], &["/services/users"], &[]), false);
        check(
            filter(&["*"], &[], &[("region", "eu"), ("level", "3"), ("urgent", "true")]),
            true,
        );
        check(filter(&["*"], &[], &[("region", "eu"), ("level", "4")]), false);
        check(filter(&["*"], &[], &[("missing", "")]), false);
    }

    #[test]
    fn the_key_is_the_partition_then_the_domain_stream_then_the_event_itself() {
        let key = |stream, more| {
            filter(&["*"], &[], &[])
                .read(&stored(stream, more))
                .expect("wanted")
                .key()
        };
        assert_eq!(&*key("order-1", json!({})), "order-1");
        assert_eq!(&*key("order-1", json!({ "partitionkey": "p" })), "p");
        assert_eq!(&*key("topic-order.placed.v1", json!({ "partitionkey": "p" })), "p");
        assert_eq!(&*key("topic-order.placed.v1", json!({})), "e-1");
        assert_eq!(&*key("order-1", json!({ "deliverat": "2026-11-22T00:00:00Z" })), "e-1");
        assert_eq!(&*key("order-1", json!({ "deliverat": "soon" })), "order-1");
        let long = "주".repeat(120);
        assert_eq!(
            key("order-1", json!({ "partitionkey": long })).len(),
            318,
            "cut between two letters"
        );
    }

    #[test]
    fn what_no_append_lets_in_is_passed_over() {
        let mut event = stored("order-1", json!({}));
        Arc::get_mut(&mut event).expect("alone").event.body = Bytes::from_static(b"{");
        assert!(filter(&["*"], &[], &[]).read(&event).is_none());
    }
}
