//! Controller ↔ proxy: whole snapshots go down and are acknowledged by generation; counts come up.
//!
//! The proxy connects to `.ondol/run/control.sock` and says [`FromProxy::Hello`]. It is ready only with a first full
//! snapshot, and writes each to `.ondol/run/snapshot.json`, used again only within the same boot. Listening sockets are
//! not made here: the proxy takes them from the supervisor by [`SocketName`](super::supervision::SocketName).
//!
//! All spans are milliseconds. Every type refuses unknown fields, since both ends are the same program.

use super::supervision::SocketName;
use crate::clock::Timestamp;
use crate::id::{BootId, InstanceId, RouteName, SagaName, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Everything a proxy needs. Immutable; a newer generation replaces it whole.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The supervisor's life in which it holds.
    pub boot: BootId,
    /// Rises by at least one with every change; also across restarts of the controller within a boot.
    pub generation: u64,
    /// The gateway's listeners.
    pub gateways: Vec<Gateway>,
    /// Gateway routes. Precedence is the proxy's to compute; this order breaks the last tie.
    pub routes: Vec<Route>,
    /// Caller → target, each with its own listener.
    pub edges: Vec<Edge>,
    /// Services that can be called.
    pub clusters: Vec<Cluster>,
    /// Token issuers by the name that routes use.
    pub issuers: BTreeMap<String, Issuer>,
    /// CIDRs whose `X-Forwarded-*` are believed, such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Where the built-in target `controller` listens: a socket's file name in `.ondol/run/`.
    pub controller_socket: String,
}

/// A north-south listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Such as `web`.
    pub name: String,
    /// Its listening socket.
    pub socket: SocketName,
}

/// How a path is matched. Paths are canonical before they are compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// By whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// A regular expression that must match the whole path.
    Regex(String),
}

/// How a header's or query parameter's value is matched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ValueMatch {
    /// The whole value.
    Exact(String),
    /// A regular expression that must match the whole value.
    Regex(String),
}

/// Which requests a route takes; all parts must match. Gateway API HTTPRouteMatch, flattened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// Empty: every method.
    pub methods: Vec<String>,
    /// Empty: every host. `*.example.com` matches one or more labels.
    pub hosts: Vec<String>,
    /// By lower-case name.
    pub headers: Vec<(String, ValueMatch)>,
    /// By exact name.
    pub query: Vec<(String, ValueMatch)>,
}

/// Who may use a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Key of [`Snapshot::issuers`].
    pub issuer: String,
    /// A scope that the token must carry.
    pub scope: Option<String>,
    /// A role that the token must carry.
    pub role: Option<String>,
    /// Whether the service gets the token too.
    pub forward: bool,
}

/// What a route does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Passes the request to the service.
    Forward(ServiceName),
    /// Starts a saga: `POST /v1/starts/ROUTE` at the controller.
    Start {
        /// Which.
        saga: SagaName,
        /// How long the answer may wait for the saga's end.
        wait_ms: u64,
        /// Whether `Idempotency-Key` must be there.
        key_required: bool,
    },
}

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
}

/// A gateway route.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Unique.
    pub name: RouteName,
    /// Whose it is.
    pub service: ServiceName,
    /// Which requests.
    pub matches: RouteMatch,
    /// `None`: open.
    pub auth: Option<Auth>,
    /// What to do.
    pub action: Action,
    /// How.
    pub policy: Policy,
    /// `None`: no limit.
    pub limit: Option<Limit>,
}

/// A way from a caller to a target. The caller `ondol` has Unix sockets, services loopback ones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Who calls.
    pub caller: ServiceName,
    /// Who is called; `controller` for the service API.
    pub target: ServiceName,
    /// Its listening socket.
    pub socket: SocketName,
    /// How.
    pub policy: Policy,
}

/// How to speak to instances.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

/// Active health checks, from the proxy straight to each instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Asked by GET; 2xx is well.
    pub path: String,
    /// Between two.
    pub interval_ms: u64,
    /// For one.
    pub timeout_ms: u64,
}

/// A service as a target.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub service: ServiceName,
    /// How to speak.
    pub protocol: Protocol,
    /// Where.
    pub endpoints: Vec<Endpoint>,
    /// `None`: passive only.
    pub health: Option<HealthCheck>,
    /// Why it can have no endpoint, such as `skipped: node is not installed`; the 503 says it.
    pub unavailable: Option<String>,
}

/// One instance as a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Which.
    pub instance: InstanceId,
    /// Rises with every start: a new value resets breaker and latency history.
    pub start: u64,
    /// Where.
    pub address: SocketAddr,
    /// Gets no new requests; running ones end.
    pub draining: bool,
}

/// An issuer of tokens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
    /// From `EdDSA`, `ES256`, `RS256`.
    pub algorithms: Vec<String>,
    /// The service that serves the keys.
    pub jwks_service: ServiceName,
    /// The path there.
    pub jwks_path: String,
}

/// Controller → proxy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToProxy {
    /// The whole truth from now on.
    Snapshot(Box<Snapshot>),
}

/// Proxy → controller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromProxy {
    /// First word.
    Hello {
        /// The proxy's process.
        pid: u32,
        /// What it serves with; `None`: nothing yet.
        generation: Option<u64>,
    },
    /// This generation is served by all workers.
    Ack {
        /// Which.
        generation: u64,
    },
    /// This generation cannot be served; the last one stays.
    Refused {
        /// Which.
        generation: u64,
        /// Why.
        error: String,
    },
    /// Counts since the proxy's start and exact numbers in flight; once a second, and at once when the number in flight
    /// of a draining instance becomes zero.
    Report(Box<Report>),
}

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
    /// Log lines that were dropped because the log could not keep up.
    pub access_log_dropped: u64,
    /// Open client connections.
    pub connections: u64,
}

/// RED counters of one route (`route` set) or edge (`caller` set).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// The gateway route.
    pub route: Option<RouteName>,
    /// The edge's caller.
    pub caller: Option<ServiceName>,
    /// The target.
    pub target: ServiceName,
    /// By status class, 1xx to 5xx, as answered to the client.
    pub by_class: [u64; 5],
    /// Of those, answers that the proxy made itself, by `Proxy-Status` error word.
    pub own_answers: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
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
