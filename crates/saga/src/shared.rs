//! What the drivers, the sweep and the handle share: ports, plans, bounds and counts.

use crate::config::Definition;
use crate::error::SagaError;
use crate::hub::Hub;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::query::Summary;
use ondol_core::caller::SharedCaller;
use ondol_core::clock::SharedClock;
use ondol_core::engine::{SharedEngine, Table};
use ondol_core::entropy::SharedEntropy;
use ondol_core::id::{SagaName, ServiceName};
use ondol_core::task::Tasks;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};

/// Bounds of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Sagas in memory at once; the rest waits in the store. Default 4,096: at 1,000 sagas a second four seconds' worth.
    pub active: usize,
    /// Calls of one service in the air at once. Default 256.
    pub calls_per_service: usize,
    /// Sagas taken up per second after a start or a pause, so that a service that came back is not run over. Default 500.
    pub taken_up_per_second: u32,
    /// How often the store is asked for due sagas. Default 500 ms; shorter pauses are waited for in memory.
    pub sweep_every: Duration,
    /// How long a start waits for a place among the active. Default 2 s.
    pub place_wait: Duration,
    /// How much longer than `wait` a start waits for `visible_after`. Default 10 s.
    pub visible_wait: Duration,
    /// Most log records of one saga that are shown. Default 100,000: a day of polls at one a second, some 15 MB.
    pub history: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            active: 4_096,
            calls_per_service: 256,
            taken_up_per_second: 500,
            sweep_every: Duration::from_millis(500),
            place_wait: Duration::from_secs(2),
            visible_wait: Duration::from_secs(10),
            history: 100_000,
        }
    }
}

/// The outside world, as the engine needs it.
#[derive(Clone)]
pub struct Ports {
    /// Where state lives.
    pub engine: SharedEngine,
    /// How services are called.
    pub caller: SharedCaller,
    /// Time.
    pub clock: SharedClock,
    /// Jitter and ids.
    pub entropy: SharedEntropy,
    /// The family of tasks that drivers belong to.
    pub tasks: Tasks,
}

/// Changes kept for one who looks on and is slow; further ones overwrite the oldest, and it is told so.
const CHANGES: usize = 4_096;

/// Most plans of earlier definitions kept compiled.
const OLD_PLANS: usize = 1_024;

#[derive(Default)]
struct Plans {
    by_name: HashMap<SagaName, Arc<Plan>>,
    by_hash: HashMap<Arc<str>, Arc<Plan>>,
}

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) counts: Counts,
    /// Every saga that changed, for those who look on; nobody waits for them.
    pub(crate) changed: broadcast::Sender<Summary>,
    plans: RwLock<Plans>,
    services: Mutex<HashMap<ServiceName, Arc<Semaphore>>>,
}

impl Shared {
    pub(crate) fn new(ports: Ports, settings: Settings) -> Self {
        let places = Arc::new(Semaphore::new(settings.active));
        let (plans, services) = (RwLock::default(), Mutex::default());
        Self {
            ports,
            settings,
            hub: Arc::default(),
            places,
            counts: Counts::default(),
            changed: broadcast::channel(CHANGES).0,
            plans,
            services,
        }
    }

    /// Replaces what may be started. Sagas that run keep the plan they have.
    pub(crate) fn set_plans(&self, plans: Vec<Arc<Plan>>) {
        let mut known = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        known.by_name = plans
            .iter()
            .map(|plan| (plan.definition.saga.clone(), plan.clone()))
            .collect();
        known
            .by_hash
            .extend(plans.into_iter().map(|plan| (plan.hash.clone(), plan)));
    }

    pub(crate) fn plan_named(&self, name: &SagaName) -> Option<Arc<Plan>> {
        self.plans
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .get(name)
            .cloned()
    }

    pub(crate) fn plans(&self) -> Vec<Arc<Plan>> {
        self.plans
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .values()
            .cloned()
            .collect()
    }

    /// The plan that a saga was started with, from the store when no present definition is it.
    pub(crate) async fn plan_hashed(&self, hash: &str) -> Result<Arc<Plan>, SagaError> {
        if let Some(plan) = self
            .plans
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_hash
            .get(hash)
        {
            return Ok(plan.clone());
        }
        let missing = |why: String| SagaError::Stored {
            what: "definition",
            why,
        };
        let row = self.ports.engine.row(Table::Definition, hash.to_owned()).await?;
        let row = row.ok_or_else(|| missing(format!("{hash} is not in the store")))?;
        let definition: Definition = serde_json::from_slice(&row.body).map_err(|error| missing(error.to_string()))?;
        // The row's key is what the saga knows it by, should this version write definitions in another form.
        let mut plan = Plan::compile(definition)?;
        plan.hash = hash.into();
        let plan = Arc::new(plan);
        let mut known = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if known.by_hash.len() >= OLD_PLANS {
            let current: Vec<_> = known.by_name.values().cloned().collect();
            known.by_hash = current.into_iter().map(|plan| (plan.hash.clone(), plan)).collect();
        }
        known.by_hash.insert(plan.hash.clone(), plan.clone());
        Ok(plan)
    }

    /// The bound on calls of one service. Services come from definitions, so the map is as small as the system.
    pub(crate) fn service(&self, name: &ServiceName) -> Arc<Semaphore> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        match services.get(name) {
            Some(bound) => bound.clone(),
            None => services
                .entry(name.clone())
                .or_insert(Arc::new(Semaphore::new(self.settings.calls_per_service)))
                .clone(),
        }
    }
}

/// Counts since this process began, and how many sagas stand where.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) commits: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) taken_up: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    phases: [AtomicI64; Phase::ALL.len()],
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// One more saga is in `to`, one fewer in `from`.
    pub(crate) fn moved(&self, from: Option<Phase>, to: Phase) {
        if let Some(from) = from {
            self.phases[from as usize].fetch_sub(1, Ordering::Relaxed);
        }
        self.phases[to as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self, phase: Phase) -> u64 {
        u64::try_from(self.phases[phase as usize].load(Ordering::Relaxed)).unwrap_or(0)
    }
}
