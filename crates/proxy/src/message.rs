//! Requests and responses as the whole proxy sees them, whichever protocol carries them.
//!
//! Invariants
//! - Field names are lower case; their order is the sender's. A name may come more than once.
//! - [`RequestHead::path`] is canonical (see [`crate::path`]): what is matched is what is authorised and what is sent on.
//! - A body is read only as fast as somebody takes it, piece by piece; a piece is at most [`PIECE`] bytes.
//!
//! Cost: a head is one arena of text and a list of spans, both reused by the next head of a connection, so reading
//! a field allocates nothing.
//!
//! Not here: what is legal in a head (`check.rs`, `h1/head.rs`), and framing, which each codec chooses on its own.

use crate::path::{self, BadPath};
use bytes::Bytes;
use http::{Method, StatusCode};
use std::fmt;
use std::task::{Context, Poll};

/// The largest piece of a body in memory, bytes.
pub const PIECE: usize = 64 << 10;

/// Which HTTP a message came by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    name: u16,
    value: u32,
}

/// Header or trailer fields in the sender's order.
#[derive(Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    spans: Vec<Span>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// No fields, and room for those of a usual head.
    pub fn with_room() -> Self {
        Self {
            text: Vec::with_capacity(512),
            spans: Vec::with_capacity(16),
        }
    }

    /// Takes all fields away, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a field at the end; the name is stored in lower case. The caller vouches that both are legal.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push_bytes(name.as_bytes(), value.as_ref());
    }

    /// [`Fields::push`] for a name that is still bytes.
    pub fn push_bytes(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        debug_assert!(start + name.len() + value.len() <= u32::MAX as usize && name.len() <= u16::MAX as usize);
        self.text.extend(name.iter().map(u8::to_ascii_lowercase));
        self.text.extend_from_slice(value);
        self.spans.push(Span {
            start: start as u32,
            name: name.len() as u16,
            value: value.len() as u32,
        });
    }

    /// Replaces every field of this (lower-case) name by one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes away every field of this (lower-case) name; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let (before, text) = (self.spans.len(), &self.text);
        self.spans.retain(|span| name_of(text, *span) != name.as_bytes());
        self.spans.len() != before
    }

    /// Keeps the fields for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        let text = &self.text;
        self.spans.retain(|span| {
            let (name, value) = parts(text, *span);
            keep(name, value)
        });
    }

    /// The first value of this (lower-case) name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of this (lower-case) name, if it is text.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of this (lower-case) name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.spans.iter();
        named
            .filter(move |span| name_of(&self.text, **span) == name.as_bytes())
            .map(|span| value_of(&self.text, *span))
    }

    /// Whether there is a field of this (lower-case) name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| parts(&self.text, *span))
    }

    /// Whether a comma-separated list field has this token, in any case: `lists("connection", "close")`.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .any(|value| list_items(value).any(|item| item.eq_ignore_ascii_case(token.as_bytes())))
    }
}

/// The items of a comma-separated field value, trimmed, empty ones left out.
pub fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Look-ups compare bytes: a dozen per request, each over all names.
fn name_of(text: &[u8], span: Span) -> &[u8] {
    &text[span.start as usize..span.start as usize + span.name as usize]
}

fn value_of(text: &[u8], span: Span) -> &[u8] {
    let at = span.start as usize + span.name as usize;
    &text[at..at + span.value as usize]
}

fn parts(text: &[u8], span: Span) -> (&str, &[u8]) {
    let name = name_of(text, span);
    // Names are ASCII by the codecs' checks; one that is not reads as empty and matches nothing.
    let name = std::str::from_utf8(name).unwrap_or_default();
    (name, value_of(text, span))
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name.to_owned(), value.escape_ascii().to_string())),
            )
            .finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(items: I) -> Self {
        let mut fields = Self::new();
        items.into_iter().for_each(|(name, value)| fields.push(name, value));
        fields
    }
}

/// A request's head.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// By which HTTP it came.
    pub version: Version,
    /// Everything but the target and the authority: `host` is not among them.
    pub fields: Fields,
    authority: String,
    target: String,
    path: usize,
    /// The path without `;parameters`, where it has any.
    plain: Option<String>,
}

impl RequestHead {
    /// A head without fields. `target` is a path with an optional query, not canonical yet.
    ///
    /// # Errors
    /// [`BadPath`] for a path that has no one meaning; see [`crate::path`].
    pub fn new(method: Method, authority: &str, target: &str) -> Result<Self, BadPath> {
        let mut head = Self {
            method,
            ..Self::default()
        };
        head.set_authority(authority);
        head.set_target(target.as_bytes())?;
        Ok(head)
    }

    /// The authority, lower case, with its port if one was sent; empty when HTTP/1.0 sent none.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The authority without its port.
    pub fn host(&self) -> &str {
        match self.authority.rfind(':') {
            Some(at) if !self.authority[at..].contains(']') => &self.authority[..at],
            _ => &self.authority,
        }
    }

    /// The canonical path with the query: what is sent on.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The canonical path that routes are matched with: `;parameters` are not part of it.
    pub fn path(&self) -> &str {
        self.plain.as_deref().unwrap_or(&self.target[..self.path])
    }

    /// The query without `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path + 1..)
    }

    /// Sets the authority.
    pub fn set_authority(&mut self, authority: &str) {
        self.authority.clear();
        self.authority.push_str(authority);
        self.authority.make_ascii_lowercase();
    }

    /// Makes `target` canonical and sets it.
    ///
    /// # Errors
    /// [`BadPath`]; the head is not to be used then.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), BadPath> {
        self.target.clear();
        self.path = path::canonical(target, &mut self.target)?;
        self.plain = path::without_parameters(&self.target[..self.path])?;
        Ok(())
    }

    /// Makes the head empty, keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::GET;
        self.version = Version::Http11;
        self.fields.clear();
        self.authority.clear();
        self.target.clear();
        self.path = 0;
        self.plain = None;
    }
}

/// A response's head.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status: 101, or 200 and above. Other informational answers end at the hop that got them.
    pub status: StatusCode,
    /// Its fields, without framing.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            fields: Fields::new(),
        }
    }
}

/// Why a body ended before its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the policy allows.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The sender broke the framing.
    #[error("the body's framing is broken: {0}")]
    Malformed(&'static str),
    /// The sender went away or reset the stream.
    #[error("the body was cut short: {0}")]
    Cut(String),
    /// The sender was too slow.
    #[error("no body bytes in time")]
    TimedOut,
}

/// One piece of a body.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Bytes, at most [`PIECE`].
    Data(Bytes),
    /// The trailers; the last frame.
    Trailers(Fields),
}

/// Where a body's pieces come from.
///
/// # Drop
/// Dropping it before its end gives the rest up: the connection or stream below is reset or drained, not reused blindly.
pub trait Source {
    /// The next piece; `None` at the end, and an error at most once, as the last word.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;
}

/// A body.
#[derive(Default)]
pub enum Body<'a> {
    /// None at all.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// As it comes.
    Stream {
        /// Its pieces.
        source: Box<dyn Source + 'a>,
        /// Its exact length, where it is known: then the sum of the pieces, and there are no trailers over HTTP/1.
        length: Option<u64>,
    },
}

impl<'a> Body<'a> {
    /// A body that comes piece by piece.
    pub fn stream(source: impl Source + 'a, length: Option<u64>) -> Self {
        Self::Stream {
            source: Box::new(source),
            length,
        }
    }

    /// The exact length where it is known, bytes.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream { length, .. } => *length,
        }
    }

    /// Whether nothing at all is left.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The next piece.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }
}

impl Source for Body<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(self) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream { source, .. } => source.poll_frame(cx),
        }
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_repeat() {
        let mut fields: Fields = [("Accept", "a"), ("X-One", "1"), ("accept", "b")].into_iter().collect();
        assert_eq!(fields.all("accept").collect::<Vec<_>>(), [b"a", b"b"]);
        fields.set("accept", "c");
        fields.remove("x-none");
        let all: Vec<_> = fields.iter().map(|(name, value)| (name, value.to_vec())).collect();
        assert_eq!(all, [("x-one", b"1".to_vec()), ("accept", b"c".to_vec())]);
    }

    #[test]
    fn list_fields_are_searched_by_item() {
        let fields: Fields = [("connection", "keep-alive, Close"), ("connection", "x")]
            .into_iter()
            .collect();
        assert!(fields.lists("connection", "close") && fields.lists("connection", "x"));
        assert!(!fields.lists("connection", "keep"));
    }

    #[test]
    fn a_host_is_an_authority_without_its_port() {
        for (authority, host) in [
            ("Shop.Example:80", "shop.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a", "a"),
        ] {
            assert_eq!(
                RequestHead::new(Method::GET, authority, "/").expect("valid").host(),
                host,
                "{authority}"
            );
        }
    }

    #[test]
    fn a_target_falls_into_path_and_query() {
        let head = RequestHead::new(Method::GET, "a", "/a/%7eb;v=1/c?x=/../y").expect("valid");
        assert_eq!((head.path(), head.query()), ("/a/~b/c", Some("x=/../y")));
        assert_eq!(head.target(), "/a/~b;v=1/c?x=/../y");
        assert_eq!(RequestHead::new(Method::GET, "a", "/a").expect("valid").query(), None);
    }
}
