//! The types that are published, ready for checking: who may, and what `data` must look like.
//!
//! Why jsonschema is only here: it changes often. It is built without its resolver, so a schema can fetch nothing.

use crate::config::PublishedType;
use crate::envelope::CloudEvent;
use crate::error::EventsError;
use jsonschema::Validator;
use ondol_core::id::{ServiceName, StreamName};
use serde_json::Value;
use std::collections::BTreeMap;

/// Prefix of the streams that published events are appended to; no service owns this family.
pub const FAMILY: &str = "topic";

/// One type.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) stream: StreamName,
    pub(crate) publisher: ServiceName,
    schema: Option<Validator>,
}

/// All types that are published. Built when the manifests are read; never changed.
#[derive(Debug, Default)]
pub struct Topics(BTreeMap<String, Topic>);

impl Topics {
    /// Compiles the schemas.
    ///
    /// # Errors
    /// [`EventsError::Topic`]: a type that is no name, one of two publishers, a schema that is none.
    pub fn new(types: &[PublishedType]) -> Result<Self, EventsError> {
        let mut topics = BTreeMap::new();
        for published in types {
            let wrong = |rule: String| EventsError::Topic {
                kind: published.kind.chars().take(80).collect(),
                rule,
            };
            let stream = StreamName::new(&format!("{FAMILY}-{}", published.kind));
            let schema = published.schema.as_ref().map(jsonschema::draft202012::new).transpose();
            let topic = Topic {
                stream: stream.map_err(|error| wrong(error.to_string()))?,
                publisher: published.publisher.clone(),
                schema: schema.map_err(|error| wrong(format!("its schema: {error}")))?,
            };
            if let Some(other) = topics.insert(published.kind.clone(), topic) {
                return Err(wrong(format!(
                    "{} and {} both publish it",
                    other.publisher, published.publisher
                )));
            }
        }
        Ok(Self(topics))
    }

    /// Who publishes `kind`.
    pub fn publisher(&self, kind: &str) -> Option<&ServiceName> {
        self.0.get(kind).map(|topic| &topic.publisher)
    }

    /// Every type with its publisher, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ServiceName)> {
        self.0.iter().map(|(kind, topic)| (kind.as_str(), &topic.publisher))
    }

    /// An event of `service` that goes to a stream of its own: one of a declared type as if it were published, so that
    /// nobody else's type can be forged; of any other type it is the service's private affair.
    pub(crate) fn admit_private(
        &self,
        service: &ServiceName,
        index: usize,
        event: &CloudEvent,
    ) -> Result<(), EventsError> {
        match self.0.contains_key(&event.kind) {
            true => self.admit(service, index, event).map(drop),
            false => check_source(service, index, event),
        }
    }

    /// The type of `event`, if `service` publishes it, says so itself and the event's data follow the type's schema.
    pub(crate) fn admit(&self, service: &ServiceName, index: usize, event: &CloudEvent) -> Result<&Topic, EventsError> {
        let topic = self.0.get(&event.kind).filter(|topic| topic.publisher == *service);
        let topic = topic.ok_or_else(|| EventsError::NotPublished {
            index,
            service: service.clone(),
            kind: event.kind.chars().take(80).collect(),
            publisher: self.publisher(&event.kind).cloned(),
        })?;
        check_source(service, index, event)?;
        let Some(schema) = &topic.schema else { return Ok(topic) };
        let refused = |rule: String| EventsError::Schema {
            index,
            kind: event.kind.clone(),
            rule,
        };
        let data = match &event.data {
            Some(data) => serde_json::from_str(data.get()).map_err(|error| refused(error.to_string()))?,
            None if event.data_base64.is_some() => return Err(refused("data is not JSON".into())),
            None => Value::Null,
        };
        match schema.validate(&data) {
            Ok(()) => Ok(topic),
            Err(error) => {
                let rule: String = format!("at {:?}: {error}", error.instance_path().as_str())
                    .chars()
                    .take(300)
                    .collect();
                Err(refused(rule))
            }
        }
    }
}

/// Subscriptions filter by `source`, so nobody speaks in another's name.
fn check_source(service: &ServiceName, index: usize, event: &CloudEvent) -> Result<(), EventsError> {
    let below = event
        .source
        .strip_prefix("/services/")
        .and_then(|rest| rest.strip_prefix(service.as_str()));
    if below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
        return Ok(());
    }
    let rule = "is neither /services/ with the name of the service that sends it nor a path below that";
    Err(EventsError::Invalid {
        index,
        attribute: "source".into(),
        rule,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn published(kind: &str, publisher: &str, schema: Option<Value>) -> PublishedType {
        PublishedType {
            kind: kind.into(),
            publisher: publisher.parse().expect("a name"),
            schema,
        }
    }

    fn event(source: &str, kind: &str, data: &Value) -> CloudEvent {
        let event = json!({"specversion": "1.0", "id": "a", "source": source, "type": kind, "data": data});
        CloudEvent::read_body("application/cloudevents+json", event.to_string().as_bytes())
            .expect("valid")
            .remove(0)
    }

    #[test]
    fn only_its_publisher_may_publish_a_type_and_only_by_its_schema() {
        let schema = json!({"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}});
        let topics = Topics::new(&[published("a.v1", "one", Some(schema)), published("b.v1", "two", None)]);
        let topics = topics.expect("compiles");
        let check = |service: &str, kind: &str, data: Value, claim: Option<&str>| {
            let service = service.parse().expect("a name");
            let outcome = topics
                .admit(&service, 3, &event(&format!("/services/{service}"), kind, &data))
                .map(drop)
                .map_err(|error| error.to_string());
            match claim {
                None => assert_eq!(outcome, Ok(())),
                Some(words) => assert!(outcome.as_ref().is_err_and(|told| told.contains(words)), "{outcome:?}"),
            }
        };
        check("one", "a.v1", json!({"total": 7}), None);
        check("two", "b.v1", json!(null), None);
        check("one", "a.v1", json!({"total": "7"}), Some("at \"/total\""));
        check("one", "a.v1", json!(null), Some("event 3"));
        check("two", "a.v1", json!({"total": 7}), Some("service one publishes it"));
        check("one", "c.v1", json!({}), Some("no service publishes it"));
    }

    #[test]
    fn what_goes_to_a_private_stream_forges_no_declared_type_and_no_source() {
        let schema = json!({"required": ["total"]});
        let topics = Topics::new(&[published("a.v1", "one", Some(schema)), published("b.v1", "two", None)]);
        let (topics, one) = (topics.expect("compiles"), "one".parse().expect("a name"));
        let check = |source: &str, kind: &str, data: Value, claim: Option<&str>| {
            let told = topics.admit_private(&one, 0, &event(source, kind, &data));
            assert_eq!(
                told.err().map(|error| error.code().to_string()).as_deref(),
                claim,
                "{source} {kind}"
            );
        };
        check("/services/one", "private.v1", json!({}), None);
        check("/services/one/desk/7", "a.v1", json!({"total": 7}), None);
        check("/services/one", "a.v1", json!({}), Some("EV-006"));
        check("/services/one", "b.v1", json!({}), Some("EV-005"));
        for foreign in [
            "/services/two",
            "/services/one-more",
            "/services/",
            "one",
            "/services/two/services/one",
        ] {
            check(foreign, "private.v1", json!({}), Some("EV-002"));
            check(foreign, "a.v1", json!({"total": 7}), Some("EV-002"));
        }
    }

    #[test]
    fn types_that_cannot_be_are_refused() {
        let refused = |types: &[PublishedType]| Topics::new(types).expect_err("refused").to_string();
        assert!(refused(&[published("a b", "one", None)]).contains("letters"));
        assert!(refused(&[published("a.v1", "one", Some(json!({"type": 7})))]).contains("its schema"));
        let twice = [published("a.v1", "one", None), published("a.v1", "two", None)];
        assert!(refused(&twice).contains("one and two"));
    }
}
