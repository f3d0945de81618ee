//! What HTTP/2 says on a connection, gathered. `h2` sends a body of some size with a write of its own, whatever else waits to
//! be said. Here its writes wait together, and leave when the connection's task has no more to say.
//!
//! Whoever drives the connection asks it to [`gather`](Outbox::gather) and then calls [`poll_send`](Outbox::poll_send) after
//! each poll of `h2`; until then a flush sends, as during the handshake.
//!
//! Bounds: [`MOST`] bytes wait at a time; a larger write goes to the system with what waited, uncopied. While the system takes
//! nothing, nothing more is taken. An outbox in which nothing waits holds no memory.

use crate::io::Io;
use crate::spare;
use bytes::{Buf, BytesMut};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits at most, bytes.
const MOST: usize = 16 << 10;
/// Slices of a write that leave at once; `h2` gives two.
const SLICES: usize = 4;

/// A connection whose writes are gathered; clones are the same one.
#[derive(Clone)]
pub struct Outbox(Rc<Inner>);

struct Inner {
    io: Io,
    waits: RefCell<BytesMut>,
    gathers: Cell<bool>,
    sent: Cell<u64>,
    /// The system had no room for the last write.
    full: Cell<bool>,
}

impl Outbox {
    /// Of this connection. A flush sends what waits.
    pub fn new(io: Io) -> Self {
        Self(Rc::new(Inner {
            io,
            waits: RefCell::default(),
            gathers: Cell::new(false),
            sent: Cell::new(0),
            full: Cell::new(false),
        }))
    }

    /// The connection itself.
    pub fn io(&self) -> &Io {
        &self.0.io
    }

    /// From now on a flush sends nothing; [`poll_send`](Self::poll_send) does.
    pub fn gather(&self) {
        self.0.gathers.set(true);
    }

    /// Bytes that the system has taken.
    pub fn sent(&self) -> u64 {
        self.0.sent.get()
    }

    /// Ready once the system has all that was written, a write that was not taken yet too.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = &mut *self.0.waits.borrow_mut();
        while !waits.is_empty() {
            match ready!(self.poll_pass(cx, &[IoSlice::new(waits)]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => waits.advance(n),
            }
        }
        spare::give(std::mem::take(waits));
        if self.0.full.get() {
            return Poll::Pending; // `h2` has a large piece; who gave it last waits for room.
        }
        self.0.io.poll_flush(cx)
    }

    /// Takes some of these bytes.
    fn poll_take(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let waits = &mut *self.0.waits.borrow_mut();
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        while waits.len() + all > MOST {
            let mut list = [IoSlice::new(&[]); 1 + SLICES];
            list[0] = IoSlice::new(waits);
            for (place, slice) in list[1..].iter_mut().zip(slices) {
                *place = IoSlice::new(slice);
            }
            let n = ready!(self.poll_pass(cx, &list))?;
            let waited = n.min(waits.len());
            waits.advance(waited);
            if n > waited || n == 0 {
                return Poll::Ready(Ok(n - waited));
            }
        }
        if waits.capacity() == 0 {
            *waits = spare::take();
        }
        slices.iter().for_each(|slice| waits.extend_from_slice(slice));
        Poll::Ready(Ok(all))
    }

    fn poll_pass(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.0.io.poll_write_slices(cx, slices);
        self.0.full.set(written.is_pending());
        let n = ready!(written)?;
        self.0.sent.set(self.0.sent.get() + n as u64);
        Poll::Ready(Ok(n))
    }
}

impl AsyncRead for Outbox {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.io.poll_read(cx, buf).map_ok(|_| ())
    }
}

impl AsyncWrite for Outbox {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_take(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.gathers.get() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.0.io.finish_sending();
        self.0.io.poll_flush(cx)
    }
}
