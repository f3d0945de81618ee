//! The loop: wake, look, decide, act, publish. One thread, since everything it asks of the supervisor blocks.
//!
//! What it decides is in `machine.rs` (instances), `status.rs` (words for people) and `ondol-discovery` (snapshots);
//! builds (`workshop.rs`) run on threads of their own and come back as [`Wake::Build`].
//!
//! Invariants
//! - The supervisor's facts are read again after every action, and older ones that were on their way meanwhile are
//!   dropped, so nothing is started or stopped twice.
//! - An instance counts as drained only by counts of a snapshot in which it drains.
//! - The loop never sends to itself: the queue of [`Wake`]s is bounded, and a full one holds up only the senders.

use crate::build_run::BuildEvent;
use crate::config::{ServicePlan, SystemPlan};
use crate::configuration::{Configurations, NotTaken, Order, Running, Taken};
use crate::handle::{Command, Deploy, Refused};
use crate::identities::Identities;
use crate::instance;
use crate::machine::{Action, Machine, Want};
use crate::settings::Settings;
use crate::sockets::mesh_socket;
use crate::sources::Sources;
use crate::status::{self, BuildState, ServiceStatus, SystemStatus};
use crate::supervised::{RETRY, Supervised};
use crate::token::TokenKey;
use crate::traffic;
use crate::workshop::{Run, Workshop};
use ondol_core::clock::SharedClock;
use ondol_core::engine::SharedEngine;
use ondol_core::id::{BootId, InstanceId};
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::Snapshot;
use ondol_core::wire::supervision::{Facts, JobSpec};
use ondol_core::wire::supervision_client::SupervisorClient;
use ondol_discovery::Registry;
use ondol_discovery::control::Proxies;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Wakes that wait: a burst of a build's lines, not a store of them.
const QUEUE: usize = 1_024;

/// What the loop needs.
pub struct Config {
    /// The system.
    pub plan: SystemPlan,
    /// `.ondol`, absolute.
    pub state: PathBuf,
    /// The supervisor's life.
    pub boot: BootId,
    /// Whether builds are checked against their inputs; false: what this life of the supervisor built is run as it is.
    pub build: bool,
    /// Rebuild and replace what changes, manifests too.
    pub watch: bool,
    /// Makes service tokens.
    pub tokens: TokenKey,
}

/// What the loop talks to.
pub struct Ports {
    /// The supervisor.
    pub supervisor: SupervisorClient,
    /// Settings are kept there.
    pub engine: SharedEngine,
    /// Where other configurations come from.
    pub configurations: Arc<dyn Configurations>,
    /// What proxies say.
    pub proxies: Proxies,
    /// Snapshots go there.
    pub snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    /// Time.
    pub clock: SharedClock,
    /// The runtime on which the engine is awaited.
    pub runtime: tokio::runtime::Handle,
    /// Ends the loop.
    pub tasks: Tasks,
}

/// Why the loop woke.
pub(crate) enum Wake {
    Facts(Box<Facts>),
    SupervisorLost(String),
    Build(BuildEvent),
    Command(Command),
    Configure(Order, oneshot::Sender<Result<Taken, Refused>>),
    /// A source or a manifest.
    Changed,
    /// They serve by the newest snapshot, or do not any more.
    Proxies,
    NotStopped(InstanceId),
}

/// Starts the loop and the threads that wake it.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(config: Config, ports: Ports) -> io::Result<Deploy> {
    let (wakes, woken) = mpsc::sync_channel(QUEUE);
    let (status, status_seen) = watch::channel(Arc::new(status::blank(&config.plan)));
    let (plan, plan_seen) = watch::channel(Arc::new(config.plan.clone()));
    let (supervisor, to_loop, tasks) = (ports.supervisor.clone(), wakes.clone(), ports.tasks.clone());
    Tasks::thread("deploy-facts", move || follow_facts(&supervisor, &to_loop, &tasks))?;
    follow_proxies(&ports, wakes.clone());
    let deploy = Deploy {
        commands: wakes.clone(),
        status: status_seen,
        plan: plan_seen,
    };
    let published = Published { status, plan };
    Tasks::thread("deploy", move || Loop::new(config, ports, wakes, published).run(&woken))?;
    Ok(deploy)
}

/// Wakes the loop as soon as the proxies serve by the newest snapshot: somebody may wait for it.
fn follow_proxies(ports: &Ports, to_loop: SyncSender<Wake>) {
    let (proxies, snapshots) = (ports.proxies.clone(), ports.snapshots.subscribe());
    let _in_runtime = ports.runtime.enter();
    ports.tasks.spawn(Kind::Deploy, async move {
        let (mut words, mut before) = (proxies.watch(), None);
        while words.changed().await.is_ok() {
            let generation = snapshots.borrow().as_ref().map(|snapshot| snapshot.generation);
            let acked = generation.filter(|generation| proxies.acked(*generation));
            if std::mem::replace(&mut before, acked) != acked {
                let _ = to_loop.try_send(Wake::Proxies); // Where the queue is full it is awake.
            }
        }
    });
}

fn follow_facts(supervisor: &SupervisorClient, to_loop: &SyncSender<Wake>, tasks: &Tasks) {
    while !tasks.is_stopping() {
        let end = match supervisor.watch() {
            Ok(stream) => stream.into_iter().find_map(|facts| match facts {
                Ok(facts) => to_loop
                    .send(Wake::Facts(Box::new(facts)))
                    .err()
                    .map(|_| "the loop has ended".to_owned()),
                Err(error) => Some(error.to_string()),
            }),
            Err(error) => Some(error.to_string()),
        };
        if to_loop
            .send(Wake::SupervisorLost(end.unwrap_or_else(|| "it ended".into())))
            .is_err()
        {
            return;
        }
        std::thread::sleep(RETRY);
    }
}

/// What others see of the loop.
struct Published {
    status: watch::Sender<Arc<SystemStatus>>,
    plan: watch::Sender<Arc<SystemPlan>>,
}

struct Loop {
    config: Config,
    ports: Ports,
    wakes: SyncSender<Wake>,
    published: Published,
    workshop: Workshop,
    settings: Settings,
    machine: Machine,
    registry: Registry,
    generation: u64,
    /// Instances that drain in the snapshot published last.
    published_draining: BTreeSet<InstanceId>,
    facts: Option<Facts>,
    supervised: Supervised,
    /// With `--watch`.
    sources: Option<Sources>,
    running: Running,
    /// Of the snapshot published last.
    published_running: Running,
    problems: Problems,
    /// For other systems.
    identities: Identities,
}

/// What keeps the whole from working; each is cleared by what mends it.
#[derive(Default)]
struct Problems {
    supervisor: Option<String>,
    manifests: Option<String>,
    watch: Option<String>,
}

impl Problems {
    fn first(&self, unbound: Option<&str>) -> Option<String> {
        let all = [
            self.supervisor.as_deref(),
            unbound,
            self.manifests.as_deref(),
            self.watch.as_deref(),
        ];
        all.into_iter().flatten().next().map(Into::into)
    }
}

impl Loop {
    fn new(config: Config, ports: Ports, wakes: SyncSender<Wake>, published: Published) -> Self {
        let settings = Settings::new(ports.engine.clone(), ports.clock.clone(), ports.runtime.clone());
        let registry = Registry::new(config.boot.clone(), ports.clock.wall());
        Self {
            workshop: Workshop::new(&config.state, &config.boot),
            settings,
            machine: Machine::default(),
            registry,
            generation: 0,
            published_draining: BTreeSet::new(),
            facts: None,
            supervised: Supervised::new(
                ports.supervisor.clone(),
                wakes.clone(),
                config.state.clone(),
                config.tokens.clone(),
            ),
            sources: config.watch.then(Sources::default),
            running: ports.configurations.running(),
            published_running: Running::default(),
            problems: Problems::default(),
            identities: Identities::default(),
            config,
            ports,
            wakes,
            published,
        }
    }

    fn run(mut self, woken: &mpsc::Receiver<Wake>) {
        self.settings.load(&self.config.plan);
        self.start_builds(if self.config.build { Run::All } else { Run::AsRecorded });
        self.watch_sources();
        while !self.ports.tasks.is_stopping() {
            match woken.recv_timeout(self.patience()) {
                Ok(wake) => self.take(wake),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            woken.try_iter().take(QUEUE).for_each(|wake| self.take(wake));
            self.look_at_sources();
            self.turn();
        }
    }

    /// How long nothing may happen before the loop looks again.
    fn patience(&self) -> Duration {
        let drains = !self.machine.draining().is_empty();
        let changed = self.sources.as_ref().is_some_and(Sources::waits);
        Duration::from_millis(if drains || changed { 50 } else { 500 })
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Facts(facts) => {
                self.problems.supervisor = None;
                if !self.facts.as_ref().is_some_and(|known| facts.is_before(known)) {
                    self.facts = Some(*facts);
                }
            }
            Wake::SupervisorLost(why) => self.supervisor_lost(&why),
            Wake::Build(event) => self.workshop.take(event, self.ports.clock.wall()),
            Wake::Command(command) => self.settings.carry_out(&self.config.plan, command),
            // Whoever asked may have gone; what was asked is done all the same.
            Wake::Configure(order, back) => drop(back.send(self.configure(order))),
            Wake::Changed | Wake::Proxies => {}
            Wake::NotStopped(id) => self.machine.not_stopped(&id),
        }
    }

    fn turn(&mut self) {
        let now = self.ports.clock.mono();
        // Before a snapshot names them.
        self.identities.turn(&self.config.plan, self.ports.clock.wall());
        if self.supervised.bind(&self.config.plan, now) {
            self.registry.declare(traffic::declared(&self.config.plan));
        }
        let (Some(mut facts), Some(_)) = (self.facts.clone(), self.supervised.around()) else {
            return self.publish_status();
        };
        let wants = self.wants(now);
        let (published, proxies, generation) = (&self.published_draining, &self.ports.proxies, self.generation);
        let in_flight = |id: &InstanceId| {
            published
                .contains(id)
                .then(|| proxies.in_flight(id, generation))
                .flatten()
        };
        let actions = self.machine.step(&wants, &facts, &in_flight, now);
        if self.act(actions, now) {
            match self.supervised.facts() {
                Ok(fresh) => facts = fresh,
                Err(error) => self.supervisor_lost(&error.to_string()),
            }
        }
        self.registry.observe(&facts);
        self.registry.at_least(self.ports.proxies.newest());
        self.registry.drain(self.machine.draining());
        self.facts = Some(facts);
        if let Some(snapshot) = self.registry.changed() {
            self.generation = snapshot.generation;
            self.ports.snapshots.send_replace(Some(Arc::new(snapshot)));
        }
        self.published_draining = self.machine.draining();
        self.published_running = self.running;
        self.sweep(now);
        self.publish_status();
    }

    /// What no proxy serves by any more, nor listens on.
    fn sweep(&mut self, now: Duration) {
        let snapshot = self.ports.snapshots.borrow().clone();
        if let Some(snapshot) = snapshot.filter(|snapshot| self.ports.proxies.acked(snapshot.generation)) {
            self.supervised.close_earlier(now);
            self.identities.sweep(&self.config.plan, &snapshot);
        }
    }

    /// What the service should run; `None` until it is built.
    fn release(&self, plan: &ServicePlan) -> Option<String> {
        let program = self.workshop.program(&plan.service)?;
        Some(instance::release(plan, program, self.settings.turn(&plan.service)))
    }

    fn wants(&self, now: Duration) -> Vec<Want> {
        let want = |plan: &ServicePlan| {
            let release = self.release(plan);
            let held = self.supervised.is_held(&plan.service, now);
            Want {
                service: plan.service.clone(),
                release: release.filter(|_| !held),
                count: if plan.skipped.is_some() {
                    0
                } else {
                    self.settings.scale(plan)
                },
                requires: plan
                    .depends_on
                    .iter()
                    .filter(|d| d.required)
                    .map(|d| d.service.clone())
                    .collect(),
                overlap: plan.overlap,
                drain: Duration::from_millis(plan.drain_ms),
                start_within: Duration::from_millis(plan.start_within_ms),
            }
        };
        self.config.plan.services.iter().map(want).collect()
    }

    /// Carries out what was decided; true when anything was done.
    fn act(&mut self, actions: Vec<Action>, now: Duration) -> bool {
        let any = !actions.is_empty();
        for action in actions {
            match action {
                Action::Start(id, release) => {
                    let program = self.workshop.program(&id.service);
                    self.supervised.start(&id, release, &self.config.plan, program, now);
                }
                Action::Stop(id) => self.supervised.stop(id),
            }
        }
        any
    }

    /// Starts a run of all builds; see [`Workshop::start`].
    fn start_builds(&mut self, run: Run) {
        if let Some(facts) = &self.facts {
            let release = |plan| self.release(plan);
            self.workshop.forget_old(&self.config.plan.services, facts, release);
        }
        let (supervisor, wakes) = (self.ports.supervisor.clone(), self.wakes.clone());
        let job = move |spec: JobSpec, on_line: &mut dyn FnMut(String)| {
            supervisor
                .run_job(spec, |line| on_line(line.text))
                .map_err(|error| error.to_string())
        };
        // An error means that the loop has ended.
        let tell = move |event| drop(wakes.send(Wake::Build(event)));
        let now = self.ports.clock.wall();
        self.workshop
            .start(&self.config.plan, run, now, Arc::new(job), Arc::new(tell));
    }

    /// Watches what the plan names. What changed after its manifests were read and before the watcher stood was seen by
    /// nobody for certain, so they are compared once more.
    fn watch_sources(&mut self) {
        let now = self.ports.clock.mono();
        if let Some(sources) = &mut self.sources {
            self.problems.watch = sources.watch(&self.config.plan, self.wakes.clone());
            if self.ports.configurations.changed() {
                sources.manifests_changed(now);
            }
        }
    }

    /// A change waits for the build run before it, whose programs are of the plan before.
    fn look_at_sources(&mut self) {
        let (Some(sources), now) = (&mut self.sources, self.ports.clock.mono()) else {
            return;
        };
        sources.look(now);
        if self.workshop.is_busy() {
            return;
        }
        if let Some(due) = sources.due(now) {
            let taken = !due.manifests || self.reload_changed();
            if taken || !due.again {
                self.start_builds(if due.manifests { Run::All } else { Run::Changed });
            }
        }
    }

    /// Takes over changed manifests; whether it could. Where only the world around was against it, they are tried again.
    fn reload_changed(&mut self) -> bool {
        let Err(why) = self.reload(Order::Changed) else {
            return true;
        };
        let problem = Some(format!("the changed manifests are not taken over: {why}"));
        if self.problems.manifests != problem {
            tracing::error!(code = %why.code(), %why, "the changed manifests are not taken over");
            self.problems.manifests = problem;
        }
        if let (Some(sources), NotTaken::Unbound(_) | NotTaken::Unkept(_)) = (&mut self.sources, why) {
            sources.try_again(self.ports.clock.mono() + RETRY);
        }
        false
    }

    /// Takes another configuration because somebody asked for it, and builds what it needs and nothing has built yet.
    fn configure(&mut self, order: Order) -> Result<Taken, Refused> {
        if self.workshop.is_busy() {
            return Err(Refused::Building);
        }
        let taken = self.reload(order)?;
        self.start_builds(Run::Missing);
        Ok(taken)
    }

    /// Takes over another configuration; one that cannot be taken changes nothing.
    fn reload(&mut self, order: Order) -> Result<Taken, NotTaken> {
        let supervised = &mut self.supervised;
        let taken = self
            .ports
            .configurations
            .take(order, &mut |plan| supervised.admit(plan));
        let taken = taken.inspect_err(|_| supervised.take_back())?;
        let plan = taken.plan.clone();
        self.workshop.replan(&self.config.plan, &plan);
        self.published.plan.send_replace(Arc::new(plan.clone()));
        (self.config.plan, self.running) = (plan, taken.running);
        self.supervised.rebind();
        self.problems.manifests = None;
        self.settings.load(&self.config.plan);
        self.watch_sources();
        Ok(taken)
    }

    fn supervisor_lost(&mut self, why: &str) {
        self.problems.supervisor = Some(format!("the supervisor does not answer: {why}"));
    }

    fn publish_status(&self) {
        let now = self.ports.clock.mono();
        let blank = Facts {
            boot: self.config.boot.clone(),
            version: 0,
            pid: 0,
            roles: vec![],
            instances: vec![],
            jobs: vec![],
            stopping: false,
        };
        let facts = self.facts.as_ref().unwrap_or(&blank);
        let wants = self.wants(now);
        let one = |(plan, want): (&ServicePlan, &Want), before: &[ServiceStatus]| {
            let known = status::Known {
                release: want.release.as_deref(),
                wanted: want.count,
                build: match &plan.build {
                    Some(build) => self.workshop.status(build),
                    // What nothing builds is taken as it is; only that it cannot be taken is worth a word.
                    None => self
                        .workshop
                        .status(plan.service.as_str())
                        .filter(|taken| taken.state == BuildState::Failed),
                },
                waits_for: self.machine.waits_for(want, &wants, facts, now),
                before,
            };
            let mut status = status::of(plan, facts, known);
            if let (Some(why), true) = (self.supervised.refusal(&plan.service), status.instances.is_empty()) {
                status.state = status::ServiceState::Failing;
                status.reason = Some(why.into());
            }
            status
        };
        let mut services = Vec::with_capacity(wants.len());
        for pair in self.config.plan.services.iter().zip(&wants) {
            services.push(one(pair, &services));
        }
        let url = |name: &str| {
            self.supervised
                .around()
                .and_then(|around| around.gateway_url(&self.config.plan, name))
        };
        let acked = self.generation > 0 && self.ports.proxies.acked(self.generation);
        let reports = self.ports.proxies.reports();
        let status = SystemStatus {
            system: self.config.plan.system.clone(),
            gateways: self
                .config
                .plan
                .gateways
                .iter()
                .filter_map(|(n, _)| Some((n.clone(), url(n)?)))
                .collect(),
            services,
            problem: self.problems.first(self.supervised.unbound()),
            generation: acked.then_some(self.generation),
            watch: self.sources.is_some(),
            configuration: self.published_running,
            mesh: self
                .config
                .plan
                .mesh
                .as_ref()
                .and_then(|mesh| self.supervised.around()?.address(&mesh_socket(mesh)?)),
            peers: status::peers(&self.config.plan, &reports),
            warnings: status::warnings(&reports, self.identities.warnings()),
        };
        self.published.status.send_if_modified(|old| {
            let changed = **old != status;
            if changed {
                *old = Arc::new(status);
            }
            changed
        });
    }
}
