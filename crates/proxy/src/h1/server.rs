//! One client connection over HTTP/1: requests one after the other, each answered before the next is read.
//!
//! Invariants
//! - Pipelined requests wait in the socket and in at most one buffer; they are answered in order.
//! - `100 Continue` is written when somebody first asks for the body, so a request refused by its head sends none.
//! - A connection is used again only where its next byte is certain to begin a head: the body before was read to its end
//!   (up to [`DRAIN`] bytes are thrown away for that), otherwise it is closed, and gently, so that the answer arrives.
//!
//! Memory while idle: no buffers, only this task. Tests: `h1/tests.rs`.

use super::body::{Decoder, Step};
use super::head::{self, Length, MAX_HEAD, Parsed};
use super::write;
use crate::check::HeadError;
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::io::Io;
use crate::message::{Body, BodyError, Frame, PIECE, RequestHead, Source};
use crate::timer::Timer;
use crate::tunnel;
use bytes::{Buf, BytesMut};
use http::{Method, StatusCode};
use ondol_core::clock::SharedClock;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// From the first byte of a head to its last; also from the connection to the first byte.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between an answer and the next head.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// For a client that does not take what is written.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests on one connection.
pub const MAX_REQUESTS: u32 = 1_000;
/// What is read and thrown away of a body that nobody wanted, bytes.
pub const DRAIN: u64 = 64 << 10;
/// For a client to end its side after the last answer.
const LINGER: Duration = Duration::from_secs(2);
const READ: usize = 4 << 10;

/// Serves a connection until either side ends it. `buf` holds what was read of it already.
pub async fn serve<S: Service>(io: &Io, mut buf: BytesMut, clock: SharedClock, service: &S) {
    let (mut timer, mut head, mut out) = (Timer::new(clock), RequestHead::default(), Vec::new());
    let peer = io.peer().map(|address| address.ip());
    for served in 1..=MAX_REQUESTS {
        head.clear();
        let parsed = match read_head(io, &mut buf, &mut head, &mut timer, served == 1).await {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return,
            Err(error) => {
                let progress = Progress::default();
                let mut reply = H1Reply::new(io, &mut out, &mut timer, &progress);
                reply.close = true;
                reply.send(service.refuse(error)).await;
                return linger(io, buf, &mut timer).await;
            }
        };
        let mut decoder = Decoder::new(parsed.length);
        let progress = Progress {
            left: Cell::new(decoder.left()),
            awaited: Cell::new(parsed.expects),
        };
        let mut reply = H1Reply::new(io, &mut out, &mut timer, &progress);
        reply.close = !parsed.keep_alive || served == MAX_REQUESTS;
        reply.http10 = head.version == crate::message::Version::Http10;
        reply.bodiless = head.method == Method::HEAD;
        let body = match parsed.length {
            Length::Exact(0) => {
                reply.rest = Some(&mut buf);
                Body::Empty
            }
            // Small bodies usually come in the same packet as their head.
            Length::Exact(n) if n <= buf.len() as u64 => {
                progress.left.set(Some(0));
                decoder = Decoder::new(Length::Exact(0));
                Body::Full(buf.split_to(n as usize).freeze())
            }
            _ => {
                let source = Incoming {
                    io,
                    buf: &mut buf,
                    decoder: &mut decoder,
                    progress: &progress,
                };
                Body::stream(source, progress.left.get())
            }
        };
        let request = Request {
            head: &mut head,
            body,
            websocket: parsed.websocket,
            peer,
        };
        service.serve(request, &mut reply).await;
        let outcome = reply.outcome;
        match outcome {
            Outcome::Keep if drain(io, &mut buf, &mut decoder, &mut timer).await => {}
            Outcome::Gone | Outcome::Keep => return,
            Outcome::Close if decoder.is_done() => return io.finish_sending(),
            Outcome::Close => return linger(io, buf, &mut timer).await,
        }
        if out.capacity() > READ {
            out = Vec::new();
        }
    }
}

/// Reads and parses the next head; `None` when the client has no other request.
async fn read_head(
    io: &Io,
    buf: &mut BytesMut,
    head: &mut RequestHead,
    timer: &mut Timer,
    first: bool,
) -> Result<Option<Parsed>, HeadError> {
    let mut scanned = 0;
    let mut begun = first || !buf.is_empty();
    timer.arm(if begun { HEAD_TIMEOUT } else { IDLE_TIMEOUT });
    if buf.is_empty() {
        *buf = BytesMut::new(); // An idle connection holds no buffer.
    }
    loop {
        if scanned == 0 && buf.starts_with(b"\r\n") {
            buf.advance(2); // RFC 9112, 2.2: an empty line before a request is ignored, once.
        }
        match head::find_end(buf, &mut scanned)? {
            Some(end) if end <= MAX_HEAD => {
                let parsed = head::parse_request(&buf[..end], head)?;
                buf.advance(end);
                return Ok(Some(parsed));
            }
            None if buf.len() < MAX_HEAD => {}
            _ if !buf[..MAX_HEAD].contains(&b'\n') => return Err(HeadError::TargetTooLong),
            _ => return Err(HeadError::TooLarge),
        }
        match timer.limit(io.fill(buf, READ)).await {
            Some(Ok(1..)) => {}
            Some(_) => return Ok(None),
            None if buf.is_empty() => return Ok(None),
            None => return Err(HeadError::TooSlow),
        }
        if !begun {
            begun = true;
            timer.arm(HEAD_TIMEOUT);
        }
    }
}

/// Throws away what is left of a body, if that is not much; whether the next byte begins a head.
async fn drain(io: &Io, buf: &mut BytesMut, decoder: &mut Decoder, timer: &mut Timer) -> bool {
    if decoder.is_done() {
        return true;
    }
    timer.arm(HEAD_TIMEOUT);
    let mut thrown = 0;
    while thrown <= DRAIN {
        match decoder.step(buf) {
            Ok(Step::End | Step::Trailers(_)) => return true,
            Ok(Step::Data(piece)) => thrown += piece.len() as u64,
            Ok(Step::More) => match timer.limit(io.fill(buf, READ)).await {
                Some(Ok(1..)) => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
    false
}

/// Ends our side and reads until the client ends its own: closing at once would reset the connection under an answer
/// that is still on its way.
async fn linger(io: &Io, mut buf: BytesMut, timer: &mut Timer) {
    io.finish_sending();
    timer.arm(LINGER);
    let mut left = 16 * DRAIN;
    while left > 0 {
        buf.clear();
        match timer.limit(io.fill(&mut buf, PIECE)).await {
            Some(Ok(n @ 1..)) => left = left.saturating_sub(n as u64),
            _ => return,
        }
    }
}

/// What the answer must know of the request's body.
struct Progress {
    /// Bytes to come; `None`: not known.
    left: Cell<Option<u64>>,
    /// The client waits for `100 Continue`.
    awaited: Cell<bool>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            left: Cell::new(Some(0)),
            awaited: Cell::new(false),
        }
    }
}

/// The request's body.
struct Incoming<'c> {
    io: &'c Io,
    buf: &'c mut BytesMut,
    decoder: &'c mut Decoder,
    progress: &'c Progress,
}

impl Source for Incoming<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let step = self.decoder.step(self.buf);
            self.progress.left.set(self.decoder.left());
            match step {
                Err(why) => return Poll::Ready(Some(Err(BodyError::Malformed(why)))),
                Ok(Step::Data(piece)) => return Poll::Ready(Some(Ok(Frame::Data(piece)))),
                Ok(Step::Trailers(fields)) => return Poll::Ready(Some(Ok(Frame::Trailers(fields)))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
            }
            if self.progress.awaited.get() {
                ready!(self.poll_continue(cx))?;
            }
            // Large bodies are read in large pieces; little is known to come in small ones.
            let want = self
                .decoder
                .left()
                .map_or(4 * READ, |left| left.clamp(READ as u64, PIECE as u64) as usize);
            match ready!(self.io.poll_fill(cx, self.buf, want)) {
                Ok(0) => return Poll::Ready(Some(Err(BodyError::Cut("the client ended the connection".into())))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(BodyError::Cut(error.to_string())))),
            }
        }
    }
}

impl Incoming<'_> {
    /// 25 bytes on a connection on which nothing is being written: one write takes them all or none.
    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let line = b"HTTP/1.1 100 Continue\r\n\r\n";
        match ready!(self.io.poll_write_slices(cx, &[IoSlice::new(line)])) {
            Ok(n) if n == line.len() => {
                self.progress.awaited.set(false);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(BodyError::Cut("the client does not take 100 Continue".into()))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// Nothing may follow and nothing is owed: the connection is dropped.
    Gone,
    /// The next request may come.
    Keep,
    /// The answer said that the connection ends.
    Close,
}

struct H1Reply<'c> {
    io: &'c Io,
    out: &'c mut Vec<u8>,
    timer: &'c mut Timer,
    progress: &'c Progress,
    /// Bytes behind a request without a body: a tunnel's first.
    rest: Option<&'c mut BytesMut>,
    http10: bool,
    bodiless: bool,
    close: bool,
    watching: bool,
    outcome: Outcome,
}

impl<'c> H1Reply<'c> {
    fn new(io: &'c Io, out: &'c mut Vec<u8>, timer: &'c mut Timer, progress: &'c Progress) -> Self {
        let (http10, bodiless, close) = (false, false, false);
        Self {
            io,
            out,
            timer,
            progress,
            rest: None,
            http10,
            bodiless,
            close,
            watching: true,
            outcome: Outcome::Gone,
        }
    }

    /// Writes what is in `out`, then `data`, then `tail`.
    async fn write(&mut self, mut data: &[u8], mut tail: &[u8]) -> io::Result<()> {
        let mut lead = self.out.as_slice();
        self.timer.arm(WRITE_TIMEOUT);
        while lead.len() + data.len() + tail.len() > 0 {
            let slices = [IoSlice::new(lead), IoSlice::new(data), IoSlice::new(tail)];
            let writing = std::future::poll_fn(|cx| self.io.poll_write_slices(cx, &slices));
            let mut n = match self.timer.limit(writing).await {
                Some(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Some(result) => result?,
                None => return Err(io::ErrorKind::TimedOut.into()),
            };
            for part in [&mut lead, &mut data, &mut tail] {
                let taken = n.min(part.len());
                *part = &part[taken..];
                n -= taken;
            }
        }
        self.out.clear();
        Ok(())
    }

    /// The next piece of the answer; `None` first if the head is still unwritten and the body has nothing yet.
    async fn next(&mut self, body: &mut Body<'_>) -> Option<Piece> {
        std::future::poll_fn(|cx| {
            match body.poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Some(Piece::End)),
                Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Piece::Frame(frame))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Piece::Broken(error))),
                Poll::Pending if !self.out.is_empty() => return Poll::Ready(None),
                Poll::Pending => {}
            }
            self.poll_gone(cx).map(|()| Some(Piece::Gone))
        })
        .await
    }

    /// Writes the body behind the head in `out`; the bytes written and how it ended.
    async fn send_body(&mut self, body: &mut Body<'_>, length: Option<Length>) -> Sent {
        let (chunked, mut bytes, mut trailers) = (length == Some(Length::Chunked), 0, None);
        let end = loop {
            let (data, tail, last) = match self.next(body).await {
                None => (bytes::Bytes::new(), &b""[..], false),
                Some(Piece::Gone) => break End::ClientGone,
                Some(Piece::Broken(error)) => break End::Broken(error),
                Some(Piece::Frame(Frame::Trailers(fields))) => {
                    trailers = Some(fields);
                    continue;
                }
                Some(Piece::Frame(Frame::Data(data))) if data.is_empty() => continue,
                Some(Piece::Frame(Frame::Data(data))) if chunked => {
                    write::chunk_size(data.len(), self.out);
                    (data, write::CHUNK_END, false)
                }
                Some(Piece::Frame(Frame::Data(data))) => (data, &b""[..], false),
                Some(Piece::End) => {
                    if chunked {
                        write::last_chunk(trailers.as_ref(), self.out);
                    }
                    (bytes::Bytes::new(), &b""[..], true)
                }
            };
            if self.write(&data, tail).await.is_err() {
                break End::ClientGone;
            }
            bytes += data.len() as u64;
            if last {
                break End::Complete;
            }
        };
        Sent { bytes, end }
    }

    /// Whether the request's body can still be thrown away quickly.
    fn body_is_nearly_read(&self) -> bool {
        match self.progress.left.get() {
            Some(0) => true,
            Some(left) => left <= DRAIN && !self.progress.awaited.get(),
            None => false,
        }
    }
}

enum Piece {
    Frame(Frame),
    End,
    Broken(BodyError),
    Gone,
}

impl Reply for H1Reply<'_> {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // While its body is being read, the body itself tells.
        if !self.watching || self.progress.left.get() != Some(0) {
            return Poll::Pending;
        }
        match ready!(self.io.poll_peer_moved(cx)) {
            true => Poll::Ready(()),
            false => {
                self.watching = false; // Its next request waits already.
                Poll::Pending
            }
        }
    }

    fn timer(&mut self) -> &mut Timer {
        self.timer
    }

    async fn send(&mut self, response: Response<'_>) -> Sent {
        let Response { head, mut body, tunnel } = response;
        let no_content = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = match body.length() {
            _ if self.bodiless || no_content || head.status.is_informational() => None,
            Some(n) => Some(Length::Exact(n)),
            None if self.http10 => Some(Length::UntilClose),
            None => Some(Length::Chunked),
        };
        self.close |= length == Some(Length::UntilClose) || !self.body_is_nearly_read();
        self.out.clear();
        write::response(&head, length, self.close, self.out);
        if length.is_none() {
            body = Body::Empty;
        }
        let sent = self.send_body(&mut body, length).await;
        drop(body); // Gives the request's body back before the connection is judged.
        self.outcome = match sent.end {
            End::Complete if self.close => Outcome::Close,
            End::Complete => Outcome::Keep,
            _ => Outcome::Gone,
        };
        if let (Some(tunnel), End::Complete) = (tunnel, &sent.end) {
            self.outcome = Outcome::Gone;
            let rest = self.rest.take().map(std::mem::take).unwrap_or_default();
            return tunnel::join(self.io, rest, tunnel, self.timer).await;
        }
        if matches!(sent.end, End::Broken(_)) && length == Some(Length::UntilClose) {
            self.io.reset_on_drop(); // Its end would look like the end of the body.
        }
        sent
    }
}
