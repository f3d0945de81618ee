//! The authority of a system: it says to other systems which service is which, by certificates that hold for a short time.
//!
//! Its key is made once and stays in one file, mode 0600, in `.ondol/mesh/`; what other systems are given is its certificate. Each
//! system has its own: no key is ever shared, and a peer's authority is believed for that peer's names alone.
//!
//! It is changed in two steps, so that peers can believe both between them: the next one is made beside it, and one rename puts it in
//! its place. No certificate outlives the authority that it is of: verifiers do not look at an authority's own end.
//!
//! Sources: SPIFFE's X.509-SVID (sections 2 to 5) for what stands in certificates. Not here: when they are made anew
//! (`ondol-deploy`), who reads them (`ondol-proxy`).

use ondol_core::clock::Timestamp;
use ondol_core::id::{ServiceName, SystemName};
use ondol_core::spiffe::SpiffeId;
use ondol_core::whole::{self, Unwritten};
use ondol_core::x509;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// How long an authority holds: ten years. It is not short-lived, since every peer has a copy.
const HOLDS: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// How long before its end it is spoken of: peers need time to take another.
const SOON: Duration = Duration::from_secs(180 * 24 * 3_600);

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
    /// What is in its file does not belong together.
    #[error("{}: its certificate is not that of its key", .0.display())]
    Mismatch(PathBuf),
    /// Nothing can be issued any more.
    #[error("{}: the authority ended on {ends}; make another with `ondol mesh authority --next` and then `--switch`", file.display())]
    Ended {
        /// Which.
        file: PathBuf,
        /// When.
        ends: Timestamp,
    },
    /// It is switched, and whether the disk has it nobody knows.
    #[error("{}: the next authority is in its place, and a power cut may take that back: {source}", folder.display())]
    Unsynced {
        /// Where both are.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is none to switch to.
    #[error("{}: there is no next authority; make it with `ondol mesh authority --next`", .0.display())]
    NoNext(PathBuf),
    /// A moment that no certificate can name.
    #[error("the clock is at a time that no certificate can name")]
    Clock,
}

/// A system's authority.
pub struct Authority {
    domain: SystemName,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    ends: Timestamp,
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

    /// Where the one that follows it is.
    pub fn next_file(folder: &Path, domain: &SystemName) -> PathBuf {
        folder.join(format!("{domain}.authority.next.pem"))
    }

    /// That of a system whose files are in `folder`; made now if there is none. Two that make it at the same time get the same.
    ///
    /// # Errors
    /// [`AuthorityError`]; what was there is as it was. One that was made and could not be synced is there, and given by the next call.
    pub fn open(folder: &Path, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        Self::open_at(folder, Self::file(folder, domain), domain, now)
    }

    /// The one that follows it, which issues nothing yet; made now if there is none. Two that make it at the same time get the same.
    ///
    /// # Errors
    /// [`AuthorityError`]; what was there is as it was. One that was made and could not be synced is there, and given by the next call.
    pub fn open_next(folder: &Path, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        Self::open_at(folder, Self::next_file(folder, domain), domain, now)
    }

    /// That of a system, if there is one; nothing is made.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn find(folder: &Path, domain: &SystemName, now: Timestamp) -> Result<Option<Self>, AuthorityError> {
        let file = Self::file(folder, domain);
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::of(&text, file, domain, now).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_file(&file)(error)),
        }
    }

    /// Puts the next one in its place, by one rename: whoever is stopped before or after it leaves one that works. The key of the one
    /// before is gone. It waits for another that makes or switches one in this folder.
    ///
    /// # Errors
    /// [`AuthorityError`], and [`AuthorityError::NoNext`] without a next one; what was there is as it was, but for
    /// [`AuthorityError::Unsynced`].
    pub fn switch(folder: &Path, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        let (file, next) = (Self::file(folder, domain), Self::next_file(folder, domain));
        let gone = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => AuthorityError::NoNext(next.clone()),
            _ => of_file(&next)(error),
        };
        let _alone = alone(folder)?;
        let text = std::fs::read_to_string(&next).map_err(gone)?;
        let new = Self::of(&text, next.clone(), domain, now)?;
        new.still_holds(now)?;
        std::fs::rename(&next, &file).map_err(gone)?;
        keep_names(folder).map_err(|source| AuthorityError::Unsynced {
            folder: folder.into(),
            source,
        })?;
        Ok(Self { file, ..new })
    }

    fn open_at(folder: &Path, file: PathBuf, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => make(folder, &file, &authority_params(domain, now)?)?,
            Err(error) => return Err(of_file(&file)(error)),
        };
        // What is handed out must not be lost with a power cut, also where whoever made it was stopped before this.
        keep_names(folder).map_err(of_file(folder))?;
        Self::of(&text, file, domain, now)
    }

    fn of(text: &str, file: PathBuf, domain: &SystemName, now: Timestamp) -> Result<Self, AuthorityError> {
        let unreadable = || of_key(&file)(rcgen::Error::CouldNotParseCertificate);
        let key = KeyPair::from_pem(text).map_err(of_key(&file))?;
        let pem = text
            .find(CERTIFICATE)
            .map(|at| text[at..].to_owned())
            .ok_or_else(unreadable)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        let (_, ends) = x509::validity(&der).ok_or_else(unreadable)?;
        let public = key.public_key_raw();
        if !der.windows(public.len()).any(|part| part == public) {
            return Err(AuthorityError::Mismatch(file));
        }
        Ok(Self {
            domain: domain.clone(),
            issuer: Issuer::new(authority_params(domain, now)?, key),
            pem,
            ends,
            file,
        })
    }

    fn still_holds(&self, now: Timestamp) -> Result<(), AuthorityError> {
        match now < self.ends {
            true => Ok(()),
            false => Err(AuthorityError::Ended {
                file: self.file.clone(),
                ends: self.ends,
            }),
        }
    }

    /// Its certificate: what peers keep as `authorities`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whose it is.
    pub fn domain(&self) -> &SystemName {
        &self.domain
    }

    /// When it ends, and with it all that it issued.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// What is to be said of its end at `now`: from half a year before.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let (domain, ends) = (&self.domain, self.ends);
        (now.plus(SOON) >= ends).then(|| {
            format!("the authority of {domain} ends on {ends}: make the next one with `ondol mesh authority --next`")
        })
    }

    /// A certificate for a service, with a new key. It holds from a minute before `now`, and no longer than the authority.
    ///
    /// # Errors
    /// When the authority has ended. Without randomness, or at a time that no certificate can name.
    pub fn issue(&self, service: &ServiceName, now: Timestamp, lifetime: Duration) -> Result<Issued, AuthorityError> {
        let id = SpiffeId::new(self.domain.clone(), service.clone());
        self.still_holds(now)?;
        let not_after = now.plus(lifetime).min(self.ends);
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
    let _alone = alone(folder)?;
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        there => return there.map_err(of_file(file)),
    }
    let key = KeyPair::generate().map_err(of_key(file))?;
    let cert = params.self_signed(&key).map_err(of_key(file))?;
    let text = key.serialize_pem() + &cert.pem();
    whole::write(file, text.as_bytes())?;
    Ok(text)
}

/// Names are on the disk when this returns.
fn keep_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// As long as it is held no other process makes or switches an authority here.
fn alone(folder: &Path) -> Result<File, AuthorityError> {
    let held = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    held.map_err(of_file(folder))
}

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
#[path = "authority_tests.rs"]
mod tests;
