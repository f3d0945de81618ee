//! A certificate with its key, as two PEM files hold them: read, checked, and told apart by name.
//!
//! Names and signatures are read by `webpki`, as clients' certificates are; it keeps the dates to itself, so `ondol_core::x509`
//! walks to them.
//!
//! Not here: when the files are read (`files.rs`), which certificate a client gets (`keyring.rs`).

use ondol_core::clock::Timestamp;
use ondol_core::error::ErrorCode;
use ondol_core::x509::validity;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use webpki::EndEntityCert;

/// The largest file that is read, bytes: a chain is a few KiB, all authorities of an operating system 200 KiB.
pub const MAX_FILE: u64 = 1 << 20;

/// A certificate that ends within this is spoken of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Why a certificate, key or list of authorities cannot be used. Never says anything of a key but its file's name.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file.
    #[error("{} cannot be read: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its text.
    #[error("{} is not PEM: {why}", file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
        /// Where the text goes wrong.
        why: pem::Error,
    },
    /// Nothing of that kind is in it.
    #[error("{} has no {what}", file.display())]
    Nothing {
        /// Which.
        file: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
    },
    /// What is in it is no certificate.
    #[error("{} has a certificate that cannot be read", file.display())]
    NoCertificate {
        /// Which.
        file: PathBuf,
    },
    /// A key that cannot sign.
    #[error("{} has a key of a kind that is not spoken: {why}", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
    /// Another certificate's key.
    #[error("{} is not the key of {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl Unfit {
    /// Stable code; the page says what to do.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::new("GW-060")
    }

    /// The file that is to blame.
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::NotPem { file, .. }
            | Self::Nothing { file, .. }
            | Self::NoCertificate { file }
            | Self::Key { file, .. }
            | Self::Mismatch { key: file, .. } => file,
        }
    }
}

/// A certificate that a listener can serve with.
#[derive(Debug)]
pub struct Certificate {
    /// For rustls.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that it is for, lower case; `*.example.com` stands for one label.
    pub names: Vec<String>,
    /// Before this it is not valid.
    pub not_before: Timestamp,
    /// After this it is not valid.
    pub not_after: Timestamp,
}

/// Where in its life a certificate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dates {
    /// Nothing is to be said.
    Good,
    /// It is not valid yet.
    Early,
    /// Within two weeks.
    EndsSoon,
    /// Clients refuse it.
    Ended,
}

impl Dates {
    /// Where it is now.
    pub fn of(certificate: &Certificate, now: Timestamp) -> Self {
        match certificate {
            _ if now > certificate.not_after => Self::Ended,
            _ if now.plus(SOON) > certificate.not_after => Self::EndsSoon,
            _ if now < certificate.not_before => Self::Early,
            _ => Self::Good,
        }
    }

    /// What is to be said of it.
    pub fn words(self, certificate: &Certificate) -> Option<String> {
        let Certificate {
            not_before, not_after, ..
        } = certificate;
        match self {
            Self::Good => None,
            Self::Early => Some(format!("the certificate is not valid before {not_before}")),
            Self::EndsSoon => Some(format!("the certificate ends on {not_after}")),
            Self::Ended => Some(format!("the certificate ended on {not_after}")),
        }
    }
}

/// The one provider of cryptography: nothing depends on which one the process has installed.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

impl Certificate {
    /// Reads both files and checks that they belong together. Dates are not judged: see [`Dates`].
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn read(cert: &Path, key: &Path) -> Result<Self, Unfit> {
        Self::parse((cert, &contents(cert)?), (key, &contents(key)?))
    }

    /// The same of texts already read.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn parse((cert, chain): (&Path, &[u8]), (key, secret): (&Path, &[u8])) -> Result<Self, Unfit> {
        let chain = certificates(cert, chain)?;
        let secret = PrivateKeyDer::from_pem_slice(secret).map_err(|why| match why {
            pem::Error::NoItemsFound => Unfit::Nothing {
                file: key.into(),
                what: "private key that is not encrypted",
            },
            why => Unfit::NotPem { file: key.into(), why },
        })?;
        let unreadable = || Unfit::NoCertificate { file: cert.into() };
        let own = chain.first().ok_or_else(unreadable)?;
        let (not_before, not_after) = validity(own).ok_or_else(unreadable)?;
        let parsed = EndEntityCert::try_from(own).map_err(|_| unreadable())?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = CertifiedKey::from_der(chain, secret, provider()).map_err(|why| match why {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Unfit::Mismatch {
                cert: cert.into(),
                key: key.into(),
            },
            why => Unfit::Key { file: key.into(), why },
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            not_before,
            not_after,
        })
    }

    /// Whether it is for this host, in lower case.
    pub fn covers(&self, host: &str) -> bool {
        let wildcard = wildcard(host);
        self.names
            .iter()
            .any(|name| name == host || Some(name) == wildcard.as_ref())
    }
}

/// The name with its first label replaced by `*`.
pub fn wildcard(host: &str) -> Option<String> {
    host.split_once('.').map(|(_, rest)| format!("*.{rest}"))
}

/// Authorities whose certificates clients may show.
///
/// # Errors
/// [`Unfit`].
pub fn authorities(file: &Path, text: &[u8]) -> Result<RootCertStore, Unfit> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, text)? {
        roots
            .add(certificate)
            .map_err(|_| Unfit::NoCertificate { file: file.into() })?;
    }
    Ok(roots)
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|why| Unfit::NotPem { file: file.into(), why })?;
    if all.is_empty() {
        return Err(Unfit::Nothing {
            file: file.into(),
            what: "certificate",
        });
    }
    Ok(all)
}

/// When the last of the certificates of a PEM file ends; `None`: it has none that can be read.
pub fn last_end(text: &[u8]) -> Option<Timestamp> {
    let all = CertificateDer::pem_slice_iter(text).filter_map(|certificate| Some(validity(&certificate.ok()?)?.1));
    all.max()
}

/// A file's bytes, at most [`MAX_FILE`].
///
/// # Errors
/// [`Unfit::Unreadable`].
pub fn contents(file: &Path) -> Result<Vec<u8>, Unfit> {
    use io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|open| open.take(MAX_FILE + 1).read_to_end(&mut bytes));
    let read = read.and_then(|n| match n as u64 > MAX_FILE {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(bytes),
    });
    read.map_err(|source| Unfit::Unreadable {
        file: file.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn files(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        (params.not_before, params.not_after) = (date_time_ymd(1999, 12, 31), date_time_ymd(2120, 2, 29));
        (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
    }

    fn parse(cert: &str, key: &str) -> Result<Certificate, String> {
        let (cert, key) = (
            (Path::new("cert.pem"), cert.as_bytes()),
            (Path::new("key.pem"), key.as_bytes()),
        );
        Certificate::parse(cert, key).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn names_and_dates_are_those_of_the_certificate() {
        let (cert, key) = files(&["Shop.example", "*.shop.example", "192.0.2.1"]);
        let read = parse(&cert, &key).expect("a pair");
        assert_eq!(read.names, ["shop.example", "*.shop.example"]);
        assert_eq!(read.not_before.to_string(), "1999-12-31T00:00:00.000Z");
        assert_eq!(read.not_after.to_string(), "2120-02-29T00:00:00.000Z");
        for (host, covered) in [
            ("shop.example", true),
            ("api.shop.example", true),
            ("a.b.shop.example", false),
            ("example", false),
            ("xshop.example", false),
        ] {
            assert_eq!(read.covers(host), covered, "{host}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_no_key_is_shown() {
        let ((cert, key), (_, other)) = (files(&["a.example"]), files(&["b.example"]));
        let broken = cert.replace("-----END", "-----DNE");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (cert, key, why) in [
            (&*cert, &*other, "key.pem is not the key of cert.pem"),
            (&*key, &*key, "cert.pem has no certificate"),
            (&*cert, &*cert, "key.pem has no private key that is not encrypted"),
            ("", &*key, "cert.pem has no certificate"),
            (&*broken, &*key, "cert.pem is not PEM"),
            (garbage, &*key, "cert.pem has a certificate that cannot be read"),
        ] {
            let said = parse(cert, key).expect_err(why);
            assert!(said.starts_with(why), "{said}");
            assert!(key.lines().nth(1).is_none_or(|secret| !said.contains(secret)), "{said}");
        }
        let unreadable = Certificate::read(Path::new("/nowhere/c.pem"), Path::new("/nowhere/k.pem"));
        let said = unreadable.expect_err("no file").to_string();
        assert!(said.starts_with("/nowhere/c.pem cannot be read"), "{said}");
    }

    #[test]
    fn a_certificate_that_ends_is_spoken_of_for_two_weeks() {
        let (cert, key) = files(&["a.example"]);
        let read = parse(&cert, &key).expect("a pair");
        for (now, dates, said) in [
            (
                "1999-12-30T00:00:00.000Z",
                Dates::Early,
                "the certificate is not valid before 1999-12-31",
            ),
            ("2026-11-22T00:00:00.000Z", Dates::Good, ""),
            (
                "2120-02-20T00:00:00.000Z",
                Dates::EndsSoon,
                "the certificate ends on 2120-02-29",
            ),
            (
                "2120-03-01T00:00:00.000Z",
                Dates::Ended,
                "the certificate ended on 2120-02-29",
            ),
        ] {
            let found = Dates::of(&read, now.parse().expect("a time"));
            let words = found.words(&read).unwrap_or_default();
            assert!(
                found == dates && words.starts_with(said) && words.is_empty() == said.is_empty(),
                "{words}"
            );
        }
    }
}
