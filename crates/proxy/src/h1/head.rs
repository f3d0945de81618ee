//! HTTP/1 heads from bytes: find the end, then check and take every line.
//!
//! Nothing here reads a socket. A head is parsed once it is whole, so a slow sender costs one scan of each byte.

use crate::check::{self, HeadError};
use crate::message::{Fields, RequestHead, ResponseHead, Version, list_items};
use bytes::{Buf, BytesMut};
use http::{Method, StatusCode};

/// Largest head of a request, bytes, its line included.
pub const MAX_HEAD: usize = 16 << 10;
/// Largest head of a response, bytes: services are trusted a little more, cookies are many.
pub const MAX_RESPONSE_HEAD: usize = 64 << 10;
/// Largest target, bytes.
pub const MAX_TARGET: usize = 8 << 10;

/// How a body's end is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// After so many bytes.
    Exact(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection closes; responses only.
    UntilClose,
}

/// What the head says of its message and connection, beyond [`RequestHead`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The body's framing.
    pub length: Length,
    /// Whether the sender is ready for another message on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue`.
    pub expects: bool,
    /// The client asks for a WebSocket.
    pub websocket: bool,
}

/// Looks for the empty line that ends a head; `scanned` remembers how far. The head's length, the empty line included.
///
/// # Errors
/// A line that ends without CR.
pub fn find_end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, HeadError> {
    for at in memchr::memchr_iter(b'\n', &bytes[*scanned..]) {
        let lf = *scanned + at;
        if lf == 0 || bytes[lf - 1] != b'\r' {
            return Err(HeadError::BareLf);
        }
        if lf >= 3 && bytes[lf - 2] == b'\n' {
            return Ok(Some(lf + 1));
        }
    }
    *scanned = bytes.len();
    Ok(None)
}

/// The search for one request's head among a connection's bytes; new for each request. What it finds does not depend on
/// how the bytes were cut into packets.
#[derive(Debug, Default)]
pub struct Search {
    begun: bool,
    scanned: usize,
}

impl Search {
    /// Takes the head out of `buf` into `out`, which is empty; `None`: more bytes are needed.
    ///
    /// # Errors
    /// What is wrong with the head, or that it is larger than [`MAX_HEAD`].
    pub fn take(&mut self, buf: &mut BytesMut, out: &mut RequestHead) -> Result<Option<Parsed>, HeadError> {
        if !self.begun {
            match buf.as_ref() {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => buf.advance(2), // RFC 9112, 2.2: an empty line before a request is ignored, once.
                _ => {}
            }
            self.begun = true;
        }
        let window = &buf[..buf.len().min(MAX_HEAD)];
        match find_end(window, &mut self.scanned)? {
            Some(end) => {
                let parsed = parse_request(&window[..end], out)?;
                buf.advance(end);
                Ok(Some(parsed))
            }
            None if window.len() < MAX_HEAD => Ok(None),
            None if window.contains(&b'\n') => Err(HeadError::TooLarge),
            None => Err(HeadError::TargetTooLong),
        }
    }
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let extra = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < extra.len() {
        table[extra[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether this is a token of RFC 9110: a method or a field name.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| TOKEN[*b as usize])
}

/// Reads a whole request head (as [`find_end`] found it) into `out`, which is empty.
///
/// # Errors
/// What is wrong with it; `out` is of no use then.
pub fn parse_request(bytes: &[u8], out: &mut RequestHead) -> Result<Parsed, HeadError> {
    let (line, rest) = split_line(bytes).ok_or(HeadError::RequestLine)?;
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::RequestLine);
    };
    if !is_token(method) {
        return Err(HeadError::RequestLine);
    }
    out.method = Method::from_bytes(method).map_err(|_| HeadError::RequestLine)?;
    out.version = version_of(version)?;
    check::method(&out.method)?;
    let absolute = set_target(target, out)?;

    let mut lengths = Lengths::default();
    let mut host = None;
    parse_fields(rest, check::MAX_FIELDS, |name, value| {
        if name.eq_ignore_ascii_case(b"host") {
            return if host.replace(value).is_some() {
                Err(HeadError::HostTwice)
            } else {
                Ok(())
            };
        }
        if lengths.take(name, value)? {
            return Ok(());
        }
        if !value.is_ascii() && std::str::from_utf8(value).is_err() {
            return Err(HeadError::FieldValue);
        }
        check::not_spoofed(name)?;
        out.fields.push_bytes(name, value);
        Ok(())
    })?;
    set_host(host, absolute, out)?;
    let length = lengths.of_request(out.version)?;
    let has_body = length != Length::Exact(0);
    let keep_alive = out.version == Version::Http11 && !out.fields.lists("connection", "close");
    let websocket = out.version == Version::Http11
        && out.method == Method::GET
        && !has_body
        && out.fields.lists("connection", "upgrade")
        && out
            .fields
            .get("upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let expects = match out.fields.get("expect") {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => has_body && out.version == Version::Http11,
        Some(_) => return Err(HeadError::Expectation),
    };
    out.fields.remove("expect");
    check::strip_hop_by_hop(&mut out.fields);
    Ok(Parsed {
        length,
        keep_alive,
        expects,
        websocket,
    })
}

/// Takes origin-form, absolute-form (gives its authority) and, for OPTIONS, `*`.
fn set_target<'a>(target: &'a [u8], out: &mut RequestHead) -> Result<Option<&'a [u8]>, HeadError> {
    if target.len() > MAX_TARGET {
        return Err(HeadError::TargetTooLong);
    }
    if target == b"*" && out.method != Method::OPTIONS {
        return Err(HeadError::RequestLine);
    }
    // Which of the two is the listener's affair: see `Front::tls`.
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let after = |scheme: &&[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        (start.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
    };
    if let Some(rest) = schemes.iter().find_map(after) {
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        match &rest[end..] {
            [] => out.set_target(b"/")?,
            [b'?', ..] => out.set_target(&[b"/", &rest[end..]].concat())?,
            path => out.set_target(path)?,
        }
        return Ok(Some(&rest[..end]));
    }
    out.set_target(target)?;
    Ok(None)
}

fn set_host(host: Option<&[u8]>, absolute: Option<&[u8]>, out: &mut RequestHead) -> Result<(), HeadError> {
    let host = match (host, out.version) {
        (Some(host), _) => host,
        (None, Version::Http10) => absolute.unwrap_or_default(),
        (None, _) => return Err(HeadError::HostMissing),
    };
    if absolute.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
        return Err(HeadError::HostDiffers);
    }
    if !host.is_empty() || out.version != Version::Http10 {
        out.set_authority(check::authority(host)?);
    }
    Ok(())
}

/// A response's head as parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParsedResponse {
    /// The body's framing.
    pub length: Length,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
    /// A 101 that switches to a WebSocket.
    pub websocket: bool,
}

/// Reads a whole response head into `out`, which is empty. `method` is that of the request.
///
/// # Errors
/// What is wrong with it: the upstream does not speak HTTP as it should.
pub fn parse_response(bytes: &[u8], method: &Method, out: &mut ResponseHead) -> Result<ParsedResponse, HeadError> {
    let (line, rest) = split_line(bytes).ok_or(HeadError::StatusLine)?;
    let (version, line) = line.split_at_checked(8).ok_or(HeadError::StatusLine)?;
    let version = version_of(version)?;
    let code = match line {
        [b' ', code @ ..] if code.len() == 3 || code.get(3) == Some(&b' ') => &code[..3],
        _ => return Err(HeadError::StatusLine),
    };
    out.status = StatusCode::from_bytes(code).map_err(|_| HeadError::StatusLine)?;
    let mut lengths = Lengths::default();
    parse_fields(rest, check::MAX_RESPONSE_FIELDS, |name, value| {
        if !lengths.take(name, value)? {
            out.fields.push_bytes(name, value);
        }
        Ok(())
    })?;
    let websocket = out.status == StatusCode::SWITCHING_PROTOCOLS
        && out
            .fields
            .get("upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let bodiless = *method == Method::HEAD
        || out.status.is_informational()
        || out.status == StatusCode::NO_CONTENT
        || out.status == StatusCode::NOT_MODIFIED;
    let length = match lengths.of_response(version)? {
        _ if bodiless => Length::Exact(0),
        length => length,
    };
    // A HEAD answer says how long the body would be; that is a fact about the resource, not framing.
    let may_tell = bodiless && !out.status.is_informational() && out.status != StatusCode::NO_CONTENT;
    if let Some(value) = lengths.exact.filter(|_| may_tell) {
        out.fields.push("content-length", value.to_string());
    }
    let keep_alive = match version {
        Version::Http11 => !out.fields.lists("connection", "close"),
        _ => out.fields.lists("connection", "keep-alive"),
    };
    check::strip_hop_by_hop(&mut out.fields);
    Ok(ParsedResponse {
        length,
        keep_alive: keep_alive && length != Length::UntilClose,
        websocket,
    })
}

fn version_of(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(HeadError::Version)
        }
        _ => Err(HeadError::RequestLine),
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let lf = memchr::memchr(b'\n', bytes)?;
    Some((bytes[..lf].strip_suffix(b"\r")?, &bytes[lf + 1..]))
}

/// Calls `take(name, value)` for every field line up to the empty line; at most `limit` of them.
///
/// # Errors
/// A line that is no field, or what `take` says.
pub fn parse_fields<'a>(
    mut bytes: &'a [u8],
    limit: usize,
    mut take: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), HeadError>,
) -> Result<(), HeadError> {
    let mut count = 0;
    loop {
        let (line, rest) = split_line(bytes).ok_or(HeadError::BareLf)?;
        bytes = rest;
        if line.is_empty() {
            return Ok(());
        }
        count += 1;
        if count > limit {
            return Err(HeadError::TooManyFields);
        }
        let end = line
            .iter()
            .position(|b| !TOKEN[*b as usize])
            .ok_or(HeadError::FieldName)?;
        match line[end] {
            b' ' | b'\t' if end == 0 => return Err(HeadError::Folded),
            b' ' | b'\t' => return Err(HeadError::SpaceBeforeColon),
            b':' if end > 0 => {}
            _ => return Err(HeadError::FieldName),
        }
        let value = line[end + 1..].trim_ascii();
        // `trim_ascii` also takes CR and form feed; neither is allowed anywhere in the line.
        if has_control(&line[end + 1..]) {
            return Err(HeadError::FieldValue);
        }
        take(&line[..end], value)?;
    }
}

/// Whether there is a control character other than a tab. Eight bytes at a time: values are most of a head.
fn has_control(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 128 * ONES;
    let is_control = |b: u8| (b < b' ' && b != b'\t') | (b == 127);
    let (words, rest) = text.as_chunks::<8>();
    let suspicious = |word: &&[u8; 8]| {
        let word = u64::from_ne_bytes(**word);
        // Mycroft's test for a byte below a bound; 127 is 0 once its bits are turned. May err to the safe side.
        let below = |word: u64, bound: u64| word.wrapping_sub(bound * ONES) & !word & HIGH;
        below(word, 32) | below(word ^ (127 * ONES), 1) != 0
    };
    let found = words
        .iter()
        .filter(suspicious)
        .any(|word| word.iter().any(|b| is_control(*b)));
    found || rest.iter().any(|b| is_control(*b))
}

#[derive(Default)]
struct Lengths {
    exact: Option<u64>,
    encodings: u32,
    chunked: bool,
}

impl Lengths {
    /// Whether this was a framing field; they are never passed on.
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<bool, HeadError> {
        if name.eq_ignore_ascii_case(b"content-length") {
            // `1, 1` and a repeated equal length are legal to collapse and pointless to send: refused.
            if self.exact.is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(HeadError::ContentLength);
            }
            let text = std::str::from_utf8(value).map_err(|_| HeadError::ContentLength)?;
            self.exact = Some(text.parse().map_err(|_| HeadError::ContentLength)?);
            return Ok(true);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings += 1;
            let mut items = list_items(value);
            let only = items.next().is_some_and(|item| item.eq_ignore_ascii_case(b"chunked")) && items.next().is_none();
            self.chunked = only && !value.contains(&b',');
            return Ok(true);
        }
        Ok(false)
    }

    fn of_request(&self, version: Version) -> Result<Length, HeadError> {
        match self.framed(version)? {
            Some(length) => Ok(length),
            None => Ok(Length::Exact(0)),
        }
    }

    fn of_response(&self, version: Version) -> Result<Length, HeadError> {
        Ok(self.framed(version)?.unwrap_or(Length::UntilClose))
    }

    fn framed(&self, version: Version) -> Result<Option<Length>, HeadError> {
        match (self.encodings, self.exact) {
            (0, exact) => Ok(exact.map(Length::Exact)),
            (_, Some(_)) => Err(HeadError::BothLengths),
            (1, None) if self.chunked && version == Version::Http11 => Ok(Some(Length::Chunked)),
            _ => Err(HeadError::TransferEncoding),
        }
    }
}

/// Whether these field names and values may be trailers of a message: framing, routing and identity may not.
pub fn trailers(bytes: &[u8]) -> Result<Fields, HeadError> {
    let mut fields = Fields::new();
    parse_fields(bytes, check::MAX_FIELDS, |name, value| {
        if check::may_be_trailer(name) {
            fields.push_bytes(name, value);
        }
        Ok(())
    })?;
    Ok(fields)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
