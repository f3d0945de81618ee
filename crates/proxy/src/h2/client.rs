//! One exchange over a shared HTTP/2 connection to an instance.

use super::body::{Incoming, Outgoing, Stopped};
use super::far::Far;
use super::outbox::Outbox;
use super::{CONNECTION_WINDOW, STREAM_WINDOW, convert};
use crate::check::HeadError;
use crate::exchange::{Response, Tunnel};
use crate::io::Io;
use crate::message::{Body, BodyError, Frame, RequestHead, ResponseHead, Source};
use crate::pool::Slot;
use crate::tunnel;
use crate::websocket;
use bytes::{Bytes, BytesMut};
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{PingPong, Reason, RecvStream};
use http::{Method, StatusCode, Uri};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection under way. Somebody must [`drive`](Driver::drive) it.
pub struct Driver {
    connection: Connection<Outbox, Bytes>,
    out: Outbox,
}

impl Driver {
    /// What asks whether the other side is there; once.
    pub fn pings(&mut self) -> Option<PingPong> {
        self.connection.ping_pong()
    }

    /// Reads and writes until the connection ends. What requests have to say at one time leaves in one write.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn drive(mut self) -> io::Result<()> {
        self.out.gather();
        std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut self.connection).poll(cx);
            match self.out.poll_send(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => ended.map_err(io::Error::other),
            }
        })
        .await
    }
}

/// Begins HTTP/2 on a new connection: what sends requests, and what drives it.
///
/// # Errors
/// Those of the first writes.
pub async fn handshake(io: Io) -> Result<(SendRequest<Bytes>, Driver), h2::Error> {
    let out = Outbox::new(io);
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(crate::h1::head::MAX_RESPONSE_HEAD as u32)
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .enable_push(false)
        .handshake(out.clone())
        .await?;
    Ok((sender, Driver { connection, out }))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It is certain that the instance did not look at the request: refused stream, or the connection was going away.
    #[error("the instance did not take the request: {0}")]
    NotTaken(h2::Error),
    /// The stream or connection ended.
    #[error("the stream ended: {0}")]
    Ended(h2::Error),
    /// The answer is no HTTP.
    #[error("the answer is not HTTP: {0}")]
    Malformed(HeadError),
    /// The request cannot be said in HTTP/2.
    #[error("the request cannot be sent as HTTP/2")]
    Unsayable,
    /// The request's own body broke off.
    #[error("the request's body broke off: {0}")]
    Request(BodyError),
}

impl From<h2::Error> for ExchangeError {
    fn from(error: h2::Error) -> Self {
        // RFC 9113, section 8.7: these two guarantee that no processing has taken place.
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let going = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        if refused || going {
            Self::NotTaken(error)
        } else {
            Self::Ended(error)
        }
    }
}

/// Sends a request and awaits the head of its answer. `host` is the endpoint's address. `tunnel`: it asks for a WebSocket, and
/// the instance takes extended CONNECT.
///
/// # Errors
/// [`ExchangeError`].
///
/// # Cancellation
/// Resets the stream.
pub async fn exchange<'b>(
    sender: SendRequest<Bytes>,
    request: &RequestHead,
    host: &str,
    body: Body<'b>,
    tunnel: Option<Slot>,
) -> Result<Response<'b>, ExchangeError> {
    if let (Some(slot), Some(key)) = (tunnel, request.fields.get_str(websocket::KEY)) {
        return open(sender, request, host, key, slot).await;
    }
    let message = say(request, host, body.length()).ok_or(ExchangeError::Unsayable)?;
    let mut sender = sender.ready().await.map_err(ExchangeError::NotTaken)?;
    let (response, stream) = sender.send_request(message, body.is_empty())?;
    let mut call = Call {
        upload: Outgoing::new(stream, body, None),
        response,
    };
    let answer = std::future::poll_fn(|cx| call.poll(cx)).await?;
    let (parts, incoming) = answer.into_parts();
    let mut head = ResponseHead::default();
    let is_head = request.method == Method::HEAD;
    let length = convert::response(&parts, is_head, &mut head).map_err(ExchangeError::Malformed)?;
    let download = Download {
        incoming: Incoming::new(incoming),
        upload: call.upload,
    };
    // An answer that ends with its head leaves as one, though the request goes on: gRPC reads a status there only, and
    // nobody would carry the rest of the request behind the answer's end.
    let body = match download.incoming.is_ended() {
        true => Body::Empty,
        false => Body::stream(download, length.filter(|_| !is_head)),
    };
    Ok(Response {
        head,
        body,
        tunnel: None,
    })
}

/// Opens a WebSocket on a stream of its own (RFC 8441). There the key and its proof do not exist: the instance hears no key, and
/// the proof for whoever asked with one is made here.
async fn open<'b>(
    sender: SendRequest<Bytes>,
    request: &RequestHead,
    host: &str,
    key: &str,
    slot: Slot,
) -> Result<Response<'b>, ExchangeError> {
    let mut message = say(request, host, None).ok_or(ExchangeError::Unsayable)?;
    *message.method_mut() = Method::CONNECT;
    message.headers_mut().remove(websocket::KEY);
    message.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut sender = sender.ready().await.map_err(ExchangeError::NotTaken)?;
    let (response, mut hears) = sender.send_request(message, false)?;
    let (parts, says) = response.await?.into_parts();
    let mut head = ResponseHead::default();
    let length = convert::response(&parts, false, &mut head).map_err(ExchangeError::Malformed)?;
    head.fields.remove(websocket::ACCEPT);
    if !head.status.is_success() {
        let _ = hears.send_data(Bytes::new(), true); // There is nothing to say to it.
        return Ok(Response {
            head,
            body: Body::stream(Incoming::new(says), length),
            tunnel: None,
        });
    }
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    head.fields.set(websocket::ACCEPT, websocket::accept(key));
    Ok(Response {
        head,
        body: Body::Empty,
        tunnel: Some(Tunnel {
            upstream: tunnel::Far::Stream(Far::new(hears, says)),
            behind: BytesMut::new(),
            slot,
            idle: tunnel::IDLE,
        }),
    })
}

fn say(head: &RequestHead, host: &str, length: Option<u64>) -> Option<http::Request<()>> {
    let authority = if head.authority().is_empty() {
        host
    } else {
        head.authority()
    };
    let uri = Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(head.target())
        .build()
        .ok()?;
    let mut message = http::Request::new(());
    *message.method_mut() = head.method.clone();
    *message.uri_mut() = uri;
    *message.version_mut() = http::Version::HTTP_2;
    *message.headers_mut() = convert::headers(&head.fields);
    if let Some(length @ 1..) = length {
        message
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length.into());
    }
    Some(message)
}

struct Call<'b> {
    upload: Outgoing<'b>,
    response: ResponseFuture,
}

impl Call<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<http::Response<RecvStream>, ExchangeError>> {
        if let Poll::Ready(Err(Stopped::Body(error))) = self.upload.poll(cx) {
            return Poll::Ready(Err(ExchangeError::Request(error)));
        }
        Pin::new(&mut self.response).poll(cx).map_err(ExchangeError::from)
    }
}

/// The answer's body, with the rest of the request's.
struct Download<'b> {
    incoming: Incoming,
    upload: Outgoing<'b>,
}

impl Source for Download<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Poll::Ready(Err(Stopped::Body(error))) = self.upload.poll(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        self.incoming.poll_frame(cx)
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        if !self.upload.is_done() {
            self.upload.reset(Reason::CANCEL);
        }
    }
}
