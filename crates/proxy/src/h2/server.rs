//! One client connection over HTTP/2: one task, all its streams in it.

use super::body::{Incoming, Outgoing, Stopped};
use super::{CONNECTION_WINDOW, MAX_STREAMS, STREAM_WINDOW, convert};
use crate::check::HeadError;
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::h1::server::{IDLE_TIMEOUT, WRITE_TIMEOUT};
use crate::io::Io;
use crate::message::{Body, BodyError, RequestHead};
use crate::timer::Timer;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, StatusCode};
use ondol_core::clock::SharedClock;
use ondol_core::task::Tasks;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For a client without streams to end a connection after it was asked to.
const LEAVE: Duration = Duration::from_secs(5);

/// A connection of which some bytes were read already.
struct Begun {
    io: Io,
    first: BytesMut,
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        if self.first.is_empty() {
            self.first = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Serves a connection until either side ends it; once `ending` has stopped, no new streams are taken. `first` holds what
/// was read of it already. When it ends under streams, each is still told so and leaves its record.
pub async fn serve<S: Service>(io: Io, first: BytesMut, clock: SharedClock, service: &S, ending: &Tasks) {
    let peer = io.peer().map(|address| address.ip());
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(crate::h1::head::MAX_HEAD as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_WINDOW as usize);
    let mut timer = Timer::new(clock.clone());
    timer.arm(crate::h1::server::HEAD_TIMEOUT);
    let Some(Ok(mut connection)) = timer.limit(builder.handshake::<_, Bytes>(Begun { io, first })).await else {
        return;
    };
    let mut streams = FuturesUnordered::new();
    let (mut told, mut leaving) = (std::pin::pin!(ending.stopping()), false);
    timer.arm(IDLE_TIMEOUT);
    loop {
        // Streams first: what they all have to say then leaves with the connection's one write.
        let next = std::future::poll_fn(|cx| {
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {
                timer.arm(if leaving { LEAVE } else { IDLE_TIMEOUT });
            }
            let mut leave = !leaving && told.as_mut().poll(cx).is_ready();
            while timer.poll(cx).is_ready() {
                match (streams.is_empty(), leaving) {
                    (true, true) => return Poll::Ready(None), // It was asked to end and does not.
                    (true, false) => leave = true,
                    (false, _) => {}
                }
                timer.arm(IDLE_TIMEOUT);
            }
            if leave {
                leaving = true;
                connection.graceful_shutdown();
                timer.arm(LEAVE);
            }
            // Last: this is what writes, a farewell too.
            connection.poll_accept(cx)
        })
        .await;
        match next {
            Some(Ok((request, respond))) => streams.push(stream(request, respond, peer, clock.clone(), service)),
            _ => break,
        }
    }
    drop(connection);
    while let Some(()) = streams.next().await {}
}

/// Serves one stream.
async fn stream<S: Service>(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: Option<IpAddr>,
    clock: SharedClock,
    service: &S,
) {
    let (parts, incoming) = request.into_parts();
    let mut head = RequestHead::default();
    let bodiless = parts.method == Method::HEAD;
    let mut reply = H2Reply {
        respond,
        timer: Timer::new(clock),
        bodiless,
        answered: false,
    };
    match convert::request(&parts, &mut head) {
        Ok(length) => {
            let body = match incoming.is_end_stream() {
                true if length.unwrap_or(0) > 0 => return reply.refuse(service.refuse(HeadError::ContentLength)).await,
                true => Body::Empty,
                false => Body::stream(Incoming::new(incoming), length),
            };
            service
                .serve(
                    Request {
                        head: &mut head,
                        body,
                        websocket: false,
                        peer,
                    },
                    &mut reply,
                )
                .await;
        }
        Err(error) => reply.refuse(service.refuse(error)).await,
    }
    if !reply.answered {
        reply.respond.send_reset(Reason::CANCEL);
    }
}

struct H2Reply {
    respond: SendResponse<Bytes>,
    timer: Timer,
    bodiless: bool,
    answered: bool,
}

impl H2Reply {
    async fn refuse(&mut self, response: Response<'static>) {
        self.send(response).await;
    }
}

impl Reply for H2Reply {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.poll_reset(cx).map(|_| ())
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    async fn send(&mut self, response: Response<'_>) -> Sent {
        let Response { head, mut body, .. } = response;
        self.answered = true;
        let no_content = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut message = http::Response::new(());
        *message.status_mut() = head.status;
        *message.headers_mut() = convert::headers(&head.fields);
        if self.bodiless || no_content {
            body = Body::Empty;
        } else if let Some(length @ 1..) = body.length() {
            message
                .headers_mut()
                .insert(http::header::CONTENT_LENGTH, length.into());
        }
        let Ok(stream) = self.respond.send_response(message, body.is_empty()) else {
            return Sent {
                bytes: 0,
                end: End::ClientGone,
            };
        };
        let mut outgoing = Outgoing::new(stream, body);
        let (mut seen, timer) = (u64::MAX, &mut self.timer);
        let end = std::future::poll_fn(|cx| {
            match outgoing.poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(End::Complete),
                Poll::Ready(Err(Stopped::Reset)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Err(Stopped::Body(error))) => return Poll::Ready(End::Broken(error)),
                Poll::Pending => {}
            }
            // Only a client that does not open its window is too slow; a body may take its time.
            match outgoing.is_stalled() {
                false => timer.disarm(),
                true if outgoing.sent != seen => timer.arm(WRITE_TIMEOUT),
                true => {}
            }
            seen = outgoing.sent;
            timer.poll(cx).map(|()| End::ClientGone)
        })
        .await;
        if !outgoing.is_done() {
            outgoing.reset(Reason::CANCEL);
        }
        if end == End::Broken(BodyError::TimedOut) {
            tracing::debug!("an answer's body did not come in time");
        }
        Sent {
            bytes: outgoing.sent,
            end,
        }
    }
}
