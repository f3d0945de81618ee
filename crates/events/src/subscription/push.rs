//! An event as a call of its subscriber: CloudEvents' binary mode over HTTP.
//!
//! Source: CloudEvents 1.0.2, HTTP protocol binding, sections 3.1 and 3.1.3.2; W3C baggage.

use super::config::Subscription;
use super::filter::{Read, attributes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ondol_core::caller::Call;
use serde_json::value::RawValue;

/// The call of one attempt, written `EPOCH.N`. `edited` is data, as JSON, in place of the event's.
///
/// # Errors
/// What of the event no request can carry; it will never be delivered as it is.
pub(crate) fn call(config: &Subscription, read: &Read, edited: Option<&str>, attempt: &str) -> Result<Call, String> {
    let (event, stored) = (&read.event, &read.stored);
    let mut headers = HeaderMap::with_capacity(24);
    let mut set = |name: &str, value: &str| -> Result<(), String> {
        let named = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no name of a header"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("the value of {name} fits into no header"))?;
        headers.insert(named, value);
        Ok(())
    };
    set("ce-specversion", &event.specversion)?;
    for (name, value) in attributes(event).filter(|(name, _)| *name != "datacontenttype") {
        set(&format!("ce-{name}"), &encoded(&value))?;
    }
    set("ce-stream", stored.stream.as_str())?;
    set("ce-revision", &stored.revision.to_string())?;
    set("ce-position", &stored.position.to_string())?;
    set("ondol-subscription", &config.name.to_string())?;
    set("ondol-attempt", attempt)?;
    set("idempotency-key", &format!("\"{}\"", encoded(&event.id)))?;
    if let Some(trace) = &event.traceparent {
        set("traceparent", &encoded(trace))?;
    }
    // An event without a flow begins one: its own id names it.
    let flow = event.correlationid.as_deref().unwrap_or(&event.id);
    set("baggage", &baggage(flow, &event.id))?;
    let (kind, body) = content(read, edited)?;
    if let Some(kind) = kind {
        set(header::CONTENT_TYPE.as_str(), kind)?;
    }
    Ok(Call {
        service: config.name.service.clone(),
        method: Method::POST,
        path: config.push.clone().unwrap_or_default(),
        headers,
        body,
        timeout: config.timeout,
    })
}

/// The data's media type and bytes. JSON data of a type that is not JSON is the text itself (JSON event format, 3.1).
fn content<'r>(read: &'r Read, edited: Option<&str>) -> Result<(Option<&'r str>, Bytes), String> {
    let event = &read.event;
    let kind = event.datacontenttype.as_deref();
    let json = match edited.or(event.data.as_deref().map(RawValue::get)) {
        Some(json) => json,
        None => {
            let Some(text) = &event.data_base64 else {
                return Ok((kind, Bytes::new()));
            };
            let bytes = STANDARD
                .decode(text)
                .map_err(|error| format!("data_base64 is no base64: {error}"))?;
            return Ok((kind, bytes.into()));
        }
    };
    let text = kind
        .filter(|kind| !is_json(kind))
        .and_then(|_| serde_json::from_str::<String>(json).ok());
    let body = text.map_or_else(|| Bytes::copy_from_slice(json.as_bytes()), Bytes::from);
    Ok((Some(kind.unwrap_or("application/json")), body))
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let sub = essence.split_once('/').map_or("", |(_, sub)| sub);
    sub.eq_ignore_ascii_case("json") || sub.to_ascii_lowercase().ends_with("+json")
}

/// Correlation for whatever the subscriber calls in turn; the event is its cause.
fn baggage(correlation: &str, id: &str) -> String {
    let value = |text: &str| escaped(text, |b| !matches!(b, b'"' | b',' | b';' | b'\\' | b'%'));
    format!("correlation-id={},causation-id={}", value(correlation), value(id))
}

/// A value as section 3.1.3.2 has it: what is not printable ASCII, a space, a quote or a percent sign is escaped.
fn encoded(text: &str) -> String {
    escaped(text, |b| !matches!(b, b'"' | b'%'))
}

/// Escapes by percent signs every byte that is no visible ASCII character, and those that `plain` refuses.
pub(crate) fn escaped(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;
    use ondol_core::engine::{NewEvent, StoredEvent};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;

    fn sent(more: Value, edited: Option<&str>) -> Result<Call, String> {
        let mut event =
            json!({ "specversion": "1.0", "id": "e-1", "source": "/services/orders", "type": "order.placed.v1" });
        event
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let body = Bytes::from(event.to_string());
        let read = Read {
            event: serde_json::from_slice(&body).expect("an event"),
            stored: Arc::new(StoredEvent {
                position: 7,
                stream: "order-1".parse().expect("valid"),
                revision: 3,
                event: NewEvent {
                    id: "e-1".into(),
                    kind: "order.placed.v1".into(),
                    at: Timestamp(0),
                    correlation: None,
                    body,
                },
            }),
        };
        let mut config = Subscription::new("points.orders".parse().expect("valid"), vec!["*".into()]);
        config.push = Some("/internal/events".into());
        call(&config, &read, edited, "5.1")
    }

    fn header<'c>(call: &'c Call, name: &str) -> &'c str {
        call.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }

    #[test]
    fn every_attribute_is_a_header_and_the_data_is_the_body() {
        let more = json!({ "subject": "Euro € \"50 %\"", "time": "2026-11-21T18:00:00Z", "correlationid": "c 1,2",
            "traceparent": "00-ab-cd-01", "region": "eu", "level": 3, "data": { "total": 1500 } });
        let call = sent(more, None).expect("it can be sent");
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "e-1"),
            ("ce-source", "/services/orders"),
            ("ce-type", "order.placed.v1"),
            ("ce-subject", "Euro%20%E2%82%AC%20%2250%20%25%22"),
            ("ce-time", "2026-11-21T18:00:00Z"),
            ("ce-region", "eu"),
            ("ce-level", "3"),
            ("ce-stream", "order-1"),
            ("ce-revision", "3"),
            ("ce-position", "7"),
            ("ondol-subscription", "points.orders"),
            ("ondol-attempt", "5.1"),
            ("idempotency-key", "\"e-1\""),
            ("traceparent", "00-ab-cd-01"),
            ("baggage", "correlation-id=c%201%2C2,causation-id=e-1"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(header(&call, name), value, "{name}");
        }
        assert_eq!(
            (call.path.as_str(), call.method, &*call.body),
            ("/internal/events", Method::POST, &br#"{"total":1500}"#[..])
        );
        assert_eq!(call.timeout, Duration::from_secs(10));
    }

    #[test]
    fn an_event_without_a_flow_begins_one() {
        let call = sent(json!({}), None).expect("it can be sent");
        assert_eq!(header(&call, "baggage"), "correlation-id=e-1,causation-id=e-1");
    }

    #[test]
    fn the_body_is_json_text_bytes_or_nothing() {
        let check = |more: Value, edited: Option<&str>, kind: &str, body: &[u8]| {
            let call = sent(more, edited).expect("it can be sent");
            assert_eq!((header(&call, "content-type"), &*call.body), (kind, body));
            assert!(!call.headers.contains_key("ce-datacontenttype"));
        };
        check(json!({}), None, "", b"");
        check(json!({ "data": "a" }), None, "application/json", b"\"a\"");
        let text = json!({ "datacontenttype": "text/plain; charset=utf-8", "data": "a" });
        check(text, None, "text/plain; charset=utf-8", b"a");
        let more = json!({ "datacontenttype": "application/vnd.x+json", "data": "a" });
        check(more, None, "application/vnd.x+json", b"\"a\"");
        let bytes = json!({ "datacontenttype": "image/png", "data_base64": "AAEC" });
        check(bytes.clone(), None, "image/png", &[0, 1, 2]);
        check(
            json!({ "data": { "x": 1 } }),
            Some("{\"x\":2}"),
            "application/json",
            b"{\"x\":2}",
        );
        assert!(sent(json!({ "data_base64": "?" }), None).is_err());
    }
}
