//! Policies of several levels as one, key by key, with the place that each value came from.

use crate::doc::policy::{BalanceDoc, BreakerDoc, CacheDoc, FallbackDoc, HashDoc, Layer, LimitDoc};
use crate::source::{At, Span};
use crate::value::{Bytes, Millis, Nothing, PerSecond, Share, Short};
use crate::value_balance::{Algorithm, Hashed};
use ondol_core::wire::proxy::{self, HashBy, LimitBy, Priority};

/// What holds in the end. Places of [`Span::BUILT_IN`] are built in.
#[derive(Clone, PartialEq, Debug)]
pub struct Effective {
    pub timeout: At<Millis>,
    pub stream: At<bool>,
    pub retries: At<u32>,
    pub limit: Option<EffectiveLimit>,
    pub failures: At<Share>,
    pub minimum: At<u32>,
    pub open: At<Millis>,
    pub body_limit: At<Bytes>,
    pub priority: At<Priority>,
    /// `None`: no request is sent twice.
    pub hedge: Option<At<Share>>,
    pub balance: At<proxy::Balance>,
    /// `None`: no answer is kept.
    pub cache: Option<EffectiveCache>,
    /// `None`: an error is an error.
    pub fallback: Option<At<proxy::Fallback>>,
}

/// A cache that is on.
#[derive(Clone, PartialEq, Debug)]
pub struct EffectiveCache {
    pub stale_if_error: At<Millis>,
    pub stale_while_revalidate: At<Millis>,
    pub shared: At<bool>,
}

/// A limit that has a rate.
#[derive(Clone, PartialEq, Debug)]
pub struct EffectiveLimit {
    pub rate: At<PerSecond>,
    pub burst: At<u32>,
    pub by: At<LimitBy>,
}

const fn built_in<T>(value: T) -> At<T> {
    At {
        value,
        at: Span::BUILT_IN,
    }
}

/// Merges levels, the outermost first: system, service, route.
pub fn merge(layers: &[Layer<'_>]) -> Effective {
    let breaker = |get: fn(&BreakerDoc) -> bool| layers.iter().rev().filter_map(|l| l.breaker).find(|b| get(b));
    fn last<T>(layers: &[Layer<'_>], get: impl Fn(&Layer<'_>) -> Option<T>, default: T) -> T {
        layers.iter().rev().find_map(get).unwrap_or(default)
    }
    Effective {
        timeout: last(layers, |l| l.timeout, built_in(Millis(15_000))),
        stream: last(layers, |l| l.stream, built_in(false)),
        retries: last(layers, |l| l.retries, built_in(2)),
        limit: merge_limit(layers),
        failures: breaker(|b| b.failures.is_some())
            .and_then(|b| b.failures)
            .unwrap_or(built_in(Share(0.5))),
        minimum: breaker(|b| b.minimum.is_some())
            .and_then(|b| b.minimum)
            .unwrap_or(built_in(20)),
        open: breaker(|b| b.open.is_some())
            .and_then(|b| b.open)
            .unwrap_or(built_in(Millis(5_000))),
        body_limit: last(layers, |l| l.body_limit, built_in(Bytes(10 << 20))),
        priority: last(layers, |l| l.priority, built_in(Priority::Default)),
        hedge: layers.iter().rev().find_map(|l| l.hedge).map(|hedge| hedge.share),
        balance: last(layers, |l| l.balance.map(balance), built_in(proxy::Balance::default())),
        cache: merge_cache(layers),
        fallback: layers.iter().rev().find_map(|l| l.fallback).and_then(fallback),
    }
}

/// A hash by nothing, which a check refuses, hashes nothing.
fn balance(written: &Short<At<Algorithm>, BalanceDoc>) -> At<proxy::Balance> {
    let (algorithm, hash, at) = match written {
        Short::Short(algorithm) => (algorithm.value, None, algorithm.at),
        Short::Long(doc) => (doc.algorithm.value, doc.hash.as_ref().and_then(hash_by), doc.at),
    };
    let value = match (algorithm, hash) {
        (Algorithm::LeastRequest, _) => proxy::Balance::LeastRequest,
        (Algorithm::RoundRobin, _) => proxy::Balance::RoundRobin,
        (Algorithm::RingHash, Some(hash)) => proxy::Balance::RingHash(hash),
        (Algorithm::Maglev, Some(hash)) => proxy::Balance::Maglev(hash),
        (Algorithm::PeakEwma | Algorithm::RingHash | Algorithm::Maglev, _) => proxy::Balance::PeakEwma,
    };
    At { value, at }
}

fn hash_by(written: &Short<At<Hashed>, HashDoc>) -> Option<HashBy> {
    match written {
        Short::Short(word) => Some(match word.value {
            Hashed::SourceIp => HashBy::SourceIp,
            Hashed::Path => HashBy::Path,
        }),
        Short::Long(doc) => {
            let header = doc.header.as_ref().map(|name| HashBy::Header(name.value.0.clone()));
            let cookie = || doc.cookie.as_ref().map(|name| HashBy::Cookie(name.value.0.clone()));
            let query = || doc.query.as_ref().map(|name| HashBy::Query(name.value.clone()));
            header.or_else(cookie).or_else(query)
        }
    }
}

/// Off unless some level says more; the nearest `true` or `false` decides, and a map says `true`.
fn merge_cache(layers: &[Layer<'_>]) -> Option<EffectiveCache> {
    fn last<T>(layers: &[Layer<'_>], get: impl Fn(&CacheDoc) -> Option<T>) -> Option<T> {
        let long = layers.iter().rev().filter_map(|layer| match layer.cache {
            Some(Short::Long(doc)) => Some(doc),
            _ => None,
        });
        long.into_iter().find_map(get)
    }
    let on = match layers.iter().rev().find_map(|layer| layer.cache)? {
        Short::Short(on) => on.value,
        Short::Long(_) => true,
    };
    let minute = built_in(Millis(60_000));
    on.then(|| EffectiveCache {
        stale_if_error: last(layers, |doc| doc.stale_if_error).unwrap_or(minute),
        stale_while_revalidate: last(layers, |doc| doc.stale_while_revalidate).unwrap_or(built_in(Millis(0))),
        shared: last(layers, |doc| doc.shared).unwrap_or(built_in(false)),
    })
}

fn fallback(written: &Short<At<Nothing>, FallbackDoc>) -> Option<At<proxy::Fallback>> {
    let Short::Long(doc) = written else { return None };
    let value = match &doc.service {
        Some(service) => proxy::Fallback::Service {
            service: service.value.clone(),
        },
        None => proxy::Fallback::Answer {
            status: doc.status.map_or(200, |status| status.value.0),
            content_type: match &doc.content_type {
                Some(kind) => kind.value.0.clone(),
                None => "application/json".into(),
            },
            body: doc.body.as_ref().map(|body| body.value.clone()).unwrap_or_default(),
        },
    };
    Some(At { value, at: doc.at })
}

fn merge_limit(layers: &[Layer<'_>]) -> Option<EffectiveLimit> {
    fn last<T>(layers: &[Layer<'_>], get: impl Fn(&LimitDoc) -> Option<T>) -> Option<T> {
        layers.iter().rev().filter_map(|layer| layer.limit).find_map(get)
    }
    let rate = last(layers, |l| l.rate)?;
    // A second's worth, so that a client at exactly the rate is never refused.
    let second = rate.value.0.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
    let burst = last(layers, |l| l.burst).unwrap_or(built_in(second));
    let by = last(layers, |l| l.by.clone()).unwrap_or(built_in(LimitBy::Subject));
    Some(EffectiveLimit { rate, burst, by })
}

impl Effective {
    /// As the proxy takes it.
    pub fn policy(&self) -> proxy::Policy {
        proxy::Policy {
            timeout_ms: self.timeout.value.0,
            stream: self.stream.value,
            retries: self.retries.value,
            breaker: proxy::Breaker {
                failure_ratio: self.failures.value.0,
                minimum: self.minimum.value,
                open_ms: self.open.value.0,
            },
            body_limit: self.body_limit.value.0,
            priority: self.priority.value,
            hedge_share: self.hedge.map_or(0.0, |share| share.value.0),
            balance: self.balance.value.clone(),
            cache: self.cache.as_ref().map(|cache| proxy::Cache {
                stale_if_error_ms: cache.stale_if_error.value.0,
                stale_while_revalidate_ms: cache.stale_while_revalidate.value.0,
                shared: cache.shared.value,
            }),
            fallback: self.fallback.as_ref().map(|fallback| fallback.value.clone()),
        }
    }

    /// The token bucket, as the proxy takes it.
    pub fn limit(&self) -> Option<proxy::Limit> {
        let limit = self.limit.as_ref()?;
        Some(proxy::Limit {
            per_second: limit.rate.value.0,
            burst: limit.burst.value,
            by: limit.by.value.clone(),
        })
    }
}
