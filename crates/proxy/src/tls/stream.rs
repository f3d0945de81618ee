//! A TLS connection over TCP, read and written through a shared reference as [`Io`](crate::io::Io) is.
//!
//! Thin on purpose: rustls does the cryptography, this moves bytes between it and the socket.
//!
//! Invariants
//! - What a write has taken and the socket has not is at most [`HELD`] bytes of text; the next write, read or flush sends it on
//!   before anything else, so a caller flushes once, behind its last write.
//! - The end of the connection without `close_notify` is an error, never an end: nobody takes a part for the whole.
//! - `close_notify` is sent by [`Tls::finish_sending`] only. Dropping the connection sends none.
//! - No poll goes round without asking the runtime for leave; and rustls bears no more than 32 empty records in a row.

use crate::io::clear_read_readiness;
use rustls::Connection;
use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Text that one write takes, bytes: four records of the largest size.
const HELD: usize = 64 << 10;

/// A TLS connection.
#[derive(Debug)]
pub struct Tls {
    socket: TcpStream,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// Our side has ended; the socket's follows once all is sent.
    ending: bool,
    /// Bytes of records that the socket has taken.
    sent: u64,
}

impl Tls {
    /// A connection whose handshake has not begun; see [`Tls::poll_handshake`].
    pub fn new(socket: TcpStream, connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(HELD));
        let state = State {
            connection,
            ending: false,
            sent: 0,
        };
        Self {
            socket,
            state: RefCell::new(state),
        }
    }

    /// The connection below.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Bytes of records that the socket has taken so far.
    pub fn sent(&self) -> u64 {
        self.state.borrow().sent
    }

    /// Looks at what was agreed.
    pub fn with<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.state.borrow().connection)
    }

    /// Goes on with the handshake; ready once both sides have agreed.
    ///
    /// # Errors
    /// Those of the socket, `UnexpectedEof` when the other side ends it, and rustls' own (see [`refusal`]), of which the other side
    /// has been told.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        loop {
            ready!(state.poll_send(&self.socket, cx))?;
            if !state.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(state.poll_records(&self.socket, cx))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Gives at most `max` bytes of text to `put`; how many, 0 at the end that the other side has declared.
    pub fn poll_take(&self, cx: &mut Context<'_>, max: usize, mut put: impl FnMut(&[u8])) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        let mut taken = 0;
        loop {
            let mut reader = state.connection.reader();
            match reader.fill_buf() {
                Ok([]) => return Poll::Ready(Ok(taken)),
                Ok(text) => {
                    let n = text.len().min(max - taken);
                    put(&text[..n]);
                    reader.consume(n);
                    taken += n;
                }
                Err(_) if taken > 0 => return Poll::Ready(Ok(taken)),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) => {
                    ready!(state.poll_records(&self.socket, cx))?;
                }
            }
            if taken == max {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Takes some of the slices' bytes, once all that was taken before is sent.
    pub fn poll_write_slices(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let state = &mut *self.state.borrow_mut();
        ready!(state.poll_send(&self.socket, cx))?;
        let taken = state.connection.writer().write_vectored(slices)?;
        match state.poll_send(&self.socket, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Ready once the socket has all that was written.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.borrow_mut().poll_send(&self.socket, cx)
    }

    /// Ready with true once the other side has ended or the connection, with false when text waits to be read.
    pub fn poll_peer_moved(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let state = &mut *self.state.borrow_mut();
        loop {
            match state.connection.reader().fill_buf() {
                Ok(text) => return Poll::Ready(text.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(true),
            }
            if ready!(state.poll_records(&self.socket, cx)).is_err() {
                return Poll::Ready(true);
            }
        }
    }

    /// Whether nothing waits to be read and the other end has not closed, as far as is known.
    pub fn is_quiet(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        let read = state.connection.reader().fill_buf().map(|_| ());
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Says that no more comes from this side. The socket's side ends as soon as all is sent: at once, if it takes it, else
    /// with the next flush or read.
    pub fn finish_sending(&self) {
        let state = &mut *self.state.borrow_mut();
        if !std::mem::replace(&mut state.ending, true) {
            state.connection.send_close_notify();
        }
        let _ = state.send(&self.socket); // What is wrong with it, the next flush or read says.
    }
}

impl State {
    /// Sends what is to be sent, as far as the socket takes it; whether that was all.
    fn send(&mut self, socket: &TcpStream) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket { socket, short: false }) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.ending {
            let _ = socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write);
        }
        Ok(true)
    }

    fn poll_send(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.send(socket)? {
            ready!(socket.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once and takes what whole records it gives; false at the socket's end.
    fn poll_records(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // The other side may say nothing before it has read what is still held here.
        if let Poll::Ready(Err(error)) = self.poll_send(socket, cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            ready!(socket.poll_read_ready(cx))?;
            let mut from = Socket { socket, short: false };
            match self.connection.read_tls(&mut from) {
                Ok(0) => return Poll::Ready(Ok(false)),
                Ok(_) => {
                    if from.short {
                        clear_read_readiness!(socket);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let processed = self.connection.process_new_packets();
            // An alert, or the answer to a new key; if it cannot go now, it goes before what comes next.
            let sent = self.send(socket);
            return Poll::Ready(match processed {
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                Ok(_) => sent.map(|_| true),
            });
        }
    }
}

/// What rustls refused, if that is what the error is.
pub fn refusal(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The socket as rustls wants it.
struct Socket<'s> {
    socket: &'s TcpStream,
    /// The last read gave less than was asked for: nothing is left to be read.
    short: bool,
}

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.socket.try_read(buf)?;
        self.short = n < buf.len();
        Ok(n)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
