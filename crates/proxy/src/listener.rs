//! Accepting connections, and finding out which HTTP each speaks.
//!
//! Every worker accepts on its own copy of every socket. A connection that begins with HTTP/2's preface is HTTP/2 with
//! prior knowledge; anything else is HTTP/1. One task serves one connection, and a panic ends that connection alone.

use crate::io::Io;
use bytes::BytesMut;
use ondol_core::task::Tasks;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

/// Client connections of one worker.
pub const MAX_CONNECTIONS: usize = 16_384;
/// Client connections from one address to a gateway listener, per worker; loopback and trusted proxies are exempt.
pub const MAX_PER_ADDRESS: u32 = 256;

/// Once the proxy ends: for a request that was on its way already over a connection without one.
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
                Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    let _ = stream.set_nodelay(true);
                    (Io::Tcp(stream), Some(peer.ip()))
                }),
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

/// Reads until it is certain whether the client speaks HTTP/2; what was read is in `buf`. `None` when it says nothing
/// in time, or within [`LAST_CALL`] of the end that `ending` tells.
pub async fn speaks_http2(io: &Io, buf: &mut BytesMut, timeout: Duration, ending: &Tasks) -> Option<bool> {
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
    let last_call = async {
        ending.stopping().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        sniffed = tokio::time::timeout(timeout, sniff) => sniffed.ok().flatten(),
        () = last_call => None,
    }
}

/// How many connections a worker has, in all and by address.
#[derive(Default)]
pub struct Census {
    all: Cell<usize>,
    by_address: RefCell<HashMap<IpAddr, u32>>,
    /// Rung when the last one is gone.
    gone: Notify,
}

/// One connection among those counted.
pub struct Counted {
    census: Rc<Census>,
    address: Option<IpAddr>,
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

    /// Counts a connection; `None` when `address`, if it is to be limited, has too many.
    pub fn enter(self: &Rc<Self>, address: Option<IpAddr>) -> Option<Counted> {
        if let Some(address) = address {
            let mut by_address = self.by_address.borrow_mut();
            let count = by_address.entry(address).or_default();
            if *count >= MAX_PER_ADDRESS {
                return None;
            }
            *count += 1;
        }
        self.all.set(self.all.get() + 1);
        Some(Counted {
            census: self.clone(),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.all.set(self.census.all.get() - 1);
        if self.census.all.get() == 0 {
            self.census.gone.notify_one();
        }
        if let Some(address) = self.address {
            let mut by_address = self.census.by_address.borrow_mut();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_bound_and_gives_its_places_back() {
        let census = Rc::new(Census::default());
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        let held: Vec<_> = (0..MAX_PER_ADDRESS)
            .map(|_| census.enter(address).expect("room"))
            .collect();
        assert!(census.enter(address).is_none() && census.enter(None).is_some());
        drop(held);
        assert!(census.enter(address).is_some());
        assert_eq!((census.all.get(), census.by_address.borrow().len()), (0, 0));
    }
}
