//! One instance as a target and what is known of it.

use crate::filter::session::Sticky;
use ondol_core::id::InstanceId;
use ondol_core::wire::proxy as wire;
use ondol_resilience::balance::{self, Latency};
use ondol_resilience::health::Health;
use ondol_resilience::outlier::Outlier;
use ondol_resilience::zone;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock whose holder may have panicked: what it guards is counts, still good enough.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One start of one instance.
#[derive(Debug)]
pub struct Endpoint {
    /// Which instance.
    pub instance: InstanceId,
    /// Where.
    pub address: SocketAddr,
    /// Never the same for two endpoints of this process: what pools know it by.
    pub id: u64,
    /// What sessions know it by.
    pub sticky: Sticky,
    start: u64,
    in_flight: AtomicU64,
    draining: AtomicBool,
    /// Whether it is in the proxy's own zone.
    home: AtomicBool,
    /// What active checks say.
    answers: AtomicBool,
    /// Until when it is ejected, nanoseconds of the monotonic clock; 0: never was.
    out_until: AtomicU64,
    /// When it came.
    came: Duration,
    /// Whether it begins with few requests, since others have been here for longer.
    warms_up: bool,
    history: Mutex<History>,
}

/// What calls and checks said.
#[derive(Debug, Default)]
pub(super) struct History {
    pub latency: Latency,
    pub outlier: Outlier,
    pub health: Health,
}

impl Endpoint {
    pub(super) fn new(spec: &wire::Endpoint, id: u64, came: Duration, warms_up: bool) -> Self {
        Self {
            instance: spec.instance.clone(),
            address: spec.address,
            id,
            sticky: Sticky::of(&spec.instance),
            start: spec.start,
            in_flight: AtomicU64::new(0),
            draining: AtomicBool::new(spec.draining),
            home: AtomicBool::new(true),
            answers: AtomicBool::new(true),
            out_until: AtomicU64::new(0),
            came,
            warms_up,
            history: Mutex::default(),
        }
    }

    pub(super) fn is_same(&self, spec: &wire::Endpoint) -> bool {
        (&self.instance, self.start, self.address) == (&spec.instance, spec.start, spec.address)
    }

    /// Requests in flight, exact.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Gets no new requests.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::SeqCst);
    }

    /// Whether it is in the proxy's own zone.
    pub fn is_home(&self) -> bool {
        self.home.load(Ordering::Relaxed)
    }

    pub(super) fn set_home(&self, home: bool) {
        self.home.store(home, Ordering::Relaxed);
    }

    /// Counts a request in, unless it drains. The count comes before the look, and whoever drains sets the flag before
    /// reading the count: so either the request sees the flag or the drainer sees the request.
    pub(super) fn enter(&self) -> bool {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        !self.is_draining()
    }

    /// Counts a request out; true when it was the last of one that drains.
    pub(super) fn leave(&self) -> bool {
        self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_draining()
    }

    /// In rotation: it answers its checks and is not ejected.
    pub fn is_well(&self, now: Duration) -> bool {
        self.answers.load(Ordering::Relaxed) && self.out_until.load(Ordering::Relaxed) <= nanos(now)
    }

    /// What one more request would cost; see [`Latency::cost`].
    pub(super) fn cost(&self, now: Duration) -> f64 {
        lock(&self.history)
            .latency
            .cost(now, self.in_flight.load(Ordering::Relaxed))
    }

    /// The share of its turns that it takes.
    pub(super) fn warmth(&self, now: Duration) -> f64 {
        let out_until = self.out_until.load(Ordering::Relaxed);
        if out_until == 0 && !self.warms_up {
            return 1.0;
        }
        let came = if self.warms_up { self.came } else { Duration::ZERO };
        balance::warmth(now.saturating_sub(came.max(Duration::from_nanos(out_until))))
    }

    /// What it counts in its zone.
    pub(super) fn as_member(&self, now: Duration) -> zone::Member {
        zone::Member {
            share: if self.is_well(now) { self.warmth(now) } else { 0.0 },
            settled: match self.warms_up {
                true => balance::warmth(now.saturating_sub(self.came)),
                false => 1.0,
            },
        }
    }

    /// Whether it has been here, with requests to be had, for as long as a warm-up takes.
    pub(super) fn has_served(&self, now: Duration) -> bool {
        !self.is_draining() && balance::warmth(now.saturating_sub(self.came)) >= 1.0
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Takes an active check's result; true when it went out of rotation or back.
    pub(super) fn check(&self, well: bool) -> bool {
        let mut history = self.history();
        let changed = history.health.record(well);
        self.answers.store(history.health.is_well(), Ordering::Relaxed);
        changed
    }

    /// Takes it out of rotation for a while.
    pub(super) fn eject(&self, now: Duration, random: u64) {
        let mut history = self.history();
        history.outlier.eject(now, random);
        self.out_until
            .store(history.outlier.back_at().map_or(0, nanos), Ordering::Relaxed);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
