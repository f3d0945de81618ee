//! One client connection over HTTP/2: one task, all its streams in it.

use super::body::{Incoming, Outgoing, Stopped};
use super::outbox::Outbox;
use super::room::Room;
use super::wire::{Sending, Wire};
use super::{
    CONNECTION_WINDOW, MAX_ERROR_RESETS, MAX_PENDING_RESETS, MAX_REQUESTS, MAX_STREAMS, STREAM_WINDOW, convert,
};
use crate::check::HeadError;
use crate::ending::Ending;
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::h1::server::{IDLE_TIMEOUT, WRITE_TIMEOUT, linger};
use crate::io::Io;
use crate::message::{Body, BodyError};
use crate::pace::Pace;
use crate::scratch::Scratch;
use crate::timer::Timer;
use crate::tunnel;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, StatusCode};
use ondol_core::clock::SharedClock;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// For a client without streams to end a connection after it was asked to.
const LEAVE: Duration = Duration::from_secs(5);

/// Serves a connection until either side ends it; once the proxy leaves, no new streams are taken. `first` holds what
/// was read of it already, `peer` who is at its other end. When it ends under streams, each is still told so and leaves its record.
pub async fn serve<S: Service>(
    io: Io,
    peer: Option<IpAddr>,
    first: BytesMut,
    clock: SharedClock,
    service: &S,
    ending: &Ending,
) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(crate::h1::head::MAX_HEAD as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .enable_connect_protocol();
    let mut timer = Timer::new(clock.clone());
    timer.arm(crate::h1::server::HEAD_TIMEOUT);
    let out = Outbox::new(io);
    let wire = Wire::new(out.clone(), first, clock.clone());
    let watch = wire.watch();
    let Some(Ok(mut connection)) = timer.limit(pin!(builder.handshake::<_, Bytes>(wire))).await else {
        return;
    };
    let mut sending = Sending::new(out.clone(), &clock);
    let (mut streams, mut served, room) = (FuturesUnordered::new(), 0, Arc::<Room>::default());
    let (mut told, mut leaving, mut cut) = (pin!(ending.leaving()), false, false);
    // What had gone out when the wait for a client that is asked to end began; and whether the connection is of no use any more.
    let (mut before, mut broken) = (0, false);
    timer.arm(IDLE_TIMEOUT);
    loop {
        // Streams first: what they all have to say then leaves with the connection's one write.
        let next = std::future::poll_fn(|cx| {
            let mut waits = false;
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {
                timer.arm(if leaving { LEAVE } else { IDLE_TIMEOUT });
                waits = true;
            }
            let mut leave = !leaving && (served >= MAX_REQUESTS || told.as_mut().poll(cx).is_ready());
            while timer.poll(cx).is_ready() {
                match (streams.is_empty(), leaving) {
                    // It was asked to end and does not, nor is it still taking the rest of an answer.
                    (true, true) if out.moved() == before => {
                        broken = true;
                        return Poll::Ready(None);
                    }
                    (true, false) => leave = true,
                    _ => {}
                }
                timer.arm(if leaving { LEAVE } else { IDLE_TIMEOUT });
                waits = true;
            }
            if leave {
                leaving = true;
                connection.graceful_shutdown();
                timer.arm(LEAVE);
                waits = true;
            }
            // Behind the streams: this is what writes, a farewell too.
            let mut next = connection.poll_accept(cx);
            // A client that does not leave when it is asked to gets no more than the streams that were on their way.
            if !cut && (watch.is_flooded() || served > MAX_REQUESTS + MAX_STREAMS) {
                (cut, leaving) = (true, true);
                tracing::info!(
                    code = "GW-070",
                    ?peer,
                    "an HTTP/2 client asks too much that is no request; it is sent away"
                );
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                timer.arm(LEAVE);
                next = connection.poll_accept(cx);
            }
            // Last, and once for all that there is to say. A request that came is begun first.
            if !matches!(next, Poll::Ready(Some(Ok(_)))) && sending.poll(cx).is_ready() {
                broken = true;
                return Poll::Ready(None);
            }
            if waits {
                before = out.moved();
            }
            next
        })
        .await;
        match next {
            Some(Ok((request, respond))) => {
                served += 1;
                // Boxed where it will be, since it is large.
                let begun = stream(request, respond, clock.clone(), room.clone(), service);
                streams.push(Box::into_pin(Box::write(Box::new_uninit(), begun)));
            }
            _ => break,
        }
    }
    drop(connection);
    while let Some(()) = streams.next().await {}
    match broken {
        true => out.io().part(),
        // What is still on its way to the client would be lost with a reset.
        false => linger(out.io(), BytesMut::new(), &mut timer).await,
    }
}

/// Serves one stream.
async fn stream<S: Service>(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    clock: SharedClock,
    room: Arc<Room>,
    service: &S,
) {
    let (parts, incoming) = request.into_parts();
    let mut scratch = Scratch::take();
    let head = &mut scratch.head;
    let (bodiless, websocket) = (parts.method == Method::HEAD, convert::opens_websocket(&parts));
    let mut reply = H2Reply {
        respond,
        timer: Timer::new(clock.clone()),
        clock,
        room,
        bodiless,
        answered: false,
        websocket: None,
    };
    let converted = convert::request(&parts, head);
    drop(parts); // A head is held once.
    match converted {
        Ok(length) => {
            let body = match incoming.is_end_stream() {
                true if length.unwrap_or(0) > 0 => return reply.refuse(service.refuse(HeadError::ContentLength)).await,
                _ if websocket => {
                    reply.websocket = Some(Body::stream(Incoming::new(incoming), None));
                    Body::Empty
                }
                true => Body::Empty,
                false => Body::stream(Incoming::new(incoming), length),
            };
            service.serve(Request { head, body, websocket }, &mut reply).await;
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
    clock: SharedClock,
    room: Arc<Room>,
    bodiless: bool,
    answered: bool,
    /// What the client says once its WebSocket is open.
    websocket: Option<Body<'static>>,
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
        let Response {
            mut head,
            mut body,
            tunnel,
        } = response;
        self.answered = true;
        let mut up = None;
        match (self.websocket.take(), tunnel) {
            (Some(client), Some(tunnel)) => {
                let (says, hears) = tunnel::over_stream(client, tunnel, Timer::new(self.clock.clone()));
                (up, body) = (Some(says), hears);
            }
            // Whoever made it (a refusal in gRPC's words is a 200 too): here it would mean an open WebSocket.
            (Some(_), None) if head.status.is_success() => head.status = StatusCode::BAD_GATEWAY,
            _ => {}
        }
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
        let mut outgoing = Outgoing::new(stream, body, Some(self.room.clone()));
        let (mut seen, mut pace) = (0, Pace::new(WRITE_TIMEOUT, WRITE_TIMEOUT));
        let end = std::future::poll_fn(|cx| {
            if let Some(up) = &mut up {
                up.poll(cx); // First, and whatever the other way waits for.
            }
            match outgoing.poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(End::Complete),
                Poll::Ready(Err(Stopped::Reset)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Err(Stopped::Body(error))) => return Poll::Ready(End::Broken(error)),
                Poll::Pending => {}
            }
            // Only a client that does not open its window is too slow; a body may take its time.
            let now = self.clock.mono();
            if outgoing.sent != seen || !outgoing.is_stalled() {
                pace.moved(now, outgoing.sent - seen);
                seen = outgoing.sent;
            }
            if !outgoing.is_stalled() {
                return Poll::Pending;
            }
            self.timer.arm_at(pace.wait(now));
            self.timer.poll(cx).map(|()| End::ClientGone)
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
