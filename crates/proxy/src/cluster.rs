//! Services as targets: which instance gets a request, and what is known of each.
//!
//! A [`Cluster`] outlives snapshots: [`Clusters::apply`] changes what it offers, so that a request that began under an
//! older snapshot and tries again finds the newer instances. An endpoint whose `start` is unchanged keeps its history.
//!
//! Invariants
//! - An endpoint's number in flight is exact: each [`Permit`] counts one until it is dropped.
//! - After `apply` returns, a draining endpoint gets no new permit, whoever still holds an older list; so once its
//!   number is zero it stays zero, and its process may be stopped.
//! - A breaker's ticket is given back with its permit, whatever became of the request.
//!
//! State is shared by all workers: atomics for what each pick reads, short locks for histories, none over an await.
//! Decisions are `ondol-resilience`'s; this holds their state. Not here: connections (`pool`), the controller as a target.

mod balance;
mod endpoint;
mod gate;
pub mod health;
mod hedges;
mod permit;
mod pick;
mod probe;
mod zones;

pub use balance::{By, Wish};
pub use endpoint::Endpoint;
pub use gate::{Admission, Gate, Overloaded};
pub use hedges::Hedges;
pub use permit::{Outcome, Permit};
pub use pick::{Unavailable, Way};

use crate::filter::session::Sticky;
use crate::mesh::Mesh;
use crate::mesh::outward::Outward;
use arc_swap::{ArcSwap, ArcSwapOption};
use balance::{Needs, Shares};
use endpoint::lock;
use ondol_core::id::{InstanceId, ServiceName, SystemName, ZoneName};
use ondol_core::spiffe::SpiffeId;
use ondol_core::wire::proxy::{self as wire, HealthCheck, Protocol, Snapshot};
use ondol_resilience::breaker::{self, Breaker};
use ondol_resilience::budget::Budget;
use ondol_resilience::outlier;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use zones::Zones;

/// What a cluster offers now.
#[derive(Debug)]
pub struct View {
    /// How to speak to its instances.
    pub protocol: Protocol,
    /// Active checks.
    pub health: Option<HealthCheck>,
    unavailable: Option<String>,
    endpoints: Vec<Arc<Endpoint>>,
    shares: Arc<Shares>,
    /// Whether zones are known here, the proxy's own and some endpoint's: else every endpoint is as near.
    zoned: bool,
}

/// A service as a target.
#[derive(Debug)]
pub struct Cluster {
    service: ServiceName,
    /// The system in which it lives, if that is another one.
    peer: Option<SystemName>,
    view: ArcSwap<View>,
    /// One per setting in use: routes and edges with the same setting share it. The built-in caller has its own.
    breakers: Mutex<Vec<(pick::Judge, Arc<Mutex<Breaker>>)>>,
    /// One per caller; the gateway has no name.
    budgets: Mutex<HashMap<Option<ServiceName>, Arc<Mutex<Budget>>>>,
    /// Shared by all routes and edges.
    gate: Arc<Gate>,
    /// Of routes that hedge.
    hedges: Hedges,
    /// Where attempts went.
    zones: Zones,
    /// So few instances are well that all are used.
    panic: AtomicBool,
    shared: Arc<Shared>,
}

/// What all clusters of a proxy share.
#[derive(Debug)]
struct Shared {
    /// Rung when a report should go out at once.
    news: Notify,
    next_id: AtomicU64,
}

/// All clusters of a proxy.
#[derive(Debug)]
pub struct Clusters {
    by_name: Mutex<BTreeMap<ServiceName, Arc<Cluster>>>,
    /// Endpoints that are in no snapshot any more but still have requests in flight.
    retired: Mutex<Vec<Arc<Endpoint>>>,
    /// Rises with each `apply`.
    applied: watch::Sender<u64>,
    /// The way to other systems.
    mesh: ArcSwapOption<Mesh>,
    shared: Arc<Shared>,
}

impl Default for Clusters {
    fn default() -> Self {
        let shared = Arc::new(Shared {
            news: Notify::new(),
            next_id: AtomicU64::new(1),
        });
        Self {
            by_name: Mutex::default(),
            retired: Mutex::default(),
            applied: watch::Sender::new(0),
            mesh: ArcSwapOption::empty(),
            shared,
        }
    }
}

impl Clusters {
    /// Takes what a snapshot says of services and instances. Call it when all else of the snapshot is known to be good.
    pub fn apply(&self, snapshot: &Snapshot, now: Duration) {
        let mut by_name = lock(&self.by_name);
        let (mut gone, needs) = (Vec::new(), Needs::of(snapshot));
        let zone = snapshot.mesh.as_ref().and_then(|mesh| mesh.zone.as_ref());
        for spec in &snapshot.clusters {
            if by_name.get(&spec.service).is_some_and(|known| known.peer != spec.peer) {
                // Another service of the same name: who still goes to the old one must not meet the new one's endpoints.
                gone.extend(
                    by_name
                        .remove(&spec.service)
                        .map(|known| known.clear())
                        .unwrap_or_default(),
                );
            }
            let cluster = by_name
                .entry(spec.service.clone())
                .or_insert_with(|| Arc::new(Cluster::new(spec, self.shared.clone())));
            let needs = needs.get(&spec.service).copied().unwrap_or_default();
            gone.extend(cluster.apply(spec, needs, zone, now));
        }
        let stay: HashSet<_> = snapshot.clusters.iter().map(|spec| &spec.service).collect();
        by_name.retain(|service, cluster| {
            let stays = stay.contains(service);
            if !stays {
                gone.extend(cluster.clear());
            }
            stays
        });
        let mut retired = lock(&self.retired);
        retired.extend(gone);
        retired.retain(|endpoint| endpoint.in_flight() > 0);
        drop((retired, by_name));
        self.applied.send_modify(|count| *count += 1);
        self.shared.news.notify_one();
    }

    /// A service as a target; `None`: not in the system.
    pub fn get(&self, service: &ServiceName) -> Option<Arc<Cluster>> {
        lock(&self.by_name).get(service).cloned()
    }

    /// By which mesh ways lead to other systems from now on.
    pub fn meet(&self, mesh: Option<Arc<Mesh>>) {
        self.mesh.store(mesh);
    }

    /// The way from a caller (`None`: the gateway) to a service under a policy's breaker. Make it once per snapshot. `None`: there
    /// is no such service, or it lives in another system and there is no way there.
    pub fn way(&self, caller: Option<&ServiceName>, target: &ServiceName, breaker: &wire::Breaker) -> Option<Way> {
        let cluster = self.get(target)?;
        let outward = match &cluster.peer {
            None => None,
            Some(peer) => Some(self.outward(caller, peer, &cluster)?),
        };
        Some(Way::new(cluster, caller, breaker, outward))
    }

    /// How a caller shows itself in another system.
    fn outward(&self, caller: Option<&ServiceName>, peer: &SystemName, cluster: &Cluster) -> Option<Arc<Outward>> {
        let (to, gateway) = (
            SpiffeId::new(peer.clone(), cluster.service.clone()),
            ServiceName::gateway(),
        );
        let mesh = self.mesh.load_full()?;
        let outward = mesh.outward(caller.unwrap_or(&gateway), to, cluster.view().protocol);
        let complain = |error: &_| tracing::error!(code = "GW-081", %error, "no way to another system");
        outward.inspect_err(complain).ok()
    }

    /// Resolves when something happened that the controller should hear of at once: an instance that drains has nothing
    /// in flight any more, or went out of rotation or back. One waiter.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Exact requests in flight by instance.
    pub fn in_flight(&self) -> Vec<(InstanceId, u64)> {
        let mut counts = BTreeMap::<InstanceId, u64>::new();
        let retired = lock(&self.retired).clone();
        for endpoint in self.endpoints().iter().chain(&retired) {
            *counts.entry(endpoint.instance.clone()).or_default() += endpoint.in_flight();
        }
        counts.into_iter().collect()
    }

    /// Whether each instance is in rotation.
    pub fn healthy(&self, now: Duration) -> Vec<(InstanceId, bool)> {
        self.endpoints()
            .iter()
            .map(|endpoint| (endpoint.instance.clone(), endpoint.is_well(now)))
            .collect()
    }

    /// Clusters with a breaker that is not closed; of several the most closed one counts least.
    pub fn breakers(&self, now: Duration) -> Vec<(ServiceName, String)> {
        let by_name = lock(&self.by_name);
        let states = by_name
            .values()
            .filter_map(|cluster| Some((cluster.service.clone(), cluster.worst_breaker(now)?)));
        states
            .map(|(service, state)| (service, state.as_str().to_owned()))
            .collect()
    }

    /// Services of which so few instances are well that all are used.
    pub fn panics(&self, now: Duration) -> Vec<ServiceName> {
        let by_name = lock(&self.by_name);
        let panicking = by_name.values().filter(|cluster| cluster.is_in_panic(now));
        panicking.map(|cluster| cluster.service.clone()).collect()
    }

    /// How many requests each service has at once, and how many had to go.
    pub fn bulkheads(&self) -> Vec<wire::Bulkhead> {
        let by_name = lock(&self.by_name);
        let report = |cluster: &Arc<Cluster>| {
            let (limit, in_flight, waiting, shed) = cluster.gate.report();
            wire::Bulkhead {
                service: cluster.service.clone(),
                limit: limit as u64,
                in_flight: in_flight as u64,
                waiting: waiting as u64,
                shed,
                hedges: cluster.hedges.counts(),
                zones: cluster.zones.counts(),
            }
        };
        by_name.values().map(report).collect()
    }

    /// Those of this system: the proxies of another are nobody's to drain.
    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.by_name)
            .values()
            .filter(|cluster| cluster.peer.is_none())
            .flat_map(|cluster| cluster.view.load().endpoints.clone())
            .collect()
    }
}

impl Cluster {
    fn new(spec: &wire::Cluster, shared: Arc<Shared>) -> Self {
        let view = View {
            protocol: spec.protocol,
            health: None,
            unavailable: None,
            endpoints: vec![],
            shares: Arc::default(),
            zoned: false,
        };
        Self {
            service: spec.service.clone(),
            peer: spec.peer.clone(),
            view: ArcSwap::from_pointee(view),
            breakers: Mutex::default(),
            budgets: Mutex::default(),
            gate: Gate::new(spec.concurrency),
            hedges: Hedges::default(),
            zones: Zones::default(),
            panic: AtomicBool::new(false),
            shared,
        }
    }

    /// Gives the endpoints that are gone.
    fn apply(&self, spec: &wire::Cluster, needs: Needs, zone: Option<&ZoneName>, now: Duration) -> Vec<Arc<Endpoint>> {
        let before = self.view.load_full();
        // The first instances of a service have nobody to leave the traffic to while they warm up. They become ready one after the
        // other; the very first one would get nearly all of it, whatever it has in hand.
        let served = before.endpoints.iter().any(|endpoint| endpoint.has_served(now));
        let mut new = false;
        let endpoints: Vec<_> = spec
            .endpoints
            .iter()
            .map(|wanted| {
                before
                    .endpoints
                    .iter()
                    .find(|known| known.is_same(wanted))
                    .cloned()
                    .unwrap_or_else(|| {
                        new = true;
                        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
                        Arc::new(Endpoint::new(wanted, id, now, served))
                    })
            })
            .collect();
        let gone: Vec<_> = before
            .endpoints
            .iter()
            .filter(|old| !endpoints.iter().any(|kept| Arc::ptr_eq(kept, old)))
            .cloned()
            .collect();
        let flags: Vec<_> = endpoints
            .iter()
            .cloned()
            .zip(spec.endpoints.iter().map(|wanted| wanted.draining))
            .collect();
        let (health, unavailable) = (spec.health.clone(), spec.unavailable.clone());
        let open = flags.iter().filter(|(_, draining)| !draining);
        let shares = Shares::of(&before.shares, needs, open.map(|(endpoint, _)| endpoint));
        let zoned = zones::mark(spec, zone, &endpoints);
        self.view.store(Arc::new(View {
            protocol: spec.protocol,
            health,
            unavailable,
            endpoints,
            shares,
            zoned,
        }));
        // Only now: whoever finds all endpoints of the older list draining looks into the newer one.
        flags
            .iter()
            .for_each(|(endpoint, draining)| endpoint.set_draining(*draining));
        gone.iter().for_each(|endpoint| endpoint.set_draining(true));
        self.forget_unused();
        self.gate.apply(spec.concurrency);
        if new {
            lock(&self.breakers)
                .iter()
                .for_each(|(_, breaker)| lock(breaker).new_instance(now));
        }
        gone
    }

    fn clear(&self) -> Vec<Arc<Endpoint>> {
        let before = self.view.load_full();
        let unavailable = Some("it is not part of the system any more".to_owned());
        self.view.store(Arc::new(View {
            protocol: before.protocol,
            health: None,
            unavailable,
            endpoints: vec![],
            shares: Arc::default(),
            zoned: false,
        }));
        before.endpoints.iter().for_each(|endpoint| endpoint.set_draining(true));
        before.endpoints.clone()
    }

    /// Breakers and budgets of routes and edges that are in no table any more.
    fn forget_unused(&self) {
        lock(&self.breakers).retain(|(_, breaker)| Arc::strong_count(breaker) > 1);
        lock(&self.budgets).retain(|_, budget| Arc::strong_count(budget) > 1);
    }

    /// Of the breakers that somebody asks: tables of before may be gone, and what they asked is forgotten at the next change.
    fn worst_breaker(&self, now: Duration) -> Option<breaker::State> {
        let breakers = lock(&self.breakers);
        let asked = breakers.iter().filter(|(_, breaker)| Arc::strong_count(breaker) > 1);
        let states = asked.map(|(_, breaker)| lock(breaker).state(now));
        states
            .filter(|state| *state != breaker::State::Closed)
            .min_by_key(|state| *state != breaker::State::Open)
    }

    /// As it is, whoever calls: the next request may be long in coming.
    fn is_in_panic(&self, now: Duration) -> bool {
        let view = self.view.load();
        let open = view.endpoints.iter().filter(|endpoint| !endpoint.is_draining());
        let (all, well) = open.fold((0, 0), |(all, well), endpoint| {
            (all + 1, well + usize::from(endpoint.is_well(now)))
        });
        outlier::is_panic(all, well)
    }

    /// What it offers now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The system in which it lives, if that is another one.
    pub fn peer(&self) -> Option<&SystemName> {
        self.peer.as_ref()
    }

    /// Whether it has this instance, for new requests too.
    pub fn has(&self, instance: Sticky) -> bool {
        let view = self.view.load();
        view.endpoints
            .iter()
            .any(|endpoint| endpoint.sticky == instance && !endpoint.is_draining())
    }

    /// Requests at once.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Second attempts beside slow first ones.
    pub fn hedges(&self) -> &Hedges {
        &self.hedges
    }

    /// Its name.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
