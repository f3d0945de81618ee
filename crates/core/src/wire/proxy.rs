//! Controller ↔ proxy: snapshots, or what changed since the last one, go down and are acknowledged by generation; counts come up.
//!
//! The proxy connects to `.ondol/run/control.sock` and says [`FromProxy::Hello`]. It is ready only with a first full
//! snapshot, and keeps the newest in `.ondol/run/snapshot.json`, used again only within the same boot. Listening sockets are
//! not made here: the proxy takes them from the supervisor by [`SocketName`](super::supervision::SocketName).
//!
//! All spans are milliseconds. Every type refuses unknown fields: what a proxy of another version does not know it must not
//! pass over.

mod change;
mod mesh;
mod policy;
mod purge;
mod report;
mod tls;

pub use change::{Change, Misfit, Splice};
pub use mesh::{Identity, Mesh, Peer};
pub use policy::{Balance, Breaker, Cache, Fallback, HashBy, Limit, LimitBy, Policy, Priority};
pub use purge::{BadPurge, Purge};
pub use report::{Bulkhead, CacheReport, CacheResult, PeerReport, Report, Traffic, bucket_end, bucket_of};
pub use tls::{CertificateFiles, CertificateReport, ClientCertificates, Tls, TlsReport, TlsVersion};

use super::supervision::SocketName;
use crate::id::{BootId, InstanceId, RouteName, SagaName, ServiceName, SystemName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

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
    pub routes: Vec<Arc<Route>>,
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
    /// Other systems; `None`: this one stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Mesh>,
}

/// A north-south listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Such as `web`.
    pub name: String,
    /// Its listening socket.
    pub socket: SocketName,
    /// `None`: it speaks HTTP in the clear.
    #[serde(default)]
    pub tls: Option<Tls>,
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
    /// Passes the request to one of these services, by weight. All weights zero: 500.
    Forward(Vec<Backend>),
    /// Starts a saga: `POST /v1/starts/ROUTE` at the controller.
    Start {
        /// Which.
        saga: SagaName,
        /// How long the answer may wait for the saga's end.
        wait_ms: u64,
        /// Whether `Idempotency-Key` must be there.
        key_required: bool,
    },
    /// Sends the client elsewhere.
    Redirect(Redirect),
}

/// A service that takes a share of a route's requests. Gateway API HTTPBackendRef.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Which.
    pub service: ServiceName,
    /// Its share is this by the sum of all weights.
    pub weight: u32,
    /// Of the fields of its requests, after the route's own changes.
    #[serde(default, skip_serializing_if = "FieldChanges::is_empty")]
    pub request_fields: FieldChanges,
    /// Of the fields of their answers, before the route's own changes.
    #[serde(default, skip_serializing_if = "FieldChanges::is_empty")]
    pub response_fields: FieldChanges,
}

impl Action {
    /// All requests to one service.
    pub fn forward(service: ServiceName) -> Self {
        Self::Forward(vec![Backend {
            service,
            weight: 1,
            request_fields: FieldChanges::default(),
            response_fields: FieldChanges::default(),
        }])
    }
}

/// A service that gets copies of a route's requests; its answers are thrown away. Gateway API HTTPRequestMirrorFilter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Which.
    pub service: ServiceName,
    /// Share of the requests, 0 to 1.
    pub share: f64,
}

/// Which pages of other origins may use a route. Gateway API HTTPCORSFilter; the protocol is the Fetch standard's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// `https://shop.example`, `https://*.shop.example` (one or more labels), or `*`.
    pub allow_origins: Vec<String>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Request fields in lower case, or `*`.
    pub allow_headers: Vec<String>,
    /// Answer fields in lower case, or `*`.
    pub expose_headers: Vec<String>,
    /// Whether requests may carry cookies and the like.
    pub allow_credentials: bool,
    /// How long a browser may keep what a preflight said.
    pub max_age_s: u64,
}

/// Where a session's token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    /// In a cookie of this name.
    Cookie,
    /// In a header field of this name, in both directions.
    Header,
}

/// Requests of one session go to the same instance while it is there. Gateway API SessionPersistence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Where its token stands.
    pub kind: SessionKind,
    /// The cookie's or, in lower case, the field's name.
    pub name: String,
    /// After this a session begins anew. `None`: never.
    pub absolute_timeout_ms: Option<u64>,
    /// After this without a request a session begins anew. `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// The cookie outlives the browser, for as long as the session.
    pub permanent: bool,
}

/// Changes to header fields: what is removed, then what is set, then what is added. Names are lower case.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChanges {
    /// Names.
    pub remove: Vec<String>,
    /// Replaces every field of the name.
    pub set: Vec<(String, String)>,
    /// Beside those that are there.
    pub add: Vec<(String, String)>,
}

impl FieldChanges {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Another path than the client's. The query stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PathChange {
    /// This one.
    Full(String),
    /// This one in place of the prefix that the route matched.
    Prefix(String),
}

/// Another host or path than the client's, for the service.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The host, without a port.
    pub host: Option<String>,
    /// The path.
    pub path: Option<PathChange>,
}

/// Where a client is sent instead; what is `None` stays as it asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host, without a port.
    pub host: Option<String>,
    /// The port. `None`: the usual one of `scheme`, if that is given.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathChange>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
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
    /// Pages of other origins; `None`: the service's own affair.
    #[serde(default)]
    pub cors: Option<Cors>,
    /// Who gets copies of what is forwarded.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// `None`: any instance gets any request.
    #[serde(default)]
    pub session: Option<Session>,
    /// Before the request is sent on.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// Of the request's fields, before it is sent on.
    #[serde(default)]
    pub request_fields: FieldChanges,
    /// Of the answer's fields, whoever made it.
    #[serde(default)]
    pub response_fields: FieldChanges,
    /// How.
    pub policy: Policy,
    /// `None`: no limit.
    pub limit: Option<Limit>,
}

impl Route {
    /// What becomes of the path.
    pub fn path_change(&self) -> Option<&PathChange> {
        match &self.action {
            Action::Redirect(redirect) => redirect.path.as_ref(),
            Action::Forward(_) => self.rewrite.path.as_ref(),
            Action::Start { .. } => None,
        }
    }
}

/// A way from a caller to a target. The caller `ondol` has Unix sockets, services loopback ones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Who calls.
    pub caller: ServiceName,
    /// The system in which it lives, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SystemName>,
    /// Who is called; `controller` for the service API.
    pub target: ServiceName,
    /// Its listening socket; that of [`Mesh`] for callers of other systems.
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

/// Between what the number of requests at once to a service moves, as their latency says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { min: 10, max: 1_000 }
    }
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
    /// Requests at once.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// The system in which it lives, if that is another one: its endpoints are that system's proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SystemName>,
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
    /// Where it runs. `None`: in the proxy's own zone if it is an instance of this system, else nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
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
    /// The whole truth is what this makes of the one sent last on this connection.
    Change(Box<Change>),
    /// Kept answers are to go; answered by [`FromProxy::Purged`] with the same number.
    Purge {
        /// Counts the purges of this connection.
        number: u64,
        /// Which.
        purge: Purge,
    },
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
    /// Kept answers have gone.
    Purged {
        /// Of [`ToProxy::Purge`].
        number: u64,
        /// How many.
        dropped: u64,
    },
    /// Another proxy has taken over: from now on it takes no new connections, and nobody need wait for its acknowledgements.
    Leaving {
        /// Whether it takes snapshots on. One that cannot read them, since they are of a newer program, serves what it has by its
        /// last one.
        reads: bool,
    },
    /// Counts since the proxy's start and exact numbers in flight; once a second, and at once when the number in flight
    /// of a draining instance becomes zero.
    Report(Box<Report>),
}
