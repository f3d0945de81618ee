//! The cause of what is done: which flow it belongs to, what led to it, and its place in a trace. It travels from request to
//! event and from event to request.
//!
//! Source: W3C Trace Context, W3C Baggage.

use crate::event::fits;
use crate::text;
use http::{HeaderMap, HeaderValue};

/// Where something comes from. Empty where nothing is known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Context {
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The flow.
    pub correlation: Option<String>,
    /// Id of the event or call that led to it.
    pub causation: Option<String>,
}

impl Context {
    /// Of the request that is being handled. What comes from outside and does not fit is left out rather than refused.
    pub fn from_headers(request: &HeaderMap) -> Self {
        let parent = request.get("traceparent").and_then(|value| value.to_str().ok());
        Self {
            traceparent: parent.filter(|parent| is_traceparent(parent)).map(str::to_owned),
            correlation: member(request, "correlation-id"),
            causation: member(request, "causation-id"),
        }
    }

    /// As headers of a request that is made in turn.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pair = |name: &str, value: &Option<String>| Some(format!("{name}={}", text::baggage(value.as_deref()?)));
        let members = [
            pair("correlation-id", &self.correlation),
            pair("causation-id", &self.causation),
        ];
        let baggage = members.into_iter().flatten().collect::<Vec<_>>().join(",");
        for (name, value) in [
            ("traceparent", self.traceparent.as_deref().unwrap_or_default()),
            ("baggage", &baggage),
        ] {
            // What is no header's value is left out: a cause is of use, and no reason to fail.
            if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// `VERSION-TRACE-PARENT-FLAGS`, all in lower hexadecimal digits.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.into_iter().all(hex)
}

/// A member of the request's baggage, undone of its percent-encoding.
fn member(request: &HeaderMap, wanted: &str) -> Option<String> {
    let texts = request
        .get_all("baggage")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let members = texts.flat_map(|text| text.split(','));
    let mut pairs = members.filter_map(|member| member.split(';').next()?.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == wanted)?;
    text::decoded(value.trim()).filter(|text| !text.is_empty() && fits(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_from_a_request_is_written_to_the_next() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let check = |headers: &[(&'static str, &'static str)], claim: [Option<&str>; 3]| {
            let mut request = HeaderMap::new();
            for (name, value) in headers {
                request.append(*name, HeaderValue::from_static(value));
            }
            let context = Context::from_headers(&request);
            let [traceparent, correlation, causation] = claim.map(|text| text.map(str::to_owned));
            let claimed = Context {
                traceparent,
                correlation,
                causation,
            };
            assert_eq!(context, claimed, "{headers:?}");
            assert_eq!(Context::from_headers(&context.headers()), context, "and back");
        };
        let baggage = ("baggage", "tenant=x, correlation-id=c%201%2C ;ttl=3,causation-id=e-7");
        check(
            &[baggage, ("traceparent", parent)],
            [Some(parent), Some("c 1,"), Some("e-7")],
        );
        check(
            &[("baggage", "correlation-id=c%00"), ("traceparent", "nonsense")],
            [None; 3],
        );
        check(&[("baggage", "correlation-id=%FF,tenant=x")], [None; 3]);
        check(&[("baggage", "correlation-id=%4")], [None; 3]);
    }
}
