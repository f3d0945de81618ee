//! Who asks the origin: of many that want one thing that is not there, or no longer fresh, one asks and the others wait for its
//! answer, or get the stale one meanwhile.
//!
//! Invariants
//! - At most one flight at a time, but for those who ask for themselves alone.
//! - Nobody waits for what is known to be of no use to it: once an answer's head says that it is not kept, or never fresh, everybody
//!   asks alone, for [`HIT_FOR_MISS`].
//! - Only the origin's failure counts as one: an asker that had too little time, or too little weight, says nothing of it.
//! - While stale answers stand in for an origin that fails, it is asked less and less often (from [`FIRST`] to [`CAP`]), by one.
//! - What one gets that asked for itself alone takes nothing from the others that is still of use to them.
//! - Every flight is ended by [`Slot::land`], whoever broke it off.
//!
//! Sources: nginx's `proxy_cache_lock` and `proxy_cache_background_update`; Varnish's grace and hit-for-miss (`vcl_backend_response`
//! of its built-in VCL marks what it may not keep, for 120 s, so that those who want it do not queue).

use super::Terms;
use crate::backoff;
use std::time::Duration;

/// The longest first pause after a fetch that failed while a stale answer stood in.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
pub const CAP: Duration = Duration::from_secs(30);
/// For so long nobody waits for others, after an answer that could not be kept or was never fresh.
pub const HIT_FOR_MISS: Duration = Duration::from_secs(10);
/// The same after a failure that nothing stood in for.
pub const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// That many wait for one flight; more ask for themselves.
pub const MOST_WAITING: usize = 1_024;

/// What a request says of kept answers (RFC 9111, section 5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// `no-cache`: nothing that is not confirmed now.
    pub no_cache: bool,
    /// `max-age`: nothing older.
    pub max_age: Option<Duration>,
    /// `min-fresh`: fresh for so long still.
    pub min_fresh: Option<Duration>,
    /// `only-if-cached`: the origin is not asked.
    pub only_if_cached: bool,
}

/// What a request finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// A fresh answer, so old.
    Fresh(Duration),
    /// A stale one that may be given, so old.
    Stale {
        /// Its age.
        age: Duration,
        /// Whoever asked begins a flight beside it.
        revalidate: bool,
    },
    /// It asks the origin, and others wait for it: a flight has begun.
    Lead,
    /// It waits for the flight of another.
    Wait,
    /// It asks the origin for itself.
    Alone,
    /// There is nothing, and the origin may not be asked.
    Absent,
}

/// How a flight ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Landing {
    /// With an answer that is kept on these terms.
    Kept(Terms),
    /// With one that is not kept.
    Unkept,
    /// It goes on: its answer may yet be kept, but is never fresh, so nobody need wait for its end.
    NeverFresh,
    /// The origin failed.
    Failed,
    /// The asker was not given the time or the place to get an answer, which says nothing of the origin.
    Shed,
    /// Whoever asked went away, so nothing is known.
    GivenUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kept {
    terms: Terms,
    came: Duration,
}

impl Kept {
    fn age(&self, now: Duration) -> Duration {
        self.terms.age.saturating_add(now.saturating_sub(self.came))
    }

    /// By how much it is beyond its lifetime; `None`: fresh.
    fn stale(&self, now: Duration) -> Option<Duration> {
        let age = self.age(now);
        (age >= self.terms.lifetime).then(|| age - self.terms.lifetime)
    }

    /// Whether it may still be given, some way.
    fn is_of_use(&self, now: Duration) -> bool {
        let most = self.terms.while_revalidating.max(self.terms.on_error);
        self.stale(now).is_none_or(|by| by < most)
    }

    fn satisfies(&self, now: Duration, wish: &Wish) -> bool {
        let age = self.age(now);
        let left = self.terms.lifetime.saturating_sub(age);
        self.stale(now).is_none()
            && wish.max_age.is_none_or(|most| age <= most)
            && wish.min_fresh.is_none_or(|least| left >= least)
    }
}

/// From half of a pause to all of it.
fn jittered(most: Duration, random: u64) -> Duration {
    let half = most / 2;
    half + backoff::full_jitter(half, half, 0, random)
}

/// One kept answer, or none, and the flight to get it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    kept: Option<Kept>,
    flying: bool,
    failures: u32,
    quiet_until: Duration,
    alone_until: Duration,
}

impl Slot {
    /// What a request finds now; `waiting` others wait for the flight already.
    pub fn look(&mut self, now: Duration, wish: &Wish, waiting: usize) -> Look {
        if let Some(kept) = self.kept.filter(|_| !wish.no_cache) {
            let age = kept.age(now);
            if kept.satisfies(now, wish) {
                return Look::Fresh(age);
            }
            let bounded = wish.max_age.is_some() || wish.min_fresh.is_some();
            let beside = !bounded && kept.stale(now).is_some_and(|by| by < kept.terms.while_revalidating);
            // An origin that is known to fail is not asked by those who would only wait for its failure.
            let stands_in = !bounded && self.failures > 0 && self.stand_in(now).is_some();
            if beside || stands_in {
                let revalidate = !self.flying && now >= self.quiet_until && !wish.only_if_cached;
                self.flying |= revalidate;
                return Look::Stale { age, revalidate };
            }
        }
        if wish.only_if_cached {
            return Look::Absent;
        }
        let never_fresh = self.kept.is_some_and(|kept| kept.terms.lifetime <= kept.terms.age);
        if wish.no_cache || never_fresh || now < self.alone_until {
            return Look::Alone;
        }
        // What another asks for may be too old for a request that wants more than freshness, as what is kept is.
        let choosy = self.kept.is_some() && (wish.max_age.is_some() || wish.min_fresh.is_some());
        match (self.flying, waiting < MOST_WAITING && !choosy) {
            (false, _) => {
                self.flying = true;
                Look::Lead
            }
            (true, true) => Look::Wait,
            (true, false) => Look::Alone,
        }
    }

    /// The age of what is kept, if it may stand in for an error.
    pub fn stand_in(&self, now: Duration) -> Option<Duration> {
        let kept = self.kept?;
        let good = kept.stale(now).is_none_or(|by| by < kept.terms.on_error);
        good.then(|| kept.age(now))
    }

    /// How long what is kept is fresh still, in seconds; below zero: for how long it no longer is.
    pub fn ttl(&self, now: Duration) -> Option<i64> {
        let kept = self.kept?;
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Some(seconds(kept.terms.lifetime) - seconds(kept.age(now)))
    }

    /// An asker's answer, or that there is none. `flight`: it led; `random` is 64 random bits.
    pub fn land(&mut self, now: Duration, flight: bool, landing: Landing, random: u64) {
        self.flying &= !flight;
        match landing {
            Landing::Kept(terms) => {
                let kept = Some(Kept { terms, came: now });
                *self = Self {
                    kept,
                    flying: self.flying,
                    ..Self::default()
                };
            }
            // What one request got for itself, with fields that the key does not know, takes nothing from the others.
            Landing::Unkept if !flight && self.kept.is_some_and(|kept| kept.is_of_use(now)) => {}
            Landing::Failed
                if !flight
                    && self
                        .kept
                        .is_some_and(|kept| kept.stale(now).is_none() || now < self.quiet_until) => {}
            Landing::Unkept => {
                // Those who ask alone do not make it longer: else nothing would ever be kept again.
                let known = !flight && now < self.alone_until;
                let until = if known {
                    self.alone_until
                } else {
                    now.saturating_add(HIT_FOR_MISS)
                };
                *self = Self {
                    flying: self.flying,
                    alone_until: until,
                    ..Self::default()
                };
            }
            Landing::Failed if self.kept.is_some_and(|kept| kept.is_of_use(now)) => {
                let pause = jittered(backoff::largest(FIRST, CAP, self.failures), random);
                self.failures = self.failures.saturating_add(1);
                self.quiet_until = now.saturating_add(pause);
            }
            Landing::Failed => {
                self.alone_until = now.saturating_add(AFTER_FAILURE);
            }
            Landing::NeverFresh => self.alone_until = now.saturating_add(HIT_FOR_MISS),
            // Whoever wants an answer asks at once; only what is fetched beside a stale one has time.
            Landing::Shed => self.quiet_until = self.quiet_until.max(now.saturating_add(jittered(FIRST, random))),
            Landing::GivenUp => {}
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// Forgets what is kept: it is no longer so.
    pub fn forget(&mut self) {
        (self.kept, self.failures) = (None, 0);
    }
}
