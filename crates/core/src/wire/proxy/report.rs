//! What a proxy counted, as it tells the controller.

use super::TlsReport;
use crate::clock::Timestamp;
use crate::id::{InstanceId, RouteName, ServiceName, SystemName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a proxy counted. Counters only rise within one `life`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Which life of a proxy: drawn at its start, since a process id comes again.
    pub life: u64,
    /// When.
    pub at: Timestamp,
    /// By route or edge.
    pub traffic: Vec<Traffic>,
    /// Exact requests in flight by instance.
    pub in_flight: Vec<(InstanceId, u64)>,
    /// Health by instance, as the proxy sees it: false is out of rotation.
    pub healthy: Vec<(InstanceId, bool)>,
    /// Clusters whose breaker is not closed: `open` or `half-open`.
    pub breakers: Vec<(ServiceName, String)>,
    /// Services of which so few instances are well that all are used: panic mode.
    #[serde(default)]
    pub panics: Vec<ServiceName>,
    /// Bulkheads of all clusters.
    #[serde(default)]
    pub bulkheads: Vec<Bulkhead>,
    /// Log lines that were dropped because the log could not keep up.
    pub access_log_dropped: u64,
    /// Heads that were refused without a line in the log, since their second had enough of them; only rises.
    #[serde(default)]
    pub access_log_left_out: u64,
    /// Open client connections.
    pub connections: u64,
    /// Connections closed at once, since their address had too many; only rises.
    #[serde(default)]
    pub connections_refused: u64,
    /// Listeners with TLS.
    #[serde(default)]
    pub tls: Vec<TlsReport>,
    /// Kept answers.
    #[serde(default)]
    pub cache: CacheReport,
    /// Other systems to which a connection was tried.
    #[serde(default)]
    pub peers: Vec<PeerReport>,
}

/// How connections to another system went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerReport {
    /// Which.
    pub system: SystemName,
    /// When one last was made, handshake and all.
    pub reached: Option<Timestamp>,
    /// When one last came to nothing, and why.
    pub failed: Option<(Timestamp, String)>,
}

impl PeerReport {
    /// Adds what another proxy says of the same system.
    pub fn merge(&mut self, other: &Self) {
        self.reached = self.reached.max(other.reached);
        self.failed = self.failed.clone().max(other.failed.clone());
    }

    /// Whether the last one came to nothing.
    pub fn is_failing(&self) -> bool {
        self.failed.as_ref().is_some_and(|(at, _)| Some(*at) > self.reached)
    }
}

/// The kept answers of one proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheReport {
    /// What they take.
    pub bytes: u64,
    /// How many targets and consumers have some.
    pub entries: u64,
    /// How many had to go for others; only rises.
    pub evicted: u64,
}

/// How a request was answered on a route or edge that keeps answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum CacheResult {
    /// With a fresh kept answer.
    Hit,
    /// With one that another request had asked for meanwhile.
    Collapsed,
    /// With a stale one, while another is fetched or the service is left alone.
    Updating,
    /// With a stale one, since the service failed.
    Stale,
    /// With a kept one that the service confirmed.
    Revalidated,
    /// By the service.
    Miss,
    /// By the service: the request is none whose answers are kept.
    Bypass,
    /// With an error, for which nothing could stand in.
    Error,
}

impl CacheResult {
    /// All, in the order of [`Traffic::cache`].
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Collapsed,
        Self::Updating,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Bypass,
        Self::Error,
    ];

    /// As metrics and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Collapsed => "collapsed",
            Self::Updating => "updating",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Error => "error",
        }
    }
}

/// Requests at once to one service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulkhead {
    /// Which.
    pub service: ServiceName,
    /// How many may be under way now.
    pub limit: u64,
    /// How many are.
    pub in_flight: u64,
    /// How many wait.
    pub waiting: u64,
    /// Refused or let go, by class, the highest first; only rises.
    pub shed: [u64; 4],
    /// Second attempts beside a slow first one, and those of them whose answer was the one; only rise.
    #[serde(default)]
    pub hedges: [u64; 2],
    /// Attempts in the proxy's own zone and in others, where zones are declared; only rise.
    #[serde(default)]
    pub zones: [u64; 2],
}

/// RED counters of one route (`route` set) or edge (`caller` set).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// The gateway route.
    pub route: Option<RouteName>,
    /// The edge's caller.
    pub caller: Option<ServiceName>,
    /// The system in which the caller lives, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SystemName>,
    /// The target.
    pub target: ServiceName,
    /// By status class, 1xx to 5xx, as answered to the client.
    pub by_class: [u64; 5],
    /// Of those, answers that the proxy made itself, by `Proxy-Status` error word.
    pub own_answers: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Copies for other services that were answered.
    #[serde(default)]
    pub mirrored: u64,
    /// Copies that were not: too many at a time, too slow, no answer.
    #[serde(default)]
    pub mirrors_failed: u64,
    /// How requests were answered where answers are kept, in the order of [`CacheResult::ALL`].
    #[serde(default)]
    pub cache: [u64; 8],
    /// Errors that something declared stood in for, and those for which it failed too.
    #[serde(default)]
    pub fallbacks: [u64; 2],
    /// Durations in log-linear buckets; see [`bucket_of`].
    pub buckets: Vec<(u16, u64)>,
    /// Sum of durations, microseconds.
    pub sum_us: u64,
}

/// The bucket of a duration in microseconds: eight per power of two, so at most 12.5 % wide. Bounded: 0 to 503.
pub const fn bucket_of(us: u64) -> u16 {
    if us < 8 {
        return us as u16;
    }
    let power = 63 - us.leading_zeros() as u64;
    ((power - 2) * 8 + ((us >> (power - 3)) & 7)) as u16
}

/// The smallest duration, microseconds, that is beyond the bucket.
pub const fn bucket_end(bucket: u16) -> u64 {
    if bucket < 8 {
        return bucket as u64 + 1;
    }
    let (power, part) = ((bucket / 8) as u32 + 2, (bucket % 8) as u64);
    (8 + part + 1).saturating_mul(1 << (power - 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket_and_buckets_touch() {
        for us in (0..10_000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX >> 4]) {
            let bucket = bucket_of(us);
            assert!(us < bucket_end(bucket), "{us}");
            assert!(bucket == 0 || us >= bucket_end(bucket - 1), "{us}");
        }
    }
}
