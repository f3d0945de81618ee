//! The authority of a system: it says to other systems which service is which, by certificates that hold for a short time.
//!
//! Its key is made once and stays in one file, mode 0600, in `.ondol/mesh/`; what other systems are given is its certificate. Each
//! system has its own: no key is ever shared, and a peer's authority is believed for that peer's names alone.
//!
//! Sources: SPIFFE's X.509-SVID (sections 2 to 5) for what stands in certificates. Not here: when they are made anew
//! (`ondol-deploy`), who reads them (`ondol-proxy`).

use ondol_core::clock::Timestamp;
use ondol_core::id::{ServiceName, SystemName};
use ondol_core::spiffe::SpiffeId;
use ondol_core::whole::{self, Unwritten};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// How long an authority holds: ten years. It is not short-lived, since every peer has a copy.
const HOLDS: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// How a certificate begins in its file, behind the key.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Clocks of two machines may differ by so much.
const SKEW: Duration = Duration::from_secs(60);

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of it.
    #[error("{}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of it cannot be written.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// What is in its file is no key, or there is no randomness.
    #[error("{}: {source}", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A moment that no certificate can name.
    #[error("the clock is at a time that no certificate can name")]
    Clock,
}

/// A system's authority.
pub struct Authority {
    domain: SystemName,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
}

/// A certificate with its key.
pub struct Issued {
    /// Both, PEM, the key first: one file, so that they are never of two minds.
    pub pem: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Authority {
    /// Where that of a system is.
    pub fn file(folder: &Path, domain: &SystemName) -> PathBuf {
        folder.join(format!("{domain}.authority.pem"))
    }

    /// That of a system whose files are in `folder`; made now if there is none. Two that make it at the same time get the same.
    ///
    /// # Errors
    /// [`AuthorityError`]; what was there is as it was.
    pub fn open(folder: &Path, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        let (file, params) = (Self::file(folder, domain), authority_params(domain, now)?);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => make(folder, &file, &params)?,
            Err(error) => return Err(of_file(&file)(error)),
        };
        let key = KeyPair::from_pem(&text).map_err(of_key(&file))?;
        let pem = text.find(CERTIFICATE).map(|at| text[at..].to_owned());
        let pem = pem.ok_or_else(|| of_key(&file)(rcgen::Error::CouldNotParseCertificate))?;
        let (domain, issuer) = (domain.clone(), Issuer::new(params, key));
        Ok(Self {
            domain,
            issuer,
            pem,
            file,
        })
    }

    /// Its certificate: what peers keep as `authorities`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whose it is.
    pub fn domain(&self) -> &SystemName {
        &self.domain
    }

    /// A certificate for a service, with a new key. It holds from a minute before `now`.
    ///
    /// # Errors
    /// Without randomness, or at a time that no certificate can name.
    pub fn issue(&self, service: &ServiceName, now: Timestamp, lifetime: Duration) -> Result<Issued, AuthorityError> {
        let id = SpiffeId::new(self.domain.clone(), service.clone());
        let not_after = now.plus(lifetime);
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&id.to_string());
        params.subject_alt_names = vec![uri(&id.uri()).map_err(of_key(&self.file))?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (before(now)?, moment(not_after)?);
        let key = KeyPair::generate().map_err(of_key(&self.file))?;
        let cert = params.signed_by(&key, &self.issuer).map_err(of_key(&self.file))?;
        Ok(Issued {
            pem: key.serialize_pem() + &cert.pem(),
            not_after,
        })
    }
}

fn of_key(file: &Path) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    |source| AuthorityError::Key {
        file: file.into(),
        source,
    }
}

fn of_file(file: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    |source| AuthorityError::File {
        file: file.into(),
        source,
    }
}

/// A new key and its certificate in one file, which appears whole; unless somebody else has made one meanwhile: then that one.
fn make(folder: &Path, file: &Path, params: &CertificateParams) -> Result<String, AuthorityError> {
    let key = KeyPair::generate().map_err(of_key(file))?;
    let cert = params.self_signed(&key).map_err(of_key(file))?;
    let number: String = key
        .public_key_raw()
        .iter()
        .rev()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (own, text) = (
        folder.join(format!("authority-{number}.new")),
        key.serialize_pem() + &cert.pem(),
    );
    whole::write(&own, text.as_bytes())?;
    let linked = std::fs::hard_link(&own, file);
    std::fs::remove_file(&own).map_err(of_file(&own))?;
    match linked {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => std::fs::read_to_string(file).map_err(of_file(file)),
        Err(error) => Err(of_file(file)(error)),
    }
}

/// The same for the same system, but for the dates: a certificate names its issuer by this name and key.
fn authority_params(domain: &SystemName, now: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&format!("Ondol authority of {domain}"));
    let id = uri(&format!("spiffe://{domain}"));
    params.subject_alt_names = id.into_iter().collect();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (before(now)?, moment(now.plus(HOLDS))?);
    Ok(params)
}

fn name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn uri(text: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(text.try_into()?))
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000)).map_err(|_| AuthorityError::Clock)
}

fn before(now: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    moment(Timestamp(now.0.saturating_sub(SKEW.as_millis() as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, UnixTime};
    use std::os::unix::fs::PermissionsExt;
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    const NOW: Timestamp = Timestamp(1_763_856_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn shop() -> SystemName {
        "shop".parse().expect("a name")
    }

    /// Whether a certificate is good for both ends of a connection at that time, by webpki's word.
    fn holds(authority: &str, cert: &str, at: Timestamp) -> bool {
        let (authority, cert) = (authority.as_bytes(), cert.as_bytes());
        let root = CertificateDer::from_pem_slice(authority).expect("PEM");
        let own = CertificateDer::from_pem_slice(cert).expect("PEM");
        let anchors = [anchor_from_trusted_cert(&root).expect("an authority")];
        let own = EndEntityCert::try_from(&own).expect("a certificate");
        let now = UnixTime::since_unix_epoch(Duration::from_millis(at.0 as u64));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        [KeyUsage::server_auth(), KeyUsage::client_auth()]
            .into_iter()
            .all(|usage| {
                own.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None)
                    .is_ok()
            })
    }

    #[test]
    fn what_it_issues_holds_by_its_certificate_and_for_its_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::open(dir.path(), &shop(), NOW).expect("made");
        let issued = authority
            .issue(&"orders".parse().expect("a name"), NOW, HOUR)
            .expect("issued");
        assert_eq!(issued.not_after, NOW.plus(HOUR));
        for (at, good) in [
            (Timestamp(NOW.0 - 61_000), false),
            (Timestamp(NOW.0 - 59_000), true),
            (NOW, true),
            (NOW.plus(HOUR), true),
            (NOW.plus(HOUR + Duration::from_secs(1)), false),
        ] {
            assert_eq!(holds(authority.pem(), &issued.pem, at), good, "{at}");
        }
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("PEM");
        let own = EndEntityCert::try_from(&der).expect("a certificate");
        assert_eq!(
            own.valid_uri_names().collect::<Vec<_>>(),
            ["spiffe://shop/service/orders"]
        );
    }

    #[test]
    fn it_is_the_same_after_a_restart_and_its_key_is_nobody_elses() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Authority::open(dir.path(), &shop(), NOW).expect("made");
        let again = Authority::open(dir.path(), &shop(), NOW.plus(HOUR)).expect("read");
        assert_eq!(first.pem(), again.pem());
        let issued = again
            .issue(&"orders".parse().expect("a name"), NOW, HOUR)
            .expect("issued");
        assert!(holds(first.pem(), &issued.pem, NOW));
        let key = dir.path().join("shop.authority.pem");
        assert_eq!(
            std::fs::metadata(&key).expect("there").permissions().mode() & 0o777,
            0o600
        );
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");

        let other = Authority::open(dir.path(), &"other".parse().expect("a name"), NOW).expect("made");
        assert!(
            !holds(other.pem(), &issued.pem, NOW),
            "another system has another authority"
        );
    }

    #[test]
    fn all_that_make_it_at_once_get_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            let open = || {
                Authority::open(dir.path(), &shop(), NOW)
                    .expect("made")
                    .pem()
                    .to_owned()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let made: std::collections::BTreeSet<_> =
                all.into_iter().map(|one| one.join().expect("no panic")).collect();
            assert_eq!(made.len(), 1);
        });
    }

    #[test]
    fn a_broken_key_is_named_and_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = dir.path().join("shop.authority.pem");
        let whole = Authority::open(dir.path(), &shop(), NOW).map(|_| std::fs::read_to_string(&key).expect("there"));
        let whole = whole.unwrap_or_default();
        for broken in ["nonsense", whole.split(CERTIFICATE).next().expect("the key")] {
            std::fs::write(&key, broken).expect("written");
            let Err(error) = Authority::open(dir.path(), &shop(), NOW) else {
                panic!("it is no authority")
            };
            assert!(error.to_string().contains("shop.authority.pem"), "{error}");
            assert_eq!(std::fs::read_to_string(&key).expect("there"), broken);
        }
    }
}
