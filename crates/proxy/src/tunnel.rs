//! A WebSocket: after the upstream's word and not a byte earlier, bytes go both ways.
//!
//! Either side is a connection that has switched (HTTP/1.1) or one stream among others (HTTP/2).

use crate::exchange::{End, Sent, Tunnel};
use crate::h2::far;
use crate::io::Io;
use crate::message::{Body, BodyError, Frame, Source};
use crate::pool::Slot;
use crate::timer::Timer;
use bytes::{Buf, Bytes, BytesMut};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

const READ: usize = 16 << 10;
/// A tunnel through which nothing goes ends after this.
pub const IDLE: Duration = Duration::from_secs(60);

/// The upstream's side.
pub enum Far {
    /// A connection of its own.
    Connection(Io),
    /// A stream of a connection that it shares.
    Stream(far::Far),
}

impl Far {
    fn reset_on_drop(&self) {
        match self {
            Self::Connection(io) => io.reset_on_drop(),
            Self::Stream(stream) => stream.reset(),
        }
    }
}

/// What bytes come from and go to. Each is as in [`Io`].
trait Side {
    fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>>;
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn finish_sending(&self);
}

impl Side for Io {
    fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll_fill(cx, buf, READ)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    fn finish_sending(&self) {
        self.finish_sending();
    }
}

impl Side for Far {
    fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Connection(io) => Side::poll_fill(io, cx, buf),
            Self::Stream(stream) => stream.poll_fill(cx, buf, READ),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Connection(io) => io.poll_write(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(io) => io.poll_flush(cx),
            Self::Stream(_) => Poll::Ready(Ok(())), // The connection's own task writes.
        }
    }

    fn finish_sending(&self) {
        match self {
            Self::Connection(io) => io.finish_sending(),
            Self::Stream(stream) => stream.finish_sending(),
        }
    }
}

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
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.open {
            while !self.buf.is_empty() {
                let n = ready!(to.poll_write(cx, &self.buf))?;
                self.buf.advance(n);
                self.bytes += n as u64;
                *moved = true;
            }
            ready!(to.poll_flush(cx))?;
            if ready!(from.poll_fill(cx, &mut self.buf))? == 0 {
                to.finish_sending();
                self.open = false;
            }
        }
        to.poll_flush(cx)
    }
}

/// Joins a client, from which `rest` was already read, with an upstream; ends when both have ended, either failed or no
/// byte has gone either way for the tunnel's idle time. Counts the bytes to the client.
pub async fn join(client: &Io, rest: BytesMut, tunnel: Tunnel, timer: &mut Timer) -> Sent {
    let Tunnel {
        upstream,
        behind,
        slot: _slot,
        idle,
    } = tunnel;
    carry(client, &upstream, (rest, behind), idle, timer).await
}

async fn carry(
    client: &Io,
    upstream: &impl Side,
    (rest, behind): (BytesMut, BytesMut),
    idle: Duration,
    timer: &mut Timer,
) -> Sent {
    let (mut up, mut down) = (Way::new(rest), Way::new(behind));
    timer.arm(idle);
    let end = std::future::poll_fn(|cx| {
        let mut moved = false;
        let ways = (
            up.poll(cx, client, upstream, &mut moved),
            down.poll(cx, upstream, client, &mut moved),
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

/// A tunnel whose client is a stream of HTTP/2: what passes on what the client says, to be polled as long as the tunnel
/// lasts, and the body that it hears. Either way goes on while the other one waits. It ends when the upstream does, or when
/// nothing has moved for the tunnel's idle time; the end of the client's side is passed on.
pub fn over_stream<'b>(client: Body<'b>, tunnel: Tunnel, mut timer: Timer) -> (Up<'b>, Body<'static>) {
    let Tunnel {
        upstream,
        behind,
        slot,
        idle,
    } = tunnel;
    let (upstream, moved) = (Rc::new(upstream), Rc::<Cell<bool>>::default());
    timer.arm(idle);
    let up = Up {
        client: Some(client),
        said: Bytes::new(),
        upstream: upstream.clone(),
        moved: moved.clone(),
    };
    let down = Down {
        upstream,
        behind,
        _slot: slot,
        idle,
        timer,
        moved,
    };
    (up, Body::stream(down, None))
}

/// From the client's stream to the upstream.
pub struct Up<'b> {
    /// Until it has ended its side, or the upstream takes no more.
    client: Option<Body<'b>>,
    /// Said and not passed on.
    said: Bytes,
    upstream: Rc<Far>,
    moved: Rc<Cell<bool>>,
}

impl Up<'_> {
    /// Goes on as far as both sides let it. That the upstream takes no more says nothing of what it has said already: how it
    /// ends is for the other way to find out.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        while self.client.is_some() {
            while !self.said.is_empty() {
                match self.upstream.poll_write(cx, &self.said) {
                    Poll::Ready(Ok(n @ 1..)) => self.said.advance(n),
                    Poll::Ready(_) => {
                        (self.client, self.said) = (None, Bytes::new());
                        return;
                    }
                    Poll::Pending => return,
                }
                self.moved.set(true);
            }
            let Some(Poll::Ready(frame)) = self.client.as_mut().map(|client| client.poll_frame(cx)) else {
                return;
            };
            match frame {
                Some(Ok(Frame::Data(data))) => self.said = data,
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(_)) => {
                    self.upstream.reset_on_drop(); // RFC 8441, section 5: a reset stream is a reset connection.
                    self.client = None;
                }
                None => {
                    self.upstream.finish_sending();
                    self.client = None;
                }
            }
        }
    }
}

/// From the upstream to the client's stream.
struct Down {
    upstream: Rc<Far>,
    behind: BytesMut,
    _slot: Slot,
    idle: Duration,
    timer: Timer,
    /// Something has moved since the last look.
    moved: Rc<Cell<bool>>,
}

impl Source for Down {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.moved.take() {
            self.timer.arm(self.idle);
        }
        if self.behind.is_empty() {
            match self.upstream.poll_fill(cx, &mut self.behind) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(None),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::Cut(error.to_string())))),
                Poll::Pending => return self.timer.poll(cx).map(|()| None),
            }
        }
        self.moved.set(true); // Until it is taken: whoever asks for the next piece has sent this one.
        Poll::Ready(Some(Ok(Frame::Data(self.behind.split().freeze()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TokioClock, settle};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    const SEC: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_on_both_sides_when_nothing_has_moved_for_its_time() {
        let (mut client, ours) = UnixStream::pair().expect("a pair");
        let (mut upstream, theirs) = UnixStream::pair().expect("a pair");
        let began = tokio::time::Instant::now();
        let mut timer = Timer::new(Arc::new(TokioClock::new()));
        let carrying = async {
            let (ours, theirs, behind) = (Io::Unix(ours), Io::Unix(theirs), BytesMut::from(&b"hello"[..]));
            carry(&ours, &theirs, (BytesMut::new(), behind), 60 * SEC, &mut timer).await
        };
        let talking = async {
            for _ in 0..3 {
                tokio::time::sleep(50 * SEC).await;
                client.write_all(b"still here ").await.expect("write");
                settle().await;
            }
            let (mut up, mut down) = (String::new(), String::new());
            client.read_to_string(&mut down).await.expect("read");
            upstream.read_to_string(&mut up).await.expect("read");
            (up, down)
        };
        let (sent, (up, down)) = tokio::join!(carrying, talking);
        assert_eq!((sent.bytes, sent.end), (5, End::Complete));
        assert_eq!((up, down), ("still here ".repeat(3), "hello".to_owned()));
        assert_eq!(began.elapsed().as_secs(), 3 * 50 + 60);
    }
}
