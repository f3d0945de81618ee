//! From a TCP connection to a TLS one.
//!
//! A handshake has [`LIMIT`]; a client that says nothing costs a connection for that long and no cryptography. Plain HTTP is
//! known by its first byte and answered as what it is, since a closed connection would tell a person nothing.

use super::identity;
use super::listener::{Listener, Serving};
use super::stream::{Tls, refusal};
use crate::ending::Ending;
use crate::io::Io;
use crate::listener::in_time;
use ondol_core::clock::Timestamp;
use ondol_core::x509::validity;
use rustls::{Connection, HandshakeKind, ProtocolVersion, ServerConnection};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// From the connection to the end of the handshake.
pub const LIMIT: Duration = Duration::from_secs(3);

/// What became of a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A new session.
    Full,
    /// A session that went on by a ticket.
    Resumed,
    /// It took too long.
    TimedOut,
    /// The client ended the connection.
    Closed,
    /// Plain HTTP.
    PlainHttp,
    /// The client did not take what it was shown, mostly the certificate.
    Rejected,
    /// The client's certificate: none, unknown, or over.
    ClientCertificate,
    /// There is no certificate here.
    NoCertificate,
    /// No TLS, or none that is spoken here.
    Protocol,
}

impl Outcome {
    /// Each of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Full,
        Self::Resumed,
        Self::TimedOut,
        Self::Closed,
        Self::PlainHttp,
        Self::Rejected,
        Self::ClientCertificate,
        Self::NoCertificate,
        Self::Protocol,
    ];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::TimedOut => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Rejected => "rejected",
            Self::ClientCertificate => "client_certificate",
            Self::NoCertificate => "no_certificate",
            Self::Protocol => "protocol",
        }
    }

    fn of(error: &io::Error) -> Self {
        match refusal(error) {
            None => Self::Closed,
            Some(rustls::Error::AlertReceived(_)) => Self::Rejected,
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
                Self::ClientCertificate
            }
            Some(_) => Self::Protocol,
        }
    }
}

/// What was agreed, as far as requests need to know.
#[derive(Clone, Debug)]
pub struct Session {
    serving: Arc<Serving>,
    /// The server that the client named.
    server: Option<Box<str>>,
    /// As logs write it.
    pub version: &'static str,
    /// Who the client is by its certificate.
    pub client: Option<Box<str>>,
    /// When that certificate ends.
    pub client_until: Option<Timestamp>,
    /// Whether HTTP/2 was agreed; `None`: nothing was, the client's first bytes will tell.
    pub http2: Option<bool>,
}

impl Session {
    fn of(tls: &Tls, serving: Arc<Serving>) -> Self {
        tls.with(|connection| Self {
            serving,
            server: match connection {
                Connection::Server(connection) => connection.server_name().map(Into::into),
                Connection::Client(_) => None,
            },
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            client: connection
                .peer_certificates()
                .and_then(|chain| identity::name(chain.first()?))
                .map(Into::into),
            client_until: connection
                .peer_certificates()
                .and_then(|chain| validity(chain.first()?))
                .map(|(_, until)| until),
            http2: connection.alpn_protocol().map(|agreed| agreed == b"h2"),
        })
    }

    /// The server that the client named.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// See [`Keyring::is_misdirected`](super::keyring::Keyring::is_misdirected).
    pub fn is_misdirected(&self, host: &str) -> bool {
        self.serving.keyring.is_misdirected(self.server.as_deref(), host)
    }
}

/// What came of a connection.
pub enum Accepted {
    /// TLS.
    Secured(Io, Session),
    /// Plain HTTP, of which nothing was read.
    Plain(Io),
    /// Nothing; the client was told why where TLS has a word for it.
    Nothing,
}

/// Takes a connection through its handshake. Ends soon after the proxy was told to stop.
pub async fn accept(io: Io, listener: &Listener, ending: &Ending) -> Accepted {
    let Io::Tcp(socket) = io else {
        return Accepted::Nothing; // Gateways listen on TCP.
    };
    let shaken = in_time(LIMIT, ending, shake(socket, listener)).await;
    let (outcome, accepted) = shaken.unwrap_or((Outcome::TimedOut, Accepted::Nothing));
    listener.count(outcome);
    accepted
}

async fn shake(socket: TcpStream, listener: &Listener) -> (Outcome, Accepted) {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1) if first[0].is_ascii_uppercase() => return (Outcome::PlainHttp, Accepted::Plain(Io::Tcp(socket))),
        Ok(1) => {}
        _ => return (Outcome::Closed, Accepted::Nothing),
    }
    let Some(serving) = listener.serving() else {
        return (Outcome::NoCertificate, Accepted::Nothing);
    };
    let Ok(connection) = ServerConnection::new(serving.config.clone()) else {
        return (Outcome::Protocol, Accepted::Nothing); // Only where there is no randomness.
    };
    let tls = Box::new(Tls::new(socket, connection));
    if let Err(error) = std::future::poll_fn(|cx| tls.poll_handshake(cx)).await {
        tracing::debug!(%error, "a TLS handshake failed");
        return (Outcome::of(&error), Accepted::Nothing);
    }
    let resumed = tls.with(|connection| connection.handshake_kind() == Some(HandshakeKind::Resumed));
    let ended = tls.with(|connection| {
        let own = connection.peer_certificates().and_then(|chain| chain.first());
        own.is_some_and(|own| identity::has_ended(own, listener.now()))
    });
    if ended {
        // It was good when the session began, which is all that a ticket says.
        return (Outcome::ClientCertificate, Accepted::Nothing);
    }
    let session = Session::of(&tls, serving);
    let outcome = if resumed { Outcome::Resumed } else { Outcome::Full };
    (outcome, Accepted::Secured(Io::Tls(tls), session))
}
