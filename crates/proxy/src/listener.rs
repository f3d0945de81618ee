//! Accepting connections, and finding out which HTTP each speaks.
//!
//! Every worker accepts on its own copy of every socket. A connection that begins with HTTP/2's preface is HTTP/2 with
//! prior knowledge; anything else is HTTP/1. One task serves one connection, and a panic ends that connection alone.

use crate::addresses::Place;
use crate::ending::Ending;
use crate::io::Io;
use bytes::BytesMut;
use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

/// Client connections of one worker.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Once the proxy stops: for a request that was on its way already over a connection without one.
pub const LAST_CALL: Duration = Duration::from_millis(100);

/// HTTP/2's first bytes (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A listening socket as the supervisor gives it.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(std::os::unix::net::UnixListener),
}

impl Socket {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }
}

/// A socket that a worker accepts on.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix.
    Unix(UnixListener),
}

impl Listener {
    /// Registers it with this thread's runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                // What it accepts has it too: a call less for each connection.
                socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// The next connection. Errors of one connection are passed over; without descriptors it waits and tries again.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn accept(&self) -> (Io, Option<IpAddr>) {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener
                    .accept()
                    .await
                    .map(|(stream, peer)| (Io::Tcp(stream), Some(peer.ip()))),
                Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Io::Unix(stream), None)),
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(code = "GW-041", %error, "cannot accept connections; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// What a new connection comes to; `None` when it comes to nothing within `limit`, or within [`LAST_CALL`] of the word
/// that stops the proxy.
pub async fn in_time<T>(limit: Duration, ending: &Ending, comes: impl Future<Output = T>) -> Option<T> {
    let last_call = async {
        ending.stopping().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        came = tokio::time::timeout(limit, comes) => came.ok(),
        () = last_call => None,
    }
}

/// Reads until it is certain whether the client speaks HTTP/2; what was read is in `buf`. `None` when it ends the
/// connection or is too late for [`in_time`].
pub async fn speaks_http2(io: &Io, buf: &mut BytesMut, limit: Duration, ending: &Ending) -> Option<bool> {
    let sniff = async {
        loop {
            let n = buf.len().min(PREFACE.len());
            if buf[..n] != PREFACE[..n] {
                return Some(false);
            }
            if n == PREFACE.len() {
                return Some(true);
            }
            match io.fill(buf, 4 << 10).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    };
    in_time(limit, ending, sniff).await.flatten()
}

/// How many connections a worker has.
#[derive(Default)]
pub struct Census {
    all: Cell<usize>,
    /// Rung when the last one is gone.
    gone: Notify,
}

/// One connection among those counted.
pub struct Counted {
    census: Rc<Census>,
    place: Option<Place>,
}

impl Census {
    /// Whether a worker may take another connection.
    pub fn has_room(&self) -> bool {
        self.all.get() < MAX_CONNECTIONS
    }

    /// Resolves when there is no connection. One waiter.
    pub async fn empty(&self) {
        while self.all.get() > 0 {
            self.gone.notified().await;
        }
    }

    /// Counts a connection, which gives its address' place back at its end.
    pub fn enter(self: &Rc<Self>, place: Option<Place>) -> Counted {
        self.all.set(self.all.get() + 1);
        Counted {
            census: self.clone(),
            place,
        }
    }
}

impl Counted {
    /// It is no stranger's: its address' place is free for another.
    pub fn is_known(&mut self) {
        self.place = None;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.all.set(self.census.all.get() - 1);
        if self.census.all.get() == 0 {
            self.census.gone.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_listener_accepts_sends_small_writes_at_once() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("its address");
        let listener = Listener::new(Socket::Tcp(socket)).expect("a listener");
        let client = std::net::TcpStream::connect(address).expect("a client");
        let (io, peer) = listener.accept().await;
        assert_eq!(peer, client.local_addr().ok().map(|own| own.ip()));
        assert!(matches!(io, Io::Tcp(stream) if stream.nodelay().expect("an option")));
    }
}
