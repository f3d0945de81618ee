//! One exchange on one upstream connection: the request goes out while the answer is awaited, in one task.
//!
//! Invariants
//! - A connection goes back to its shelf only when the whole request was written, the whole answer was read, both
//!   sides agreed to keep it, and not a byte is left over. Never after a body in chunks: a server that answers without
//!   reading it may take what is left of it for the next request (cheroot 11 does).
//! - An answer may come before the request's body has ended; the body's rest then goes on while the answer is read.
//! - Nothing of a tunnel is read before the upstream's 101.
//!
//! Dropping an exchange or its body closes the connection: the upstream sees that nobody waits any more.

use super::body::{Decoder, Step};
use super::head::{self, Length, MAX_RESPONSE_HEAD};
use super::upload::{Stopped, Upload};
use super::write;
use crate::check::HeadError;
use crate::exchange::{Response, Tunnel};
use crate::io::Io;
use crate::message::{Body, BodyError, Fields, Frame, PIECE, RequestHead, ResponseHead, Source};
use crate::pool::{Shelf, Slot};
use crate::spare;
use crate::tunnel::{self, Far};
use bytes::{Buf, BytesMut};
use http::Method;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

const READ: usize = 8 << 10;
/// Informational answers before the real one; more is mischief.
const MAX_INFORMATIONAL: u32 = 16;

/// An upstream connection.
pub struct Conn {
    io: Io,
    buf: BytesMut,
    lead: Vec<u8>,
    reused: bool,
    /// Counts among the open connections of its endpoint.
    slot: Slot,
}

impl Conn {
    /// One that is just open.
    pub fn new(io: Io, slot: Slot) -> Self {
        Self {
            io,
            buf: BytesMut::new(),
            lead: Vec::new(),
            reused: false,
            slot,
        }
    }

    /// Whether it has carried an exchange before: then the upstream may have closed it just now.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether it can carry another exchange, as far as is known: see [`Io::is_quiet`].
    pub fn is_quiet(&self) -> bool {
        self.io.is_quiet()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection ended or failed; `heard`: after some of the answer had come.
    #[error("the connection to the upstream ended: {source}")]
    Ended {
        /// Whether a byte of the answer had come.
        heard: bool,
        /// What the system says.
        source: io::Error,
    },
    /// The answer is no HTTP.
    #[error("the upstream's answer is not HTTP: {0}")]
    Malformed(HeadError),
    /// The request's own body broke off.
    #[error("the request's body broke off: {0}")]
    Request(BodyError),
}

/// Sends a request and awaits the head of its answer. `host` is the endpoint's address; `home` takes the connection back.
///
/// # Errors
/// [`ExchangeError`]; the connection is closed then.
///
/// # Cancellation
/// Closes the connection.
pub async fn exchange<'b>(
    mut conn: Conn,
    home: Option<Rc<Shelf>>,
    request: &RequestHead,
    host: &str,
    body: Body<'b>,
    websocket: bool,
) -> Result<Response<'b>, ExchangeError> {
    let length = body.length().map_or(Length::Chunked, Length::Exact);
    conn.lead.clear();
    write::request(request, host, length, websocket, &mut conn.lead);
    let mut upload = Upload::new(std::mem::take(&mut conn.lead), body, length == Length::Chunked);
    let (mut scanned, mut informational) = (0, 0);
    let (head, parsed) = std::future::poll_fn(|cx| {
        match upload.poll(cx, &conn.io) {
            Poll::Ready(Err(Stopped::Body(error))) => return Poll::Ready(Err(ExchangeError::Request(error))),
            // The upstream may have answered before it stopped listening.
            Poll::Ready(Err(Stopped::Io)) | Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        loop {
            match take_head(&mut conn.buf, &mut scanned, &request.method, websocket) {
                Ok(Some((head, parsed))) if head.status.is_informational() && !parsed.websocket => {
                    informational += 1;
                    if informational > MAX_INFORMATIONAL {
                        return Poll::Ready(Err(ExchangeError::Malformed(HeadError::TooLarge)));
                    }
                }
                Ok(Some(done)) => return Poll::Ready(Ok(done)),
                Ok(None) => {
                    let heard = !conn.buf.is_empty();
                    let source = match ready!(conn.io.poll_fill(cx, &mut conn.buf, READ)) {
                        Ok(1..) => continue,
                        Ok(_) => io::ErrorKind::UnexpectedEof.into(),
                        Err(error) => error,
                    };
                    return Poll::Ready(Err(ExchangeError::Ended { heard, source }));
                }
                Err(error) => return Poll::Ready(Err(ExchangeError::Malformed(error))),
            }
        }
    })
    .await?;
    Ok(answer(conn, home, head, parsed, upload))
}

/// Takes a head out of `buf` if it is whole; `scanned` is 0 before the first byte of it. What it gives does not depend on how the bytes
/// were cut.
pub(crate) fn take_head(
    buf: &mut BytesMut,
    scanned: &mut usize,
    method: &Method,
    websocket: bool,
) -> Result<Option<(ResponseHead, head::ParsedResponse)>, HeadError> {
    if buf.is_empty() {
        return Ok(None);
    }
    let window = &buf[..buf.len().min(MAX_RESPONSE_HEAD)];
    let mut head = ResponseHead::default();
    // Mostly the whole head is here and right: then nobody has to look for its end first.
    let at_once = match *scanned {
        0 => {
            head.fields = Fields::with_room();
            head::parse_response(window, method, &mut head).ok()
        }
        _ => None,
    };
    let (parsed, end) = match at_once {
        Some(parsed) => parsed,
        None => {
            let end = match head::find_end(window, scanned)? {
                Some(end) => end,
                None if window.len() < MAX_RESPONSE_HEAD => return Ok(None),
                None => return Err(HeadError::TooLarge),
            };
            head.fields = Fields::with_room();
            head::parse_response(&window[..end], method, &mut head)?
        }
    };
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS && !(websocket && parsed.websocket) {
        return Err(HeadError::StatusLine); // Nobody asked for it.
    }
    buf.advance(end);
    *scanned = 0;
    Ok(Some((head, parsed)))
}

fn answer<'b>(
    mut conn: Conn,
    home: Option<Rc<Shelf>>,
    head: ResponseHead,
    parsed: head::ParsedResponse,
    mut upload: Upload<'b>,
) -> Response<'b> {
    if parsed.websocket {
        return Response {
            head,
            body: Body::Empty,
            tunnel: Some(Tunnel {
                upstream: Far::Connection(conn.io),
                behind: conn.buf,
                slot: conn.slot,
                idle: tunnel::IDLE,
            }),
        };
    }
    let keep_alive = parsed.keep_alive && !upload.is_chunked();
    let mut decoder = Decoder::new(parsed.length);
    let left = match parsed.length {
        Length::Exact(n) => Some(n),
        _ => None,
    };
    // The whole answer is often here already: then the connection is free before the client gets it.
    if let (true, Some(n)) = (upload.is_done(), left.filter(|n| *n <= conn.buf.len() as u64)) {
        let bytes = conn.buf.split_to(n as usize).freeze();
        shelve(conn, home, keep_alive, upload.take_lead());
        return Response {
            head,
            body: if n == 0 { Body::Empty } else { Body::Full(bytes) },
            tunnel: None,
        };
    }
    if left == Some(0) && !upload.is_done() {
        // The answer is whole but the request is not: what it was for is decided, the rest is not wanted.
        decoder = Decoder::new(Length::Exact(0));
        upload.give_up();
    }
    let download = Download {
        conn: Some(conn),
        home,
        decoder,
        upload,
        keep_alive,
    };
    Response {
        head,
        body: Body::stream(download, left),
        tunnel: None,
    }
}

fn shelve(mut conn: Conn, home: Option<Rc<Shelf>>, keep_alive: bool, lead: Vec<u8>) {
    if let (true, true, Some(home)) = (keep_alive, conn.buf.is_empty(), home) {
        spare::give(std::mem::take(&mut conn.buf));
        conn.lead = if lead.capacity() <= READ { lead } else { Vec::new() };
        conn.reused = true;
        home.put(conn);
    }
}

/// The answer's body, with the rest of the request's.
struct Download<'b> {
    conn: Option<Conn>,
    home: Option<Rc<Shelf>>,
    decoder: Decoder,
    upload: Upload<'b>,
    keep_alive: bool,
}

impl Source for Download<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(conn) = &mut self.conn else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(Err(Stopped::Body(error))) = self.upload.poll(cx, &conn.io) {
            self.conn = None;
            return Poll::Ready(Some(Err(error)));
        }
        // What is here is little beside what may have come since: they leave in one write.
        let more = self.decoder.left().is_some_and(|left| left > conn.buf.len() as u64);
        if more && (1..PIECE / 2).contains(&conn.buf.len()) {
            let _ = conn.io.poll_fill(cx, &mut conn.buf, self.decoder.wants()); // Whatever is wrong, the next fill says.
        }
        loop {
            match self.decoder.step(&mut conn.buf) {
                Ok(Step::Data(piece)) => return Poll::Ready(Some(Ok(Frame::Data(piece)))),
                Ok(Step::Trailers(fields)) => return Poll::Ready(Some(Ok(Frame::Trailers(fields)))),
                Ok(Step::End) => {
                    let conn = self.conn.take();
                    let keep = self.keep_alive && self.upload.is_done();
                    conn.into_iter()
                        .for_each(|conn| shelve(conn, self.home.take(), keep, self.upload.take_lead()));
                    return Poll::Ready(None);
                }
                Ok(Step::More) => {}
                Err(why) => {
                    self.conn = None;
                    return Poll::Ready(Some(Err(BodyError::Malformed(why))));
                }
            }
            let want = self.decoder.wants();
            let ended = match ready!(conn.io.poll_fill(cx, &mut conn.buf, want)) {
                Ok(1..) => continue,
                Ok(_) if self.decoder.may_end_with_connection() => None,
                Ok(_) => Some(Err(BodyError::Cut("the upstream ended the connection".into()))),
                Err(error) => Some(Err(BodyError::Cut(error.to_string()))),
            };
            self.conn = None;
            return Poll::Ready(ended);
        }
    }
}
