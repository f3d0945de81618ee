//! HTTP/2 heads to our own and back. Whatever HTTP/1 could not carry unambiguously is refused here.

use crate::check::{self, HeadError};
use crate::message::{Fields, RequestHead, ResponseHead, Version};
use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, request, response};

/// Takes a request's head; the length that it declares for its body.
///
/// # Errors
/// What is wrong with it.
pub fn request(parts: &request::Parts, out: &mut RequestHead) -> Result<Option<u64>, HeadError> {
    // To the instance it is a GET that asks to switch.
    out.method = match opens_websocket(parts) {
        true => Method::GET,
        false => parts.method.clone(),
    };
    out.version = Version::Http2;
    check::method(&out.method)?;
    let target = parts.uri.path_and_query().ok_or(HeadError::RequestLine)?.as_str();
    if target.len() > crate::h1::head::MAX_TARGET {
        return Err(HeadError::TargetTooLong);
    }
    if target == "*" && parts.method != Method::OPTIONS {
        return Err(HeadError::RequestLine);
    }
    out.set_target(target.as_bytes())?;
    set_authority(parts, out)?;
    if parts.headers.len() > check::MAX_FIELDS {
        return Err(HeadError::TooManyFields);
    }
    let mut length = None;
    for (name, value) in &parts.headers {
        match name.as_str() {
            "host" | "cookie" => continue,
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
                return Err(HeadError::ConnectionField);
            }
            "te" if value != "trailers" => return Err(HeadError::ConnectionField),
            "content-length" if length.is_some() => return Err(HeadError::ContentLength),
            "content-length" => length = Some(decimal(value)?),
            "expect" => {} // `100-continue` is the server's affair; there is no other.
            name => {
                check::not_spoofed(name.as_bytes())?;
                out.fields.push(name, value_bytes(value)?);
            }
        }
    }
    join_cookies(&parts.headers, &mut out.fields)?;
    check::strip_hop_by_hop(&mut out.fields);
    Ok(length)
}

/// Whether it is an extended CONNECT for a WebSocket (RFC 8441). There are none for other protocols.
pub fn opens_websocket(parts: &request::Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

fn set_authority(parts: &request::Parts, out: &mut RequestHead) -> Result<(), HeadError> {
    let mut hosts = parts.headers.get_all("host").iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(HeadError::HostTwice);
    }
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            return Err(HeadError::HostDiffers);
        }
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(HeadError::HostMissing),
    };
    out.set_authority(check::authority(authority)?);
    Ok(())
}

/// HTTP/2 may split `Cookie`; HTTP/1 has one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &HeaderMap, out: &mut Fields) -> Result<(), HeadError> {
    let mut joined = Vec::new();
    for value in headers.get_all("cookie") {
        let crumb = value_bytes(value)?;
        if !joined.is_empty() && !crumb.is_empty() {
            joined.extend_from_slice(b"; "); // Never at the end, where HTTP/1 would lose the space.
        }
        joined.extend_from_slice(crumb);
    }
    if !joined.is_empty() {
        out.push("cookie", joined);
    }
    Ok(())
}

/// A value that HTTP/1 can carry: no white space around it, UTF-8 if it is not ASCII.
fn value_bytes(value: &HeaderValue) -> Result<&[u8], HeadError> {
    let bytes = value.as_bytes();
    let fits = bytes.trim_ascii().len() == bytes.len() && (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok());
    if fits { Ok(bytes) } else { Err(HeadError::FieldValue) }
}

fn decimal(value: &HeaderValue) -> Result<u64, HeadError> {
    let text = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(HeadError::ContentLength)
}

/// Takes a response's head; the length that it declares for its body. `head`: it answers a HEAD.
///
/// # Errors
/// What is wrong with it.
pub fn response(parts: &response::Parts, head: bool, out: &mut ResponseHead) -> Result<Option<u64>, HeadError> {
    out.status = parts.status;
    if parts.headers.len() > check::MAX_RESPONSE_FIELDS {
        return Err(HeadError::TooManyFields);
    }
    let mut length = None;
    for (name, value) in &parts.headers {
        if name == "content-length" {
            if length.replace(decimal(value)?).is_some() {
                return Err(HeadError::ContentLength);
            }
            if !head {
                continue; // Framing is chosen anew; only a HEAD's answer tells it as a fact.
            }
        }
        out.fields.push(name.as_str(), value.as_bytes());
    }
    check::strip_hop_by_hop(&mut out.fields);
    Ok(length)
}

/// Fields whose values no other message of a connection has. In HPACK's table they would push out what is worth a place
/// there, and every next one would be compared with all of them: they are written as literals that are never indexed.
const UNIQUE: [&str; 5] = [
    "x-request-id",
    "traceparent",
    "ondol-deadline-ms",
    "grpc-timeout",
    "idempotency-key",
];

/// Fields for HTTP/2. Those that it cannot carry were refused or stripped before.
pub fn headers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len() + 1);
    for (name, value) in fields.iter() {
        let unique = UNIQUE.contains(&name);
        if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            value.set_sensitive(unique); // What `http` calls literals that are never indexed.
            map.append(name, value);
        }
    }
    map
}

/// Trailers of ours; those that may not be trailers vanish.
pub fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    let allowed = map
        .iter()
        .filter(|(name, _)| check::may_be_trailer(name.as_str().as_bytes()));
    allowed
        .take(check::MAX_FIELDS)
        .for_each(|(name, value)| fields.push(name.as_str(), value.as_bytes()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(uri: &str, fields: &[(&str, &str)]) -> Result<(RequestHead, Option<u64>), HeadError> {
        let builder = fields.iter().fold(http::Request::get(uri), |builder, (name, value)| {
            builder.header(*name, *value)
        });
        let (parts, ()) = builder.body(()).expect("a request").into_parts();
        let mut head = RequestHead::default();
        request(&parts, &mut head).map(|length| (head, length))
    }

    #[test]
    fn cookies_are_joined_and_lengths_taken_out() {
        let fields = [
            ("cookie", "a=1"),
            ("x", "y"),
            ("cookie", "b=2"),
            ("content-length", "7"),
        ];
        let (head, length) = convert("http://Shop/a/../b?c", &fields).expect("valid");
        assert_eq!((head.authority(), head.target(), length), ("shop", "/b?c", Some(7)));
        assert_eq!(head.fields.get_str("cookie"), Some("a=1; b=2"));
        assert_eq!(head.fields.len(), 2);
    }

    #[test]
    fn what_differs_in_every_message_takes_no_place_in_the_table() {
        let fields: Fields = [("x-request-id", "7"), ("server", "shop")].into_iter().collect();
        let map = headers(&fields);
        assert!(map["x-request-id"].is_sensitive() && !map["server"].is_sensitive());
    }

    #[test]
    fn what_http_1_could_not_carry_is_refused() {
        for (uri, fields, error) in [
            ("http://a/", &[("connection", "close")][..], HeadError::ConnectionField),
            (
                "http://a/",
                &[("transfer-encoding", "chunked")],
                HeadError::ConnectionField,
            ),
            ("http://a/", &[("upgrade", "websocket")], HeadError::ConnectionField),
            ("http://a/", &[("te", "gzip")], HeadError::ConnectionField),
            ("http://a/", &[("host", "b")], HeadError::HostDiffers),
            ("http://a/", &[("host", "a"), ("host", "a")], HeadError::HostTwice),
            ("/", &[], HeadError::HostMissing),
            ("http://a/", &[("x", " y")], HeadError::FieldValue),
            ("http://a/", &[("content-length", "+1")], HeadError::ContentLength),
            (
                "http://a/",
                &[("content-length", "1"), ("content-length", "1")],
                HeadError::ContentLength,
            ),
            ("http://a/", &[("ondol_subject", "root")], HeadError::Spoofed),
            ("http://u@a/", &[], HeadError::HostInvalid),
        ] {
            assert_eq!(convert(uri, fields).err(), Some(error), "{uri} {fields:?}");
        }
    }
}
