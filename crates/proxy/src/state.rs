//! What a proxy has beyond one request: what all workers share, and what one worker has for itself.

use crate::addresses::Addresses;
use crate::attempt::Means;
use crate::cache::{Cache, Records};
use crate::cluster::Clusters;
use crate::filter::auth::Authority;
use crate::filter::limit::Limiters;
use crate::mesh;
use crate::mirror::Copies;
use crate::pool::Pool;
use crate::report::Counters;
use crate::report::access::AccessLog;
use crate::tables::{Tables, Target};
use crate::tls::listener::Listeners;
use arc_swap::ArcSwapOption;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::{Entropy, SharedEntropy};
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{Purge, Snapshot};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What all workers share.
pub struct Shared {
    /// What is served; nothing before the first snapshot.
    pub tables: ArcSwapOption<Tables>,
    /// Services as targets.
    pub clusters: Arc<Clusters>,
    /// Token issuers.
    pub authority: Arc<Authority>,
    /// Time.
    pub clock: SharedClock,
    /// Requests, errors, durations.
    pub counters: Arc<Counters>,
    /// A line per request.
    pub log: AccessLog,
    /// Rate limits.
    pub limiters: Limiters,
    /// Listeners with TLS.
    pub tls: Listeners,
    /// To and from other systems.
    pub mesh: mesh::Current,
    /// Strangers' connections.
    pub addresses: Arc<Addresses>,
    /// Kept answers.
    pub cache: Arc<Cache>,
    /// Whether the tables keep any answers: asked before the tables are.
    keeps: AtomicBool,
    run_dir: PathBuf,
}

impl Shared {
    /// Nothing to serve yet. `run_dir` is where the controller's socket is; key sets are kept there too.
    pub fn new(clock: SharedClock, entropy: SharedEntropy, run_dir: PathBuf, log: AccessLog) -> Self {
        let counters = Arc::new(Counters::new(entropy.next_u64()));
        let authority = Authority::new(clock.clone(), entropy, Some(run_dir.clone()));
        Self {
            tables: ArcSwapOption::empty(),
            clusters: Arc::default(),
            authority: Arc::new(authority),
            clock,
            counters,
            log,
            limiters: Limiters::default(),
            tls: Listeners::default(),
            mesh: mesh::Current::default(),
            addresses: Arc::default(),
            cache: Arc::default(),
            keeps: AtomicBool::new(false),
            run_dir,
        }
    }

    /// Serves this snapshot from now on; requests under way end under the one they began with.
    ///
    /// # Errors
    /// Why it cannot be served, in words; the one before stays.
    pub fn apply(&self, snapshot: &Snapshot) -> Result<(), String> {
        let now = self.clock.mono();
        let tables = Tables::apply(snapshot, self, &self.run_dir.join(&snapshot.controller_socket), now)?;
        let keeps = !tables.kept.is_empty();
        // It is said before anything is kept, and unsaid after.
        self.keeps.fetch_or(keeps, Ordering::AcqRel);
        let before = self.tables.swap(Some(Arc::new(tables)));
        self.keeps.store(keeps, Ordering::Release);
        let now_kept = self.tables.load_full();
        let kept = |tables: &Option<Arc<Tables>>| tables.as_ref().map(|tables| tables.kept.clone()).unwrap_or_default();
        // While nothing was kept of a service, nothing was heard of what changed there.
        for service in kept(&before).symmetric_difference(&kept(&now_kept)) {
            self.cache.purge(&Purge::of(service.clone()), now);
        }
        Ok(())
    }

    /// Whether answers of what is there are kept now, by the tables that are served.
    pub fn keeps(&self, target: &Target) -> bool {
        self.keeps.load(Ordering::Acquire) && self.tables.load().as_ref().is_some_and(|tables| tables.keeps(target))
    }
}

/// One thread's share of the proxy.
pub struct Worker {
    shared: Arc<Shared>,
    entropy: SharedEntropy,
    tasks: Tasks,
    /// Kept upstream connections.
    pub pool: Rc<Pool>,
    /// Copies of requests under way.
    pub copies: Copies,
    /// Answers that are being kept.
    pub records: Records,
}

impl Worker {
    /// A worker without connections. `entropy` is for jitter and balancing, not for secrets.
    pub fn new(shared: Arc<Shared>, entropy: SharedEntropy, tasks: Tasks) -> Self {
        let pool = Pool::new(shared.clock.clone(), tasks.clone());
        Self {
            shared,
            entropy,
            tasks,
            pool: Rc::new(pool),
            copies: Copies::default(),
            records: Records::default(),
        }
    }

    /// What all workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// Its randomness, for a task that outlives the request.
    pub fn shared_entropy(&self) -> SharedEntropy {
        self.entropy.clone()
    }

    /// The family of what it begins beside connections.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What it lends to each request.
    pub fn means(&self) -> Means<'_> {
        Means {
            pool: &self.pool,
            clock: &self.shared.clock,
            entropy: &self.entropy,
        }
    }
}
