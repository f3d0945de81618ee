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

mod endpoint;
pub mod health;
mod permit;
mod probe;

pub use endpoint::Endpoint;
pub use permit::{Outcome, Permit};

use arc_swap::ArcSwap;
use endpoint::lock;
use ondol_core::entropy::Entropy;
use ondol_core::error::ErrorCode;
use ondol_core::id::{InstanceId, ServiceName};
use ondol_core::wire::proxy::{self as wire, HealthCheck, Protocol, Snapshot};
use ondol_resilience::breaker::{self, Breaker};
use ondol_resilience::{balance, budget::Budget, outlier};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Why no instance can be called. Nothing was sent; `Proxy-Status` says `destination_unavailable`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The snapshot says why the service cannot have an instance.
    #[error("service {service} is not available: {reason}")]
    Declared {
        /// Which.
        service: ServiceName,
        /// Such as `skipped: node is not installed`.
        reason: String,
    },
    /// None is ready now.
    #[error("service {0} has no ready instance")]
    NoInstance(ServiceName),
    /// Too many calls failed lately.
    #[error("service {service} is given a rest: its circuit breaker is open")]
    BreakerOpen {
        /// Which.
        service: ServiceName,
        /// When to ask again.
        retry_after: Duration,
    },
}

impl Unavailable {
    /// Stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Declared { .. } => ErrorCode::new("GW-051"),
            Self::NoInstance(_) => ErrorCode::new("GW-052"),
            Self::BreakerOpen { .. } => ErrorCode::new("GW-053"),
        }
    }

    /// When it may be over; `None`: not before somebody acts.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Declared { .. } => None,
            Self::NoInstance(_) => Some(Duration::from_secs(1)),
            Self::BreakerOpen { retry_after, .. } => Some(*retry_after),
        }
    }
}

/// What a cluster offers now.
#[derive(Debug)]
pub struct View {
    /// How to speak to its instances.
    pub protocol: Protocol,
    /// Active checks.
    pub health: Option<HealthCheck>,
    unavailable: Option<String>,
    endpoints: Vec<Arc<Endpoint>>,
}

/// A service as a target.
#[derive(Debug)]
pub struct Cluster {
    service: ServiceName,
    view: ArcSwap<View>,
    /// One per setting in use: routes and edges with the same setting share it.
    breakers: Mutex<Vec<(wire::Breaker, Arc<Mutex<Breaker>>)>>,
    /// One per caller; the gateway has no name.
    budgets: Mutex<HashMap<Option<ServiceName>, Arc<Mutex<Budget>>>>,
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
            shared,
        }
    }
}

impl Clusters {
    /// Takes what a snapshot says of services and instances. Call it when all else of the snapshot is known to be good.
    pub fn apply(&self, snapshot: &Snapshot, now: Duration) {
        let mut by_name = lock(&self.by_name);
        let mut gone = Vec::new();
        for spec in &snapshot.clusters {
            let cluster = by_name
                .entry(spec.service.clone())
                .or_insert_with(|| Arc::new(Cluster::new(spec, self.shared.clone())));
            gone.extend(cluster.apply(spec, now));
        }
        by_name.retain(|service, cluster| {
            let stays = snapshot.clusters.iter().any(|spec| spec.service == *service);
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

    /// The way from a caller (`None`: the gateway) to a service under a policy's breaker. Make it once per snapshot.
    pub fn way(&self, caller: Option<&ServiceName>, target: &ServiceName, breaker: &wire::Breaker) -> Option<Way> {
        self.get(target).map(|cluster| Way::new(cluster, caller, breaker))
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
    pub fn breakers(&self) -> Vec<(ServiceName, String)> {
        let by_name = lock(&self.by_name);
        let states = by_name
            .values()
            .filter_map(|cluster| Some((cluster.service.clone(), cluster.worst_breaker()?)));
        states
            .map(|(service, state)| (service, state.as_str().to_owned()))
            .collect()
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.by_name)
            .values()
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
        };
        Self {
            service: spec.service.clone(),
            view: ArcSwap::from_pointee(view),
            breakers: Mutex::default(),
            budgets: Mutex::default(),
            panic: AtomicBool::new(false),
            shared,
        }
    }

    /// Gives the endpoints that are gone.
    fn apply(&self, spec: &wire::Cluster, now: Duration) -> Vec<Arc<Endpoint>> {
        let before = self.view.load_full();
        // The first instances of a service have nobody to leave the traffic to while they warm up.
        let served = before.endpoints.iter().any(|endpoint| !endpoint.is_draining());
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
                        Arc::new(Endpoint::new(wanted, id, served.then_some(now)))
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
        self.view.store(Arc::new(View {
            protocol: spec.protocol,
            health,
            unavailable,
            endpoints,
        }));
        // Only now: whoever finds all endpoints of the older list draining looks into the newer one.
        flags
            .iter()
            .for_each(|(endpoint, draining)| endpoint.set_draining(*draining));
        gone.iter().for_each(|endpoint| endpoint.set_draining(true));
        self.forget_unused();
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
        }));
        before.endpoints.iter().for_each(|endpoint| endpoint.set_draining(true));
        before.endpoints.clone()
    }

    /// Breakers and budgets of routes and edges that are in no table any more.
    fn forget_unused(&self) {
        lock(&self.breakers).retain(|(_, breaker)| Arc::strong_count(breaker) > 1);
        lock(&self.budgets).retain(|_, budget| Arc::strong_count(budget) > 1);
    }

    fn worst_breaker(&self) -> Option<breaker::State> {
        let breakers = lock(&self.breakers);
        let states = breakers.iter().map(|(_, breaker)| lock(breaker).state());
        states
            .filter(|state| *state != breaker::State::Closed)
            .min_by_key(|state| *state != breaker::State::Open)
    }

    /// What it offers now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Its name.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    fn choose(
        &self,
        view: &View,
        now: Duration,
        random: &dyn Entropy,
        tried: &[Arc<Endpoint>],
    ) -> Option<Arc<Endpoint>> {
        let open: SmallVec<[&Arc<Endpoint>; 16]> = view
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.is_draining())
            .collect();
        let well: SmallVec<[&Arc<Endpoint>; 16]> =
            open.iter().copied().filter(|endpoint| endpoint.is_well(now)).collect();
        let panic = outlier::is_panic(open.len(), well.len());
        if panic != self.panic.load(Ordering::Relaxed) && panic != self.panic.swap(panic, Ordering::Relaxed) {
            tracing::warn!(service = %self.service, well = well.len(), instances = open.len(), panic, "panic mode: whether all instances are used");
        }
        let usable = if panic { open } else { well };
        let fresh: SmallVec<[&Arc<Endpoint>; 16]> = usable
            .iter()
            .copied()
            .filter(|endpoint| !tried.iter().any(|other| Arc::ptr_eq(other, endpoint)))
            .collect();
        // Another instance if there is one, else the same again.
        better_of_two(if fresh.is_empty() { &usable } else { &fresh }, now, random).cloned()
    }
}

/// Two random candidates; one that warms up takes part only in its share of turns; the lower cost wins.
fn better_of_two<'a>(usable: &[&'a Arc<Endpoint>], now: Duration, random: &dyn Entropy) -> Option<&'a Arc<Endpoint>> {
    let Some((a, b)) = balance::two_of(usable.len(), random.next_u64()) else {
        return usable.first().copied();
    };
    let (a, b) = (usable[a], usable[b]);
    let takes_part = |endpoint: &Endpoint| {
        let warmth = endpoint.warmth(now);
        warmth >= 1.0 || random.below(1 << 20) < (warmth * f64::from(1 << 20)) as u64
    };
    Some(match (takes_part(a), takes_part(b)) {
        (true, false) => a,
        (false, true) => b,
        _ if b.cost(now) < a.cost(now) => b,
        _ => a,
    })
}

/// From a caller to a service, under a policy.
#[derive(Clone, Debug)]
pub struct Way {
    cluster: Arc<Cluster>,
    breaker: Arc<Mutex<Breaker>>,
    budget: Arc<Mutex<Budget>>,
}

impl Way {
    fn new(cluster: Arc<Cluster>, caller: Option<&ServiceName>, spec: &wire::Breaker) -> Self {
        let breaker = {
            let mut breakers = lock(&cluster.breakers);
            let known = breakers
                .iter()
                .find(|(other, _)| other == spec)
                .map(|(_, breaker)| breaker.clone());
            known.unwrap_or_else(|| {
                let open = Duration::from_millis(spec.open_ms);
                let settings = breaker::Settings {
                    failure_ratio: spec.failure_ratio,
                    minimum: spec.minimum,
                    open,
                };
                let new = Arc::new(Mutex::new(Breaker::new(settings)));
                breakers.push((spec.clone(), new.clone()));
                new
            })
        };
        let budget = lock(&cluster.budgets).entry(caller.cloned()).or_default().clone();
        Self {
            cluster,
            breaker,
            budget,
        }
    }

    /// Where it leads.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Chooses an instance for one attempt; `tried` are those that earlier attempts of the same request used.
    ///
    /// # Errors
    /// [`Unavailable`]: nothing can be sent now.
    ///
    /// # Drop
    /// The [`Permit`] counts as one request in flight until it is dropped.
    pub fn pick(&self, now: Duration, random: &dyn Entropy, tried: &[Arc<Endpoint>]) -> Result<Permit, Unavailable> {
        let service = &self.cluster.service;
        let refused = |refused: breaker::Refused| Unavailable::BreakerOpen {
            service: service.clone(),
            retry_after: refused.retry_after,
        };
        let mut view = self.cluster.view.load_full();
        let unavailable = |view: &View| match &view.unavailable {
            Some(reason) => Unavailable::Declared {
                service: service.clone(),
                reason: reason.clone(),
            },
            None => Unavailable::NoInstance(service.clone()),
        };
        loop {
            if let Some(endpoint) = self.cluster.choose(&view, now, random, tried) {
                let ticket = lock(&self.breaker).admit(now).map_err(refused)?;
                match Permit::take(endpoint, self, ticket) {
                    Some(permit) => return Ok(permit),
                    None => continue, // It began to drain meanwhile; each does so once, so this ends.
                }
            }
            let newer = self.cluster.view.load_full();
            if Arc::ptr_eq(&newer, &view) {
                return Err(unavailable(&view));
            }
            view = newer;
        }
    }

    /// Counts a request's first attempt; retries are a share of these.
    pub fn count_first(&self, now: Duration) {
        lock(&self.budget).deposit(now);
    }

    /// Takes one retry from the caller's budget; false: there is none, hand on what there is.
    pub fn may_retry(&self, now: Duration) -> bool {
        lock(&self.budget).withdraw(now)
    }
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
