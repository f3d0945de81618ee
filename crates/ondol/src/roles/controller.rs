//! The controller's role: store, sagas, streams, deploy loop, control socket, both APIs, wired together.

use super::configuration::{Configuration, State};
use super::plan::Plan;
use super::reconcile::SagaPort;
use super::{RoleArgs, console, log};
use crate::caller::ProxyCaller;
use crate::home::Home;
use anyhow::Context;
use ondol_api::Parts;
use ondol_api::console::Sessions;
use ondol_api::live::{self, Live};
use ondol_api::serve;
use ondol_core::clock::{SharedClock, SystemClock};
use ondol_core::engine::SharedEngine;
use ondol_core::entropy::{SeededEntropy, SharedEntropy};
use ondol_core::id::BootId;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::{Report, Snapshot};
use ondol_deploy::service;
use ondol_deploy::token::TokenKey;
use ondol_discovery::control::{self, Proxies};
use ondol_discovery::registry::CONTROLLER_SOCKET;
use ondol_events::reconcile::{Ports as ReconcilePorts, Reconciliations};
use ondol_events::relay::{Ports as RelayPorts, Relays};
use ondol_events::subscription::Ports as SubscriptionPorts;
use ondol_events::{Publisher, Streams, Subscriptions, Topics};
use ondol_saga::{Ports as SagaPorts, Sagas, Settings};
use ondol_telemetry::Red;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// Between two tries to reach what the controller needs before it can begin.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn run(args: RoleArgs) -> anyhow::Result<ExitCode> {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(control(args));
    // Reads of the store may still be blocked on its threads; nothing is lost by not waiting for them.
    runtime.shutdown_timeout(Duration::from_secs(2));
    result.map(|()| ExitCode::SUCCESS)
}

async fn control(args: RoleArgs) -> anyhow::Result<()> {
    let home = Home {
        root: args.root.clone(),
    };
    home.prepare()?;
    let boot: BootId = std::env::var("ONDOL_BOOT")
        .context("ONDOL_BOOT is not set: the supervisor starts this role")?
        .parse()?;
    let (clock, entropy): (SharedClock, SharedEntropy) =
        (Arc::new(SystemClock), Arc::new(SeededEntropy::from_system()));
    let tasks = Tasks::new();

    let mut state = State::begin(&home, &args, &boot, clock.clone())?;
    // Before anything that may fail for long: what is wrong can then be asked for. And before the plan is kept: where the
    // port is taken, the next try reads the manifests again.
    let console = console::open(&home, &state.plan().system.console).await?;
    state.keep()?;
    let (first, plan) = (state.first, state.plan().clone());

    let engine = open_store(&plan.system.store, &clock, &entropy).await;
    let caller = Arc::new(ProxyCaller::new(home.run(), tasks.clone()));
    let sagas = start_sagas(
        &plan,
        SagaPorts {
            engine: engine.clone(),
            caller: caller.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            tasks: tasks.clone(),
        },
    )
    .await?;
    let streams = Streams::new(engine.clone(), clock.clone(), &tasks);
    let publisher = Publisher::new(streams.clone());
    let subscriptions = Subscriptions::new(SubscriptionPorts {
        engine: engine.clone(),
        caller: caller.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        tasks: tasks.clone(),
        head: streams.head(),
    });
    let relays = Relays::new(RelayPorts {
        engine: engine.clone(),
        publisher: publisher.clone(),
        clock: clock.clone(),
        entropy,
        tasks: tasks.clone(),
    });
    let saga_port = Arc::new(SagaPort(sagas.clone()));
    let reconciliations = Reconciliations::new(ReconcilePorts::new(
        engine.clone(),
        caller,
        saga_port,
        clock.clone(),
        tasks.clone(),
    ));
    let events = Events {
        publisher,
        subscriptions,
        relays,
        reconciliations,
    };
    events.set(Topics::new(&plan.published)?, &plan).await;
    let (proxies, red) = (Proxies::default(), Arc::new(Mutex::new(Red::default())));
    let snapshots = serve_proxies(&home, &proxies, &red, &tasks)?;

    let secret = home.secret()?;
    let tokens = TokenKey::new(&secret);
    let explained = Arc::new(RwLock::new(plan.routes.clone()));
    let configurations = Arc::new(Configuration::new(
        state,
        sagas.clone(),
        events.clone(),
        explained.clone(),
    ));
    let ports = service::Ports {
        supervisor: home.supervisor(),
        engine: engine.clone(),
        configurations: configurations.clone(),
        proxies: proxies.clone(),
        snapshots,
        clock: clock.clone(),
        runtime: tokio::runtime::Handle::current(),
        tasks: tasks.clone(),
    };
    let config = service::Config {
        plan: plan.system.clone(),
        state: home.state(),
        boot: boot.clone(),
        build: first,
        watch: args.watch,
        tokens: tokens.clone(),
    };
    let deploy = service::start(config, ports)?;
    let live = Live::start(live::Ports {
        deploy: deploy.clone(),
        sagas: sagas.clone(),
        subscriptions: events.subscriptions.clone(),
        relays: events.relays.clone(),
        engine: engine.clone(),
        red: red.clone(),
        supervisor: home.supervisor(),
        access: home.access(),
        clock: clock.clone(),
        tasks: tasks.clone(),
    });
    let api = Parts {
        deploy,
        sagas,
        streams,
        publisher: events.publisher,
        subscriptions: events.subscriptions,
        relays: events.relays,
        reconciliations: events.reconciliations,
        proxies,
        red,
        tokens,
        admin_token: home.token()?.into(),
        // Set with the address that it is served at.
        hosts: [].into(),
        sessions: Sessions::new(&secret),
        live,
        explained,
        configurations,
        clock,
    };
    let socket = serve::unix(&home.run().join(CONTROLLER_SOCKET)).context("listening for services")?;
    serve::serve(socket, ondol_api::service::router(api.clone().into()), &tasks);
    console::serve(&home, console, api, &tasks)?;
    let failed = engine.failed();
    let end = tokio::select! {
        told = until_told() => told,
        // Nothing may be acknowledged any more: the next controller opens the store anew.
        error = failed => Err(anyhow::Error::new(error).context("the store failed")),
    };
    tasks.stop();
    end
}

/// Takes up what a predecessor left unfinished, and drives it in the background.
async fn start_sagas(plan: &Plan, ports: SagaPorts) -> anyhow::Result<Sagas> {
    let sagas = Sagas::new(ports, Settings::default());
    sagas.set_definitions(plan.sagas.clone()).await?;
    sagas.run().await?;
    Ok(sagas)
}

/// Opens the store; while it cannot be reached (a PostgreSQL that is starting), tries again and says so.
async fn open_store(url: &str, clock: &SharedClock, entropy: &SharedEntropy) -> SharedEngine {
    loop {
        match ondol_store::open(url, clock.clone(), entropy.clone()).await {
            Ok(engine) => return engine,
            Err(error) => {
                tracing::error!(code = %error.code(), error = &error as &dyn std::error::Error, "opening the store");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn serve_proxies(
    home: &Home,
    proxies: &Proxies,
    red: &Arc<Mutex<Red>>,
    tasks: &Tasks,
) -> anyhow::Result<watch::Sender<Option<Arc<Snapshot>>>> {
    let listener = ondol_core::unix::bind(&home.run().join("control.sock")).context("listening for proxies")?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (snapshots, newest) = watch::channel(None);
    let red = red.clone();
    let on_report = move |report: &Report| red.lock().unwrap_or_else(PoisonError::into_inner).observe(report);
    let (serving, tasks_in) = (proxies.clone(), tasks.clone());
    let on_report = Arc::new(on_report);
    tasks.spawn(
        Kind::Control,
        control::serve(listener, newest, serving, tasks_in, on_report),
    );
    Ok(snapshots)
}

/// What the manifests' `events:`, `outbox:` and `reconcile:` set. Types first: a row of one that is not declared is a dead letter.
#[derive(Clone)]
pub(super) struct Events {
    publisher: Publisher,
    subscriptions: Subscriptions,
    relays: Relays,
    reconciliations: Reconciliations,
}

impl Events {
    /// `topics` are those of `plan`; made before, since they may be refused.
    pub(super) async fn set(&self, topics: Topics, plan: &Plan) {
        self.publisher.set(topics);
        self.subscriptions.set(plan.subscriptions.clone()).await;
        self.relays.set(plan.outboxes.clone()).await;
        self.reconciliations.set(plan.reconciliations.clone()).await;
    }
}

/// Resolves when the supervisor tells this role to end.
async fn until_told() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    Ok(())
}
