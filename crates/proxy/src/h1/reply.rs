//! An answer over HTTP/1: its head and first piece leave in one write, the rest as it comes.
//!
//! A body that breaks off breaks the connection, so that no client takes a part for the whole.

use super::head::Length;
use super::server::{DRAIN, WRITE_TIMEOUT};
use super::write::{self, JOINED};
use crate::ending::Ending;
use crate::exchange::{End, Reply, Response, Sent};
use crate::io::Io;
use crate::message::{Body, BodyError, Frame, Source};
use crate::timer::Timer;
use crate::tunnel;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

/// Of a piece so much must be taken within [`WRITE_TIMEOUT`], bytes.
const IN_TIME: usize = 64 << 10;

/// What the answer must know of the request's body.
pub(super) struct Progress {
    /// Bytes to come; `None`: not known.
    pub left: Cell<Option<u64>>,
    /// The client waits for `100 Continue`.
    pub awaited: Cell<bool>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            left: Cell::new(Some(0)),
            awaited: Cell::new(false),
        }
    }
}

/// What may become of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Nothing may follow and nothing is owed: the connection is dropped.
    Gone,
    /// The next request may come.
    Keep,
    /// The answer said that the connection ends.
    Close,
}

/// Where one request's answer goes.
pub(super) struct H1Reply<'c> {
    io: &'c Io,
    out: &'c mut Vec<u8>,
    timer: &'c mut Timer,
    progress: &'c Progress,
    /// Bytes behind a request without a body: a tunnel's first.
    pub rest: Option<&'c mut BytesMut>,
    pub http10: bool,
    pub bodiless: bool,
    pub close: bool,
    watching: bool,
    /// Once the proxy leaves, this answer is the connection's last.
    ending: &'c Ending,
    pub outcome: Outcome,
}

impl<'c> H1Reply<'c> {
    /// An answer that may keep the connection.
    pub fn new(
        io: &'c Io,
        out: &'c mut Vec<u8>,
        timer: &'c mut Timer,
        progress: &'c Progress,
        ending: &'c Ending,
    ) -> Self {
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
            ending,
            outcome: Outcome::Gone,
        }
    }

    /// Writes what is in `out`, then `data`, then `tail`, and flushes. For who takes too long the system keeps nothing either.
    async fn write(&mut self, data: &[u8], tail: &[u8]) -> io::Result<()> {
        let written = self.write_in_time(data, tail).await;
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            self.io.reset_on_drop();
        }
        written
    }

    async fn write_in_time(&mut self, mut data: &[u8], mut tail: &[u8]) -> io::Result<()> {
        if data.len() <= JOINED {
            self.out.extend_from_slice(data);
            self.out.extend_from_slice(tail);
            (data, tail) = (b"", b"");
        }
        let (mut lead, mut taken_since) = (self.out.as_slice(), 0);
        self.timer.arm(WRITE_TIMEOUT);
        while lead.len() + data.len() + tail.len() > 0 {
            if taken_since >= IN_TIME {
                taken_since = 0;
                self.timer.arm(WRITE_TIMEOUT);
            }
            let slices = [IoSlice::new(lead), IoSlice::new(data), IoSlice::new(tail)];
            let writing = std::future::poll_fn(|cx| self.io.poll_write_slices(cx, &slices));
            let mut n = match self.timer.limit(writing).await {
                Some(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Some(result) => result?,
                None => return Err(io::ErrorKind::TimedOut.into()),
            };
            taken_since += n;
            for part in [&mut lead, &mut data, &mut tail] {
                let taken = n.min(part.len());
                *part = &part[taken..];
                n -= taken;
            }
        }
        self.out.clear();
        let flushing = std::future::poll_fn(|cx| self.io.poll_flush(cx));
        self.timer
            .limit(flushing)
            .await
            .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
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
                None => (Bytes::new(), &b""[..], false),
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
                    (Bytes::new(), &b""[..], true)
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
        self.close |= length == Some(Length::UntilClose) || !self.body_is_nearly_read() || self.ending.is_leaving();
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
