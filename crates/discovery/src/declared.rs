//! The declared half of a snapshot: listeners, routes, edges, clusters without their endpoints.

use ondol_core::id::{ServiceName, SystemName, ZoneName};
use ondol_core::wire::proxy::{Concurrency, Edge, Gateway, HealthCheck, Issuer, Mesh, Protocol, Route};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the manifests say about traffic.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Declared {
    /// Gateway listeners.
    pub gateways: Vec<Gateway>,
    /// Gateway routes.
    pub routes: Vec<Arc<Route>>,
    /// Caller → target.
    pub edges: Vec<Edge>,
    /// Services that can be called.
    pub services: Vec<DeclaredService>,
    /// Token issuers.
    pub issuers: BTreeMap<String, Issuer>,
    /// CIDRs.
    pub trusted_proxies: Vec<String>,
    /// Other systems.
    pub mesh: Option<Mesh>,
}

/// A service as a target, before it has instances.
#[derive(Clone, PartialEq, Debug)]
pub struct DeclaredService {
    /// Its name.
    pub service: ServiceName,
    /// How to speak to it.
    pub protocol: Protocol,
    /// Active health checks.
    pub health: Option<HealthCheck>,
    /// Why it can have no instance here.
    pub unavailable: Option<String>,
    /// Requests at once.
    pub concurrency: Concurrency,
    /// Where it is, if that is another system.
    pub elsewhere: Option<Elsewhere>,
}

/// The place of a service that runs in another system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    /// Which system.
    pub system: SystemName,
    /// Its proxies, and where each is.
    pub addresses: Vec<(SocketAddr, Option<ZoneName>)>,
}
