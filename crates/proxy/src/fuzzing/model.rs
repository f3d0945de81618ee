//! HTTP/1 requests read the plain and slow way: all bytes at hand, lines split, one rule after the other.
//!
//! Written from RFC 9112 and the rules in `check.rs`, not from the codec; shares with it only the canonical path, the check of
//! a Host and the lists of names.

use super::framing::{End, Message, Seen};
use crate::check;
use ondol_core::path;

const MAX_HEAD: usize = 16 << 10;

/// The requests that a connection's bytes hold, and how they end.
pub(super) fn connection(mut bytes: &[u8]) -> (Vec<Message>, End) {
    let mut messages = Vec::new();
    loop {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let (lines, used) = match head(bytes, true) {
            Ok(head) => head,
            Err(end) => return (messages, end),
        };
        let Some((mut message, framing)) = request(&lines) else {
            return (messages, End::Refused);
        };
        bytes = &bytes[used..];
        let (body, used) = match framing {
            None => chunks(bytes),
            Some(length) => exact(bytes, length),
        };
        let (end, keep_alive) = (body.end, message.keep_alive);
        message.body = body;
        messages.push(message);
        match (end, keep_alive) {
            (End::Whole, true) => bytes = &bytes[used..],
            _ => return (messages, end),
        }
    }
}

/// The lines before the first empty one, and how many bytes all that is. A head may not begin with the empty line.
fn head(bytes: &[u8], first: bool) -> Result<(Vec<&[u8]>, usize), End> {
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    let (mut lines, mut at) = (Vec::new(), 0);
    loop {
        let Some(length) = window[at..].iter().position(|b| *b == b'\n') else {
            return Err(if window.len() < MAX_HEAD {
                End::More
            } else {
                End::Refused
            });
        };
        let Some(line) = window[at..at + length].strip_suffix(b"\r") else {
            return Err(End::Refused);
        };
        at += length + 1;
        if line.is_empty() && (!first || !lines.is_empty()) {
            return Ok((lines, at));
        }
        lines.push(line);
    }
}

/// A request without its body; its length, `None`: chunks.
fn request(lines: &[&[u8]]) -> Option<(Message, Option<u64>)> {
    let (line, rest) = lines.split_first()?;
    let [method, target, version] = line.split(|b| *b == b' ').collect::<Vec<_>>().try_into().ok()?;
    let (method, new) = (
        token(method)?,
        match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return None,
        },
    );
    if method.len() > 32 || ["TRACE", "CONNECT"].contains(&method.as_str()) || rest.len() > check::MAX_FIELDS {
        return None;
    }
    let fields: Vec<(String, &[u8])> = rest.iter().map(|line| field(line)).collect::<Option<_>>()?;
    let all = |name: &str| {
        fields
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, v)| *v)
            .collect::<Vec<_>>()
    };
    let framing = framing(&all("content-length"), &all("transfer-encoding"), new)?;
    let others = fields
        .iter()
        .filter(|(name, _)| !["host", "content-length", "transfer-encoding"].contains(&name.as_str()));
    if others
        .clone()
        .any(|(name, value)| std::str::from_utf8(value).is_err() || check::not_spoofed(name.as_bytes()).is_err())
    {
        return None;
    }
    let (authority, target) = destination(&method, target, &all("host"), new)?;
    if all("expect")
        .first()
        .is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue"))
    {
        return None;
    }
    let options: Vec<String> = all("connection").iter().flat_map(|value| items(value)).collect();
    let only_here = |name: &str| {
        let known = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "expect",
        ];
        let plain = ["close", "keep-alive"];
        known.contains(&name) || options.iter().any(|option| option == name && !plain.contains(&name))
    };
    let message = Message {
        line: [method, authority, target],
        fields: others
            .filter(|(name, _)| !only_here(name))
            .map(|(n, v)| (n.clone(), v.to_vec()))
            .collect(),
        keep_alive: new && !options.iter().any(|option| option == "close"),
        body: Seen::default(),
    };
    Some((message, framing))
}

fn framing(lengths: &[&[u8]], encodings: &[&[u8]], new: bool) -> Option<Option<u64>> {
    match (lengths, encodings) {
        ([], []) => Some(Some(0)),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length).ok()?.parse().ok().map(Some)
        }
        ([], [encoding]) if new && encoding.eq_ignore_ascii_case(b"chunked") => Some(None),
        _ => None,
    }
}

/// Authority and canonical target.
fn destination(method: &str, target: &[u8], hosts: &[&[u8]], new: bool) -> Option<(String, String)> {
    let text = std::str::from_utf8(target).ok()?;
    if text.len() > 8 << 10 || (text == "*" && method != "OPTIONS") {
        return None;
    }
    let absolute = ["http://", "https://"].iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        let rest = &text[scheme.len()..];
        (start.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
    });
    let (named, target) = match absolute {
        None => (None, text.to_owned()),
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let slash = if path.starts_with('/') { "" } else { "/" };
            (Some(authority), format!("{slash}{path}"))
        }
    };
    let host = match (hosts, new) {
        ([host], _) => std::str::from_utf8(host).ok()?,
        ([], false) => named.unwrap_or_default(),
        _ => return None,
    };
    if named.is_some_and(|named| !named.eq_ignore_ascii_case(host)) {
        return None;
    }
    if new || !host.is_empty() {
        check::authority(host.as_bytes()).ok()?;
    }
    let mut canonical = String::new();
    let path = path::canonical(target.as_bytes(), &mut canonical).ok()?;
    path::without_parameters(&canonical[..path]).ok()?;
    Some((host.to_ascii_lowercase(), canonical))
}

/// A field line: its name in lower case, and its value.
fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let value = &line[colon + 1..];
    let fits = value.iter().all(|b| *b == b'\t' || !b.is_ascii_control());
    Some((token(&line[..colon])?.to_ascii_lowercase(), value.trim_ascii())).filter(|_| fits)
}

fn token(text: &[u8]) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.is_empty() && text.chars().all(fits))
        .map(str::to_owned)
}

fn items(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    text.split(',')
        .map(|item| item.trim_matches([' ', '\t']).to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

fn exact(bytes: &[u8], length: u64) -> (Seen, usize) {
    let taken = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
    let end = if taken as u64 == length { End::Whole } else { End::More };
    let seen = Seen {
        data: bytes[..taken].to_vec(),
        trailers: Vec::new(),
        end,
    };
    (seen, taken)
}

/// A chunked body, and how many bytes it is.
pub(super) fn chunks(bytes: &[u8]) -> (Seen, usize) {
    let (mut seen, mut at, mut extensions) = (Seen::default(), 0, 0);
    let refused = |mut seen: Seen| {
        seen.end = End::Refused;
        (seen, 0)
    };
    loop {
        // 15 digits, 1 KiB of extensions, CRLF: more is not looked at.
        let window = &bytes[at..bytes.len().min(at + 15 + 1024 + 2)];
        let Some(length) = window.iter().position(|b| *b == b'\n') else {
            return if window.len() < 15 + 1024 + 2 {
                (seen, 0)
            } else {
                refused(seen)
            };
        };
        let Some(line) = window[..length].strip_suffix(b"\r") else {
            return refused(seen);
        };
        let digits = line.split(|b| !b.is_ascii_hexdigit()).next().unwrap_or_default();
        let extension = &line[digits.len()..];
        extensions += extension.len();
        let strange = (!extension.is_empty() && extension[0] != b';') || extension.iter().any(u8::is_ascii_control);
        if digits.is_empty() || digits.len() > 15 || strange || extensions > 1024 {
            return refused(seen);
        }
        let size = digits.iter().fold(0, |size, digit| {
            size * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or(0))
        });
        at += length + 1;
        if size == 0 {
            break;
        }
        let (chunk, used) = exact(&bytes[at..], size);
        seen.data.extend(chunk.data);
        at += used;
        match (chunk.end, &bytes[at..]) {
            (End::Whole, [b'\r', b'\n', ..]) => at += 2,
            (End::Whole, [] | [b'\r']) | (End::More, _) => return (seen, 0),
            _ => return refused(seen),
        }
    }
    let (lines, used) = match head(&bytes[at..], false) {
        Ok(head) => head,
        Err(End::Refused) => return refused(seen),
        Err(_) => return (seen, 0),
    };
    let fields: Option<Vec<_>> = lines.iter().map(|line| field(line)).collect();
    match fields {
        Some(fields) if fields.len() <= check::MAX_FIELDS => {
            let allowed = fields
                .into_iter()
                .filter(|(name, _)| check::may_be_trailer(name.as_bytes()));
            seen.trailers = allowed.map(|(name, value)| (name, value.to_vec())).collect();
            seen.end = End::Whole;
            (seen, at + used)
        }
        _ => refused(seen),
    }
}
