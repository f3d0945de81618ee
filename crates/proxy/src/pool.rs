//! Open connections to endpoints, kept per worker: no lock, no hand-over between threads.
//!
//! Invariants
//! - A shelf holds only connections that can begin an exchange; the youngest is taken first, so old ones can go.
//! - Connections of an endpoint are counted while they live, idle or not; there are never more than [`MAX_OPEN`].
//! - A restarted instance has another key, so no exchange goes to a connection of its former life.

use crate::h1::client::Conn;
use crate::h2::client;
use crate::io::Io;
use crate::upstream::Use;
use bytes::Bytes;
use foldhash::fast::RandomState;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use ondol_core::clock::SharedClock;
use ondol_core::task::{Kind, Tasks};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Mutex;

/// Connections to one endpoint from one worker.
pub const MAX_OPEN: u32 = 1_024;
/// Idle ones among them.
pub const MAX_IDLE: usize = 128;
/// Idle connections are dropped after this: below the 5 s after which common servers close theirs.
pub const IDLE: Duration = Duration::from_secs(4);

/// HTTP/2 connections are forgotten after this without a new request.
pub const IDLE_HTTP2: Duration = Duration::from_secs(60);

/// What a connection leads to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// An instance's life: its address and a number that no other life has.
    Instance(SocketAddr, u64),
    /// A proxy of another system, by a way that no other caller has.
    Peer(SocketAddr, u64, (u64, u64)),
    /// The controller.
    Controller,
}

/// One open connection among those counted.
pub struct Slot(Rc<Cell<u32>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The idle connections of one endpoint.
pub struct Shelf {
    idle: RefCell<Vec<(Duration, Conn)>>,
    open: Rc<Cell<u32>>,
    clock: SharedClock,
}

impl Shelf {
    fn new(clock: SharedClock) -> Self {
        Self {
            idle: RefCell::default(),
            open: Rc::default(),
            clock,
        }
    }

    /// The youngest connection that is still good.
    pub fn take(&self) -> Option<Conn> {
        let mut idle = self.idle.borrow_mut();
        while let Some((since, conn)) = idle.pop() {
            if self.clock.mono().saturating_sub(since) > IDLE {
                idle.clear(); // The others are older.
                return None;
            }
            if conn.is_quiet() {
                return Some(conn);
            }
        }
        None
    }

    /// Takes a connection back.
    pub fn put(&self, conn: Conn) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push((self.clock.mono(), conn));
        }
    }

    /// Leave to open another connection; `None` when there are [`MAX_OPEN`], or half as many for a tunnel: what clients
    /// keep open leaves room for what they ask.
    pub fn slot(&self, purpose: Use) -> Option<Slot> {
        let most = if purpose == Use::Tunnel { MAX_OPEN / 2 } else { MAX_OPEN };
        if self.open.get() >= most {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Slot(self.open.clone()))
    }

    fn drop_old(&self, now: Duration) {
        self.idle
            .borrow_mut()
            .retain(|(since, conn)| now.saturating_sub(*since) <= IDLE && conn.is_quiet());
    }
}

/// The one HTTP/2 connection to an endpoint. Whoever finds none opens it, the others wait.
#[derive(Default)]
pub struct Shared {
    sender: Mutex<Option<SendRequest<Bytes>>>,
    pings: RefCell<Option<Rc<Mutex<PingPong>>>>,
    used: Cell<Duration>,
}

/// A worker's connections.
pub struct Pool {
    shelves: RefCell<HashMap<Key, Rc<Shelf>, RandomState>>,
    shared: RefCell<HashMap<Key, Rc<Shared>, RandomState>>,
    clock: SharedClock,
    tasks: Tasks,
}

impl Pool {
    /// An empty one.
    pub fn new(clock: SharedClock, tasks: Tasks) -> Self {
        Self {
            shelves: RefCell::default(),
            shared: RefCell::default(),
            clock,
            tasks,
        }
    }

    /// What sends requests over the HTTP/2 connection to an endpoint; opens it by `dial` where there is none.
    ///
    /// # Errors
    /// Those of `dial` and of the handshake.
    pub async fn http2<E: From<h2::Error>, F: Future<Output = Result<Io, E>>>(
        &self,
        key: &Key,
        dial: impl FnOnce() -> Pin<Box<F>>,
    ) -> Result<SendRequest<Bytes>, E> {
        let shared = self.shared.borrow_mut().entry(key.clone()).or_default().clone();
        shared.used.set(self.clock.mono());
        let mut sender = shared.sender.lock().await;
        if let Some(known) = &mut *sender {
            let alive = std::future::poll_fn(|cx| Poll::Ready(!matches!(known.poll_ready(cx), Poll::Ready(Err(_)))));
            if alive.await {
                return Ok(known.clone());
            }
        }
        *sender = None;
        let (new, mut driver) = Box::pin(client::handshake(dial().await?)).await?;
        *shared.pings.borrow_mut() = driver.pings().map(|pings| Rc::new(pings.into()));
        self.tasks.spawn_local(Kind::Upstream, async move {
            if let Err(error) = driver.drive().await {
                tracing::debug!(%error, "an HTTP/2 connection to an instance ended");
            }
        });
        Ok(sender.insert(new).clone())
    }

    /// Whether an endpoint takes extended CONNECT (RFC 8441). Its settings say so, and on a young connection they may be on their
    /// way: they come before its answer to a ping.
    pub async fn takes_connect(&self, key: &Key, sender: &SendRequest<Bytes>) -> bool {
        if sender.is_extended_connect_protocol_enabled() {
            return true;
        }
        let shared = self.shared.borrow().get(key).cloned();
        let pings = shared.and_then(|shared| shared.pings.borrow().clone());
        if let Some(pings) = pings {
            let mut pings = pings.lock().await;
            let _ = pings.send_ping(Ping::opaque()); // Fails where one is under way, whose answer does as well.
            let _ = std::future::poll_fn(|cx| pings.poll_pong(cx)).await;
        }
        sender.is_extended_connect_protocol_enabled()
    }

    /// The shelf of an endpoint.
    pub fn shelf(&self, key: &Key) -> Rc<Shelf> {
        if let Some(shelf) = self.shelves.borrow().get(key) {
            return shelf.clone();
        }
        let shelf = Rc::new(Shelf::new(self.clock.clone()));
        self.shelves.borrow_mut().insert(key.clone(), shelf.clone());
        shelf
    }

    /// Closes connections that were idle too long and forgets endpoints without any. Call every few seconds.
    pub fn tidy(&self) {
        let now = self.clock.mono();
        self.shelves.borrow_mut().retain(|_, shelf| {
            shelf.drop_old(now);
            shelf.open.get() > 0
        });
        // Streams under way keep the connection itself alive.
        self.shared
            .borrow_mut()
            .retain(|_, shared| now.saturating_sub(shared.used.get()) <= IDLE_HTTP2);
    }
}
