//! One attempt at one endpoint: a connection from the pool or a new one, then the exchange.
//!
//! What went wrong says whether the request can have been seen: [`Failure::is_not_sent`] is certain, all else is doubt.

use crate::answer::Word;
use crate::check::HeadError;
use crate::exchange::Response;
use crate::h1::client::{self, Conn, ExchangeError};
use crate::h2::client as http2;
use crate::io::Io;
use crate::mesh::outward::Outward;
use crate::message::{Body, BodyError, RequestHead};
use crate::pool::{Key, Pool, Shelf, Slot};
use bytes::Bytes;
use h2::client::SendRequest;
use ondol_core::wire::proxy::Protocol;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// For a connection to be there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where an attempt goes.
#[derive(Clone, Debug)]
pub enum Place<'a> {
    /// An instance: its address, the number of its life, and how to speak to it.
    Instance(SocketAddr, u64, Protocol),
    /// A proxy of another system: its address, the number of its life, and the way there.
    Peer(SocketAddr, u64, &'a Outward),
    /// The controller's socket.
    Controller(&'a Path),
}

/// Why an attempt has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there, the system refuses a connection, or TLS with another system came to nothing.
    #[error("could not connect: {0}")]
    Refused(io::Error),
    /// No connection in time.
    #[error("no connection within 1 s")]
    ConnectTimeout,
    /// Too many connections to this endpoint.
    #[error("there are too many connections to it already")]
    TooMany,
    /// It ended the connection.
    #[error("it ended the connection {}: {source}", if *.heard { "in the middle of its answer's head" } else { "without an answer" })]
    Ended {
        /// Whether a byte of the answer had come.
        heard: bool,
        /// Whether the connection had carried exchanges before.
        reused: bool,
        /// What the system says.
        source: io::Error,
    },
    /// Its answer is not HTTP.
    #[error("its answer is not HTTP: {0}")]
    Malformed(HeadError),
    /// The client's body broke off.
    #[error("the request's body broke off: {0}")]
    Request(BodyError),
}

impl Failure {
    /// Its error word.
    pub fn word(&self) -> Word {
        match self {
            Self::Refused(_) => Word::ConnectionRefused,
            Self::ConnectTimeout => Word::ConnectionTimeout,
            Self::TooMany => Word::ConnectionLimitReached,
            Self::Ended { heard: true, .. } => Word::HttpResponseIncomplete,
            Self::Ended { .. } => Word::ConnectionTerminated,
            Self::Malformed(_) => Word::HttpProtocolError,
            Self::Request(_) => Word::HttpRequestError,
        }
    }

    /// Whether it is certain that no instance saw the request.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::ConnectTimeout | Self::TooMany)
    }

    /// Whether a kept connection had just been closed: one more try on a new one costs nobody anything.
    pub fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::Ended {
                heard: false,
                reused: true,
                ..
            }
        )
    }
}

/// A connection that is ready for an exchange.
pub struct Ready {
    way: Way,
    address: Option<SocketAddr>,
}

enum Way {
    Http1(Conn, Rc<Shelf>),
    /// With a place for a tunnel, where it is for one and the instance takes them.
    Http2(SendRequest<Bytes>, Option<Slot>),
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// An exchange, after others or not.
    Exchange,
    /// An exchange that a connection which was closed just now would spoil: a new one.
    First,
    /// A WebSocket, which keeps it: a new one, and none of the last half of those that may be open.
    Tunnel,
}

/// Gets a connection, kept or new. Nothing of a request is sent by this.
///
/// # Errors
/// [`Failure::Refused`], [`Failure::ConnectTimeout`], [`Failure::TooMany`].
pub async fn connect(pool: &Pool, place: &Place<'_>, purpose: Use) -> Result<Ready, Failure> {
    let (key, address) = match place {
        Place::Instance(address, life, _) => (Key::Instance(*address, *life), Some(*address)),
        Place::Peer(address, life, way) => (Key::Peer(*address, *life, way.id()), Some(*address)),
        Place::Controller(_) => (Key::Controller, None),
    };
    // Boxed: most requests find a connection, and every one would have room for this.
    let dialled = || {
        Box::pin(async {
            let dialling = tokio::time::timeout(CONNECT_TIMEOUT, dial(place));
            let io = dialling.await.unwrap_or(Err(Failure::ConnectTimeout));
            let Place::Peer(_, _, way) = place else { return io };
            let secured = match io {
                Ok(Io::Tcp(socket)) => way.secure(socket).await.map_err(Failure::Refused),
                other => other,
            };
            way.told(secured.as_ref().map(drop).map_err(Failure::to_string));
            secured
        })
    };
    let http2 = match place {
        Place::Instance(_, _, protocol) => *protocol == Protocol::H2c,
        Place::Peer(_, _, way) => way.protocol() == Protocol::H2c,
        Place::Controller(_) => false,
    };
    if http2 {
        let sender = pool.http2(&key, dialled).await?;
        let opens = purpose == Use::Tunnel && {
            let asking = tokio::time::timeout(CONNECT_TIMEOUT, pool.takes_connect(&key, &sender));
            asking.await.map_err(|_| Failure::ConnectTimeout)?
        };
        let slot = match opens {
            true => Some(pool.shelf(&key).slot(purpose).ok_or(Failure::TooMany)?),
            false => None,
        };
        return Ok(Ready {
            way: Way::Http2(sender, slot),
            address,
        });
    }
    let shelf = pool.shelf(&key);
    if let Some(conn) = (purpose == Use::Exchange).then(|| shelf.take()).flatten() {
        return Ok(Ready {
            way: Way::Http1(conn, shelf),
            address,
        });
    }
    let slot = shelf.slot(purpose).ok_or(Failure::TooMany)?;
    Ok(Ready {
        way: Way::Http1(Conn::new(dialled().await?, slot), shelf),
        address,
    })
}

async fn dial(place: &Place<'_>) -> Result<Io, Failure> {
    ondol_core::fault::pass("proxy.dial").map_err(|fault| Failure::Refused(io::Error::other(fault)))?;
    match place {
        Place::Instance(address, ..) | Place::Peer(address, ..) => {
            let stream = TcpStream::connect(address).await.map_err(Failure::Refused)?;
            let _ = stream.set_nodelay(true);
            Ok(Io::Tcp(stream))
        }
        Place::Controller(path) => {
            let (name, _folder) = ondol_core::unix::short(path).map_err(Failure::Refused)?;
            match UnixStream::connect(name).await {
                Ok(stream) => Ok(Io::Unix(stream)),
                // The backlog is full.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Failure::TooMany),
                Err(error) => Err(Failure::Refused(error)),
            }
        }
    }
}

impl Ready {
    /// Sends the request and awaits the head of the answer.
    ///
    /// # Errors
    /// [`Failure`]; after it the body is spent as far as it was read.
    ///
    /// # Cancellation
    /// Closes the connection.
    pub async fn exchange<'b>(
        self,
        request: &RequestHead,
        body: Body<'b>,
        websocket: bool,
    ) -> Result<Response<'b>, Failure> {
        // HTTP/1.0 need not name a host.
        let host = match self.address {
            _ if !request.authority().is_empty() => String::new(),
            Some(address) => address.to_string(),
            None => "controller".to_owned(),
        };
        match self.way {
            Way::Http1(conn, shelf) => {
                let reused = conn.is_reused();
                let result = client::exchange(conn, Some(shelf), request, &host, body, websocket).await;
                result.map_err(|error| match error {
                    ExchangeError::Ended { heard, source } => Failure::Ended { heard, reused, source },
                    ExchangeError::Malformed(why) => Failure::Malformed(why),
                    ExchangeError::Request(why) => Failure::Request(why),
                })
            }
            Way::Http2(sender, tunnel) => Ok(http2::exchange(sender, request, &host, body, tunnel).await?),
        }
    }
}

impl From<http2::ExchangeError> for Failure {
    fn from(error: http2::ExchangeError) -> Self {
        match error {
            http2::ExchangeError::NotTaken(error) => Self::Refused(io::Error::other(error)),
            http2::ExchangeError::Ended(error) => Self::Ended {
                heard: false,
                reused: false,
                source: io::Error::other(error),
            },
            http2::ExchangeError::Malformed(why) => Self::Malformed(why),
            http2::ExchangeError::Unsayable => Self::Malformed(HeadError::FieldValue),
            http2::ExchangeError::Request(why) => Self::Request(why),
        }
    }
}

impl From<h2::Error> for Failure {
    /// A handshake that failed: no request was sent.
    fn from(error: h2::Error) -> Self {
        Self::Refused(io::Error::other(error))
    }
}
