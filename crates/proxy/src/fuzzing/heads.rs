//! HTTP/1 heads: nothing illegal is taken, and a head that is written anew reads as the one that was read.

use super::framing;
use crate::check::{self, HeadError, MAX_FIELDS, MAX_RESPONSE_FIELDS};
use crate::h1::head::{self, Length, Parsed, Search};
use crate::h1::write;
use crate::message::{Fields, RequestHead, ResponseHead, Version};
use bytes::BytesMut;
use http::{Method, StatusCode};

/// A request's head.
pub(super) fn request(data: &[u8]) {
    let (mut buf, mut head) = (BytesMut::from(data), RequestHead::default());
    if let Ok(Some(parsed)) = Search::default().take(&mut buf, &mut head) {
        legal_request(&head);
        same_when_written(&head, &parsed);
    }
}

/// Promises of every request head, whichever protocol it came by.
pub(super) fn legal_request(head: &RequestHead) {
    legal(&head.fields, MAX_FIELDS);
    assert!(!matches!(head.method, Method::TRACE | Method::CONNECT));
    assert!(head.target().starts_with('/') || (head.target() == "*" && head.method == Method::OPTIONS));
    assert!(head.target().bytes().all(|b| b.is_ascii_graphic()), "{}", head.target());
    assert!(
        !head.fields.contains("host") && !head.fields.contains("expect") && !head.fields.contains("content-length")
    );
    for (name, value) in head.fields.iter() {
        assert!(check::not_spoofed(name.as_bytes()).is_ok(), "{name}");
        assert!(std::str::from_utf8(value).is_ok(), "{name}");
    }
    let nameless = head.authority().is_empty() && head.version == Version::Http10;
    assert!(
        nameless || check::authority(head.authority().as_bytes()).is_ok(),
        "{}",
        head.authority()
    );
    assert_eq!(head.authority(), head.authority().to_ascii_lowercase());
}

/// Promises of every list of fields: no name or value could end a line or belongs to one connection only.
fn legal(fields: &Fields, most: usize) {
    assert!(fields.len() <= most);
    for (name, value) in fields.iter() {
        assert!(
            head::is_token(name.as_bytes()) && name.to_ascii_lowercase() == name,
            "{name:?}"
        );
        assert!(
            value.iter().all(|b| (*b >= b' ' && *b != 127) || *b == b'\t'),
            "{}",
            value.escape_ascii()
        );
        assert_eq!(value.trim_ascii(), value);
        let connection = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "trailer",
        ];
        assert!(
            !connection.contains(&name) && (name != "te" || value == b"trailers"),
            "{name}"
        );
    }
}

fn same_when_written(head: &RequestHead, parsed: &Parsed) {
    if head.fields.len() + 2 > MAX_FIELDS {
        return; // With a Host and a length there are too many, and the next Ondol would say so.
    }
    let mut bytes = Vec::new();
    write::request(head, "unnamed", parsed.length, false, &mut bytes);
    let mut again = RequestHead::default();
    let end = head::find_end(&bytes, &mut 0)
        .expect("lines end with CRLF")
        .expect("a whole head");
    assert_eq!(
        end,
        bytes.len(),
        "one head, and nothing behind it: {}",
        bytes.escape_ascii()
    );
    let (parsed_again, _) = head::parse_request(&bytes, &mut again).expect("what we write, we read");
    assert_eq!(parsed_again.length, parsed.length);
    assert_eq!(
        (&again.method, again.target(), again.path()),
        (&head.method, head.target(), head.path())
    );
    assert!(again.authority() == head.authority() || (head.authority().is_empty() && again.authority() == "unnamed"));
    same_fields(&again.fields, &head.fields);
}

/// Writes a head that came by HTTP/2 with a body of this length as HTTP/1, and reads it.
pub(super) fn same_as_http_1(head: &RequestHead, length: Length) {
    let parsed = Parsed {
        length,
        keep_alive: true,
        expects: false,
        websocket: false,
    };
    same_when_written(head, &parsed);
}

fn same_fields(one: &Fields, other: &Fields) {
    let all = |fields: &Fields| {
        fields
            .iter()
            .map(|(n, v)| (n.to_owned(), v.to_vec()))
            .collect::<Vec<_>>()
    };
    // `TE: trailers` moves to the end each time.
    let sorted = |fields| {
        let mut all = all(fields);
        all.sort_by_key(|(name, _)| name == "te");
        all
    };
    assert_eq!(sorted(one), sorted(other));
}

/// An answer; the first byte says to which method, and whether a WebSocket was asked for.
pub(super) fn response(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let method = if first % 2 == 0 { Method::GET } else { Method::HEAD };
    framing::answer(&method, first & 2 != 0, bytes);
    let Ok(Some(end)) = head::find_end(bytes, &mut 0) else {
        return;
    };
    let mut answer = ResponseHead::default();
    let Ok((parsed, _)) = head::parse_response(&bytes[..end], &method, &mut answer) else {
        return;
    };
    legal(&answer.fields, MAX_RESPONSE_FIELDS + 1); // A HEAD's Content-Length is put back as a field.
    let bodiless = method == Method::HEAD || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framed = (!bodiless && !answer.status.is_informational()).then_some(parsed.length);
    let mut written = Vec::new();
    write::response(&answer, framed, false, &mut written);
    let end = head::find_end(&written, &mut 0)
        .expect("lines end with CRLF")
        .expect("a whole head");
    assert_eq!(
        end,
        written.len(),
        "one head, and nothing behind it: {}",
        written.escape_ascii()
    );
    let mut again = ResponseHead::default();
    let parsed_again = match head::parse_response(&written, &method, &mut again) {
        // A length and `Connection` are written beside what is read at the most.
        Err(HeadError::TooManyFields) if answer.fields.len() + 2 > MAX_RESPONSE_FIELDS => return,
        read => read.expect("what we write, we read"),
    };
    assert_eq!((again.status, parsed_again.0.length), (answer.status, parsed.length));
    same_fields(&again.fields, &answer.fields);
}
