//! TLS 1.3: what a full and what a resumed handshake cost the proxy, and what large answers cost over it.
//!
//! Everybody has the same certificate (ECDSA P-256) and hands out tickets. Clients offer X25519 and AES-128-GCM only, so that the
//! same is agreed on everywhere. A handshake is measured with what belongs to it: the connection, and one small request.

use super::clients::{CALLERS, Load, callers};
use super::requests::cost;
use super::{Bench, Entrance, tell};
use crate::goal::Goal;
use anyhow::ensure;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, Stream};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const HOST: &str = "127.0.0.1";
const UNIT: &str = "µs of processor";
const FULL: &str = "TLS 1.3, a connection with a full handshake for each request, 291 B";
const RESUMED: &str = "the same, resumed by a ticket";
const BULK: &str = "TLS 1.3, 4 connections kept, answers of 10 MiB";

/// A certificate for this machine, with its key.
pub(super) struct Certificate {
    pub(super) cert: String,
    pub(super) key: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(super) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let cert = CertificateParams::new([HOST.to_owned()])?.self_signed(&key)?;
        Ok(Self {
            cert: cert.pem(),
            key: key.serialize_pem(),
            der: cert.der().clone(),
        })
    }
}

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let der = bench.behind.certificate.der.clone();
    let client = |resumes| Handshakes::new(&der, resumes);
    // Tickets are a server's own, so each has clients of its own.
    let full = client(false)?;
    let resumed = bench
        .contenders
        .iter()
        .map(|_| client(true))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bulk = Load::Tls {
        requests: (bench.args.requests / 1_000).max(4),
        connections: 4,
    };
    let count = bench.args.requests / 10;
    for round in 0..=bench.args.rounds {
        for (contender, resumed) in bench.contenders.iter().zip(&resumed) {
            let told = [
                (
                    FULL,
                    cost(contender, |port| full.run(port, count, true), Entrance::Tls)?,
                ),
                (
                    RESUMED,
                    cost(contender, |port| resumed.run(port, count, round > 0), Entrance::Tls)?,
                ),
                (BULK, cost(contender, |port| bulk.run(port, "/10m"), Entrance::Tls)?),
            ];
            // The first round warms everybody up, and brings the first tickets.
            for (title, value) in told.into_iter().filter(|_| round > 0) {
                tell(&mut bench.report, title, UNIT, contender, value);
            }
        }
    }
    for title in [FULL, RESUMED, BULK] {
        bench.report.goal(title, Goal::Times("HAProxy", 1.0));
    }
    Ok(())
}

/// Clients that make a connection for each request. Each has tickets of its own.
struct Handshakes {
    configs: Vec<Arc<ClientConfig>>,
    kind: HandshakeKind,
}

impl Handshakes {
    fn new(certificate: &CertificateDer<'static>, resumes: bool) -> anyhow::Result<Self> {
        let configs = (0..CALLERS).map(|_| config(certificate, resumes));
        Ok(Self {
            configs: configs.collect::<anyhow::Result<_>>()?,
            kind: if resumes {
                HandshakeKind::Resumed
            } else {
                HandshakeKind::Full
            },
        })
    }

    /// So many connections, one request on each; `strict`: every handshake must be of the kind that is wanted.
    fn run(&self, port: u16, count: u64, strict: bool) -> anyhow::Result<u64> {
        callers(count, |caller| {
            let config = &self.configs[caller];
            move || {
                let kind = ask(config, port)?;
                ensure!(
                    !strict || kind == Some(self.kind),
                    "a handshake was {kind:?} and not {:?}",
                    self.kind
                );
                Ok(())
            }
        })
    }
}

fn config(certificate: &CertificateDer<'static>, resumes: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = if resumes {
        Resumption::in_memory_sessions(8)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// One connection with one request, until the server closes it, so that its tickets have come.
fn ask(config: &Arc<ClientConfig>, port: u16) -> anyhow::Result<Option<HandshakeKind>> {
    let mut tls = ClientConnection::new(config.clone(), ServerName::try_from(HOST)?)?;
    let mut tcp = TcpStream::connect((HOST, port))?;
    tcp.set_nodelay(true)?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    stream.write_all(format!("GET /small HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Not everybody says good-bye before closing.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        other => drop(other?),
    }
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(tls.handshake_kind())
}
