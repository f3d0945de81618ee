//! Memory to read into, between two uses. Each worker is a thread and keeps a few buffers: a connection that waits holds
//! none, and one that has something to read gets one that is still in the caches.

use bytes::BytesMut;
use std::cell::RefCell;

/// Buffers that a thread keeps.
const MOST: usize = 32;
/// A larger one is not kept, bytes.
const LARGEST: usize = 16 << 10;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, with memory if there is some.
pub fn take() -> BytesMut {
    POOL.with_borrow_mut(|pool| {
        // One of which a part was still in use when it came may be larger than it looked.
        while let Some(mut buf) = pool.pop() {
            if !buf.try_reclaim(LARGEST + 1) {
                return buf;
            }
        }
        BytesMut::new()
    })
}

/// Gives the memory of a buffer back that has nothing in it.
pub fn give(mut buf: BytesMut) {
    // What it shows is its rest; the memory behind it may be larger.
    if !buf.is_empty() || buf.capacity() == 0 || buf.try_reclaim(LARGEST + 1) {
        return;
    }
    // An error means that the thread is ending.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MOST {
            pool.push(buf);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_whole_and_what_is_in_use_or_large_does_not() {
        let mut buf = BytesMut::with_capacity(4_096);
        buf.extend_from_slice(b"head and body");
        let (at, body) = (buf.as_ptr(), buf.split_off(9).freeze());
        give(buf.clone());
        assert_eq!(take().capacity(), 0, "it is not empty");
        drop(body);
        buf.clear();
        give(buf);
        let mut again = take();
        again.reserve(9);
        assert_eq!(again.as_ptr(), at);
        give(BytesMut::with_capacity(LARGEST + 1));
        assert_eq!(take().capacity(), 0);
        for in_use in [false, true] {
            let mut large = BytesMut::zeroed(4 * LARGEST);
            let mut piece = Some(large.split_to(4 * LARGEST - 100));
            large.clear();
            piece.take_if(|_| !in_use);
            give(large);
            drop(piece);
            assert_eq!(take().capacity(), 0, "its memory is larger than what was left of it");
        }
        (0..2 * MOST).for_each(|_| give(BytesMut::with_capacity(1)));
        assert_eq!(POOL.with_borrow(Vec::len), MOST);
    }
}
