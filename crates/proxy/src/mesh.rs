//! To and from the proxies of other systems, over mutual TLS with short-lived certificates.
//!
//! - [`known`]: who is believed to be whom, and who ours are: what the files hold now, and what rustls asks of it
//! - [`outward`]: a way from a caller here to a service there
//! - [`contacts`]: how connections to them went
//! - here: the files are looked at again and again; what comes in is served by the listener that [`Mesh::listener`] gives
//!
//! Invariants
//! - Each end of a connection has shown a certificate with one SPIFFE ID, signed by an authority of just that trust domain.
//! - Nothing is sent to another system but over such a connection, to the service that it is for.
//! - New certificates and authorities hold for connections from then on. Ours to others are left behind then; theirs go on until the
//!   certificate that they began with ends. None is resumed: each begins with certificates that hold now.
//!
//! Not here: who may call whom (`tables`), what a caller of another system may say of itself (`proxy/peer.rs`), who makes the
//! certificates (the controller).

pub mod contacts;
pub mod known;
pub mod outward;

use crate::tls::certificate::{Certificate, authorities, contents, last_end};
use crate::tls::files::{Next, PERIOD, digest};
use crate::tls::kept::Kept;
use crate::tls::listener::Listener;
use known::{Known, Material, Trust};
use ondol_core::clock::SharedClock;
use ondol_core::id::ServiceName;
use ondol_core::spiffe::SpiffeId;
use ondol_core::wire::proxy::{self as wire, CertificateReport, PeerReport, Protocol, TlsReport};
use outward::Outward;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As reports name the listener.
const NAME: &str = "mesh";

/// The way to and from other systems, as one snapshot has it.
pub struct Mesh {
    spec: wire::Mesh,
    clock: SharedClock,
    known: Arc<Known>,
    listener: Arc<Listener>,
    files: Mutex<Files>,
    ways: Mutex<Ways>,
}

/// By who calls whom.
type Ways = HashMap<(ServiceName, SpiffeId), Arc<Outward>>;

/// What the files gave, in the order of the snapshot.
struct Files {
    own: Vec<Kept<Arc<Certificate>>>,
    peers: Vec<Kept<Arc<Trust>>>,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Mesh {
    /// Reads the files that `before` has not read; of the others what was good stays good. What is wrong with them is logged and told in
    /// [`Mesh::report`]. In the same trust domain listener and ways go on.
    ///
    /// # Errors
    /// When the provider does not speak TLS 1.3.
    pub fn new(spec: &wire::Mesh, clock: SharedClock, before: Option<&Self>) -> Result<Self, rustls::Error> {
        let before = before.filter(|before| before.spec.domain == spec.domain);
        let known = before.map_or_else(
            || Arc::new(Known::new(spec.domain.clone())),
            |before| before.known.clone(),
        );
        let listener = match before {
            Some(before) => before.listener.clone(),
            None => {
                let config = known::server_config(&known, clock.clone())?;
                Arc::new(Listener::given(NAME, config, clock.clone()))
            }
        };
        let files = Files {
            own: spec.identities.iter().map(|own| identity(own, before)).collect(),
            peers: spec.peers.iter().map(|other| peer(other, before)).collect(),
        };
        let mesh = Self {
            ways: Mutex::new(before.map(|before| before.ways_of(spec)).unwrap_or_default()),
            spec: spec.clone(),
            listener,
            clock,
            known,
            files: Mutex::new(files),
        };
        mesh.use_what_is_good(&mesh.files());
        mesh.known
            .contacts
            .retain(|system| spec.peers.iter().any(|peer| peer.domain == *system));
        Ok(mesh)
    }

    /// The ways whose both ends another spec has too.
    fn ways_of(&self, spec: &wire::Mesh) -> Ways {
        let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |((caller, to), _): &(&(ServiceName, SpiffeId), &Arc<Outward>)| {
            spec.identities.iter().any(|own| own.service == *caller)
                && spec.peers.iter().any(|peer| peer.domain == to.domain)
        };
        ways.iter()
            .filter(stays)
            .map(|(key, way)| (key.clone(), way.clone()))
            .collect()
    }

    /// What connections from other systems begin with.
    pub fn listener(&self) -> Arc<Listener> {
        self.listener.clone()
    }

    /// The way from a caller here to a service there; the same one as long as this mesh is.
    ///
    /// # Errors
    /// When the cryptography gives no configuration.
    pub fn outward(
        &self,
        caller: &ServiceName,
        to: SpiffeId,
        protocol: Protocol,
    ) -> Result<Arc<Outward>, rustls::Error> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (caller.clone(), to);
        if let Some(way) = ways.get(&key).filter(|way| way.protocol() == protocol) {
            return Ok(way.clone());
        }
        let way = Arc::new(Outward::new(&self.known, caller, &key.1, protocol, self.clock.clone())?);
        ways.insert(key, way.clone());
        Ok(way)
    }

    /// Looks at the files, and uses what has changed. Reads small files; call every [`PERIOD`], on no worker.
    pub fn look(&self) {
        let (mut files, mut changed) = (self.files(), false);
        for (identity, kept) in self.spec.identities.iter().zip(&mut files.own) {
            if kept.watched.look(digest(pair(identity))) == Next::Load {
                changed |= load_identity(identity, kept);
            }
        }
        for (peer, kept) in self.spec.peers.iter().zip(&mut files.peers) {
            if kept.watched.look(digest([peer.authorities.as_path()])) == Next::Load {
                changed |= load_peer(peer, kept);
            }
        }
        if changed {
            self.use_what_is_good(&files);
            tracing::debug!("the mesh uses new certificates or authorities");
        }
    }

    /// How connections to other systems went.
    pub fn contacts(&self) -> Vec<PeerReport> {
        self.known.contacts.report()
    }

    /// How handshakes of others went, and how the files are.
    pub fn report(&self) -> TlsReport {
        let (files, now) = (self.files(), self.clock.wall());
        let own = self.spec.identities.iter().zip(&files.own).map(|(identity, kept)| {
            let ended = kept.good.as_ref().filter(|good| good.not_after < now);
            let ended = ended.map(|good| format!("the certificate ended on {}", good.not_after));
            CertificateReport {
                file: identity.files.cert.display().to_string(),
                not_after: kept.good.as_ref().map(|good| good.not_after),
                problem: kept.wrong.clone().or(ended),
            }
        });
        let peers = self
            .spec
            .peers
            .iter()
            .zip(&files.peers)
            .map(|(peer, kept)| CertificateReport {
                file: peer.authorities.display().to_string(),
                not_after: kept.good.as_ref().and_then(|good| good.ends),
                problem: kept.wrong.clone(),
            });
        TlsReport {
            certificates: own.chain(peers).collect(),
            ..self.listener.report()
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn use_what_is_good(&self, files: &Files) {
        let own = self.spec.identities.iter().zip(&files.own);
        let peers = self.spec.peers.iter().zip(&files.peers);
        self.known.set(Material {
            own: own
                .filter_map(|(identity, kept)| Some((identity.service.clone(), kept.good.clone()?)))
                .collect(),
            peers: peers
                .filter_map(|(peer, kept)| Some((peer.domain.clone(), kept.good.clone()?)))
                .collect(),
        });
    }
}

/// What is known of an identity's files: what it was before, or what they hold.
fn identity(spec: &wire::Identity, before: Option<&Mesh>) -> Kept<Arc<Certificate>> {
    let known = before.and_then(|before| {
        let at = before.spec.identities.iter().position(|known| known == spec)?;
        before.files().own.get(at).cloned()
    });
    known.unwrap_or_else(|| {
        let mut kept = Kept::new(digest(pair(spec)));
        load_identity(spec, &mut kept);
        kept
    })
}

/// The same of a peer's.
fn peer(spec: &wire::Peer, before: Option<&Mesh>) -> Kept<Arc<Trust>> {
    let known = before.and_then(|before| {
        let at = before.spec.peers.iter().position(|known| known == spec)?;
        before.files().peers.get(at).cloned()
    });
    known.unwrap_or_else(|| {
        let mut kept = Kept::new(digest([spec.authorities.as_path()]));
        load_peer(spec, &mut kept);
        kept
    })
}

fn pair(identity: &wire::Identity) -> [&Path; 2] {
    [&identity.files.cert, &identity.files.key]
}

/// Whether there is something new to use.
fn load_identity(identity: &wire::Identity, kept: &mut Kept<Arc<Certificate>>) -> bool {
    let taken = kept.take(Certificate::read(&identity.files.cert, &identity.files.key).map(Arc::new));
    tell(kept, &identity.files.cert);
    taken
}

/// The same of a peer's authorities.
fn load_peer(peer: &wire::Peer, kept: &mut Kept<Arc<Trust>>) -> bool {
    let read = contents(&peer.authorities).and_then(|text| {
        let roots = authorities(&peer.authorities, &text)?;
        Ok(Arc::new(Trust::new(roots, last_end(&text))))
    });
    let taken = kept.take(read);
    tell(kept, &peer.authorities);
    taken
}

fn tell<T>(kept: &Kept<T>, file: &Path) {
    if let Some(error) = &kept.wrong {
        let keeps = kept.good.is_some();
        tracing::error!(code = "GW-081", file = %file.display(), error, keeps_the_last_one = keeps, "a file of the mesh cannot be used");
    }
}

/// The mesh of the snapshot that is served; none where a system stands alone.
#[derive(Default)]
pub struct Current(Mutex<Option<Arc<Mesh>>>);

impl Current {
    /// That of a snapshot; one that is the same as before goes on. Reads the files of a new one.
    ///
    /// # Errors
    /// In words; the one before stays.
    pub fn apply(&self, spec: Option<&wire::Mesh>, clock: &SharedClock) -> Result<Option<Arc<Mesh>>, String> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = current.as_ref().map(|mesh| &mesh.spec) == spec;
        if !same {
            let new = spec.map(|spec| Mesh::new(spec, clock.clone(), current.as_deref()).map(Arc::new));
            *current = new
                .transpose()
                .map_err(|error| format!("the mesh cannot be used: {error}"))?;
        }
        Ok(current.clone())
    }

    /// It.
    pub fn get(&self) -> Option<Arc<Mesh>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at its files for ever.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Some(mesh) = self.get() {
                mesh.look();
            }
        }
    }
}
