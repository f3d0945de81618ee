//! A client's connection below HTTP/2: what was read of it before, and the bounds that `h2` does not have.
//!
//! - a client that floods ([`super::flood`]) is read no further; [`Watch`] tells the server, which says goodbye
//! - a write that takes longer than [`WRITE_TIMEOUT`], or a head that comes slower than [`HEAD_TIMEOUT`], breaks the connection

use super::flood::Flood;
use crate::h1::server::{HEAD_TIMEOUT, WRITE_TIMEOUT};
use crate::io::Io;
use crate::timer::Timer;
use bytes::{Buf, BytesMut};
use ondol_core::clock::SharedClock;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the server is told of the wire.
#[derive(Clone, Default)]
pub struct Watch(Rc<Cell<bool>>);

impl Watch {
    /// Whether the client has flooded; it is not read any more.
    pub fn is_flooded(&self) -> bool {
        self.0.get()
    }
}

/// A bound on something that is under way or not.
struct Bound {
    timer: Timer,
    on: bool,
}

impl Bound {
    fn new(clock: &SharedClock) -> Self {
        Self {
            timer: Timer::new(clock.clone()),
            on: false,
        }
    }

    /// It is under way, or it is not; ready when it has been so for too long.
    fn poll(&mut self, cx: &mut Context<'_>, on: bool, span: std::time::Duration) -> Poll<()> {
        match (on, self.on) {
            (true, false) => self.timer.arm(span),
            (false, true) => self.timer.disarm(),
            _ => {}
        }
        self.on = on;
        if on { self.timer.poll(cx) } else { Poll::Pending }
    }
}

/// A client's connection.
pub struct Wire {
    io: Io,
    first: BytesMut,
    clock: SharedClock,
    flood: Flood,
    watch: Watch,
    head: Bound,
    write: Bound,
}

impl Wire {
    /// A connection of which `first` was read already.
    pub fn new(io: Io, first: BytesMut, clock: SharedClock) -> Self {
        Self {
            io,
            first,
            flood: Flood::new(clock.mono()),
            watch: Watch::default(),
            head: Bound::new(&clock),
            write: Bound::new(&clock),
            clock,
        }
    }

    /// What it tells.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        if self.first.is_empty() {
            self.first = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = &result {
            self.flood.sent(*n);
        }
        match self.write.poll(cx, result.is_pending(), WRITE_TIMEOUT) {
            Poll::Ready(()) => {
                self.io.reset_on_drop(); // The system keeps nothing for it either.
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => result,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watch.is_flooded() {
            return Poll::Pending; // The server looks after each read; nobody needs to be woken.
        }
        let before = buf.filled().len();
        let read = self.poll_bytes(cx, buf);
        if read.is_ready() {
            let now = self.clock.mono();
            if self.flood.came(&buf.filled()[before..], now).is_err() {
                self.watch.0.set(true);
            }
        }
        let heading = self.flood.is_heading();
        if self.head.poll(cx, heading, HEAD_TIMEOUT).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(read)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
