//! Authorities, certificates, listeners with TLS, and clients that speak it.

use crate::common::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{CertificateFiles, ClientCertificates, Protocol, Snapshot, Tls, TlsReport, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who signs certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| {})
    }

    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Pair {
            cert,
            key: key.serialize_pem(),
        }
    }

    /// For a client that is known by a URI.
    pub fn issue_to(&self, uri: &str) -> Pair {
        self.issue_with(&[], |params| {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("IA5"))];
        })
    }
}

impl Pair {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("PEM")]
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub fn write(&self, dir: &Path, name: &str) -> CertificateFiles {
        let files = CertificateFiles {
            cert: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        std::fs::write(&files.cert, &self.cert).expect("written");
        std::fs::write(&files.key, &self.key).expect("written");
        files
    }
}

pub fn tls(certificates: Vec<CertificateFiles>) -> Tls {
    Tls {
        certificates,
        client: None,
        min_version: TlsVersion::V12,
    }
}

pub fn asking(certificates: Vec<CertificateFiles>, ca: PathBuf, require: bool) -> Tls {
    Tls {
        client: Some(ClientCertificates { ca, require }),
        ..tls(certificates)
    }
}

/// An instance whose connections are given to `converse`, one after the other.
pub fn raw(converse: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let accepting = move || {
        while let Ok((stream, _)) = listener.accept() {
            converse(stream);
        }
    };
    Tasks::thread("instance", accepting).expect("a thread");
    address
}

/// Everything goes to this instance, over a listener with TLS.
pub fn secured(tls: Tls, instance: SocketAddr) -> Snapshot {
    let clusters = vec![cluster("echo", Protocol::Http1, &[instance])];
    let mut snapshot = snapshot(vec![route("/", "echo")], vec![], clusters);
    snapshot.gateways[0].tls = Some(tls);
    snapshot
}

/// A proxy whose listener has a certificate for these names, with an instance that tells what it got.
pub struct Bed {
    pub dir: tempfile::TempDir,
    pub authority: Authority,
    pub running: Running,
    pub controller: Controller,
}

impl Bed {
    pub fn new(names: &[&str]) -> Self {
        Self::to(names, instance(ok))
    }

    pub fn to(names: &[&str], instance: SocketAddr) -> Self {
        let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
        let files = authority.issue(names).write(dir.path(), "server");
        let (running, controller) = serving(dir.path(), &secured(tls(vec![files]), instance));
        Self {
            dir,
            authority,
            running,
            controller,
        }
    }

    /// A client that trusts the bed's authority.
    pub fn client(&self) -> Client {
        Client::trusting(&self.authority)
    }

    pub fn connect(&self, server: &str) -> Stream {
        self.client().connect(self.running.gateway, server).expect("TLS")
    }

    /// What the proxy tells of its listener once this holds.
    pub fn report(&mut self, holds: impl Fn(&TlsReport) -> bool) -> TlsReport {
        let report = self.controller.report(|report| report.tls.first().is_some_and(&holds));
        report.tls[0].clone()
    }

    /// Waits until so many handshakes came to this.
    pub fn counted(&mut self, outcome: &str, times: u64) {
        self.report(|tls| tls.handshakes.get(outcome) == Some(&times));
    }
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client of TLS; connections of one client share its sessions.
#[derive(Clone)]
pub struct Client(pub Arc<ClientConfig>);

pub const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

impl Client {
    pub fn trusting(authority: &Authority) -> Self {
        Self::with(authority, BOTH, None)
    }

    pub fn with(authority: &Authority, versions: &[&'static SupportedProtocolVersion], own: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
        roots.add(der).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(pair.chain(), key).expect("a pair")
            }
        };
        Self(Arc::new(config))
    }

    /// With other settings, and no sessions yet.
    pub fn but(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (*self.0).clone();
        config.resumption = rustls::client::Resumption::in_memory_sessions(16);
        change(&mut config);
        Self(Arc::new(config))
    }

    pub fn speaking(&self, protocols: &[&str]) -> Self {
        self.but(|config| config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    /// A connection after its handshake.
    pub fn connect(&self, address: SocketAddr, server: &str) -> io::Result<Stream> {
        let server = ServerName::try_from(server.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(self.0.clone(), server).expect("a client");
        let mut socket = connect(address);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}

pub fn kind(stream: &Stream) -> HandshakeKind {
    stream.conn.handshake_kind().expect("a handshake")
}

pub fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Status of an answer.
pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status line")
}

/// Takes whatever certificate it is shown.
#[derive(Debug)]
pub struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
