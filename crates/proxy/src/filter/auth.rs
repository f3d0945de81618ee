//! Who may use a route: bearer tokens checked against their issuer's keys, then scope and role.
//!
//! A signature check costs 20 to 60 µs, so verified tokens are remembered by their SHA-256 until they expire or the
//! issuer's keys change. [`Guard::admit`] waits, at most [`PATIENCE`], only when a key is missed that a fetch may bring;
//! [`Authority::keep_keys`] does the fetching, as one task per proxy.
//!
//! Refusals follow RFC 6750: 401 with `WWW-Authenticate` for a missing or bad token, 403 for a good one that may not.

use super::Denied;
use super::identity::Identity;
use super::issuer::{Issuer, Refusal, lock};
use super::keys;
use super::token::BadToken;
use crate::answer::Word;
use crate::message::RequestHead;
use bytes::Bytes;
use http::StatusCode;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use ondol_core::error::ErrorCode;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy as wire;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a request waits for a key.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long one fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);

/// Fetches key sets: through the cluster of the issuer's service, as caller `ondol`.
pub trait KeySource {
    /// The body of a 200; at most [`keys::LARGEST`] bytes are wanted.
    fn fetch(&self, service: &ServiceName, path: &str) -> impl Future<Output = Result<Bytes, String>>;
}

/// All issuers of a proxy.
pub struct Authority {
    issuers: Mutex<BTreeMap<String, Arc<Issuer>>>,
    clock: SharedClock,
    entropy: SharedEntropy,
    /// Where the last good sets are kept.
    folder: Option<PathBuf>,
    /// Rung when a fetch may have become due.
    wanted: Notify,
}

impl Authority {
    /// One without issuers. Key sets are kept in `folder`, if there is one.
    pub fn new(clock: SharedClock, entropy: SharedEntropy, folder: Option<PathBuf>) -> Self {
        Self {
            issuers: Mutex::default(),
            clock,
            entropy,
            folder,
            wanted: Notify::new(),
        }
    }

    /// Takes a snapshot's issuers; one that is the same keeps its keys and tokens. Reads a small file for a new one.
    /// Fetches that failed are made again at once: the snapshot may have brought the instance that was missing.
    pub fn apply(&self, specs: &BTreeMap<String, wire::Issuer>) {
        let mut issuers = lock(&self.issuers);
        issuers.retain(|name, issuer| specs.get(name) == Some(&issuer.spec));
        for (name, spec) in specs {
            issuers.entry(name.clone()).or_insert_with(|| {
                let now = self.clock.wall();
                let kept = self
                    .folder
                    .as_deref()
                    .and_then(|folder| keys::kept(folder, name, spec, now));
                Arc::new(Issuer::new(name, spec, kept))
            });
        }
        for issuer in issuers.values() {
            lock(&issuer.schedule).hurry();
        }
        drop(issuers);
        self.wanted.notify_one();
    }

    /// The guard of a route; `None` when the snapshot has no such issuer. Make it once per snapshot, after `apply`.
    pub fn guard(self: &Arc<Self>, auth: &wire::Auth) -> Option<Guard> {
        let issuer = lock(&self.issuers).get(&auth.issuer)?.clone();
        Some(Guard {
            authority: self.clone(),
            issuer,
            auth: auth.clone(),
        })
    }

    /// Fetches each issuer's keys when they are due. Run it once per proxy, where `source` can.
    pub async fn keep_keys(&self, source: impl KeySource) {
        loop {
            let issuers: Vec<_> = lock(&self.issuers).values().cloned().collect();
            let now = self.clock.mono();
            let due = |issuer: &Arc<Issuer>| lock(&issuer.schedule).due();
            let ready = issuers
                .iter()
                .filter(|issuer| due(issuer) <= now)
                .map(|issuer| self.fetch(issuer, &source));
            futures_util::future::join_all(ready).await;
            let now = self.clock.mono();
            let next = issuers
                .iter()
                .map(due)
                .min()
                .map_or(Duration::MAX, |due| due.saturating_sub(now));
            tokio::select! {
                () = tokio::time::sleep(next.min(Duration::from_secs(3_600))) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    async fn fetch(&self, issuer: &Issuer, source: &impl KeySource) {
        let spec = &issuer.spec;
        let got = tokio::time::timeout(FETCH_LIMIT, source.fetch(&spec.jwks_service, &spec.jwks_path)).await;
        let got = got.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let before = issuer.keys.load_full();
        let next = got.and_then(|text| before.next(&text, self.clock.wall()));
        let good = next.is_ok();
        match next {
            Ok(next) => {
                if next.generation != before.generation {
                    tracing::info!(issuer = issuer.name, service = %spec.jwks_service, "new token keys");
                }
                if let Some(Err(error)) = self
                    .folder
                    .as_deref()
                    .map(|folder| keys::keep(folder, &issuer.name, spec, &next))
                {
                    tracing::warn!(issuer = issuer.name, %error, "token keys could not be kept on disk");
                }
                issuer.keys.store(Arc::new(next));
            }
            Err(error) => {
                tracing::warn!(issuer = issuer.name, service = %spec.jwks_service, path = spec.jwks_path, error, "token keys not fetched")
            }
        }
        lock(&issuer.schedule).ended(self.clock.mono(), good, self.entropy.next_u64());
        issuer.fetched.send_modify(|count| *count += 1);
    }
}

/// Who may use one route.
pub struct Guard {
    authority: Arc<Authority>,
    issuer: Arc<Issuer>,
    auth: wire::Auth,
}

impl Guard {
    /// Lets a request in: sets the identity's fields and takes the token away unless the service is to have it.
    /// Call after [`super::identity::strip`]. Waits only where a key is missed that may come.
    ///
    /// # Errors
    /// [`Denied`]: 401, 403, or 503 when the issuer's keys cannot be had.
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub async fn admit(&self, head: &mut RequestHead) -> Result<Arc<Identity>, Denied> {
        let text = bearer(&self.auth, head)?;
        let identity = match self.issuer.verify(text, self.authority.clock.wall()) {
            Ok(identity) => identity,
            Err(Refusal::Bad(bad)) => return Err(self.refused(bad)),
            Err(Refusal::NoKey(kid)) => self.wait_for_key(text, kid).await?,
        };
        self.may(&identity)?;
        identity.write(&mut head.fields);
        withhold(&self.auth, head);
        Ok(identity)
    }

    /// Asks for a fetch and waits for its end, as long as that can help.
    async fn wait_for_key(&self, text: &str, mut kid: Option<String>) -> Result<Arc<Identity>, Denied> {
        let clock = &self.authority.clock;
        let until = clock.mono() + PATIENCE;
        let mut fetched = self.issuer.fetched.subscribe();
        loop {
            let left = until.saturating_sub(clock.mono());
            if !lock(&self.issuer.schedule).want(kid.as_deref(), clock.mono(), left) {
                return Err(self.no_key(kid));
            }
            self.authority.wanted.notify_one();
            if !matches!(tokio::time::timeout(left, fetched.changed()).await, Ok(Ok(()))) {
                return Err(self.no_key(kid));
            }
            kid = match self.issuer.verify(text, clock.wall()) {
                Ok(identity) => return Ok(identity),
                Err(Refusal::Bad(bad)) => return Err(self.refused(bad)),
                Err(Refusal::NoKey(kid)) => kid,
            };
            if let Some(kid) = &kid {
                lock(&self.issuer.schedule).miss(kid, clock.mono());
            }
        }
    }

    fn no_key(&self, kid: Option<String>) -> Denied {
        if kid.is_some() {
            return self.refused(BadToken::UnknownKey);
        }
        let detail = format!(
            "the keys of issuer {} have not been had from service {} yet",
            self.auth.issuer, self.issuer.spec.jwks_service
        );
        let denied = Denied::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("GW-056"), detail);
        Denied {
            word: Word::ProxyInternalError,
            ..denied
        }
        .with("retry-after", "1")
    }

    fn refused(&self, bad: BadToken) -> Denied {
        let challenge = format!(
            "Bearer realm=\"{}\", error=\"invalid_token\", error_description=\"{bad}\"",
            realm(&self.auth)
        );
        Denied::new(StatusCode::UNAUTHORIZED, ErrorCode::new("GW-055"), bad.to_string())
            .with("www-authenticate", challenge)
    }

    fn may(&self, identity: &Identity) -> Result<(), Denied> {
        let missing = match (&self.auth.scope, &self.auth.role) {
            (Some(scope), _) if !identity.has_scope(scope) => format!("scope {scope}"),
            (_, Some(role)) if !identity.has_role(role) => format!("role {role}"),
            _ => return Ok(()),
        };
        let scope = self
            .auth
            .scope
            .as_ref()
            .map_or(String::new(), |scope| format!(", scope=\"{scope}\""));
        let challenge = format!(
            "Bearer realm=\"{}\", error=\"insufficient_scope\"{scope}",
            realm(&self.auth)
        );
        let detail = format!("this route needs the {missing}");
        Err(Denied::new(StatusCode::FORBIDDEN, ErrorCode::new("GW-057"), detail).with("www-authenticate", challenge))
    }
}

/// The token that a request brings to a route.
///
/// # Errors
/// [`Denied`] with 401: it brings none, or more than one.
pub fn bearer<'a>(auth: &wire::Auth, head: &'a RequestHead) -> Result<&'a str, Denied> {
    let mut all = head.fields.all("authorization");
    let (first, second) = (all.next(), all.next());
    let text = first
        .filter(|_| second.is_none())
        .and_then(|value| std::str::from_utf8(value).ok());
    let (scheme, token) = text.unwrap_or_default().split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        return Ok(token.trim());
    }
    let challenge = format!("Bearer realm=\"{}\"", realm(auth));
    let detail = "this route needs an Authorization field with one Bearer token";
    Err(Denied::new(StatusCode::UNAUTHORIZED, ErrorCode::new("GW-054"), detail).with("www-authenticate", challenge))
}

/// Takes the token away unless the service is to have it.
pub fn withhold(auth: &wire::Auth, head: &mut RequestHead) {
    if !auth.forward {
        head.fields.remove("authorization");
    }
}

/// The issuer's name, fit for a quoted string.
fn realm(auth: &wire::Auth) -> String {
    let fit = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    auth.issuer.chars().filter(fit).collect()
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
