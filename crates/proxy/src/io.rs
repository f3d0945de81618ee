//! A connection, TCP or Unix, read and written through a shared reference.
//!
//! One task owns a connection; its request body reads while its response is written, so both go through `&Io`.
//!
//! Invariant: runs on a current-thread runtime. There, no readiness event is taken in between a read and the clearing of
//! readiness after it, so a short read can clear it and spare the read that would only say `WouldBlock`.

use bytes::{BufMut, BytesMut};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection.
#[derive(Debug)]
pub enum Io {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

macro_rules! either {
    ($self:expr, $stream:ident => $body:expr) => {
        match $self {
            Io::Tcp($stream) => $body,
            Io::Unix($stream) => $body,
        }
    };
}

impl Io {
    /// Who is at the other end, over TCP.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Reads at most `max` bytes behind those in `buf`; 0 at the end.
    pub fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, s => s.poll_read_ready(cx)))?;
            buf.reserve(max);
            let mut room = (&mut *buf).limit(max);
            match either!(self, s => s.try_read_buf(&mut room)) {
                Ok(n) => {
                    if n > 0 && n < max {
                        self.clear_read_readiness();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// See the module's invariant.
    fn clear_read_readiness(&self) {
        let clear = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = either!(self, s => s.try_io(Interest::READABLE, clear));
    }

    /// Reads at most `max` bytes behind those in `buf`; 0 at the end.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn fill(&self, buf: &mut BytesMut, max: usize) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, buf, max)).await
    }

    /// Writes some of the slices' bytes.
    pub fn poll_write_slices(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            // Almost always there is room: try first, ask for readiness only when there is none.
            match either!(self, s => s.try_write_vectored(slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(either!(self, s => s.poll_write_ready(cx)))?;
        }
    }

    /// Writes all bytes.
    ///
    /// # Cancellation
    /// Some of the bytes may have been written.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::future::poll_fn(|cx| self.poll_write_slices(cx, &[IoSlice::new(bytes)])).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
        }
        Ok(())
    }

    /// Ready with true once the other end has closed its sending side or reset, with false when bytes wait to be read.
    pub fn poll_peer_moved(&self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if ready!(either!(self, s => s.poll_read_ready(cx))).is_err() {
                return Poll::Ready(true);
            }
            match self.peek() {
                Ok(n) => return Poll::Ready(n == 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear_read_readiness(),
                Err(_) => return Poll::Ready(true),
            }
        }
    }

    fn peek(&self) -> io::Result<usize> {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        either!(self, s => socket2::SockRef::from(s).peek(&mut byte))
    }

    /// Whether nothing has arrived and the other end has not closed, as far as the last poll of the runtime knows.
    pub fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        either!(self, s => s.poll_read_ready(&mut cx)).is_pending()
    }

    /// Makes the end of this connection a reset, so that nobody takes it for the end of a body.
    pub fn reset_on_drop(&self) {
        let _ = either!(self, s => socket2::SockRef::from(s).set_linger(Some(std::time::Duration::ZERO)));
    }

    /// Ends the sending side; what was written still arrives.
    pub fn finish_sending(&self) {
        let _ = either!(self, s => socket2::SockRef::from(s).shutdown(std::net::Shutdown::Write));
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), s => Pin::new(s).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }
}
