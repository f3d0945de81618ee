//! What a request needs and an idle connection does not: memory for its head, and for what HTTP/1 writes of its answer.
//!
//! Each worker is a thread and keeps a few, so that ten thousand idle connections hold none, and the next request gets
//! memory that is still in the caches.

use crate::message::RequestHead;
use std::cell::RefCell;

/// Spare ones that a worker keeps. Each holds at most a request's head and an answer's.
const SPARE: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<(RequestHead, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// Goes back to its worker when it is dropped.
pub(crate) struct Scratch {
    pub(crate) head: RequestHead,
    pub(crate) out: Vec<u8>,
}

impl Scratch {
    /// An empty one.
    pub(crate) fn take() -> Self {
        let (head, out) = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        Self { head, out }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.head.clear();
        self.out.clear();
        let memory = (std::mem::take(&mut self.head), std::mem::take(&mut self.out));
        // An error means that the thread is ending.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < SPARE {
                pool.push(memory);
            }
        });
    }
}
