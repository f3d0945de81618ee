//! Which of a listener's certificates a client gets, and whether a request came to the right one. Pure.

use super::certificate::{Certificate, wildcard};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The certificates of a listener, in the manifest's order.
#[derive(Debug, Default)]
pub struct Keyring {
    certificates: Vec<Arc<Certificate>>,
    /// Exact names and `*.` ones; where two certificates have one name, the first has it.
    by_name: HashMap<String, usize>,
}

impl Keyring {
    /// Sorted by name.
    pub fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let mut by_name = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                by_name.entry(name.clone()).or_insert(index);
            }
        }
        Self { certificates, by_name }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// For a client that asks for this server: the one with the exact name, else the one with a wildcard for its first
    /// label, else the first. `None` only where there is none at all.
    pub fn choose(&self, server: Option<&str>) -> Option<&Arc<Certificate>> {
        server
            .and_then(|name| self.named(&name.to_ascii_lowercase()))
            .or(self.certificates.first())
    }

    /// The one that is for this host, in lower case.
    fn named(&self, host: &str) -> Option<&Arc<Certificate>> {
        let index = self.by_name.get(host);
        let index = index.or_else(|| self.by_name.get(&wildcard(host)?))?;
        self.certificates.get(*index)
    }

    /// Whether a request for `host` should have come over a connection with another certificate (RFC 9110, section 15.5.20).
    ///
    /// Only where the client has named a server, so that it could have named this one; where what it was shown is not for
    /// `host`; and where another certificate here is. A client may use one connection for all hosts of its certificate
    /// (RFC 9113, section 9.1.1), so that is never refused, and a host that no certificate is for is the routes' affair.
    pub fn is_misdirected(&self, server: Option<&str>, host: &str) -> bool {
        let Some(shown) = server.and_then(|server| self.choose(Some(server))) else {
            return false;
        };
        !shown.covers(host) && self.named(host).is_some()
    }
}

impl ResolvesServerCert for Keyring {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
            .map(|certificate| certificate.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::path::Path;

    fn certificate(names: &[&str]) -> Arc<Certificate> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let pem = params.expect("names").self_signed(&key).expect("signed").pem();
        let (cert, key) = ((Path::new("c"), pem.as_bytes()), (Path::new("k"), key.serialize_pem()));
        Arc::new(Certificate::parse(cert, (key.0, key.1.as_bytes())).expect("a pair"))
    }

    fn keyring() -> Keyring {
        Keyring::new(vec![
            certificate(&["shop.example", "www.shop.example"]),
            certificate(&["*.shop.example", "shop.example"]),
            certificate(&["admin.shop.example"]),
        ])
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_the_first_takes_the_rest() {
        let keyring = keyring();
        for (server, index) in [
            (Some("shop.example"), 0),
            (Some("WWW.shop.example"), 0),
            (Some("api.shop.example"), 1),
            (Some("admin.shop.example"), 2),
            (Some("a.api.shop.example"), 0),
            (Some("other.example"), 0),
            (Some("example"), 0),
            (None, 0),
        ] {
            let chosen = keyring.choose(server).expect("one");
            assert!(Arc::ptr_eq(chosen, &keyring.certificates[index]), "{server:?}");
        }
        assert!(Keyring::default().choose(Some("shop.example")).is_none());
    }

    #[test]
    fn a_request_is_misdirected_only_where_another_certificate_is_for_it() {
        let keyring = keyring();
        for (server, host, misdirected) in [
            (Some("shop.example"), "shop.example", false),
            (Some("shop.example"), "www.shop.example", false), // One connection for both: coalescing.
            (Some("api.shop.example"), "cdn.shop.example", false),
            (Some("api.shop.example"), "admin.shop.example", false), // The wildcard it was shown covers it.
            (Some("shop.example"), "admin.shop.example", true),
            (Some("admin.shop.example"), "shop.example", true),
            (Some("other.example"), "api.shop.example", true), // It was shown the first.
            (Some("shop.example"), "other.example", false),    // No certificate is for it: the routes decide.
            (Some("shop.example"), "192.0.2.1", false),
            (Some("shop.example"), "", false),
            (None, "admin.shop.example", false),
        ] {
            assert_eq!(keyring.is_misdirected(server, host), misdirected, "{server:?} {host}");
        }
    }
}
