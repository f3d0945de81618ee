//! A listener with TLS: what its connections begin with, kept in step with its files.
//!
//! Invariants
//! - A connection lives with the configuration it began with; swapping one touches no connection.
//! - What cannot be used changes nothing: the last good certificate and the last good authorities stay. A listener that
//!   never had a good one lets nobody in, and goes on looking.
//! - Tickets are the listener's own. They outlive a new certificate, but not new authorities: whoever was let in by the
//!   old ones has to show a certificate again.

use super::certificate::{Certificate, Dates, authorities, contents, provider};
use super::files::{Next, PERIOD, digest};
use super::handshake::Outcome;
use super::kept::Kept;
use super::keyring::Keyring;
use arc_swap::ArcSwapOption;
use ondol_core::clock::{SharedClock, Timestamp};
use ondol_core::wire::proxy::{CertificateFiles, CertificateReport, Gateway, Tls, TlsReport, TlsVersion};
use ondol_core::wire::supervision::SocketName;
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a connection begins with.
#[derive(Debug)]
pub struct Serving {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The certificates that it chooses from.
    pub keyring: Arc<Keyring>,
}

/// A listener with TLS.
pub struct Listener {
    name: String,
    spec: Tls,
    clock: SharedClock,
    serving: ArcSwapOption<Serving>,
    handshakes: [AtomicU64; Outcome::ALL.len()],
    files: Mutex<Files>,
}

/// What its files gave.
struct Files {
    pairs: Vec<Kept<Arc<Certificate>>>,
    authorities: Option<Kept<Arc<RootCertStore>>>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Listener {
    /// Reads all files at once. What is wrong with them is logged and told in [`Listener::report`].
    pub fn new(name: &str, spec: &Tls, clock: SharedClock) -> Self {
        let pairs = spec.certificates.iter().map(|files| Kept::new(digest(paths(files))));
        let authorities = spec
            .client
            .as_ref()
            .map(|client| Kept::new(digest([client.ca.as_path()])));
        let files = Files {
            pairs: pairs.collect(),
            authorities,
            tickets: tickets(),
        };
        let listener = Self {
            name: name.to_owned(),
            spec: spec.clone(),
            clock,
            serving: ArcSwapOption::empty(),
            handshakes: Default::default(),
            files: Mutex::new(files),
        };
        let mut files = listener.files();
        for index in 0..spec.certificates.len() {
            listener.load_pair(&mut files, index);
        }
        listener.load_authorities(&mut files);
        listener.serve(&files);
        listener.judge_dates(&mut files);
        drop(files);
        listener
    }

    /// One that has no files: its connections begin with what is given here, which looks after itself.
    pub fn given(name: &str, config: ServerConfig, clock: SharedClock) -> Self {
        let serving = Serving {
            config: Arc::new(config),
            keyring: Arc::default(),
        };
        let files = Files {
            pairs: vec![],
            authorities: None,
            tickets: None,
        };
        Self {
            name: name.to_owned(),
            spec: Tls {
                certificates: vec![],
                client: None,
                min_version: TlsVersion::V13,
            },
            clock,
            serving: ArcSwapOption::from_pointee(serving),
            handshakes: Default::default(),
            files: Mutex::new(files),
        }
    }

    /// What a connection that comes now begins with; `None`: it cannot begin.
    pub fn serving(&self) -> Option<Arc<Serving>> {
        self.serving.load_full()
    }

    /// Counts a handshake.
    pub fn count(&self, outcome: Outcome) {
        self.handshakes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Time, for certificates.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Looks at the files, and serves with what has changed. Reads a few small files; call every [`PERIOD`], on no worker.
    pub fn look(&self) {
        let mut files = self.files();
        let mut changed = false;
        for (index, named) in self.spec.certificates.iter().enumerate() {
            if files.pairs[index].watched.look(digest(paths(named))) == Next::Load {
                changed |= self.load_pair(&mut files, index);
            }
        }
        if let (Some(client), Some(kept)) = (&self.spec.client, &mut files.authorities)
            && kept.watched.look(digest([client.ca.as_path()])) == Next::Load
            && self.load_authorities(&mut files)
        {
            files.tickets = tickets();
            changed = true;
        }
        if changed {
            self.serve(&files);
            tracing::info!(listener = self.name, "serving with new certificates");
        }
        self.judge_dates(&mut files);
    }

    /// What it has counted, and how its files are.
    pub fn report(&self) -> TlsReport {
        let count = |outcome: &Outcome| {
            let count = self.handshakes[*outcome as usize].load(Ordering::Relaxed);
            (outcome.as_str().to_owned(), count)
        };
        let files = self.files();
        let pairs = self.spec.certificates.iter().zip(&files.pairs);
        let pairs = pairs.map(|(named, kept)| {
            let dates = kept.good.as_ref().and_then(|good| kept.dates.words(good));
            CertificateReport {
                file: named.cert.display().to_string(),
                not_after: kept.good.as_ref().map(|good| good.not_after),
                problem: kept.wrong.clone().or(dates),
            }
        });
        let authorities = self.spec.client.iter().zip(&files.authorities);
        let authorities = authorities.map(|(client, kept)| CertificateReport {
            file: client.ca.display().to_string(),
            not_after: None,
            problem: kept.wrong.clone(),
        });
        TlsReport {
            listener: self.name.clone(),
            handshakes: Outcome::ALL.iter().map(count).filter(|(_, count)| *count > 0).collect(),
            certificates: pairs.chain(authorities).collect(),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something new to serve.
    fn load_pair(&self, files: &mut Files, index: usize) -> bool {
        let (named, kept) = (&self.spec.certificates[index], &mut files.pairs[index]);
        let taken = kept.take(Certificate::read(&named.cert, &named.key).map(Arc::new));
        if let Some(error) = &kept.wrong {
            let (listener, kept) = (&self.name, kept.good.is_some());
            tracing::error!(
                code = "GW-060",
                listener,
                error,
                keeps_the_last_one = kept,
                "a certificate cannot be served"
            );
        }
        taken
    }

    /// Whether there are new ones.
    fn load_authorities(&self, files: &mut Files) -> bool {
        let (Some(client), Some(kept)) = (&self.spec.client, &mut files.authorities) else {
            return false;
        };
        let read = contents(&client.ca).and_then(|text| authorities(&client.ca, &text));
        let taken = kept.take(read.map(Arc::new));
        if let Some(error) = &kept.wrong {
            let (listener, kept) = (&self.name, kept.good.is_some());
            tracing::error!(
                code = "GW-062",
                listener,
                error,
                keeps_the_last_ones = kept,
                "the authorities of clients cannot be used"
            );
        }
        taken
    }

    /// Makes the configuration of the good files: none without a certificate, or without the authorities that clients need.
    fn serve(&self, files: &Files) {
        let good = files.pairs.iter().filter_map(|kept| kept.good.clone());
        let keyring = Arc::new(Keyring::new(good.collect()));
        let authorities = files.authorities.as_ref().map(|kept| kept.good.as_ref());
        let config = match authorities {
            _ if keyring.is_empty() => None,
            Some(None) => None,
            authorities => self.config(&keyring, authorities.flatten(), files.tickets.as_ref()),
        };
        let serving = config.map(|config| {
            let config = Arc::new(config);
            Arc::new(Serving { config, keyring })
        });
        self.serving.store(serving);
    }

    fn config(
        &self,
        keyring: &Arc<Keyring>,
        authorities: Option<&Arc<RootCertStore>>,
        tickets: Option<&Arc<dyn ProducesTickets>>,
    ) -> Option<ServerConfig> {
        let versions: &[_] = match self.spec.min_version {
            TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V13 => &[&rustls::version::TLS13],
        };
        let time = Arc::new(Time(self.clock.clone()));
        let builder = ServerConfig::builder_with_details(provider().clone(), time).with_protocol_versions(versions);
        let builder = match authorities {
            None => builder.map(|builder| builder.with_no_client_auth()),
            Some(authorities) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider().clone());
                let required = self.spec.client.as_ref().is_some_and(|client| client.require);
                let verifier = if required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier
                    .build()
                    .inspect_err(|error| tracing::error!(code = "GW-062", %error, "clients cannot be verified"))
                    .ok()?;
                builder.map(|builder| builder.with_client_cert_verifier(verifier))
            }
        };
        // The provider speaks both versions, so this is never an error.
        let mut config = builder.ok()?.with_cert_resolver(keyring.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(tickets) = tickets {
            config.ticketer = tickets.clone();
        }
        Some(config)
    }

    /// Speaks of certificates that end, once when each of them begins to.
    fn judge_dates(&self, files: &mut Files) {
        let (now, listener) = (self.clock.wall(), &self.name);
        for (named, kept) in self.spec.certificates.iter().zip(&mut files.pairs) {
            let Some(certificate) = &kept.good else { continue };
            let dates = Dates::of(certificate, now);
            if std::mem::replace(&mut kept.dates, dates) == dates {
                continue;
            }
            if let Some(what) = dates.words(certificate) {
                tracing::warn!(code = "GW-061", listener, file = %named.cert.display(), "{what}");
            }
        }
    }
}

fn paths(files: &CertificateFiles) -> [&Path; 2] {
    [&files.cert, &files.key]
}

/// Keys for tickets, new ones every six hours. Without randomness there are none, and every handshake is a full one.
fn tickets() -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::aws_lc_rs::Ticketer::new().ok()
}

/// The clock of the process, for rustls.
pub(crate) struct Time(pub SharedClock);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl rustls::time_provider::TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = u64::try_from(self.0.wall().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since_epoch)))
    }
}

/// The listeners with TLS of a proxy, as long as snapshots have them.
#[derive(Default)]
pub struct Listeners {
    by_socket: Mutex<HashMap<SocketName, Arc<Listener>>>,
}

impl Listeners {
    /// Those of a snapshot; one that is the same as before goes on, with its counts and tickets. Reads the files of new ones.
    pub fn apply(&self, gateways: &[Gateway], clock: &SharedClock) -> HashMap<SocketName, Arc<Listener>> {
        let mut known = self.by_socket.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |gateway: &Gateway| {
            let spec = gateway.tls.as_ref()?;
            let socket = gateway.socket.listener();
            let same = known.get(&socket).filter(|known| known.spec == *spec);
            let listener = same
                .cloned()
                .unwrap_or_else(|| Arc::new(Listener::new(&gateway.name, spec, clock.clone())));
            Some((socket, listener))
        };
        let now: HashMap<_, _> = gateways.iter().filter_map(one).collect();
        known.clone_from(&now);
        now
    }

    /// Looks at their files for ever.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.all().iter().for_each(|listener| listener.look());
        }
    }

    /// Each of them.
    pub fn all(&self) -> Vec<Arc<Listener>> {
        let known = self.by_socket.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }
}
