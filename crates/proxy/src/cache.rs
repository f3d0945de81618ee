//! Answers of services that are kept, shared by all workers: found by key, asked for by one, forgotten when they change.
//!
//! What may be kept and given, and who asks, is decided in `ondol_resilience::cache`; the line that asks is
//! `proxy/cached.rs`. Only routes and edges with `cache` come here.
//!
//! Invariants
//! - An answer is found only under the whole [key] of its request, which holds the route or edge and, unless they share, the
//!   consumer; and only if what it varies by is the same.
//! - Only whole answers are kept. One that breaks off, or is too large, is passed on to its client alone.
//! - An answer that was asked for before an unsafe request for its target succeeded is not given after it.
//! - No answer that was asked for before a [purge](Cache::purge) is kept after it, whatever was purged.
//! - Bounded in bytes and entries ([`Bounds`]), in variants of one key, in those who wait for one flight.
//!
//! Cost: a short lock per request of such a route, one more for an answer that is kept. One cache for all workers, so that an
//! answer is fetched once for a proxy and not once for each of its threads.

mod control;
mod key;
mod lead;
mod record;
mod serve;
mod store;

pub(crate) use control::Conditions;
pub(crate) use key::Known;
pub(crate) use lead::{Fault, Lead};
pub use record::Records;
pub(crate) use record::{aged, fault, record, whole};
pub(crate) use serve::{How, known, merged, respond};
pub use store::Bounds;
pub(crate) use store::Stored;

use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Name;
use http::Method;
use key::Key;
use ondol_core::clock::Timestamp;
use ondol_core::id::SystemName;
use ondol_core::wire::proxy as wire;
use ondol_resilience::cache::slot::{Look, Wish};
use ondol_resilience::cache::{Asker, Rules, Terms, keep};
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Flight, Store};
use tokio::sync::watch;

/// Targets are told apart by so many numbers where unsafe methods change them. Two that share one are forgotten together.
const PLACES: usize = 65_536;

/// The kept answers of a proxy.
pub struct Cache {
    store: Mutex<Store>,
    hasher: RandomState,
    /// When something at a place last changed, nanoseconds of the monotonic clock.
    changed: Box<[AtomicU64]>,
    /// When something was last purged, in the same nanoseconds.
    purged: AtomicU64,
}

/// What a request asks for.
pub(crate) struct Asked {
    key: Key,
    place: u64,
    wish: Wish,
    asker: Asker,
    rules: Rules,
}

/// What there is for it.
pub(crate) enum Found {
    /// A fresh answer.
    Fresh(Given),
    /// A stale one that may be given. Whoever gets a lead fetches another beside it.
    Stale(Given, Option<Lead>),
    /// The origin is to be asked, for others too.
    Lead(Lead),
    /// Another asks.
    Wait(watch::Receiver<bool>),
    /// The origin is to be asked for this request alone.
    Alone(Lead),
    /// There is nothing, and the request wants no more than what is there.
    Absent,
}

/// A kept answer, now.
pub(crate) struct Given {
    pub(crate) stored: Arc<Stored>,
    pub(crate) age: Duration,
    /// Seconds for which it is fresh still, or, below zero, is no longer.
    pub(crate) ttl: i64,
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

/// The policy as the rules have it.
fn rules(spec: &wire::Cache) -> Rules {
    Rules {
        shared: spec.shared,
        while_revalidating: Duration::from_millis(spec.stale_while_revalidate_ms),
        on_error: Duration::from_millis(spec.stale_if_error_ms),
    }
}

impl Asked {
    /// Whether it wants no answer but its own (`no-cache`): nothing stands in for it, and its failure is nobody else's.
    pub(crate) fn is_for_itself(&self) -> bool {
        self.wish.no_cache
    }

    /// `None`: the request, or its client, wants nothing of kept answers.
    pub(crate) fn of(
        cache: &Cache,
        name: &Name,
        system: Option<&SystemName>,
        spec: &wire::Cache,
        head: &RequestHead,
    ) -> Option<Self> {
        if !reads(head) {
            return None;
        }
        let asker = control::asker(head);
        Some(Self {
            wish: control::wish(&head.fields)?,
            key: key::of(name, system, spec.shared, asker, head),
            place: key::place(&cache.hasher, name, head),
            asker,
            rules: rules(spec),
        })
    }

    /// The terms on which an answer is kept; `None`: it is not. `took`: from asking to its head.
    pub(crate) fn terms(&self, head: &ResponseHead, took: Duration, wall: Timestamp) -> Option<Terms> {
        keep(&self.rules, self.asker, &control::said(head, took, wall))
    }
}

impl Cache {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            store: Mutex::new(Store::new(bounds)),
            hasher: RandomState::new(),
            changed: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            purged: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for a request. `may_wait`: for another's flight.
    pub(crate) fn look(self: &Arc<Self>, asked: &Asked, fields: &Fields, now: Duration, may_wait: bool) -> Found {
        let mut store = self.lock();
        let variant = store.find(&asked.key, fields);
        if variant.stored.is_some() && self.has_changed(asked.place, variant.begun) {
            variant.forget();
        }
        let waiting = match &variant.flight {
            Some(flight) if may_wait => flight.receiver_count(),
            _ => usize::MAX,
        };
        let look = variant.slot.look(now, &asked.wish, waiting);
        let given = |age| {
            let (stored, ttl) = (variant.stored.clone()?, variant.slot.ttl(now)?);
            Some(Given { stored, age, ttl })
        };
        let lead = |flight| Lead::new(self, asked, now, &variant.values, variant.stored.clone(), flight);
        match look {
            // The slot knows of an answer only while it is here.
            Look::Fresh(age) => given(age).map_or_else(|| Found::Alone(lead(None)), Found::Fresh),
            Look::Stale { age, revalidate } => {
                let flight = revalidate.then(|| Flight::new(watch::Sender::new(false)));
                let beside = flight.clone().map(|flight| lead(Some(flight)));
                let found = match given(age) {
                    Some(given) => Found::Stale(given, beside),
                    None => Found::Alone(beside.unwrap_or_else(|| lead(None))),
                };
                if flight.is_some() {
                    variant.flight = flight;
                }
                found
            }
            Look::Lead => {
                let flight = Flight::new(watch::Sender::new(false));
                let lead = lead(Some(flight.clone()));
                variant.flight = Some(flight);
                Found::Lead(lead)
            }
            Look::Wait => match &variant.flight {
                Some(flight) => Found::Wait(flight.subscribe()),
                None => Found::Alone(lead(None)),
            },
            Look::Alone => Found::Alone(lead(None)),
            Look::Absent => Found::Absent,
        }
    }

    /// An unsafe request for its target has succeeded: what was asked for before is not given any more (RFC 9111, section 4.4),
    /// whoever asked and by whichever route.
    pub(crate) fn change(&self, name: &Name, head: &RequestHead, now: Duration) {
        let place = key::place(&self.hasher, name, head);
        self.changed_at(place).fetch_max(nanos(now), Ordering::Release);
    }

    fn has_changed(&self, place: u64, since: Duration) -> bool {
        is_after(self.changed_at(place), since)
    }

    fn was_purged(&self, since: Duration) -> bool {
        is_after(&self.purged, since)
    }

    /// Drops what fits, and keeps no answer that was asked for before; how many were dropped. It looks at every key, under the lock.
    /// A purge that can fit nothing, which the controller refuses, drops nothing.
    pub fn purge(&self, purge: &wire::Purge, now: Duration) -> u64 {
        let Ok(purge) = purge.canonical() else { return 0 };
        let mut store = self.lock();
        self.purged.fetch_max(nanos(now), Ordering::Release);
        store.purge(|key| key::about(key).is_some_and(|(service, target)| purge.fits(service, target)))
    }

    /// Drops everything, and keeps no answer any more.
    pub fn close(&self) {
        let mut store = self.lock();
        self.purged.store(u64::MAX, Ordering::Release);
        store.purge(|_| true);
    }

    fn changed_at(&self, place: u64) -> &AtomicU64 {
        &self.changed[(place % PLACES as u64) as usize]
    }

    /// What is kept, and how many had to go for others.
    pub fn report(&self) -> wire::CacheReport {
        self.lock().report()
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

fn is_after(moment: &AtomicU64, since: Duration) -> bool {
    let at = moment.load(Ordering::Acquire);
    at > 0 && u128::from(at) >= since.as_nanos()
}

/// Whether a request asks for a whole answer that may be kept.
pub(crate) fn reads(head: &RequestHead) -> bool {
    const PARTS: [&str; 4] = ["range", "if-range", "if-match", "if-unmodified-since"];
    matches!(head.method, Method::GET | Method::HEAD) && !PARTS.iter().any(|name| head.fields.contains(name))
}

/// Whether an answer to an unsafe request says that it did something.
pub(crate) fn changes(method: &Method, status: http::StatusCode) -> bool {
    !method.is_safe() && (status.is_success() || status.is_redirection())
}
