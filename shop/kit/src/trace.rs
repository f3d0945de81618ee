//! The request's W3C trace context: read once, written beside every log line, handed on to every call made for it.

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue};

/// What travels: the trace's position and the correlation id that it carries.
const HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

tokio::task_local! {
    static CONTEXT: Vec<(HeaderName, HeaderValue)>;
}

/// Runs `work` inside the trace of a request with these headers. Tasks spawned in it are outside again.
pub(crate) async fn inside<F: Future>(headers: &HeaderMap, work: F) -> F::Output {
    let found = HEADERS
        .iter()
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect();
    CONTEXT.scope(found, work).await
}

/// The current trace, as the request had it. Empty outside a request.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    hand_on(&mut headers);
    headers
}

/// Puts the current trace into an outgoing request. Nothing outside a request.
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    let _ = CONTEXT.try_with(|context| headers.extend(context.iter().cloned()));
}

/// The current trace id: 32 hex digits, empty where there is none.
pub(crate) fn id() -> String {
    let parent = CONTEXT.try_with(|context| {
        context
            .iter()
            .find(|(name, _)| name == HEADERS[0])
            .map(|(_, v)| v.clone())
    });
    let parent = parent.ok().flatten();
    // version "-" trace-id "-" parent-id "-" flags
    let id = parent
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split('-').nth(1));
    id.filter(|id| id.len() == 32).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_trace_is_known_inside_the_request_only() {
        let mut headers = HeaderMap::new();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", HeaderValue::from_static(parent));
        let (inner, passed) = inside(&headers, async {
            let mut outgoing = HeaderMap::new();
            hand_on(&mut outgoing);
            (id(), outgoing)
        })
        .await;
        assert_eq!(inner, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(passed["traceparent"], parent);
        assert_eq!(id(), "");
    }
}
