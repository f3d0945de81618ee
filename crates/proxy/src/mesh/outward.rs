//! A way from a caller here to a service of another system.

use super::known::{Caller, Known, VERSIONS};
use crate::io::Io;
use crate::tls::certificate::provider;
use crate::tls::listener::Time;
use crate::tls::stream::Tls;
use ondol_core::clock::SharedClock;
use ondol_core::id::{ServiceName, SystemName};
use ondol_core::spiffe::SpiffeId;
use ondol_core::wire::proxy::Protocol;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// For the handshake, once the connection is there.
const LIMIT: Duration = Duration::from_secs(3);

/// The way. Its connections are its own: each says who called.
pub struct Outward {
    id: u64,
    known: Arc<Known>,
    caller: ServiceName,
    system: SystemName,
    clock: SharedClock,
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    protocol: Protocol,
}

impl std::fmt::Debug for Outward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "from {} to {:?}", self.caller, self.server)
    }
}

impl Outward {
    /// From `caller`, with the certificate that is its own at the time, to just that service.
    ///
    /// # Errors
    /// When the provider does not speak TLS 1.3.
    pub fn new(
        known: &Arc<Known>,
        caller: &ServiceName,
        to: &SpiffeId,
        protocol: Protocol,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let builder = ClientConfig::builder_with_details(provider().clone(), Arc::new(Time(clock.clone())));
        let builder = builder.with_protocol_versions(VERSIONS)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(known.clone());
        let mut config = builder.with_client_cert_resolver(Arc::new(Caller {
            known: known.clone(),
            service: caller.clone(),
        }));
        config.alpn_protocols = vec![alpn(protocol).to_vec()];
        config.resumption = Resumption::disabled();
        let server = ServerName::try_from(to.to_string()).map_err(|error| Error::General(error.to_string()))?;
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            known: known.clone(),
            caller: caller.clone(),
            system: to.domain.clone(),
            clock,
            config: Arc::new(config),
            server,
            protocol,
        })
    }

    /// What pools know it by: never the same for two ways of this process, and another once certificates or authorities are.
    pub fn id(&self) -> (u64, u64) {
        (self.id, self.known.era())
    }

    /// What is spoken on it.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes how a connection went: `Err` says why there is none.
    pub fn told(&self, result: Result<(), String>) {
        self.known.contacts.record(&self.system, self.clock.wall(), result);
    }

    /// Takes a connection through its handshake. When it is refused for the caller's certificate, that is only known from the
    /// first read on: TLS 1.3 has it so.
    ///
    /// # Errors
    /// Those of the socket; what is wrong with the other's certificate; `TimedOut` after 3 s.
    pub async fn secure(&self, socket: TcpStream) -> io::Result<Io> {
        if !self.known.can_show(&self.caller, self.clock.wall()) {
            return Err(io::Error::other(format!(
                "{} has no certificate that holds now",
                self.caller
            )));
        }
        let connection = ClientConnection::new(self.config.clone(), self.server.clone()).map_err(io::Error::other)?;
        let tls = Box::new(Tls::new(socket, connection));
        let shaken = std::future::poll_fn(|cx| tls.poll_handshake(cx));
        tokio::time::timeout(LIMIT, shaken)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within 3 s"))??;
        let agreed = tls.with(|connection| connection.alpn_protocol() == Some(alpn(self.protocol)));
        if !agreed {
            return Err(io::Error::other("it does not speak the protocol that was asked for"));
        }
        Ok(Io::Tls(tls))
    }
}

fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::H2c => b"h2",
    }
}
