//! A stream of HTTP/2 to an instance as the far side of a tunnel (RFC 8441): DATA frames are its bytes.
//!
//! Bounds: what the instance says waits in the stream's window until it is taken; what is said to it in the connection's
//! send buffer. Dropping it before both sides have ended resets the stream, as dropping a connection would.

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

/// The stream, both ways. One task owns it and reads while it writes, so both go through a shared reference.
pub struct Far {
    says: RefCell<RecvStream>,
    /// The rest of a frame that was larger than what was asked for.
    rest: RefCell<Bytes>,
    hears: RefCell<SendStream<Bytes>>,
}

impl Far {
    /// Of a stream on which the instance has answered.
    pub fn new(hears: SendStream<Bytes>, says: RecvStream) -> Self {
        Self {
            says: says.into(),
            rest: RefCell::default(),
            hears: hears.into(),
        }
    }

    /// Reads at most `max` bytes behind those in `buf`; 0 at the end.
    pub fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let (mut says, mut rest) = (self.says.borrow_mut(), self.rest.borrow_mut());
        while rest.is_empty() {
            match ready!(says.poll_data(cx)) {
                Some(data) => *rest = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let n = rest.len().min(max);
        let piece = rest.split_to(n);
        buf.extend_from_slice(&piece);
        let opened = says.flow_control().release_capacity(n);
        Poll::Ready(opened.map(|()| n).map_err(io::Error::other))
    }

    /// Takes some of these bytes, at least one.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut hears = self.hears.borrow_mut();
        hears.reserve_capacity(bytes.len());
        while hears.capacity() == 0 {
            match ready!(hears.poll_capacity(cx)) {
                Some(room) => room.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let n = bytes.len().min(hears.capacity());
        let sent = hears.send_data(Bytes::copy_from_slice(&bytes[..n]), false);
        Poll::Ready(sent.map(|()| n).map_err(io::Error::other))
    }

    /// Ends the sending side; what was written still arrives.
    pub fn finish_sending(&self) {
        let _ = self.hears.borrow_mut().send_data(Bytes::new(), true); // A stream that is gone has ended too.
    }

    /// Makes its end a reset.
    pub fn reset(&self) {
        self.hears.borrow_mut().send_reset(Reason::CANCEL);
    }
}
