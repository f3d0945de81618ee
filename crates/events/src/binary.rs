//! CloudEvents in HTTP's binary mode: attributes are `ce-*` headers, the body is the data.
//!
//! Source: CloudEvents 1.0.2, HTTP protocol binding, section 3.1. JSON data stays the JSON it is; whatever else the body
//! holds is kept byte for byte, as `data_base64`.

use crate::envelope::{CloudEvent, check_all, percent_decoded};
use crate::error::EventsError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Whether the headers are those of binary mode.
pub(crate) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// Reads one event.
///
/// # Errors
/// [`EventsError::Unreadable`], or [`EventsError::Invalid`] with the first rule that it breaks.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<CloudEvent, EventsError> {
    let unreadable = |text: String| EventsError::Unreadable(text);
    let mut attributes = Map::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let text = value
            .to_str()
            .ok()
            .and_then(|text| percent_decoded(&unquoted(text.trim())).ok());
        let text = text.ok_or_else(|| unreadable(format!("the header ce-{name} is not percent-encoded UTF-8")))?;
        if matches!(name, "data" | "data_base64" | "datacontenttype") {
            return Err(unreadable(format!(
                "ce-{name} is no attribute of binary mode: the body is the data"
            )));
        }
        if attributes.insert(name.to_owned(), Value::String(text)).is_some() {
            return Err(unreadable(format!("the header ce-{name} stands twice")));
        }
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    if let Some(kind) = kind {
        attributes.insert("datacontenttype".into(), kind.into());
    }
    let mut event: CloudEvent =
        serde_json::from_value(Value::Object(attributes)).map_err(|error| unreadable(error.to_string()))?;
    if kind.is_none_or(is_json) {
        if !body.is_empty() {
            let data = serde_json::from_slice(body).map_err(|error| unreadable(format!("the data: {error}")))?;
            event.data = Some(data);
        }
    } else if !body.is_empty() {
        event.data_base64 = Some(STANDARD.encode(body));
    }
    check_all(std::slice::from_ref(&event))?;
    Ok(event)
}

/// Takes the quotes of a quoted string away (RFC 9110, section 5.6.4), as the binding wants it before decoding.
fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    Cow::Owned(out)
}

/// Whether a media type says JSON: `application/json`, or anything that ends with `+json`.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let (_, sub) = essence.split_once('/').unwrap_or_default();
    sub.eq_ignore_ascii_case("json") || sub.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(more: &[(&'static str, &'static str)], body: &[u8], claim: Result<&str, &str>) {
        let least = [
            ("ce-specversion", "1.0"),
            ("ce-id", "a"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in least.iter().chain(more) {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        let outcome = read(&headers, body).map(|event| serde_json::to_string(&event).expect("JSON"));
        match (outcome, claim) {
            (Ok(text), Ok(rest)) => {
                let least = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t""#;
                assert_eq!(text, format!("{least}{rest}}}"));
            }
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (outcome, claim) => panic!("{more:?}: {outcome:?}, not {claim:?}"),
        }
    }

    #[test]
    fn headers_are_attributes_and_the_body_is_the_data() {
        check(&[], b"", Ok(""));
        check(&[], b"{\"a\": 1.0}", Ok(r#","data":{"a": 1.0}"#));
        let json = ("content-type", "application/vnd.x+JSON; charset=utf-8");
        check(
            &[json],
            b"7",
            Ok(r#","datacontenttype":"application/vnd.x+JSON; charset=utf-8","data":7"#),
        );
        let text = ("content-type", "text/plain");
        check(
            &[text],
            b"hi",
            Ok(r#","datacontenttype":"text/plain","data_base64":"aGk=""#),
        );
        check(&[("ce-subject", "%EC%A3%BC%25")], b"", Ok(r#","subject":"주%""#));
        check(&[("ce-region", "eu")], b"", Ok(r#","region":"eu""#));
        check(&[("ce-subject", r#""a \"b\"""#)], b"", Ok(r#","subject":"a \"b\"""#));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        check(&[("ce-id", "b")], b"", Err("ce-id stands twice"));
        check(&[("ce-subject", "%FF")], b"", Err("percent-encoded"));
        check(&[], b"{", Err("the data"));
        check(&[("ce-data", "x")], b"", Err("ce-data is no attribute"));
        check(&[("ce-time", "noon")], b"", Err("attribute time"));
        check(&[("ce-position", "7")], b"", Err("set by the platform"));
    }
}
