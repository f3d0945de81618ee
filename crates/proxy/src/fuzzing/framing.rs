//! Bodies and whole connections: what is read depends on the bytes alone, not on how they were cut, and is what the model reads.

use super::model;
use crate::check::HeadError;
use crate::h1::body::{Decoder, Step};
use crate::h1::client::take_head;
use crate::h1::head::{Length, ParsedResponse, Search};
use crate::message::{Fields, RequestHead, ResponseHead};
use bytes::BytesMut;
use http::Method;

/// Fields in their order.
pub(super) type Listed = Vec<(String, Vec<u8>)>;

/// A body, as far as it came.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Its trailers.
    pub trailers: Listed,
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
    pub fields: Listed,
    /// Whether another may follow on the connection.
    pub keep_alive: bool,
    /// Its body.
    pub body: Seen,
}

/// Why a head or a body was refused, in the codec's words. The model has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Head(HeadError),
    Body(&'static str),
}

/// Bytes that come in parts.
struct Parts<'a> {
    left: &'a [u8],
    sizes: Vec<usize>,
    at: usize,
    buf: BytesMut,
    why: Option<Why>,
}

impl<'a> Parts<'a> {
    /// In parts of these sizes, again and again; a size of 0 is all that is left.
    fn new(left: &'a [u8], sizes: &[u8]) -> Self {
        Self {
            left,
            sizes: sizes.iter().map(|size| usize::from(*size)).collect(),
            at: 0,
            buf: BytesMut::new(),
            why: None,
        }
    }

    /// In two: so many bytes, and the rest.
    fn cut_at(left: &'a [u8], at: usize) -> Self {
        let sizes = vec![at, 0];
        Self {
            sizes,
            ..Self::new(left, &[])
        }
    }

    fn more(&mut self) -> bool {
        let size = match self.sizes.get(self.at % self.sizes.len().max(1)) {
            None | Some(0) => self.left.len(),
            Some(size) => (*size).min(self.left.len()),
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
                    seen.trailers = listed(&fields);
                }
                Ok(Step::End) => {
                    seen.end = End::Whole;
                    return seen;
                }
                Ok(Step::More) if self.more() => {}
                Ok(Step::More) => return seen,
                Err(why) => {
                    self.why = Some(Why::Body(why));
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
        (seen, rest, parts.why)
    };
    let whole = read(&[]);
    for sizes in [sizes, &[1]] {
        assert_eq!(read(sizes), whole);
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
    assert_eq!(model::connection(bytes), whole.0);
}

/// Answers are cut at each of so many bytes.
const CUTS: usize = 512;

/// An answer to a request of this method, and what comes behind it on its connection.
pub(super) fn answer(method: &Method, websocket: bool, bytes: &[u8]) {
    let whole = read_answer(method, websocket, Parts::new(bytes, &[]));
    for at in 1..bytes.len().min(CUTS) {
        let cut = read_answer(method, websocket, Parts::cut_at(bytes, at));
        assert_eq!(cut, whole, "cut at {at}");
    }
    assert_eq!(read_answer(method, websocket, Parts::new(bytes, &[1])), whole);
}

/// An answer's heads, those before the real one too, and its body.
#[derive(Default, PartialEq, Eq, Debug)]
struct Answer {
    heads: Vec<(u16, Listed, ParsedResponse)>,
    body: Option<Seen>,
    /// What is not of it, unless it was refused.
    rest: Vec<u8>,
    why: Option<Why>,
}

fn read_answer(method: &Method, websocket: bool, mut parts: Parts<'_>) -> Answer {
    let (mut answer, mut scanned) = (Answer::default(), 0);
    let last = loop {
        match take_head(&mut parts.buf, &mut scanned, method, websocket) {
            Ok(Some((ResponseHead { status, fields }, parsed))) => {
                answer.heads.push((status.as_u16(), listed(&fields), parsed));
                if !status.is_informational() || parsed.websocket {
                    break Some(parsed);
                }
            }
            Ok(None) if parts.more() => {}
            Ok(None) => break None,
            Err(why) => {
                parts.why = Some(Why::Head(why));
                break None;
            }
        }
    };
    answer.body = last.map(|parsed| parts.body(parsed.length));
    answer.why = parts.why;
    if answer.why.is_none() {
        answer.rest = parts.rest();
    }
    answer
}

fn listed(fields: &Fields) -> Listed {
    fields.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect()
}

fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(count % 8))
}

/// The requests that were taken, how reading ended, and why if it was refused.
fn read(mut parts: Parts<'_>) -> ((Vec<Message>, End), Option<Why>) {
    let mut messages = Vec::new();
    loop {
        let (mut search, mut head) = (Search::default(), RequestHead::default());
        let parsed = loop {
            match search.take(&mut parts.buf, &mut head) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) if parts.more() => {}
                Ok(None) => return ((messages, End::More), None),
                Err(why) => return ((messages, End::Refused), Some(Why::Head(why))),
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
            return ((messages, end), parts.why);
        }
        if !parsed.keep_alive {
            return ((messages, End::Whole), None);
        }
    }
}
