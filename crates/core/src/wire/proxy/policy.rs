//! Policies of routes and edges, merged from all levels, as the proxy takes them.

use crate::id::ServiceName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// By what a limit counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LimitBy {
    /// The verified subject; the client's address where there is none.
    Subject,
    /// The client's address.
    Ip,
    /// A header's value.
    Header(String),
}

/// A token bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Refill.
    pub per_second: f64,
    /// Size.
    pub burst: u32,
    /// Of whom.
    pub by: LimitBy,
}

/// A circuit breaker: a window of 10 s in 10 buckets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Share of failed or slow calls that opens it, 0 to 1.
    pub failure_ratio: f64,
    /// Calls in the window before it may open.
    pub minimum: u32,
    /// How long it stays open first; doubles up to 60 s.
    pub open_ms: u64,
}

/// How much requests matter: the first are shed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Shed last.
    Critical,
    /// What says nothing.
    #[default]
    Default,
    /// Can be done later.
    Batch,
    /// Shed first.
    BestEffort,
}

impl Priority {
    /// All, the highest first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Default, Self::Batch, Self::BestEffort];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Batch => "batch",
            Self::BestEffort => "best-effort",
        }
    }
}

/// By what a request is known, where those of one key go to one instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HashBy {
    /// A header's value; the name in lower case.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// A query parameter's value.
    Query(String),
    /// The client's address; an edge has none.
    SourceIp,
    /// The path that was asked for.
    Path,
}

/// As people are told.
impl fmt::Display for HashBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::SourceIp => f.write_str("source_ip"),
            Self::Path => f.write_str("path"),
        }
    }
}

/// How an instance is chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Balance {
    /// Of two the one with the lower latency times work in hand.
    #[default]
    PeakEwma,
    /// Of two the one with fewer requests in flight.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// The same for the same key, by a hash ring.
    RingHash(HashBy),
    /// The same for the same key, by a Maglev table.
    Maglev(HashBy),
}

/// The algorithm, and by what it hashes.
impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeakEwma => f.write_str("peak-ewma"),
            Self::LeastRequest => f.write_str("least-request"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::RingHash(hash) => write!(f, "ring-hash by {hash}"),
            Self::Maglev(hash) => write!(f, "maglev by {hash}"),
        }
    }
}

/// How answers to safe requests are kept and given again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// How long beyond its freshness an answer may stand in for an error, where it says nothing of it.
    pub stale_if_error_ms: u64,
    /// How long beyond its freshness an answer may be given while another is fetched, where it says nothing of it.
    pub stale_while_revalidate_ms: u64,
    /// All consumers share answers that say that they may be shared; else each has its own.
    pub shared: bool,
}

/// What stands in for an error, of safe requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Fallback {
    /// Another service's answer.
    Service {
        /// Which.
        service: ServiceName,
    },
    /// Always the same.
    Answer {
        /// Its status.
        status: u16,
        /// Its media type.
        content_type: String,
        /// Its body.
        body: String,
    },
}

/// Policies of a route or an edge, already merged from system, service and route.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Deadline of the whole request; with `stream` the idle limit holds instead.
    pub timeout_ms: u64,
    /// For SSE, WebSocket and gRPC streams: no deadline, idle 60 s.
    pub stream: bool,
    /// Extra attempts, of safe or keyed requests only.
    pub retries: u32,
    /// Per cluster.
    pub breaker: Breaker,
    /// Largest request body, bytes.
    pub body_limit: u64,
    /// Of requests that say nothing of their own.
    #[serde(default)]
    pub priority: Priority,
    /// Share of safe requests that may be sent to a second instance too, 0 to 1; 0: none.
    #[serde(default)]
    pub hedge_share: f64,
    /// Which instance.
    #[serde(default)]
    pub balance: Balance,
    /// `None`: no answer is kept.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// `None`: an error is an error.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}
