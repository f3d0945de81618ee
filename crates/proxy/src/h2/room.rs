//! What all answers of one connection may hold together, bytes: pieces that wait here for the client's windows, and pieces that
//! `h2` has and that the socket does not take.
//!
//! A stream takes the next piece of its body only where there is room; the others wait. A piece counts until its last byte is
//! sent or thrown away. So a client that opens many streams and reads none pins [`MOST`] bytes, whatever it asked for.

use crate::message::PIECE;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes held by one connection's answers.
pub const MOST: usize = 1 << 20;
/// What a piece costs beyond its bytes, roughly: many small ones must not be free.
const OVERHEAD: usize = 256;

/// One connection's share.
#[derive(Default)]
pub struct Room {
    held: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

/// A piece that counts until it is dropped.
struct Held {
    data: Bytes,
    room: Arc<Room>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.give(self.data.len() + OVERHEAD);
    }
}

impl Room {
    fn is_open(&self) -> bool {
        self.held.load(Ordering::Relaxed) + PIECE + OVERHEAD <= MOST
    }

    /// Ready when a piece may be taken.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone()); // At most one per stream.
        }
        Poll::Pending
    }

    /// Counts a piece until the last part of it is dropped.
    pub fn hold(self: &Arc<Self>, data: Bytes) -> Bytes {
        self.held.fetch_add(data.len() + OVERHEAD, Ordering::Relaxed);
        let room = self.clone();
        Bytes::from_owner(Held { data, room })
    }

    fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if self.is_open() {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    struct Woken(AtomicU32);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_finds_no_room_is_woken_when_a_piece_is_gone_to_its_last_byte() {
        let (room, woken) = (Arc::<Room>::default(), Arc::new(Woken(AtomicU32::new(0))));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut held = Vec::new();
        while room.poll(&mut cx).is_ready() {
            held.push(room.hold(Bytes::from(vec![0; PIECE])));
        }
        assert_eq!(held.len(), MOST / (PIECE + OVERHEAD));
        assert!(room.poll(&mut cx).is_pending());
        let mut last = held.pop().expect("one");
        let first = last.split_to(PIECE - 1);
        drop(first);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "its last byte is there still");
        drop(last);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "once, though it asked twice");
        assert!(room.poll(&mut cx).is_ready());
        drop(held);
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_small_pieces_are_not_free() {
        let (room, mut held) = (Arc::<Room>::default(), Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        while room.poll(&mut cx).is_ready() {
            held.push(room.hold(Bytes::from_static(b"x")));
        }
        assert!(held.len() < 4_096, "{}", held.len());
    }
}
