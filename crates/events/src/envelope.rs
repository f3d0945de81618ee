//! CloudEvents 1.0, JSON format: the envelope and its rules.
//!
//! `data` is kept as the producer wrote it and never parsed. What is stored is the envelope's own JSON, so the stored
//! form is a public standard and its version is `specversion`.
//!
//! Source: CloudEvents 1.0.2, core specification and JSON event format.

use crate::binary;
use crate::error::EventsError;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How the media types of whole events begin.
const ENVELOPE: &str = "application/cloudevents";
const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// Attributes that only the platform sets.
const RESERVED: [&str; 4] = ["stream", "revision", "position", HOPS];
/// How many events stand before this one in its chain of causes: set at the append.
pub(crate) const HOPS: &str = "ondolhops";
/// Not before this moment is it given to subscribers.
const DELIVER_AT: &str = "deliverat";
/// Longest id, source, type and other attribute, in bytes.
const LONGEST: usize = 512;
/// Longest `type`; the store lists by it.
const LONGEST_TYPE: usize = 256;
/// Attributes beyond those named in [`CloudEvent`].
const EXTENSIONS: usize = 32;

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique in the whole store. In the shop: the `Idempotency-Key` of the call that made the event.
    pub id: String,
    /// Who says so: a URI reference such as `/services/orders`.
    pub source: String,
    /// What happened: `order.placed.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// About what, within the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When, RFC 3339; set at the append where the producer left it out. For people, never for ordering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Media type of `data`; JSON where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// URI of the schema that `data` follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Events with one key keep their order where a transport has partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// The flow that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlationid: Option<String>,
    /// Id of the event or call that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<String>,
    /// W3C trace context of the call that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The content, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The content, as base64 of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Every other attribute: strings, booleans and whole numbers.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl CloudEvent {
    /// Reads the body of an append by its media type, and checks every event.
    ///
    /// # Errors
    /// [`EventsError::MediaType`], [`EventsError::Unreadable`], or [`EventsError::Invalid`] with the first rule broken.
    pub fn read_body(media_type: &str, body: &[u8]) -> Result<Vec<Self>, EventsError> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let unreadable = |error: serde_json::Error| EventsError::Unreadable(error.to_string());
        let events = match essence {
            _ if essence.eq_ignore_ascii_case(BATCH) => serde_json::from_slice(body).map_err(unreadable)?,
            _ if essence.eq_ignore_ascii_case(SINGLE) => vec![serde_json::from_slice(body).map_err(unreadable)?],
            _ => return Err(EventsError::MediaType(media_type.chars().take(80).collect())),
        };
        check_all(&events)?;
        Ok(events)
    }

    /// Reads a request's events: structured or batch by its media type, else binary mode by its `ce-*` headers, which say
    /// nothing beside the other two (HTTP protocol binding, section 3). Checks every event.
    ///
    /// # Errors
    /// As [`CloudEvent::read_body`].
    pub fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Self>, EventsError> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap_or("?"));
        let is_structured = kind
            .trim_start()
            .get(..ENVELOPE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(ENVELOPE));
        if !is_structured && binary::is_binary(headers) {
            return Ok(vec![binary::read(headers, body)?]);
        }
        Self::read_body(kind, body)
    }

    fn check(&self) -> Result<(), (&str, &'static str)> {
        if self.specversion != "1.0" {
            return Err(("specversion", "is not 1.0"));
        }
        for (name, text) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            if text.is_empty() {
                return Err((name, "is empty"));
            }
        }
        if self.kind.len() > LONGEST_TYPE {
            return Err(("type", "is longer than 256 bytes"));
        }
        let optional = [
            ("subject", &self.subject),
            ("time", &self.time),
            ("datacontenttype", &self.datacontenttype),
            ("dataschema", &self.dataschema),
            ("partitionkey", &self.partitionkey),
            ("correlationid", &self.correlationid),
            ("causationid", &self.causationid),
            ("traceparent", &self.traceparent),
        ];
        let given = optional
            .iter()
            .filter_map(|(name, text)| Some((*name, text.as_deref()?)));
        for (name, text) in [("id", &*self.id), ("source", &*self.source), ("type", &*self.kind)]
            .into_iter()
            .chain(given)
        {
            check_text(text).map_err(|rule| (name, rule))?;
        }
        if self.time.as_ref().is_some_and(|time| !is_moment(time)) {
            return Err(("time", "is not a moment as RFC 3339 writes it"));
        }
        if self.data.is_some() && self.data_base64.is_some() {
            return Err(("data_base64", "stands beside data; only one of them may"));
        }
        self.check_extensions()
    }

    fn check_extensions(&self) -> Result<(), (&str, &'static str)> {
        if self.extensions.len() > EXTENSIONS {
            return Err(("extensions", "number more than 32"));
        }
        for (name, value) in &self.extensions {
            if RESERVED.contains(&name.as_str()) {
                return Err((name, "is set by the platform"));
            }
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            if !(1..=20).contains(&name.len()) || !name.bytes().all(plain) {
                return Err((name, "has a name that is not 1 to 20 of a-z and 0-9"));
            }
            if name == DELIVER_AT && !value.as_str().is_some_and(is_moment) {
                return Err((name, "is not a moment as RFC 3339 writes it"));
            }
            match value {
                Value::String(text) => check_text(text).map_err(|rule| (name.as_str(), rule))?,
                Value::Bool(_) => {}
                Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
                _ => return Err((name, "is neither a string, a boolean nor a whole number of 32 bits")),
            }
        }
        Ok(())
    }
}

/// Checks every event of a batch against the rules.
pub(crate) fn check_all(events: &[CloudEvent]) -> Result<(), EventsError> {
    events
        .iter()
        .enumerate()
        .try_for_each(|(index, event)| check_at(index, event))
}

/// Checks the event at `index` of a batch against the rules.
pub(crate) fn check_at(index: usize, event: &CloudEvent) -> Result<(), EventsError> {
    event.check().map_err(|(attribute, rule)| {
        let attribute = attribute.chars().take(80).collect();
        EventsError::Invalid { index, attribute, rule }
    })
}

/// As RFC 3339 writes it. The library reads more, such as a zone in brackets or a time without seconds, but others who read
/// the log do not.
fn is_moment(text: &str) -> bool {
    has_shape(text.as_bytes()) && text.parse::<jiff::Timestamp>().is_ok()
}

/// `date-time` of RFC 3339, section 5.6; that the numbers are possible is not looked at.
fn has_shape(text: &[u8]) -> bool {
    const TO_SECONDS: &[u8] = b"0000-00-00T00:00:00";
    let like = |text: &[u8], shape: &[u8]| {
        let pairs = text.iter().zip(shape);
        let alike = |(byte, shape): (&u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            shape => byte.eq_ignore_ascii_case(shape),
        };
        text.len() == shape.len() && pairs.into_iter().all(alike)
    };
    let Some((head, tail)) = text.split_at_checked(TO_SECONDS.len()) else {
        return false;
    };
    let zone = match tail {
        [b'.', digits @ ..] => match digits.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => return false,
            count => &digits[count..],
        },
        zone => zone,
    };
    like(head, TO_SECONDS) && [&b"Z"[..], b"+00:00", b"-00:00"].iter().any(|shape| like(zone, shape))
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
///
/// # Errors
/// When a percent sign is not followed by two hexadecimal digits, or the bytes are no UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Result<String, std::str::Utf8Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        (rest, _) = match (first, digit(0), digit(1)) {
            // Two digits make one byte.
            (b'%', Some(high), Some(low)) => (&tail[2..], bytes.push((high * 16 + low) as u8)),
            // No byte of UTF-8: the text is refused below.
            (b'%', ..) => (tail, bytes.push(0xff)),
            (byte, ..) => (tail, bytes.push(*byte)),
        };
    }
    std::str::from_utf8(&bytes).map(str::to_owned)
}

fn check_text(text: &str) -> Result<(), &'static str> {
    if text.len() > LONGEST {
        return Err("is longer than 512 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t""#;

    fn check(more: &str, claim: Result<(), &str>) {
        let body = format!("{LEAST}{more}}}");
        let outcome = CloudEvent::read_body("application/cloudevents+json; charset=utf-8", body.as_bytes());
        match (outcome, claim) {
            (Ok(events), Ok(())) => assert_eq!(serde_json::to_string(&events[0]).expect("JSON"), body),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{body}: {error}"),
            (outcome, claim) => panic!("{body}: {outcome:?}, not {claim:?}"),
        }
    }

    #[test]
    fn a_valid_event_is_written_as_it_was_read() {
        check("", Ok(()));
        check(
            r#","subject":"x","time":"2026-11-21T18:00:00.5+01:00","data":{"a":[1.50,1e3],  "b":null}"#,
            Ok(()),
        );
        check(
            r#","partitionkey":"k","correlationid":"c","causationid":"d","traceparent":"00-0-0-01""#,
            Ok(()),
        );
        check(r#","time":"2016-12-31t23:59:60z""#, Ok(()));
        check(r#","data_base64":"AAEC""#, Ok(()));
        check(r#","deliverat":"2030-01-01T00:00:00Z""#, Ok(()));
        check(r#","flag":true,"number":-7,"text":"주문""#, Ok(()));
    }

    #[test]
    fn an_event_that_breaks_a_rule_is_refused_with_the_rule() {
        for time in [
            "yesterday",
            "2026-11-21T18:00:00+01:00[Europe/Paris]",
            "2026-11-21 18:00:00Z",
            "2026-11-21T18:00Z",
            "2026-11-21T18:00:00.Z",
            "2026-11-21T18:00:00+01",
            "2026-11-21T18:00:00",
            "2026-11-31T18:00:00Z",
            "+002026-11-21T18:00:00Z",
        ] {
            check(&format!(r#","time":"{time}""#), Err("attribute time is not a moment"));
        }
        check(r#","data":1,"data_base64":"AA==""#, Err("only one of them"));
        check(r#","position":7"#, Err("attribute position is set by the platform"));
        check(r#","Upper":"x""#, Err("1 to 20 of a-z"));
        check(r#","big":4294967296"#, Err("32 bits"));
        check(r#","object":{}"#, Err("neither a string"));
        check(r#","subject":"a\u0000b""#, Err("control character"));
        check(&format!(r#","subject":"{}""#, "x".repeat(513)), Err("longer than 512"));
        check(r#","deliverat":"soon""#, Err("attribute deliverat is not a moment"));
        check(r#","ondolhops":1"#, Err("attribute ondolhops is set by the platform"));
        check(r#","id":"again""#, Err("duplicate field"));
    }

    #[test]
    fn a_whole_event_is_read_as_one_whatever_stands_beside_it_in_headers() {
        let body = format!(r#"{LEAST},"data":{{"n":1}}}}"#);
        let mut headers = HeaderMap::new();
        for name in ["ce-specversion", "ce-id", "ce-source", "ce-type"] {
            headers.insert(name, http::HeaderValue::from_static("1.0"));
        }
        for (kind, body) in [
            ("Application/CloudEvents+json; charset=utf-8", body.clone()),
            ("application/cloudevents-batch+json", format!("[{body}]")),
        ] {
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
            let events = CloudEvent::read_request(&headers, body.as_bytes()).expect("valid");
            assert_eq!(
                (events.len(), &*events[0].id, &*events[0].kind),
                (1, "a", "t"),
                "{kind}"
            );
        }
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        let events = CloudEvent::read_request(&headers, b"{}").expect("valid");
        assert_eq!(&*events[0].id, "1.0", "binary mode");
    }

    #[test]
    fn the_required_attributes_are_required() {
        let read = |body: &str| CloudEvent::read_body(BATCH, body.as_bytes()).map(|events| events.len());
        for missing in ["specversion", "id", "source", "type"] {
            let mut event: Value = serde_json::from_str(&format!("{LEAST}}}")).expect("JSON");
            event.as_object_mut().expect("object").remove(missing);
            assert!(
                matches!(read(&format!("[{event}]")), Err(EventsError::Unreadable(_))),
                "{missing}"
            );
        }
        let empty = LEAST.replace(r#""id":"a""#, r#""id":"""#);
        assert!(matches!(
            read(&format!("[{LEAST}}},{empty}}}]")),
            Err(EventsError::Invalid { index: 1, .. })
        ));
        let old = LEAST.replace("1.0", "0.3");
        assert!(matches!(
            read(&format!("[{old}}}]")),
            Err(EventsError::Invalid { index: 0, .. })
        ));
        assert!(matches!(
            CloudEvent::read_body("application/json", b"[]"),
            Err(EventsError::MediaType(_))
        ));
        assert_eq!(read("[]").expect("an empty batch reads"), 0);
    }
}
