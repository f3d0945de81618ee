//! Rate limits: a token bucket per client of a route.
//!
//! Invariants
//! - A route's table holds at most [`MOST`] clients. When a part of it is full, buckets that are full again are
//!   forgotten, which changes nothing; clients that then find no place share one bucket, so the limit holds for all.
//! - Buckets outlive snapshots as long as the route's limit is the same.
//!
//! Cost: one short lock of a sixteenth of the table.

use super::Denied;
use crate::message::Fields;
use http::StatusCode;
use ondol_core::error::ErrorCode;
use ondol_core::id::RouteName;
use ondol_core::unit;
use ondol_core::wire::proxy::{Limit, LimitBy, Route};
use ondol_resilience::limit::{Bucket, Rate, Verdict};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Clients per route.
pub const MOST: usize = SHARDS * PER_SHARD;
const SHARDS: usize = 16;
const PER_SHARD: usize = 4_096;
/// Between two searches of a full part for buckets to forget.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<u64, Bucket>,
    overflow: Bucket,
    swept: Duration,
}

/// A route's limit with its clients' buckets.
#[derive(Debug)]
pub struct Limiter {
    spec: Limit,
    rate: Rate,
    shards: [Mutex<Shard>; SHARDS],
    /// Keyed anew per limiter, so that nobody can choose names that fall together.
    hasher: RandomState,
}

/// Whom a request counts for.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The verified subject, where the route asks for one.
    pub subject: Option<&'a str>,
    /// The client's address.
    pub address: IpAddr,
    /// The request's fields.
    pub fields: &'a Fields,
}

impl Limiter {
    /// One that has seen nobody.
    pub fn new(spec: Limit) -> Self {
        let rate = Rate::new(spec.per_second, spec.burst);
        Self {
            spec,
            rate,
            shards: Default::default(),
            hasher: RandomState::new(),
        }
    }

    /// Takes one request; the verdict is for those that pass.
    ///
    /// # Errors
    /// [`Denied`] with 429, `Retry-After` and the RateLimit fields.
    pub fn check(&self, who: Who<'_>, now: Duration) -> Result<Verdict, Denied> {
        let verdict = self.take(self.key(who), now);
        if verdict.allowed {
            Ok(verdict)
        } else {
            Err(self.denied(verdict))
        }
    }

    /// Takes one for this address, whatever the limit counts by; whether it passes.
    pub fn admits(&self, address: IpAddr, now: Duration) -> bool {
        self.take(self.hasher.hash_one(("address", network(address))), now)
            .allowed
    }

    fn key(&self, who: Who<'_>) -> u64 {
        let header = |name: &str| who.fields.get(&name.to_ascii_lowercase());
        match (&self.spec.by, who.subject) {
            (LimitBy::Subject, Some(subject)) => self.hasher.hash_one(("subject", subject)),
            (LimitBy::Header(name), _) if header(name).is_some() => self.hasher.hash_one(("header", header(name))),
            _ => self.hasher.hash_one(("address", network(who.address))),
        }
    }

    fn take(&self, key: u64, now: Duration) -> Verdict {
        let shard = &self.shards[(key >> 60) as usize];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Shard {
            buckets,
            overflow,
            swept,
        } = &mut *shard;
        if buckets.len() >= PER_SHARD && !buckets.contains_key(&key) {
            if now >= *swept + SWEEP_EVERY {
                *swept = now;
                buckets.retain(|_, bucket| !bucket.is_full(now));
            }
            if buckets.len() >= PER_SHARD {
                return overflow.take(self.rate, now);
            }
        }
        buckets.entry(key).or_default().take(self.rate, now)
    }

    fn denied(&self, verdict: Verdict) -> Denied {
        let seconds = |span: Duration| span.as_millis().div_ceil(1_000).max(1);
        let (burst, window) = (
            self.spec.burst.max(1),
            f64::from(self.spec.burst.max(1)) / self.spec.per_second,
        );
        let by = match &self.spec.by {
            LimitBy::Subject => "per subject".to_owned(),
            LimitBy::Ip => "per client address".to_owned(),
            LimitBy::Header(name) => format!("per value of {name}"),
        };
        let rate = unit::Rate {
            per_second: self.spec.per_second,
        };
        let detail = format!("this route takes {rate} {by}, {burst} at once");
        Denied::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::new("GW-058"), detail)
            .with("retry-after", seconds(verdict.next_in).to_string())
            .with(
                "ratelimit-policy",
                format!("\"route\";q={burst};w={}", window.ceil().clamp(1.0, 1e9) as u64),
            )
            .with(
                "ratelimit",
                format!("\"route\";r={};t={}", verdict.remaining, seconds(verdict.full_in)),
            )
    }
}

/// An address as a number, of which one client has only one: an IPv6 client owns at least a /64.
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// The limiters of all routes.
#[derive(Debug, Default)]
pub struct Limiters {
    by_route: Mutex<HashMap<RouteName, Arc<Limiter>>>,
}

impl Limiters {
    /// A limiter for each of these routes that has a limit, in their order; the others' are forgotten.
    pub fn apply(&self, routes: &[Arc<Route>]) -> Vec<Option<Arc<Limiter>>> {
        let mut known = self.by_route.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        let mut one = |route: &Arc<Route>| {
            let spec = route.limit.as_ref()?;
            let same = before.remove(&route.name).filter(|limiter| limiter.spec == *spec);
            let limiter = same.unwrap_or_else(|| Arc::new(Limiter::new(spec.clone())));
            known.insert(route.name.clone(), limiter.clone());
            Some(limiter)
        };
        routes.iter().map(&mut one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn limiter(per_second: f64, burst: u32, by: LimitBy) -> Limiter {
        Limiter::new(Limit { per_second, burst, by })
    }

    fn who<'a>(subject: Option<&'a str>, address: &str, fields: &'a Fields) -> Who<'a> {
        Who {
            subject,
            address: address.parse().expect("an address"),
            fields,
        }
    }

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let (none, north, south) = (
            Fields::new(),
            [("x-tenant", "north")].into_iter().collect(),
            [("x-tenant", "south")].into_iter().collect(),
        );
        let header = || LimitBy::Header("X-Tenant".into());
        for (by, first, second, shared) in [
            (
                LimitBy::Subject,
                who(Some("a"), "10.0.0.1", &none),
                who(Some("b"), "10.0.0.1", &none),
                false,
            ),
            (
                LimitBy::Subject,
                who(Some("a"), "10.0.0.1", &none),
                who(Some("a"), "10.0.0.2", &none),
                true,
            ),
            (
                LimitBy::Subject,
                who(None, "10.0.0.1", &none),
                who(None, "10.0.0.2", &none),
                false,
            ),
            (
                LimitBy::Ip,
                who(Some("a"), "10.0.0.1", &none),
                who(Some("b"), "10.0.0.1", &none),
                true,
            ),
            (
                LimitBy::Ip,
                who(None, "2001:db8::1", &none),
                who(None, "2001:db8::2", &none),
                true,
            ),
            (
                LimitBy::Ip,
                who(None, "2001:db8:0:1::1", &none),
                who(None, "2001:db8:0:2::1", &none),
                false,
            ),
            (
                header(),
                who(None, "10.0.0.1", &north),
                who(None, "10.0.0.1", &south),
                false,
            ),
            (
                header(),
                who(None, "10.0.0.1", &north),
                who(None, "10.0.0.2", &north),
                true,
            ),
            (
                header(),
                who(None, "10.0.0.1", &none),
                who(None, "10.0.0.2", &none),
                false,
            ),
        ] {
            let limiter = limiter(1.0, 1, by.clone());
            assert!(limiter.check(first, SEC).is_ok());
            assert_eq!(
                limiter.check(second, SEC).is_err(),
                shared,
                "{by:?} {first:?} {second:?}"
            );
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let (limiter, none) = (limiter(0.5, 2, LimitBy::Ip), Fields::new());
        let who = who(None, "10.0.0.1", &none);
        assert_eq!(limiter.check(who, SEC).map(|verdict| verdict.remaining), Ok(1));
        assert!(limiter.check(who, SEC).is_ok());
        let denied = limiter.check(who, SEC).expect_err("none left");
        assert_eq!(
            (denied.status, denied.code.as_str()),
            (StatusCode::TOO_MANY_REQUESTS, "GW-058")
        );
        assert_eq!(denied.detail, "this route takes 30/m per client address, 2 at once");
        let fields: Vec<_> = denied
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ("retry-after", "2"),
                ("ratelimit-policy", "\"route\";q=2;w=4"),
                ("ratelimit", "\"route\";r=0;t=4")
            ]
        );
        assert!(limiter.check(who, 3 * SEC).is_ok());
    }

    #[test]
    fn a_flood_of_clients_is_bounded_and_still_limited() {
        let limiter = limiter(0.001, 1, LimitBy::Ip);
        let count = |now| {
            (0..2 * MOST as u64)
                .filter(|n| limiter.take(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), now).allowed)
                .count()
        };
        let passed = count(SEC);
        let held: usize = limiter
            .shards
            .iter()
            .map(|shard| shard.lock().expect("no panic").buckets.len())
            .sum();
        assert!(
            held <= MOST && (MOST / 2..=MOST + SHARDS).contains(&passed),
            "{held} held, {passed} passed"
        );
        assert!(count(2 * SEC) < MOST, "those without a place share a bucket");
        assert!(count(2_000 * SEC) >= MOST / 2, "full buckets were forgotten");
    }
}
