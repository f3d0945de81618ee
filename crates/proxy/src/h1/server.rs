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
use super::head::{Length, Parsed, Search};
use super::reply::{H1Reply, Outcome, Progress};
use crate::check::HeadError;
use crate::ending::Ending;
use crate::exchange::{Reply, Request, Response, Service};
use crate::io::Io;
use crate::listener::LAST_CALL;
use crate::message::{Body, BodyError, Frame, PIECE, Source};
use crate::scratch::Scratch;
use crate::spare;
use crate::timer::Timer;
use bytes::BytesMut;
use http::Method;
use ondol_core::clock::SharedClock;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
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

/// Serves a connection until either side ends it. Once the proxy leaves, the next answer is the last; once it stops, so is
/// the one under way. `buf` holds what was read of it already.
pub async fn serve<S: Service>(io: &Io, mut buf: BytesMut, clock: SharedClock, service: &S, ending: &Ending) {
    let mut told = std::pin::pin!(ending.stopping());
    let mut timer = Timer::new(clock);
    for served in 1..=MAX_REQUESTS {
        let mut reading = Reading {
            io,
            buf: &mut buf,
            timer: &mut timer,
            told: told.as_mut(),
        };
        let (scratch, parsed) = match reading.head(served == 1).await {
            Ok(Some(read)) => read,
            Ok(None) => return io.part(),
            Err(error) => return Box::pin(farewell(io, buf, &mut timer, service.refuse(error), ending)).await,
        };
        let exchange = Exchange {
            io,
            buf: &mut buf,
            timer: &mut timer,
            ending,
            last: served == MAX_REQUESTS,
        };
        // Boxed, as all that an idle connection does not need: the memory is taken for the request alone. And made where it will
        // be, since it is large.
        let running = Box::into_pin(Box::write(Box::new_uninit(), exchange.run(scratch, parsed, service)));
        match running.await {
            Next::Request => {}
            Next::Nothing => return,
            Next::Finish => return finish(io, &mut timer).await,
            Next::Linger => return Box::pin(linger(io, buf, &mut timer)).await,
        }
    }
}

/// What follows on an exchange.
enum Next {
    /// The next one.
    Request,
    /// The connection is dropped.
    Nothing,
    /// Our side ends; the client has sent all it may.
    Finish,
    /// Our side ends; the client may still be sending.
    Linger,
}

/// A request and its answer.
struct Exchange<'c> {
    io: &'c Io,
    buf: &'c mut BytesMut,
    timer: &'c mut Timer,
    ending: &'c Ending,
    /// Of this connection.
    last: bool,
}

impl Exchange<'_> {
    async fn run<S: Service>(self, mut scratch: Scratch, parsed: Parsed, service: &S) -> Next {
        let Self {
            io,
            buf,
            timer,
            ending,
            last,
        } = self;
        let Scratch { head, out } = &mut scratch;
        let mut decoder = Decoder::new(parsed.length);
        let progress = Progress {
            left: Cell::new(decoder.left()),
            awaited: Cell::new(parsed.expects),
        };
        let mut reply = H1Reply::new(io, out, timer, &progress, ending);
        reply.close = !parsed.keep_alive || last;
        reply.http10 = head.version == crate::message::Version::Http10;
        reply.bodiless = head.method == Method::HEAD;
        let body = match parsed.length {
            Length::Exact(0) => {
                reply.rest = Some(buf);
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
                    buf,
                    decoder: &mut decoder,
                    progress: &progress,
                };
                Body::stream(source, progress.left.get())
            }
        };
        let request = Request {
            head,
            body,
            websocket: parsed.websocket,
        };
        service.serve(request, &mut reply).await;
        let outcome = reply.outcome;
        match outcome {
            Outcome::Keep if drain(io, buf, &mut decoder, timer).await => Next::Request,
            Outcome::Gone | Outcome::Keep => Next::Nothing,
            // Who said that it ends and has sent no more will not; others may have sent another request already.
            Outcome::Close if decoder.is_done() && !parsed.keep_alive && buf.is_empty() && io.is_quiet() => {
                Next::Finish
            }
            Outcome::Close => Next::Linger,
        }
    }
}

/// Answers a connection on which there can be no request, and ends it.
pub async fn refuse<S: Service>(io: &Io, why: HeadError, clock: SharedClock, service: &S, ending: &Ending) {
    farewell(io, BytesMut::new(), &mut Timer::new(clock), service.refuse(why), ending).await;
}

/// The last answer of a connection whose next bytes mean nothing.
async fn farewell(io: &Io, buf: BytesMut, timer: &mut Timer, response: Response<'_>, ending: &Ending) {
    let (progress, mut out) = (Progress::default(), Vec::new());
    let mut reply = H1Reply::new(io, &mut out, timer, &progress, ending);
    reply.close = true;
    reply.send(response).await;
    linger(io, buf, timer).await;
}

/// Ends our side, and stays until that is said.
async fn finish(io: &Io, timer: &mut Timer) {
    io.part(); // Dropped, a connection from which all was read ends as it should.
    timer.arm(LINGER);
    let _ = timer.limit(std::future::poll_fn(|cx| io.poll_flush(cx))).await; // The client may be gone, or not read.
}

/// A connection between two requests.
struct Reading<'c, T> {
    io: &'c Io,
    buf: &'c mut BytesMut,
    timer: &'c mut Timer,
    /// Resolves when the proxy stops.
    told: Pin<&'c mut T>,
}

impl<T: Future<Output = ()>> Reading<'_, T> {
    /// Reads and parses the next head; `None` when the client has no other request.
    async fn head(&mut self, first: bool) -> Result<Option<(Scratch, Parsed)>, HeadError> {
        let mut search = Search::default();
        let mut begun = first || !self.buf.is_empty();
        self.timer.arm(if begun { HEAD_TIMEOUT } else { IDLE_TIMEOUT });
        if self.buf.is_empty() {
            spare::give(std::mem::take(self.buf)); // An idle connection holds no buffer.
        }
        loop {
            if !self.buf.is_empty() {
                let mut scratch = Scratch::take();
                if let Some(parsed) = search.take(self.buf, &mut scratch.head)? {
                    return Ok(Some((scratch, parsed)));
                }
            }
            match self.fill().await {
                Some(Ok(1..)) => {}
                Some(_) => return Ok(None),
                None if self.buf.is_empty() => return Ok(None),
                None => return Err(HeadError::TooSlow),
            }
            if !begun {
                begun = true;
                self.timer.arm(HEAD_TIMEOUT);
            }
        }
    }

    /// Reads more; `None` when the time is over, which is soon where no request has begun and the proxy stops.
    async fn fill(&mut self) -> Option<io::Result<usize>> {
        let idle = self.buf.is_empty();
        let filling = self.timer.limit(self.io.fill(self.buf, READ));
        tokio::select! {
            biased;
            filled = filling => return filled,
            () = self.told.as_mut(), if idle => {}
        }
        self.timer.arm(LAST_CALL);
        self.timer.limit(self.io.fill(self.buf, READ)).await
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
pub(crate) async fn linger(io: &Io, mut buf: BytesMut, timer: &mut Timer) {
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
            match ready!(self.io.poll_fill(cx, self.buf, self.decoder.wants())) {
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
