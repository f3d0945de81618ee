//! Open connections to endpoints, kept per worker: no lock, no hand-over between threads.
//!
//! Invariants
//! - A shelf holds only connections that can begin an exchange; the youngest is taken first, so old ones can go.
//! - Connections of an endpoint are counted while they live, idle or not; there are never more than [`MAX_OPEN`].
//! - A restarted instance has another key, so no exchange goes to a connection of its former life.

use crate::h1::client::Conn;
use ondol_core::clock::SharedClock;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Connections to one endpoint from one worker.
pub const MAX_OPEN: u32 = 1_024;
/// Idle ones among them.
pub const MAX_IDLE: usize = 128;
/// Idle connections are dropped after this: below the 5 s after which common servers close theirs.
pub const IDLE: Duration = Duration::from_secs(4);

/// What a connection leads to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// An instance's life: its address and the number of its start.
    Instance(SocketAddr, u64),
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
        Self { idle: RefCell::default(), open: Rc::default(), clock }
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

    /// Leave to open another connection; `None` when there are [`MAX_OPEN`].
    pub fn slot(&self) -> Option<Slot> {
        if self.open.get() >= MAX_OPEN {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Slot(self.open.clone()))
    }

    fn drop_old(&self, now: Duration) {
        self.idle.borrow_mut().retain(|(since, conn)| now.saturating_sub(*since) <= IDLE && conn.is_quiet());
    }
}

/// A worker's shelves.
pub struct Pool {
    shelves: RefCell<HashMap<Key, Rc<Shelf>>>,
    clock: SharedClock,
}

impl Pool {
    /// An empty one.
    pub fn new(clock: SharedClock) -> Self {
        Self { shelves: RefCell::default(), clock }
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
    }
}
