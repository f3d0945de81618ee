//! Bodies and whole connections: what is read depends on the bytes alone, not on how they were cut, and is what the model reads.

use super::model;
use crate::h1::body::{Decoder, Step};
use crate::h1::head::{Length, Search};
use crate::message::RequestHead;
use bytes::BytesMut;

/// A body, as far as it came.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// How reading it ended.
    pub end: End,
}

/// How reading a message ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It was whole.
    Whole,
    /// There are no more bytes.
    #[default]
    More,
    /// It was refused.
    Refused,
}

/// A request as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    /// Method, authority and target.
    pub line: [String; 3],
    /// Its fields, without `te`, which moves.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Whether another may follow on the connection.
    pub keep_alive: bool,
    /// Its body.
    pub body: Seen,
}

/// Bytes that come in parts.
struct Parts<'a> {
    left: &'a [u8],
    sizes: &'a [u8],
    at: usize,
    buf: BytesMut,
}

impl<'a> Parts<'a> {
    /// In parts of these sizes, again and again; a size of 0 is all that is left.
    fn new(left: &'a [u8], sizes: &'a [u8]) -> Self {
        Self {
            left,
            sizes,
            at: 0,
            buf: BytesMut::new(),
        }
    }

    fn more(&mut self) -> bool {
        let size = match self.sizes.get(self.at % self.sizes.len().max(1)) {
            None | Some(0) => self.left.len(),
            Some(size) => usize::from(*size).min(self.left.len()),
        };
        self.at += 1;
        let (part, left) = self.left.split_at(size);
        self.buf.extend_from_slice(part);
        self.left = left;
        !part.is_empty()
    }

    fn body(&mut self, length: Length) -> Seen {
        let (mut decoder, mut seen) = (Decoder::new(length), Seen::default());
        loop {
            match decoder.step(&mut self.buf) {
                Ok(Step::Data(piece)) => seen.data.extend_from_slice(&piece),
                Ok(Step::Trailers(fields)) => {
                    assert!(!fields.is_empty());
                    seen.trailers = fields.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
                }
                Ok(Step::End) => {
                    seen.end = End::Whole;
                    return seen;
                }
                Ok(Step::More) if self.more() => {}
                Ok(Step::More) => return seen,
                Err(_) => {
                    seen.end = End::Refused;
                    return seen;
                }
            }
        }
    }

    fn rest(&self) -> Vec<u8> {
        [&self.buf, self.left].concat()
    }
}

/// Chunks alone. The first byte says how many of the next are sizes of parts.
pub(super) fn chunks(data: &[u8]) {
    let Some((sizes, bytes)) = cut(data) else { return };
    let read = |sizes: &[u8]| {
        let mut parts = Parts::new(bytes, sizes);
        let seen = parts.body(Length::Chunked);
        let rest = if seen.end == End::Whole {
            parts.rest()
        } else {
            Vec::new()
        };
        (seen, rest)
    };
    let whole = read(&[]);
    for sizes in [sizes, &[1]] {
        let (seen, rest) = read(sizes);
        assert_eq!(
            (&seen.end, &seen.trailers, &rest),
            (&whole.0.end, &whole.0.trailers, &whole.1)
        );
        assert_eq!(seen.data, whole.0.data);
    }
    let (seen, used) = model::chunks(bytes);
    assert_eq!(seen, whole.0);
    if seen.end == End::Whole {
        assert_eq!(&bytes[used..], whole.1);
    }
}

/// All that a client sends on one connection. The first byte says how many of the next are sizes of parts.
pub(super) fn connection(data: &[u8]) {
    let Some((sizes, bytes)) = cut(data) else { return };
    let whole = read(Parts::new(bytes, &[]));
    assert_eq!(read(Parts::new(bytes, sizes)), whole);
    assert_eq!(read(Parts::new(bytes, &[1])), whole);
    assert_eq!(model::connection(bytes), whole);
}

fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(count % 8))
}

/// The requests that were taken, and how reading ended.
fn read(mut parts: Parts<'_>) -> (Vec<Message>, End) {
    let mut messages = Vec::new();
    loop {
        let (mut search, mut head) = (Search::default(), RequestHead::default());
        let parsed = loop {
            match search.take(&mut parts.buf, &mut head) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) if parts.more() => {}
                Ok(None) => return (messages, End::More),
                Err(_) => return (messages, End::Refused),
            }
        };
        let body = parts.body(parsed.length);
        let end = body.end;
        messages.push(Message {
            line: [head.method.as_str(), head.authority(), head.target()].map(str::to_owned),
            fields: head
                .fields
                .iter()
                .filter(|(n, _)| *n != "te")
                .map(|(n, v)| (n.to_owned(), v.to_vec()))
                .collect(),
            keep_alive: parsed.keep_alive,
            body,
        });
        if end != End::Whole {
            return (messages, end);
        }
        if !parsed.keep_alive {
            return (messages, End::Whole);
        }
    }
}
