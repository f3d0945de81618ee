//! A snapshot, ready to serve: every name looked up, every pattern compiled. Immutable; the next one replaces it whole.

use crate::cluster::Way;
use crate::filter::auth::Guard;
use crate::filter::client::Trusted;
use crate::filter::limit::Limiter;
use crate::filter::session::Sticky;
use crate::mesh::Mesh;
use crate::mirror::Mirror;
use crate::report::{Line, Lines, RouteLines};
use crate::route;
use crate::state::Shared;
use crate::tls::listener as tls;
use foldhash::fast::RandomState;
use ondol_core::id::ServiceName;
use ondol_core::spiffe::SpiffeId;
use ondol_core::wire::proxy::{self as wire, Snapshot};
use ondol_core::wire::supervision::SocketName;
use std::collections::{HashMap, HashSet};
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

impl Target {
    fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Service(way) => Some(way.cluster().service()),
            Self::Controller | Self::Nowhere => None,
        }
    }
}

/// Services beside the one that a request is for.
#[derive(Debug, Default)]
pub struct Others {
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Whose answers stand in for errors.
    pub fallback: Option<Way>,
}

/// A way from a caller to a target.
#[derive(Debug)]
pub struct Edge {
    /// As the snapshot has it.
    pub spec: wire::Edge,
    /// Who calls, as the target is told: `NAME`, of another system `NAME.SYSTEM`.
    pub caller: Box<str>,
    /// Where it leads.
    pub target: Target,
    /// Others.
    pub others: Others,
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

/// A service that takes a share of a route's requests.
#[derive(Debug)]
pub struct Backend {
    /// Where it leads.
    pub target: Target,
    /// Its position among the route's own.
    pub index: usize,
    /// Counters of the route and this service.
    pub line: Arc<Line>,
    /// The sum of the weights up to its own.
    until: u64,
}

/// A route with every name looked up. Its matches are in [`route::Table`].
pub struct Rule {
    /// Who may.
    pub door: Door,
    /// How often.
    pub limiter: Option<Arc<Limiter>>,
    /// Others.
    pub others: Others,
    /// Counters of requests that go to no backend.
    pub line: Arc<Line>,
    backends: Vec<Backend>,
}

impl Rule {
    /// The backend that the weights give for 64 random bits; `None`: there is none with a weight.
    pub fn backend(&self, random: u64) -> Option<&Backend> {
        let sum = self.backends.last()?.until;
        let at = ((u128::from(random) * u128::from(sum)) >> 64) as u64;
        self.backends.iter().find(|backend| at < backend.until)
    }

    /// The backend that has this instance.
    pub fn backend_of(&self, instance: Sticky) -> Option<&Backend> {
        self.backends.iter().find(|backend| match &backend.target {
            Target::Service(way) => way.cluster().has(instance),
            Target::Controller | Target::Nowhere => false,
        })
    }
}

/// What stands behind a listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entrance {
    /// The outside.
    Gateway,
    /// One edge, by its position.
    Edge(usize),
    /// Other systems: the edge is known by who calls whom.
    Mesh,
}

/// Who may come in from other systems, and by which edge.
#[derive(Default)]
pub struct Visitors {
    socket: Option<SocketName>,
    listener: Option<Arc<tls::Listener>>,
    /// By a caller's URI: the names that it asks for, and the position of the edge to each.
    by_caller: HashMap<String, Vec<(String, usize)>>,
}

impl Visitors {
    fn of(snapshot: &Snapshot, mesh: Option<&Mesh>) -> Self {
        let (Some(spec), Some(mesh)) = (&snapshot.mesh, mesh) else {
            return Self::default();
        };
        let mut by_caller: HashMap<_, Vec<_>> = HashMap::new();
        for (index, edge) in snapshot.edges.iter().enumerate() {
            if let Some(peer) = &edge.peer {
                let caller = SpiffeId::new(peer.clone(), edge.caller.clone());
                let target = SpiffeId::new(spec.domain.clone(), edge.target.clone());
                by_caller
                    .entry(caller.uri())
                    .or_default()
                    .push((target.to_string(), index));
            }
        }
        Self {
            socket: spec.socket.clone(),
            listener: Some(mesh.listener()),
            by_caller,
        }
    }

    /// The position of the edge by which a caller with this certificate comes to the server that it named; `None`: it may not.
    pub fn edge(&self, caller: &str, server: &str) -> Option<usize> {
        let targets = self.by_caller.get(caller)?;
        targets.iter().find(|(name, _)| name == server).map(|(_, index)| *index)
    }
}

fn caller(edge: &wire::Edge) -> String {
    match &edge.peer {
        Some(peer) => SpiffeId::new(peer.clone(), edge.caller.clone()).to_string(),
        None => edge.caller.to_string(),
    }
}

/// A snapshot, compiled.
pub struct Tables {
    /// The snapshot's number.
    pub generation: u64,
    /// Gateway routes.
    pub routes: route::Table,
    /// What holds for each route, by its position.
    pub rules: Vec<Rule>,
    /// Counters of routes and edges.
    pub lines: Lines,
    /// Edges, in the snapshot's order.
    pub edges: Vec<Edge>,
    /// Proxies in front whose word counts.
    pub trusted: Trusted,
    /// The controller's socket.
    pub controller: PathBuf,
    /// Who may come in from other systems.
    pub visitors: Visitors,
    /// Some route or edge keeps answers or has a fallback.
    pub stands_in: bool,
    /// Services whose answers some route or edge keeps.
    pub kept: HashSet<ServiceName>,
    entrances: HashMap<SocketName, Entrance, RandomState>,
    secured: HashMap<SocketName, Arc<tls::Listener>>,
}

/// Services whose answers some route or edge keeps.
fn kept(snapshot: &Snapshot, rules: &[Rule], edges: &[Edge]) -> HashSet<ServiceName> {
    let routes = snapshot.routes.iter().zip(rules);
    let routes = routes.filter(|(route, _)| route.policy.cache.is_some());
    let by_routes = routes.flat_map(|(_, rule)| rule.backends.iter().map(|backend| &backend.target));
    let edges = edges.iter().filter(|edge| edge.spec.policy.cache.is_some());
    let all = by_routes.chain(edges.map(|edge| &edge.target));
    all.filter_map(Target::service).cloned().collect()
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
        let mut entrances = HashMap::default();
        for gateway in &snapshot.gateways {
            entrances.insert(gateway.socket.listener(), Entrance::Gateway);
        }
        for (index, edge) in snapshot.edges.iter().enumerate() {
            if edge.peer.is_none() {
                entrances.insert(edge.socket.listener(), Entrance::Edge(index));
            }
        }
        let mesh = shared.mesh.apply(snapshot.mesh.as_ref(), &shared.clock)?;
        let visitors = Visitors::of(snapshot, mesh.as_deref());
        entrances.extend(visitors.socket.iter().map(|socket| (socket.listener(), Entrance::Mesh)));
        clusters.meet(mesh);
        clusters.apply(snapshot, now);
        authority.apply(&snapshot.issuers);
        let target = |caller: Option<&ServiceName>, service: &ServiceName, policy: &wire::Policy| {
            if *service == ServiceName::controller() {
                return Target::Controller;
            }
            clusters
                .way(caller, service, &policy.breaker)
                .map_or(Target::Nowhere, Target::Service)
        };
        let fallback = |caller: Option<&ServiceName>, policy: &wire::Policy| match &policy.fallback {
            Some(wire::Fallback::Service { service }) => clusters.way(caller, service, &policy.breaker),
            Some(wire::Fallback::Answer { .. }) | None => None,
        };
        let (lines, limiters) = (shared.counters.apply(snapshot), shared.limiters.apply(&snapshot.routes));
        let rule = |((route, limiter), lines): ((&Arc<wire::Route>, _), &RouteLines)| {
            let to = |index, target, line: &Arc<Line>, until| Backend {
                target,
                index,
                line: line.clone(),
                until,
            };
            let backends = match &route.action {
                wire::Action::Forward(backends) => {
                    let mut until = 0;
                    let backends = backends.iter().zip(&lines.backends).enumerate();
                    let backends = backends.map(|(index, (backend, line))| {
                        until += u64::from(backend.weight);
                        to(index, target(None, &backend.service, &route.policy), line, until)
                    });
                    backends.collect()
                }
                wire::Action::Start { .. } => vec![to(0, Target::Controller, &lines.route, 1)],
                wire::Action::Redirect(_) => vec![],
            };
            let mirrors = route.mirrors.iter().filter_map(|mirror| {
                let way = clusters.way(None, &mirror.service, &route.policy.breaker)?;
                let share = (mirror.share.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64;
                Some(Mirror { way, share })
            });
            Rule {
                door: match &route.auth {
                    None => Door::Open,
                    Some(auth) => authority.guard(auth).map_or(Door::Shut, Door::Guarded),
                },
                limiter,
                others: Others {
                    mirrors: mirrors.collect(),
                    fallback: fallback(None, &route.policy),
                },
                line: lines.route.clone(),
                backends,
            }
        };
        let rules: Vec<_> = snapshot
            .routes
            .iter()
            .zip(limiters)
            .zip(&lines.routes)
            .map(rule)
            .collect();
        let edges = snapshot.edges.iter().map(|edge| {
            // What is done for a caller of another system is done in the name of the service that lets it in, with that one's rights and
            // that one's budget of retries.
            let on_behalf = if edge.peer.is_some() {
                &edge.target
            } else {
                &edge.caller
            };
            let (target, mut spec) = (target(Some(on_behalf), &edge.target, &edge.policy), edge.clone());
            if spec.caller == ServiceName::ondol() {
                // A saga's step asks how things are now, and the service itself.
                (spec.policy.cache, spec.policy.fallback) = (None, None);
            }
            let others = Others {
                mirrors: vec![],
                fallback: fallback(Some(on_behalf), &spec.policy),
            };
            Edge {
                caller: caller(&spec).into(),
                spec,
                target,
                others,
            }
        });
        let edges: Vec<_> = edges.collect();
        let policies = snapshot.routes.iter().map(|route| &route.policy);
        let mut policies = policies.chain(snapshot.edges.iter().map(|edge| &edge.policy));
        Ok(Self {
            kept: kept(snapshot, &rules, &edges),
            stands_in: policies.any(|policy| policy.cache.is_some() || policy.fallback.is_some()),
            generation: snapshot.generation,
            visitors,
            edges,
            rules,
            lines,
            routes,
            trusted,
            controller: controller.to_owned(),
            entrances,
            secured: shared.tls.apply(&snapshot.gateways, &shared.clock),
        })
    }

    /// Whether some route or edge keeps answers of what is there.
    pub fn keeps(&self, target: &Target) -> bool {
        target.service().is_some_and(|service| self.kept.contains(service))
    }

    /// How a listener speaks TLS; `None`: it does not.
    pub fn secured(&self, socket: &SocketName) -> Option<Arc<tls::Listener>> {
        let of_mesh = || {
            self.visitors
                .listener
                .clone()
                .filter(|_| self.entrance(socket) == Some(Entrance::Mesh))
        };
        self.secured.get(socket).cloned().or_else(of_mesh)
    }

    /// What stands behind a listener; `None`: it is being closed.
    pub fn entrance(&self, socket: &SocketName) -> Option<Entrance> {
        self.entrances.get(socket).copied()
    }
}
