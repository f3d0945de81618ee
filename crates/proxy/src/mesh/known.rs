//! Who is believed to be whom, and who ours are. What rustls asks of it is answered by what the files held last.

use super::contacts::Contacts;
use crate::tls::certificate::{Certificate, provider};
use crate::tls::listener::Time;
use arc_swap::ArcSwap;
use ondol_core::clock::{SharedClock, Timestamp};
use ondol_core::id::{ServiceName, SystemName};
use ondol_core::spiffe::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use webpki::EndEntityCert;

/// What is spoken with other systems: nothing older, since both ends are ours.
pub(super) const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The authorities of one trust domain.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// `None`: rustls takes none of them.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the last of them ends.
    pub(super) ends: Option<Timestamp>,
}

impl Trust {
    /// Those of a file.
    pub fn new(roots: RootCertStore, ends: Option<Timestamp>) -> Self {
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider().clone()).build();
        Self {
            roots,
            clients: clients.ok(),
            ends,
        }
    }
}

/// What the files hold.
#[derive(Default, Debug)]
pub struct Material {
    /// Our certificates.
    pub own: HashMap<ServiceName, Arc<Certificate>>,
    /// By trust domain.
    pub peers: HashMap<SystemName, Arc<Trust>>,
}

/// The same as it is now.
#[derive(Debug)]
pub struct Known {
    domain: SystemName,
    now: ArcSwap<Material>,
    /// Rises when something is replaced or gone.
    era: AtomicU64,
    /// How ways there went.
    pub(super) contacts: Contacts,
}

impl Known {
    /// Nobody, in this trust domain.
    pub fn new(domain: SystemName) -> Self {
        Self {
            domain,
            now: ArcSwap::default(),
            era: AtomicU64::new(0),
            contacts: Contacts::default(),
        }
    }

    /// From now on this holds.
    pub fn set(&self, material: Material) {
        let before = self.now.load();
        let same = stays(&before.peers, &material.peers, Arc::ptr_eq) && stays(&before.own, &material.own, Arc::ptr_eq);
        self.now.store(Arc::new(material));
        self.era.fetch_add(u64::from(!same), Ordering::Release);
    }

    /// Of certificates and authorities: what was begun in an earlier one is not gone on with, and so never outlives its certificate.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Whether a service of ours has a certificate to show.
    pub(super) fn can_show(&self, service: &ServiceName, now: Timestamp) -> bool {
        let own = self.now.load();
        own.own.get(service).is_some_and(|own| now <= own.not_after)
    }

    fn trust(&self, domain: &SystemName) -> Result<Arc<Trust>, Error> {
        let trust = self.now.load().peers.get(domain).cloned();
        trust.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
}

/// Whether all that was is as it was; there may be more.
fn stays<K: Hash + Eq, V>(before: &HashMap<K, V>, now: &HashMap<K, V>, same: impl Fn(&V, &V) -> bool) -> bool {
    before
        .iter()
        .all(|(key, old)| now.get(key).is_some_and(|new| same(new, old)))
}

/// The one SPIFFE ID of a certificate; with none of our form, or several URIs, it is nobody's (X.509-SVID, section 2).
fn id(certificate: &CertificateDer<'_>) -> Option<SpiffeId> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let mut uris = parsed.valid_uri_names();
    let id = SpiffeId::parse(uris.next()?)?;
    uris.next().is_none().then_some(id)
}

const NOBODY: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// What connections from other systems begin with.
///
/// # Errors
/// When the provider does not speak TLS 1.3.
pub fn server_config(known: &Arc<Known>, clock: SharedClock) -> Result<ServerConfig, Error> {
    let time = Arc::new(Time(clock));
    let builder = ServerConfig::builder_with_details(provider().clone(), time).with_protocol_versions(VERSIONS)?;
    let builder = builder.with_client_cert_verifier(known.clone());
    let mut config = builder.with_cert_resolver(known.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The service that another system asks for.
impl ResolvesServerCert for Known {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = SpiffeId::of_server(hello.server_name()?)?;
        let own = self.now.load();
        let own = own.own.get(&wanted.service).filter(|_| wanted.domain == self.domain);
        own.map(|own| own.key.clone())
    }
}

/// Callers of other systems.
impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // It is nobody's affair whom we believe.
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = self.trust(&id(own).ok_or(NOBODY)?.domain)?;
        let clients = trust.clients.as_ref().ok_or(NOBODY)?;
        clients.verify_client_cert(own, between, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Services of other systems: the one that was asked for, by its SPIFFE ID, and nobody else of its system.
impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        wanted: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let wanted = match wanted {
            ServerName::DnsName(name) => SpiffeId::of_server(name.as_ref()),
            _ => None,
        };
        let wanted = wanted.ok_or(NOBODY)?;
        if id(own).as_ref() != Some(&wanted) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        let trust = self.trust(&wanted.domain)?;
        let parsed = ParsedCertificate::try_from(own)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &trust.roots, between, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ClientCertVerifier::supported_verify_schemes(self)
    }
}

/// One of ours, on its way to another system.
#[derive(Debug)]
pub(super) struct Caller {
    pub known: Arc<Known>,
    pub service: ServiceName,
}

impl ResolvesClientCert for Caller {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let own = self.known.now.load();
        own.own.get(&self.service).map(|own| own.key.clone())
    }

    fn has_certs(&self) -> bool {
        self.known.now.load().own.contains_key(&self.service)
    }
}
