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

    /// Bytes that the connection has taken.
    pub fn sent(&self) -> u64 {
        self.0.sent.get()
    }

    /// Bytes that the system has taken; over TLS those of records, which may wait in between.
    pub fn moved(&self) -> u64 {
        match &self.0.io {
            Io::Tls(tls) => tls.sent(),
            Io::Tcp(_) | Io::Unix(_) => self.sent(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    fn pair() -> (Outbox, UnixStream) {
        let (here, there) = UnixStream::pair().expect("two ends");
        (Outbox::new(Io::Unix(here)), there)
    }

    /// What the other end has got by now.
    fn heard(there: &UnixStream) -> usize {
        let mut all = vec![0; 1 << 20];
        let mut have = 0;
        while let Some(Ok(())) = there.readable().now_or_never() {
            match there.try_read(&mut all[have..]) {
                Ok(n @ 1..) => have += n,
                _ => break,
            }
        }
        have
    }

    #[tokio::test]
    async fn writes_wait_for_each_other_once_somebody_sends() {
        let (mut out, there) = pair();
        out.write_all(b"settings").await.expect("taken");
        out.flush().await.expect("sent");
        there.readable().await.expect("something");
        assert_eq!(heard(&there), 8, "a flush sends as long as nobody gathers");
        out.gather();
        for _ in 0..20 {
            out.write_all(&[b'x'; 300]).await.expect("taken");
            out.flush().await.expect("nothing to wait for");
        }
        tokio::task::yield_now().await;
        assert_eq!((heard(&there), out.sent()), (0, 8));
        poll_fn(|cx| out.poll_send(cx)).await.expect("sent");
        there.readable().await.expect("something");
        assert_eq!((heard(&there), out.sent()), (6_000, 6_008));
        assert_eq!(out.0.waits.borrow().capacity(), 0, "it holds no memory");
    }

    #[tokio::test]
    async fn what_is_large_leaves_with_what_waited_before_it_and_in_order() {
        let (mut out, mut there) = pair();
        out.gather();
        let said: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 7) as u8).collect();
        let listens = async {
            let mut all = Vec::new();
            there.read_to_end(&mut all).await.map(|_| all)
        };
        let says = async {
            let mut rest = &said[..];
            for size in [1, 9, 16_384, 300, 9, 16_383, 60_000, 5].into_iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(size));
                out.write_all(now).await?;
                assert!(out.0.waits.borrow().len() <= MOST);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            out.shutdown().await
        };
        let (heard, ended) = tokio::join!(listens, says);
        ended.expect("all taken, and the end");
        assert!(heard.expect("read") == said);
    }

    #[tokio::test]
    async fn while_the_system_takes_nothing_nothing_more_is_taken_and_it_counts_as_unsent() {
        let (mut out, there) = pair();
        out.gather();
        let piece = [b'x'; 20_000];
        let mut taken = 0;
        while let Some(written) = out.write(&piece).now_or_never() {
            taken += written.expect("written") as u64;
        }
        assert_eq!(taken, out.sent(), "large pieces wait with whoever writes");
        assert!(poll_fn(|cx| out.poll_send(cx)).now_or_never().is_none());
        let mut got = 0;
        while got < taken {
            there.readable().await.expect("something");
            got += heard(&there) as u64;
        }
        out.write_all(&piece).await.expect("there is room again");
        poll_fn(|cx| out.poll_send(cx)).await.expect("sent");
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_says_so_to_whoever_sends() {
        let (mut out, there) = pair();
        out.gather();
        drop(there);
        out.write_all(b"an answer").await.expect("it waits");
        assert!(poll_fn(|cx| out.poll_send(cx)).await.is_err());
    }
}
