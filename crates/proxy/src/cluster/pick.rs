//! Which instance gets a request: one that is well and not tried yet, by session, or near (`zones.rs`) and by the balancing of its
//! route (`balance.rs`).

use super::{Cluster, Endpoint, Permit, View, Wish, endpoint::lock, zones};
use crate::mesh::outward::Outward;
use crate::upstream::Place;
use ondol_core::entropy::Entropy;
use ondol_core::error::ErrorCode;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy as wire;
use ondol_resilience::breaker::{self, Breaker};
use ondol_resilience::{budget::Budget, outlier};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

impl Cluster {
    fn choose(
        &self,
        view: &View,
        now: Duration,
        random: &dyn Entropy,
        tried: &[Arc<Endpoint>],
        wish: Wish,
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
            self.shared.news.notify_one();
        }
        let home = (view.zoned && !panic).then(|| zones::draw(&open, wish.by, now, random));
        let usable = if panic { open } else { well };
        let fresh: SmallVec<[&Arc<Endpoint>; 16]> = usable
            .iter()
            .copied()
            .filter(|endpoint| !tried.iter().any(|other| Arc::ptr_eq(other, endpoint)))
            .collect();
        let wanted = wish
            .session
            .and_then(|wanted| fresh.iter().find(|endpoint| endpoint.sticky == wanted));
        if let Some(endpoint) = wanted {
            return Some((*endpoint).clone());
        }
        // Another instance if there is one, else the same again.
        let usable = if fresh.is_empty() { &usable } else { &fresh };
        let near = zones::narrowed(usable, home);
        view.balanced(near.as_deref().unwrap_or(usable), wish.by, now, random)
            .cloned()
    }
}

/// By what a breaker judges, and so who shares it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Judge {
    pub(super) settings: wire::Breaker,
    /// Whether an answer can be a failure. Not to the built-in caller: sagas and subscriptions read every answer and pause
    /// by it themselves, and one event that a service cannot take must not cut it off from everybody.
    pub(super) answers: bool,
}

/// From a caller to a service, under a policy.
#[derive(Clone, Debug)]
pub struct Way {
    pub(super) cluster: Arc<Cluster>,
    pub(super) judges_answers: bool,
    pub(super) breaker: Arc<Mutex<Breaker>>,
    pub(super) budget: Arc<Mutex<Budget>>,
    /// To another system, and never otherwise.
    outward: Option<Arc<Outward>>,
}

impl Way {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        caller: Option<&ServiceName>,
        spec: &wire::Breaker,
        outward: Option<Arc<Outward>>,
    ) -> Self {
        let judge = Judge {
            settings: spec.clone(),
            answers: caller != Some(&ServiceName::ondol()),
        };
        let judges_answers = judge.answers;
        let breaker = {
            let mut breakers = lock(&cluster.breakers);
            let known = breakers
                .iter()
                .find(|(other, _)| *other == judge)
                .map(|(_, breaker)| breaker.clone());
            known.unwrap_or_else(|| {
                let open = Duration::from_millis(spec.open_ms);
                let settings = breaker::Settings {
                    failure_ratio: spec.failure_ratio,
                    minimum: spec.minimum,
                    open,
                };
                let new = Arc::new(Mutex::new(Breaker::new(settings)));
                breakers.push((judge, new.clone()));
                new
            })
        };
        let budget = lock(&cluster.budgets).entry(caller.cloned()).or_default().clone();
        Self {
            cluster,
            judges_answers,
            breaker,
            budget,
            outward,
        }
    }

    /// How to reach one of its endpoints.
    pub fn place(&self, endpoint: &Endpoint) -> Place<'_> {
        match &self.outward {
            Some(outward) => Place::Peer(endpoint.address, endpoint.id, outward),
            None => Place::Instance(endpoint.address, endpoint.id, self.cluster.view().protocol),
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
    pub fn pick(
        &self,
        now: Duration,
        random: &dyn Entropy,
        tried: &[Arc<Endpoint>],
        wish: Wish,
    ) -> Result<Permit, Unavailable> {
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
            if let Some(endpoint) = self.cluster.choose(&view, now, random, tried, wish) {
                let ticket = lock(&self.breaker).admit(now).map_err(refused)?;
                match Permit::take(endpoint, self, ticket) {
                    Some(permit) => {
                        if view.zoned {
                            self.cluster.zones.count(permit.endpoint());
                        }
                        return Ok(permit);
                    }
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
