//! What a call says about the flow that it belongs to: W3C baggage and trace context, given on to what it leads to.
//!
//! Members of baggage: `correlation-id`, the flow; `causation-id`, the event or call that led to this one. Values are
//! percent-encoded. Sources: W3C Baggage, section 3.3; W3C Trace Context, section 3.2.

use crate::envelope::{CloudEvent, percent_decoded};
use http::HeaderMap;

/// Longest id that is taken from a header, in bytes.
const LONGEST: usize = 200;

/// Where a call stands in its flow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The flow.
    pub correlation: Option<String>,
    /// What led to the call: an event's id or a saga's call.
    pub causation: Option<String>,
    /// Its place in a trace.
    pub traceparent: Option<String>,
}

impl Context {
    /// What a request's headers say; what cannot be read is left out.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let parent = text("traceparent").filter(|parent| parent.len() <= LONGEST);
        Self {
            correlation: member(headers, "correlation-id"),
            causation: member(headers, "causation-id"),
            traceparent: parent.map(Into::into),
        }
    }

    /// Puts into each event what its producer left out.
    pub fn fill(&self, events: &mut [CloudEvent]) {
        for event in events {
            fill(&mut event.correlationid, &self.correlation);
            fill(&mut event.causationid, &self.causation);
            fill(&mut event.traceparent, &self.traceparent);
        }
    }
}

fn fill(attribute: &mut Option<String>, value: &Option<String>) {
    if attribute.is_none() {
        attribute.clone_from(value);
    }
}

/// A member of the request's baggage, which may be spread over several headers.
fn member(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let texts = headers
        .get_all("baggage")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let members = texts.flat_map(|text| text.split(','));
    let mut pairs = members.filter_map(|member| member.split(';').next()?.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == wanted)?;
    let usable = |id: &String| (1..=LONGEST).contains(&id.len()) && !id.chars().any(char::is_control);
    percent_decoded(value.trim()).ok().filter(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_baggage() {
        let check = |texts: &[&'static str], claim: [Option<&str>; 2]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append("baggage", http::HeaderValue::from_static(text));
            }
            let found = Context::of(&headers);
            assert_eq!(
                [found.correlation.as_deref(), found.causation.as_deref()],
                claim,
                "{texts:?}"
            );
        };
        check(&["a=b, correlation-id = c-1;ttl=4 ,x=y"], [Some("c-1"), None]);
        check(&["a=b", "causation-id=%EC%A3%BC%20%22"], [None, Some("주 \"")]);
        check(&["correlation-id=,causation-id=%0A"], [None, None]);
        check(&["correlation-id=%FF"], [None, None]);
        check(&["a=b"], [None, None]);
    }

    #[test]
    fn a_producer_s_own_words_stay() {
        let event = br#"{"specversion":"1.0","id":"a","source":"/t","type":"t","correlationid":"mine"}"#;
        let mut events = CloudEvent::read_body("application/cloudevents+json", event).expect("valid");
        let context = Context {
            correlation: Some("c".into()),
            causation: Some("d".into()),
            traceparent: None,
        };
        context.fill(&mut events);
        assert_eq!(
            (
                events[0].correlationid.as_deref(),
                events[0].causationid.as_deref(),
                events[0].traceparent.as_deref()
            ),
            (Some("mine"), Some("d"), None)
        );
    }
}
