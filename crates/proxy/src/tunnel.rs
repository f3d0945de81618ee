//! A WebSocket: after the upstream's 101 and not a byte earlier, bytes go both ways until both sides have ended.

use crate::exchange::{End, Sent, Tunnel};
use crate::io::Io;
use crate::timer::Timer;
use bytes::{Buf, BytesMut};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

const READ: usize = 16 << 10;

/// One direction.
struct Way {
    buf: BytesMut,
    open: bool,
    bytes: u64,
}

impl Way {
    fn new(buf: BytesMut) -> Self {
        Self {
            buf,
            open: true,
            bytes: 0,
        }
    }

    /// Carries bytes until there is nothing to do; ready at the end of this direction.
    fn poll(&mut self, cx: &mut Context<'_>, from: &Io, to: &Io, moved: &mut bool) -> Poll<io::Result<()>> {
        while self.open {
            while !self.buf.is_empty() {
                let n = ready!(to.poll_write_slices(cx, &[IoSlice::new(&self.buf)]))?;
                self.buf.advance(n);
                self.bytes += n as u64;
                *moved = true;
            }
            if ready!(from.poll_fill(cx, &mut self.buf, READ))? == 0 {
                to.finish_sending();
                self.open = false;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Joins a client, from which `rest` was already read, with an upstream; ends when both have ended, either failed or no
/// byte has gone either way for the tunnel's idle time. Counts the bytes to the client.
pub async fn join(client: &Io, rest: BytesMut, tunnel: Tunnel, timer: &mut Timer) -> Sent {
    let idle = tunnel.idle;
    let (upstream, behind, _slot) = tunnel.upstream.into_parts();
    let (mut up, mut down) = (Way::new(rest), Way::new(behind));
    timer.arm(idle);
    let end = std::future::poll_fn(|cx| {
        let mut moved = false;
        let ways = (
            up.poll(cx, client, &upstream, &mut moved),
            down.poll(cx, &upstream, client, &mut moved),
        );
        match ways {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::ClientGone),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Complete),
            _ => {}
        }
        if moved {
            timer.arm(idle);
        }
        timer.poll(cx).map(|()| End::Complete)
    })
    .await;
    Sent { bytes: down.bytes, end }
}
