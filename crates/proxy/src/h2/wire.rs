//! A client's connection below HTTP/2: what was read of it before, and the bounds that `h2` does not have.
//!
//! - a client that floods ([`super::flood`]) is read no further; [`Watch`] tells the server, which says goodbye
//! - a head that comes slower than [`HEAD_TIMEOUT`] breaks the connection, and so does a client that takes nothing of what waits
//!   for it for [`WRITE_TIMEOUT`] ([`Sending`])

use super::flood::Flood;
use super::outbox::Outbox;
use crate::h1::server::{HEAD_TIMEOUT, WRITE_TIMEOUT};
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

/// What the server sends, after each poll of `h2`.
pub struct Sending {
    out: Outbox,
    moved: u64,
    blocked: Bound,
}

impl Sending {
    /// From now on what is said on this connection is gathered.
    pub fn new(out: Outbox, clock: &SharedClock) -> Self {
        out.gather();
        Self {
            out,
            moved: 0,
            blocked: Bound::new(clock),
        }
    }

    /// Sends what waits, as far as the client takes it. Ready when the connection is broken, or was given up.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sending = self.out.poll_send(cx);
        if std::mem::replace(&mut self.moved, self.out.moved()) != self.out.moved() {
            let _ = self.blocked.poll(cx, false, WRITE_TIMEOUT); // It took something: the time begins anew.
        }
        if let Poll::Ready(Err(_)) = sending {
            return Poll::Ready(());
        }
        ready!(self.blocked.poll(cx, sending.is_pending(), WRITE_TIMEOUT));
        self.out.io().reset_on_drop(); // The system keeps nothing for it either.
        Poll::Ready(())
    }
}

/// A client's connection.
pub struct Wire {
    out: Outbox,
    first: BytesMut,
    clock: SharedClock,
    flood: Flood,
    /// Bytes sent that the flood was told of.
    told: u64,
    watch: Watch,
    head: Bound,
}

impl Wire {
    /// A connection of which `first` was read already.
    pub fn new(out: Outbox, first: BytesMut, clock: SharedClock) -> Self {
        Self {
            out,
            first,
            flood: Flood::new(clock.mono()),
            told: 0,
            watch: Watch::default(),
            head: Bound::new(&clock),
            clock,
        }
    }

    /// What it tells.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.out).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        if self.first.is_empty() {
            self.first = BytesMut::new();
        }
        Poll::Ready(Ok(()))
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
            let (now, sent) = (self.clock.mono(), self.out.sent());
            let news = sent - std::mem::replace(&mut self.told, sent);
            self.flood.sent(news);
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
        Pin::new(&mut self.out).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.out).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.out.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.out).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.out).poll_shutdown(cx)
    }
}
