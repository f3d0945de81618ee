//! The seam between a protocol and the proxy: a server hands a [`Service`] each request with a [`Reply`] to answer it.

use crate::check::HeadError;
use crate::message::{Body, BodyError, RequestHead, ResponseHead};
use crate::pool::Slot;
use crate::timer::Timer;
use crate::tunnel::Far;
use bytes::BytesMut;
use std::task::{Context, Poll};
use std::time::Duration;

/// A request as it came in. Its body borrows the connection.
pub struct Request<'c> {
    /// Its head, without hop-by-hop fields and framing. Filters change it in place.
    pub head: &'c mut RequestHead,
    /// Its body.
    pub body: Body<'c>,
    /// The client asks for a WebSocket.
    pub websocket: bool,
}

/// The answer to a request.
#[derive(Default)]
pub struct Response<'b> {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Body<'b>,
    /// After a 101: what the client is joined with.
    pub tunnel: Option<Tunnel>,
}

/// The other end of a tunnel.
pub struct Tunnel {
    /// The upstream's side.
    pub upstream: Far,
    /// What it has said already.
    pub behind: BytesMut,
    /// Its place among the upstream's connections.
    pub slot: Slot,
    /// It ends when no byte has gone either way for so long.
    pub idle: Duration,
}

/// What became of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Body bytes written.
    pub bytes: u64,
    /// How it ended.
    pub end: End,
}

/// How an answer ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// All of it was written.
    Complete,
    /// The client went away or did not read.
    ClientGone,
    /// The body broke off; the client sees a broken connection or stream, never a shorter body.
    Broken(BodyError),
}

/// Where an answer goes.
pub trait Reply {
    /// Ready once the client has gone away; may stay pending for ever.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// A timer for the request, kept by the connection.
    fn timer(&mut self) -> &mut Timer;

    /// Sends the answer; at most once. How long its body may take is the body's affair.
    fn send(&mut self, response: Response<'_>) -> impl Future<Output = Sent>;
}

impl<R: Reply> Reply for &mut R {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        R::poll_gone(self, cx)
    }

    fn timer(&mut self) -> &mut Timer {
        R::timer(self)
    }

    fn send(&mut self, response: Response<'_>) -> impl Future<Output = Sent> {
        R::send(self, response)
    }
}

/// What serves requests.
pub trait Service {
    /// Serves one request. Returning without a call of [`Reply::send`] closes the connection or resets the stream.
    fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) -> impl Future<Output = ()>;

    /// The answer to a head that is no request; the connection or stream ends with it.
    fn refuse(&self, error: HeadError) -> Response<'static>;
}
