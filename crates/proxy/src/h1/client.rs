//! One exchange on one upstream connection: the request goes out while the answer is awaited, in one task.
//!
//! Invariants
//! - A connection goes back to its shelf only when the whole request was written, the whole answer was read, both
//!   sides agreed to keep it, and not a byte is left over.
//! - An answer may come before the request's body has ended; the body's rest then goes on while the answer is read.
//! - Nothing of a tunnel is read before the upstream's 101.
//!
//! Dropping an exchange or its body closes the connection: the upstream sees that nobody waits any more.

use super::body::{Decoder, Step};
use super::head::{self, Length, MAX_RESPONSE_HEAD};
use super::write;
use crate::check::HeadError;
use crate::exchange::{Response, Tunnel};
use crate::io::Io;
use crate::message::{Body, BodyError, Fields, Frame, PIECE, RequestHead, ResponseHead, Source};
use crate::pool::{Shelf, Slot};
use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

const READ: usize = 8 << 10;
/// A tunnel through which nothing goes ends after this.
const IDLE: Duration = Duration::from_secs(60);
/// Informational answers before the real one; more is mischief.
const MAX_INFORMATIONAL: u32 = 16;

/// An upstream connection.
pub struct Conn {
    io: Io,
    buf: BytesMut,
    lead: Vec<u8>,
    reused: bool,
    /// Counts among the open connections of its endpoint.
    _slot: Slot,
}

impl Conn {
    /// One that is just open.
    pub fn new(io: Io, slot: Slot) -> Self {
        Self {
            io,
            buf: BytesMut::new(),
            lead: Vec::new(),
            reused: false,
            _slot: slot,
        }
    }

    /// Whether it has carried an exchange before: then the upstream may have closed it just now.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether it can carry another exchange, as far as is known without a system call.
    pub fn is_quiet(&self) -> bool {
        self.io.is_quiet()
    }

    /// The connection and the bytes behind the last head: what a tunnel begins with.
    pub fn into_parts(self) -> (Io, BytesMut, Slot) {
        (self.io, self.buf, self._slot)
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

/// Takes a head out of `buf` if it is whole.
fn take_head(
    buf: &mut BytesMut,
    scanned: &mut usize,
    method: &Method,
    websocket: bool,
) -> Result<Option<(ResponseHead, head::ParsedResponse)>, HeadError> {
    let end = match head::find_end(buf, scanned)? {
        Some(end) if end <= MAX_RESPONSE_HEAD => end,
        None if buf.len() < MAX_RESPONSE_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLarge),
    };
    let mut head = ResponseHead {
        fields: Fields::with_room(),
        ..ResponseHead::default()
    };
    let parsed = head::parse_response(&buf[..end], method, &mut head)?;
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
                upstream: conn,
                idle: IDLE,
            }),
        };
    }
    let mut decoder = Decoder::new(parsed.length);
    let left = match parsed.length {
        Length::Exact(n) => Some(n),
        _ => None,
    };
    // The whole answer is often here already: then the connection is free before the client gets it.
    if let (true, Some(n)) = (upload.is_done(), left.filter(|n| *n <= conn.buf.len() as u64)) {
        let bytes = conn.buf.split_to(n as usize).freeze();
        shelve(conn, home, parsed.keep_alive, upload.take_lead());
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
        keep_alive: parsed.keep_alive,
    };
    Response {
        head,
        body: Body::stream(download, left),
        tunnel: None,
    }
}

fn shelve(mut conn: Conn, home: Option<Rc<Shelf>>, keep_alive: bool, lead: Vec<u8>) {
    if let (true, true, Some(home)) = (keep_alive, conn.buf.is_empty(), home) {
        conn.buf = BytesMut::new();
        conn.lead = if lead.capacity() <= READ { lead } else { Vec::new() };
        conn.reused = true;
        home.put(conn);
    }
}

enum Stopped {
    /// The upstream does not take any more.
    Io,
    /// The client's body broke off.
    Body(BodyError),
}

/// A request on its way out.
struct Upload<'b> {
    lead: Vec<u8>,
    written: usize,
    data: Bytes,
    tail: &'static [u8],
    body: Body<'b>,
    chunked: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// More of the body may come.
    Open,
    /// The last bytes are being written.
    Last,
    Done,
    /// It never will be whole.
    Failed,
}

impl<'b> Upload<'b> {
    fn new(lead: Vec<u8>, body: Body<'b>, chunked: bool) -> Self {
        let phase = if body.is_empty() { Phase::Last } else { Phase::Open };
        Self {
            lead,
            written: 0,
            data: Bytes::new(),
            tail: b"",
            body,
            chunked,
            phase,
        }
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn give_up(&mut self) {
        self.phase = Phase::Failed;
        self.body = Body::Empty;
    }

    fn take_lead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lead)
    }

    fn is_written(&self) -> bool {
        self.written == self.lead.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Goes on as far as both sides let it; ready once it is whole or never will be.
    fn poll(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<Result<(), Stopped>> {
        loop {
            match self.phase {
                Phase::Done | Phase::Failed => return Poll::Ready(Ok(())),
                // A piece is wanted when all is written, or none is yet: head and first piece travel together.
                Phase::Open if self.is_written() || (self.written == 0 && self.data.is_empty()) => {
                    match self.body.poll_frame(cx) {
                        Poll::Ready(frame) => self.take(frame)?,
                        Poll::Pending if self.is_written() => return Poll::Pending,
                        Poll::Pending => {}
                    }
                }
                Phase::Last if self.is_written() => {
                    self.phase = Phase::Done;
                    continue;
                }
                _ => {}
            }
            if !self.is_written() && ready!(self.poll_write(cx, io)).is_err() {
                self.give_up();
                return Poll::Ready(Err(Stopped::Io));
            }
        }
    }

    fn take(&mut self, frame: Option<Result<Frame, BodyError>>) -> Result<(), Stopped> {
        if self.is_written() {
            self.lead.clear();
            self.written = 0;
        }
        match frame {
            Some(Ok(Frame::Data(data))) => {
                if self.chunked && !data.is_empty() {
                    write::chunk_size(data.len(), &mut self.lead);
                    self.tail = write::CHUNK_END;
                }
                self.data = data;
            }
            Some(Ok(Frame::Trailers(fields))) => self.finish(Some(&fields)),
            None => self.finish(None),
            Some(Err(error)) => {
                self.give_up();
                return Err(Stopped::Body(error));
            }
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        if self.chunked {
            write::last_chunk(trailers, &mut self.lead);
        }
        self.phase = Phase::Last;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<io::Result<()>> {
        let slices = [
            IoSlice::new(&self.lead[self.written..]),
            IoSlice::new(&self.data),
            IoSlice::new(self.tail),
        ];
        let mut n = match ready!(io.poll_write_slices(cx, &slices))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => n,
        };
        let lead = n.min(self.lead.len() - self.written);
        self.written += lead;
        n -= lead;
        let data = n.min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[n - data..];
        Poll::Ready(Ok(()))
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
            let want = self
                .decoder
                .left()
                .map_or(2 * READ, |left| left.clamp(READ as u64, PIECE as u64) as usize);
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
