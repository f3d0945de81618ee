//! A snapshot, ready to serve: every name looked up, every pattern compiled. Immutable; the next one replaces it whole.

use crate::cluster::Way;
use crate::filter::auth::Guard;
use crate::filter::client::Trusted;
use crate::filter::limit::Limiter;
use crate::report::Lines;
use crate::route;
use crate::state::Shared;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{self as wire, Snapshot};
use ondol_core::wire::supervision::SocketName;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a route or an edge leads.
#[derive(Debug)]
pub enum Target {
    /// To a service.
    Service(Way),
    /// To the controller.
    Controller,
    /// To a service that the snapshot does not have.
    Nowhere,
}

/// A way from a caller to a target.
#[derive(Debug)]
pub struct Edge {
    /// As the snapshot has it.
    pub spec: wire::Edge,
    /// Where it leads.
    pub target: Target,
}

/// Who may use a route.
pub enum Door {
    /// Everybody.
    Open,
    /// Those whom the guard lets in.
    Guarded(Guard),
    /// Nobody: its issuer is not in the snapshot.
    Shut,
}

/// What stands behind a listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entrance {
    /// The outside.
    Gateway,
    /// One edge, by its position.
    Edge(usize),
}

/// A snapshot, compiled.
pub struct Tables {
    /// The snapshot's number.
    pub generation: u64,
    /// Gateway routes.
    pub routes: route::Table,
    /// Where each route leads, by its position.
    pub targets: Vec<Target>,
    /// Who may use each route, by its position.
    pub guards: Vec<Door>,
    /// Each route's limit, by its position.
    pub limiters: Vec<Option<Arc<Limiter>>>,
    /// Counters of routes and edges.
    pub lines: Lines,
    /// Edges, in the snapshot's order.
    pub edges: Vec<Edge>,
    /// Proxies in front whose word counts.
    pub trusted: Trusted,
    /// The controller's socket.
    pub controller: PathBuf,
    entrances: HashMap<SocketName, Entrance>,
}

impl Tables {
    /// Compiles a snapshot and, once all of it is known to be good, lets the clusters take it.
    ///
    /// # Errors
    /// What cannot be served, in words; nothing has changed then.
    pub fn apply(snapshot: &Snapshot, shared: &Shared, controller: &Path, now: Duration) -> Result<Self, String> {
        let Shared {
            clusters, authority, ..
        } = shared;
        let routes = route::Table::compile(&snapshot.routes).map_err(|error| format!("{}: {error}", error.code()))?;
        let trusted =
            Trusted::parse(&snapshot.trusted_proxies).map_err(|error| format!("{}: {error}", error.code()))?;
        let mut entrances = HashMap::new();
        for gateway in &snapshot.gateways {
            entrances.insert(gateway.socket.clone(), Entrance::Gateway);
        }
        for (index, edge) in snapshot.edges.iter().enumerate() {
            entrances.insert(edge.socket.clone(), Entrance::Edge(index));
        }
        clusters.apply(snapshot, now);
        authority.apply(&snapshot.issuers);
        let guards = snapshot.routes.iter().map(|route| match &route.auth {
            None => Door::Open,
            Some(auth) => authority.guard(auth).map_or(Door::Shut, Door::Guarded),
        });
        let target = |caller: Option<&ServiceName>, service: &ServiceName, policy: &wire::Policy| {
            if *service == ServiceName::controller() {
                return Target::Controller;
            }
            clusters
                .way(caller, service, &policy.breaker)
                .map_or(Target::Nowhere, Target::Service)
        };
        let targets = snapshot.routes.iter().map(|route| match &route.action {
            wire::Action::Forward(service) => target(None, service, &route.policy),
            wire::Action::Start { .. } => Target::Controller,
        });
        let edges = snapshot.edges.iter().map(|edge| Edge {
            spec: edge.clone(),
            target: target(Some(&edge.caller), &edge.target, &edge.policy),
        });
        Ok(Self {
            generation: snapshot.generation,
            targets: targets.collect(),
            guards: guards.collect(),
            limiters: shared.limiters.apply(&snapshot.routes),
            lines: shared.counters.apply(snapshot),
            edges: edges.collect(),
            routes,
            trusted,
            controller: controller.to_owned(),
            entrances,
        })
    }

    /// What stands behind a socket; `None`: it is being closed.
    pub fn entrance(&self, socket: &SocketName) -> Option<Entrance> {
        self.entrances.get(socket).copied()
    }

    /// The sockets to listen on.
    pub fn sockets(&self) -> impl Iterator<Item = &SocketName> {
        self.entrances.keys()
    }
}
