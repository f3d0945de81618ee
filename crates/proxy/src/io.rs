//! A connection, TCP, TLS or Unix, read and written through a shared reference.
//!
//! One task owns a connection; its request body reads while its response is written, so both go through `&Io`.
//!
//! Invariants
//! - Runs on a current-thread runtime. There, no readiness event is taken in between a read and the clearing of readiness
//!   after it, so a short read can clear it and spare the read that would only say `WouldBlock`.
//! - What was written over TLS may not be with the system yet: behind the last write of something, flush.

use crate::spare;
use crate::tls::stream::Tls;
use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection.
#[derive(Debug)]
pub enum Io {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TLS. Boxed, so that the others stay small.
    Tls(Box<Tls>),
}

macro_rules! either {
    ($self:expr, $stream:ident => $body:expr, $tls:ident => $over_tls:expr) => {
        match $self {
            Io::Tcp($stream) => $body,
            Io::Unix($stream) => $body,
            Io::Tls($tls) => $over_tls,
        }
    };
}

/// Forgets that there was something to read; see the module's invariant.
macro_rules! clear_read_readiness {
    ($stream:expr) => {{
        let clear = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = $stream.try_io(Interest::READABLE, clear);
    }};
}
pub(crate) use clear_read_readiness;

/// Reads into `$room`, which has `$max` bytes, what a socket has. Made when there is something: who waits needs no memory.
macro_rules! poll_read {
    ($stream:expr, $cx:expr, $max:expr, $room:expr) => {
        loop {
            ready!($stream.poll_read_ready($cx))?;
            let max = $max;
            match $stream.try_read_buf(&mut $room) {
                Ok(n) => {
                    if n > 0 && n < max {
                        clear_read_readiness!($stream);
                    }
                    break Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break Poll::Ready(Err(error)),
            }
        }
    };
}

/// Writes what a socket takes.
macro_rules! poll_write {
    ($stream:expr, $cx:expr, $slices:expr) => {
        loop {
            // Almost always there is room: try first, ask for readiness only when there is none.
            let tried = match lone($slices) {
                Some(slice) => $stream.try_write(slice),
                None => $stream.try_write_vectored($slices),
            };
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break Poll::Ready(result),
            }
            ready!($stream.poll_write_ready($cx))?;
        }
    };
}

/// The slice that is not empty, if that is but one: sending it costs the system less than a list.
fn lone<'s>(slices: &'s [IoSlice<'_>]) -> Option<&'s [u8]> {
    let mut full = slices.iter().filter(|slice| !slice.is_empty());
    full.next().filter(|_| full.next().is_none()).map(|slice| &**slice)
}

/// See [`Io::poll_peer_moved`].
macro_rules! poll_peer_moved {
    ($stream:expr, $cx:expr) => {
        loop {
            if ready!($stream.poll_read_ready($cx)).is_err() {
                break Poll::Ready(true);
            }
            let mut byte = [std::mem::MaybeUninit::uninit()];
            match socket2::SockRef::from($stream).peek(&mut byte) {
                Ok(n) => break Poll::Ready(n == 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => clear_read_readiness!($stream),
                Err(_) => break Poll::Ready(true),
            }
        }
    };
}

impl Io {
    /// Who is at the other end, over TCP.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Tls(tls) => tls.socket().peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Reads at most `max` bytes behind those in `buf`; 0 at the end.
    pub fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        either!(self, s => poll_read!(s, cx, max, room(buf, max)), tls => tls.poll_take(cx, max, |text| buf.extend_from_slice(text)))
    }

    /// Reads what there is and `buf` has room for; 0 at the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let max = buf.remaining();
        either!(self, s => poll_read!(s, cx, max, *buf), tls => tls.poll_take(cx, max, |text| buf.put_slice(text)))
    }

    /// Reads at most `max` bytes behind those in `buf`; 0 at the end.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub fn fill(&self, buf: &mut BytesMut, max: usize) -> impl Future<Output = io::Result<usize>> + Unpin {
        std::future::poll_fn(move |cx| self.poll_fill(cx, buf, max))
    }

    /// Writes some of the slices' bytes.
    pub fn poll_write_slices(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(self, s => poll_write!(s, cx, slices), tls => tls.poll_write_slices(cx, slices))
    }

    /// Ready once the system has all that was written.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// Writes all bytes, and flushes.
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
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ready with true once the other end has closed its sending side or reset, with false when bytes wait to be read.
    pub fn poll_peer_moved(&self, cx: &mut Context<'_>) -> Poll<bool> {
        either!(self, s => poll_peer_moved!(s, cx), tls => tls.poll_peer_moved(cx))
    }

    /// Whether nothing waits to be read and the other end has not closed, as far as the last poll of the runtime knows. Where
    /// that has seen something since the last short read, which may be read already, the system is asked.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        macro_rules! look {
            ($stream:expr) => {
                $stream.try_io(Interest::READABLE, || {
                    socket2::SockRef::from($stream).peek(&mut byte)
                })
            };
        }
        let looked = either!(self, s => look!(s), tls => if tls.is_quiet() { look!(tls.socket()) } else { Ok(0) });
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes the end of this connection a reset, so that nobody takes it for the end of a body.
    pub fn reset_on_drop(&self) {
        let soon = Some(std::time::Duration::ZERO);
        let _ = either!(self, s => socket2::SockRef::from(s).set_linger(soon),
            tls => socket2::SockRef::from(tls.socket()).set_linger(soon));
    }

    /// Ends the sending side; what was written still arrives, over TLS once it is flushed.
    pub fn finish_sending(&self) {
        either!(self, s => { let _ = socket2::SockRef::from(s).shutdown(std::net::Shutdown::Write); },
            tls => tls.finish_sending());
    }

    /// Before a connection on which nothing is owed is dropped: TLS has a word for it.
    pub fn part(&self) {
        if let Self::Tls(tls) = self {
            tls.finish_sending();
        }
    }
}

/// Room for `max` bytes behind those in `buf`.
fn room(buf: &mut BytesMut, max: usize) -> Limit<&mut BytesMut> {
    if buf.capacity() == 0 {
        *buf = spare::take();
    }
    buf.reserve(max);
    buf.limit(max)
}
