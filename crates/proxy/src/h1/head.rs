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
        if self.scanned == 0 {
            // Mostly the whole head is here and right: then nobody has to look for its end first.
            if let Ok((parsed, end)) = parse_request(window, out) {
                buf.advance(end);
                return Ok(Some(parsed));
            }
            out.clear();
        }
        match find_end(window, &mut self.scanned)? {
            Some(end) => {
                let (parsed, _) = parse_request(&window[..end], out)?;
                buf.advance(end);
                Ok(Some(parsed))
            }
            None if window.len() < MAX_HEAD => Ok(None),
            None if window.contains(&b'\n') => Err(HeadError::TooLarge),
            None => Err(HeadError::TargetTooLong),
        }
    }
}

/// What a byte is in a field's name; 0: not allowed.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = TOKEN;
        }
        byte += 1;
    }
    let extra = b"!#$%&'*+-.^`|~";
    let mut at = 0;
    while at < extra.len() {
        table[extra[at] as usize] = TOKEN;
        at += 1;
    }
    table[b'_' as usize] = TOKEN | UNDERSCORE;
    table
};
const TOKEN: u8 = 1;
const UNDERSCORE: u8 = 2;

/// Whether this is a token of RFC 9110: a method or a field name.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| CLASS[*b as usize] != 0)
}

/// Reads a request head, which is whole and behind which there may be more, into `out`, which is empty; also gives its length, bytes.
///
/// # Errors
/// What is wrong with it; `out` is of no use then. Of one that is not whole any of them.
pub fn parse_request(bytes: &[u8], out: &mut RequestHead) -> Result<(Parsed, usize), HeadError> {
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
    let behind = parse_fields(rest, check::MAX_FIELDS, |line| {
        if line.is(b"host") {
            return if host.replace(line.value).is_some() {
                Err(HeadError::HostTwice)
            } else {
                Ok(())
            };
        }
        if lengths.take(&line)? {
            return Ok(());
        }
        if !line.value.is_ascii() && std::str::from_utf8(line.value).is_err() {
            return Err(HeadError::FieldValue);
        }
        if line.classes & UNDERSCORE != 0 {
            check::not_spoofed(line.name)?;
        }
        line.push_to(&mut out.fields);
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
    let parsed = Parsed {
        length,
        keep_alive,
        expects,
        websocket,
    };
    Ok((parsed, bytes.len() - behind.len()))
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

/// Reads a response head, which is whole and behind which there may be more, into `out`, which is empty; also gives its length, bytes.
/// `method` is that of the request.
///
/// # Errors
/// What is wrong with it: the upstream does not speak HTTP as it should. Of one that is not whole any of them.
pub fn parse_response(
    bytes: &[u8],
    method: &Method,
    out: &mut ResponseHead,
) -> Result<(ParsedResponse, usize), HeadError> {
    let (line, rest) = split_line(bytes).ok_or(HeadError::StatusLine)?;
    let (version, line) = line.split_at_checked(8).ok_or(HeadError::StatusLine)?;
    let version = version_of(version)?;
    let code = match line {
        [b' ', code @ ..] if code.len() == 3 || code.get(3) == Some(&b' ') => &code[..3],
        _ => return Err(HeadError::StatusLine),
    };
    out.status = StatusCode::from_bytes(code).map_err(|_| HeadError::StatusLine)?;
    let mut lengths = Lengths::default();
    let behind = parse_fields(rest, check::MAX_RESPONSE_FIELDS, |line| {
        if !lengths.take(&line)? {
            line.push_to(&mut out.fields);
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
    let parsed = ParsedResponse {
        length,
        keep_alive: keep_alive && length != Length::UntilClose,
        websocket,
    };
    Ok((parsed, bytes.len() - behind.len()))
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

/// A field's line.
pub struct Line<'a> {
    /// As it was sent.
    pub name: &'a [u8],
    /// Without the white space around it.
    pub value: &'a [u8],
    /// With its end.
    whole: &'a [u8],
    /// It stands as [`Fields`] keeps it, but for the case of its name.
    is_plain: bool,
    /// Of the name's bytes, together.
    classes: u8,
}

impl Line<'_> {
    fn is(&self, lower: &[u8]) -> bool {
        self.name.len() == lower.len() && self.name.eq_ignore_ascii_case(lower)
    }

    /// Adds it; one copy, mostly.
    fn push_to(&self, fields: &mut Fields) {
        match self.is_plain {
            true => fields.push_line(self.whole, self.name.len()),
            false => fields.push_bytes(self.name, self.value),
        }
    }
}

/// Calls `take` for every field line up to the empty line, at most `limit` of them; gives what is behind that.
///
/// # Errors
/// A line that is no field, or what `take` says.
pub fn parse_fields<'a>(
    mut bytes: &'a [u8],
    limit: usize,
    mut take: impl FnMut(Line<'a>) -> Result<(), HeadError>,
) -> Result<&'a [u8], HeadError> {
    let mut count = 0;
    loop {
        if let Some(behind) = bytes.strip_prefix(b"\r\n") {
            return Ok(behind);
        }
        count += 1;
        if count > limit {
            return Err(HeadError::TooManyFields);
        }
        let (line, rest) = take_line(bytes)?;
        bytes = rest;
        take(line)?;
    }
}

#[inline(always)]
fn take_line(bytes: &[u8]) -> Result<(Line<'_>, &[u8]), HeadError> {
    let mut classes = 0;
    let name = bytes.iter().position(|b| {
        let class = CLASS[usize::from(*b)];
        classes |= class;
        class == 0
    });
    let name = name.ok_or(HeadError::BareLf)?;
    match bytes[name] {
        b' ' | b'\t' if name == 0 => return Err(HeadError::Folded),
        b' ' | b'\t' => return Err(HeadError::SpaceBeforeColon),
        b':' if name > 0 => {}
        _ => return Err(HeadError::FieldName),
    }
    let behind = &bytes[name + 1..];
    // The first control character must be the line's end.
    let value = control(behind).ok_or(HeadError::BareLf)?;
    match behind[value..] {
        [b'\r', b'\n', ..] => {}
        [b'\n', ..] => return Err(HeadError::BareLf),
        _ => return Err(HeadError::FieldValue),
    }
    let (whole, rest) = bytes.split_at(name + 1 + value + 2);
    let (value, is_plain) = match &behind[..value] {
        [b' ', value @ ..] if !matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) => (value, true),
        padded => (padded.trim_ascii(), false),
    };
    let line = Line {
        name: &bytes[..name],
        value,
        whole,
        is_plain,
        classes,
    };
    Ok((line, rest))
}

/// The first control character other than a tab. Eight bytes at a time: values are most of a head.
fn control(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 128 * ONES;
    // Mycroft's test for a byte below a bound. The first that it finds is one; behind that it may err.
    let below = |word: u64, bound: u64| word.wrapping_sub(bound * ONES) & !word & HIGH;
    let mut at = 0;
    for word in text.as_chunks().0 {
        let word = u64::from_le_bytes(*word);
        let found = below(word, 32) | below(word ^ (127 * ONES), 1); // 127 is 0 once its bits are turned.
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    // It is at the first of these, or they are few, or that was a tab.
    let found = text[at..]
        .iter()
        .position(|b| (*b < b' ' && *b != b'\t') || *b == 127)?;
    Some(at + found)
}

#[derive(Default)]
struct Lengths {
    exact: Option<u64>,
    encodings: u32,
    chunked: bool,
}

impl Lengths {
    /// Whether this was a framing field; they are never passed on.
    fn take(&mut self, line: &Line<'_>) -> Result<bool, HeadError> {
        let value = line.value;
        if line.is(b"content-length") {
            // `1, 1` and a repeated equal length are legal to collapse and pointless to send: refused.
            if self.exact.is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(HeadError::ContentLength);
            }
            let text = std::str::from_utf8(value).map_err(|_| HeadError::ContentLength)?;
            self.exact = Some(text.parse().map_err(|_| HeadError::ContentLength)?);
            return Ok(true);
        }
        if line.is(b"transfer-encoding") {
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
    parse_fields(bytes, check::MAX_FIELDS, |line| {
        if check::may_be_trailer(line.name) {
            line.push_to(&mut fields);
        }
        Ok(())
    })?;
    Ok(fields)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
