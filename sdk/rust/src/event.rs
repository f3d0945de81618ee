//! An event to be sent, and the request that it is caused by.

use crate::context::Context;
use crate::text;
use http::HeaderMap;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Longest attribute, and longest type, in bytes.
const LONGEST: usize = 512;
const LONGEST_TYPE: usize = 256;
/// Attributes beside those that have a method of their own here.
const MOST_EXTENSIONS: usize = 32;
/// Names that are set elsewhere: by [`Event`]'s own methods, or by the platform.
const TAKEN: [&str; 14] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "partitionkey",
    "datacontenttype",
    "data",
    "data_base64",
    "stream",
    "revision",
    "position",
    "ondolhops",
];

/// Attributes beyond the methods of [`Event`] that are texts.
const TEXTS: [&str; 4] = ["correlationid", "causationid", "traceparent", "dataschema"];

/// What an event carries.
#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    /// JSON.
    Json(Value),
    /// Something else, as the media type beside it says.
    Bytes(Vec<u8>),
}

/// An event to be sent. It has its id from the beginning, so sending it again is the same event.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) source: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) data: Data,
    pub(crate) extensions: Map<String, Value>,
}

/// It is no event that Ondol would take.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("attribute {attribute} {rule}")]
pub struct BadEvent {
    /// Which attribute.
    pub attribute: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

impl Event {
    /// An event of a type that the service's manifest publishes, such as `order.placed.v1`, with a random id.
    pub fn new(kind: impl Into<String>, data: Value) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            kind: kind.into(),
            source: None,
            subject: None,
            key: None,
            content_type: None,
            data: Data::Json(data),
            extensions: Map::new(),
        }
    }

    /// An event whose content is not JSON, with its media type. It can be published, and has no place in an outbox.
    pub fn bytes(kind: impl Into<String>, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            data: Data::Bytes(bytes.into()),
            ..Self::new(kind, Value::Null).content_type(content_type)
        }
    }

    /// Media type of the data where it is not `application/json`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// An id of one's own: best one that the same cause makes again, so that doing it twice is one event.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Events with one key reach each subscriber in their order.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What it is about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Who says so. Absent: `/services/SERVICE`.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Another attribute: a text, a boolean or a whole number of 32 bits.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.into(), value.into());
        self
    }

    /// Takes from the request that is being handled which flow it belongs to, what caused it, and its place in a trace.
    /// What the event says already stays; what comes from outside and does not fit is left out rather than refused.
    #[must_use]
    pub fn caused_by(mut self, request: &HeaderMap) -> Self {
        let Context {
            traceparent,
            correlation,
            causation,
        } = Context::from_headers(request);
        let found = [
            ("correlationid", correlation),
            ("causationid", causation),
            ("traceparent", traceparent),
        ];
        for (name, value) in found {
            if let Some(value) = value {
                self.extensions.entry(name).or_insert(Value::String(value));
            }
        }
        self
    }

    /// Its id.
    pub fn event_id(&self) -> &str {
        &self.id
    }

    /// The rules of Ondol: what breaks one would be refused there, or lie in the outbox until a person looks.
    pub(crate) fn check(&self) -> Result<(), BadEvent> {
        let bad = |attribute: &str, rule| {
            let attribute = attribute.chars().take(80).collect();
            Err(BadEvent { attribute, rule })
        };
        for (name, text) in [("id", &self.id), ("type", &self.kind)] {
            if text.is_empty() {
                return bad(name, "is empty");
            }
        }
        if self.kind.len() > LONGEST_TYPE {
            return bad("type", "is longer than 256 bytes");
        }
        let optional = [
            ("source", &self.source),
            ("subject", &self.subject),
            ("partitionkey", &self.key),
            ("datacontenttype", &self.content_type),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in [("id", &self.id), ("type", &self.kind)].into_iter().chain(optional) {
            if !fits(text) {
                return bad(name, "is longer than 512 bytes or holds a control character");
            }
        }
        if self.extensions.len() > MOST_EXTENSIONS {
            return bad("extensions", "number more than 32");
        }
        for (name, value) in &self.extensions {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !plain || !(1..=20).contains(&name.len()) || TAKEN.contains(&name.as_str()) {
                return bad(name, "has a name that is taken, or not 1 to 20 of a-z and 0-9");
            }
            if name == "deliverat" && !value.as_str().is_some_and(text::is_moment) {
                return bad(name, "is no moment as RFC 3339 writes it");
            }
            if TEXTS.contains(&name.as_str()) && !value.is_string() {
                return bad(name, "is no text");
            }
            let good = match value {
                Value::String(text) => fits(text),
                Value::Bool(_) => true,
                Value::Number(number) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                _ => false,
            };
            if !good {
                return bad(
                    name,
                    "is no text of at most 512 bytes, boolean or whole number of 32 bits",
                );
            }
        }
        Ok(())
    }
}

/// It can be an attribute's value.
pub(crate) fn fits(text: &str) -> bool {
    text.len() <= LONGEST && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_caused_it_goes_along_and_what_the_event_says_wins() {
        let mut request = HeaderMap::new();
        let baggage = http::HeaderValue::from_static("correlation-id=c%201,causation-id=e-7");
        request.insert("baggage", baggage);
        let event = Event::new("a.v1", Value::Null)
            .with("causationid", "own")
            .caused_by(&request);
        assert_eq!(
            Value::Object(event.extensions),
            json!({ "causationid": "own", "correlationid": "c 1" })
        );
    }

    #[test]
    fn what_ondol_would_refuse_is_refused() {
        let event = || Event::new("a.v1", json!(1));
        assert_eq!(
            event()
                .key("k")
                .subject("주문")
                .with("region", "eu")
                .with("level", 3)
                .check(),
            Ok(())
        );
        let bad = [
            Event::new("", json!(1)),
            event().id(""),
            event().id("a\nb"),
            event().key("x".repeat(513)),
            event().with("Region", "eu"),
            event().with("region", json!({})),
            event().with("region", "e\0u"),
            event().with("position", "7"),
            event().with("number", 4_294_967_296_u64),
            event().with("a".repeat(21), "eu"),
            event().with("datacontenttype", "text/plain"),
        ];
        for event in bad {
            assert!(event.check().is_err(), "{event:?}");
        }
    }
}
