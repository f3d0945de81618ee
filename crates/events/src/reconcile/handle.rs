//! What others may ask of reconciliations. Each runs as a task of its own.

use super::config::{MAX_RECONCILIATIONS, Reconciliation};
use super::error::ReconcileError;
use super::machine::KEPT;
use super::rule::Plan;
use super::service::{Command, Ports, Runner};
use super::view::View;
use ondol_core::task::Kind;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Questions that wait for one loop.
const COMMANDS: usize = 64;
/// A loop answers at once unless its store does not.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long somebody waits for the end of a run.
const RUN: Duration = Duration::from_secs(20);
/// After a store that could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// Drifts of each reconciliation in the list of all.
const LISTED: usize = 100;

struct Running {
    config: Arc<Reconciliation>,
    commands: mpsc::Sender<Command>,
    ended: JoinHandle<Option<()>>,
}

/// The reconciliations of a system. A clone is the same.
#[derive(Clone)]
pub struct Reconciliations {
    ports: Arc<Ports>,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    /// One change of the whole at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Reconciliations {
    /// None yet: see [`Reconciliations::set`].
    pub fn new(ports: Ports) -> Self {
        let (running, changing) = (Arc::default(), Arc::default());
        Self {
            ports: Arc::new(ports),
            running,
            changing,
        }
    }

    /// Replaces what there is, at most [`MAX_RECONCILIATIONS`]. What an ended one knew is kept: it goes on with it when
    /// it comes back.
    pub async fn set(&self, wanted: Vec<Reconciliation>) {
        let _one = self.changing.lock().await;
        let wanted = wanted.into_iter().take(MAX_RECONCILIATIONS);
        let mut wanted: BTreeMap<_, _> = wanted.map(|one| (one.name.clone(), one)).collect();
        let mut ending = Vec::new();
        {
            let mut running = self.lock();
            let changed = running
                .iter()
                .filter(|(name, one)| wanted.get(*name) != Some(&*one.config));
            let changed: Vec<_> = changed.map(|(name, _)| name.clone()).collect();
            ending.extend(changed.iter().filter_map(|name| running.remove(name)));
            wanted.retain(|name, _| !running.contains_key(name));
        }
        for one in ending {
            let _ended = one.commands.send(Command::End).await;
            let _ended = one.ended.await;
        }
        for (name, config) in wanted {
            match Plan::compile(&config) {
                Ok(plan) => drop(self.lock().insert(name, self.start(config, plan))),
                Err(why) => tracing::error!(reconciliation = name, why, "cannot be run; `ondol check` says more"),
            }
        }
    }

    fn start(&self, config: Reconciliation, plan: Plan) -> Running {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (ports, config, plan) = (self.ports.clone(), Arc::new(config), Arc::new(plan));
        let own = config.clone();
        let ended = self.ports.tasks.spawn(Kind::Events, async move {
            loop {
                match Runner::load(ports.clone(), own.clone(), plan.clone()).await {
                    Ok(runner) => return runner.run(inbox).await,
                    Err(error) if inbox.is_closed() => return tracing::debug!(%error, "ended before it began"),
                    Err(error) => {
                        let (reconciliation, code) = (&own.name, error.code());
                        tracing::error!(reconciliation, %code, %error, "its drifts cannot be taken up; trying on");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        });
        Running {
            config,
            commands,
            ended,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(
        &self,
        name: &str,
        patience: Duration,
        ask: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ReconcileError> {
        let commands = self.lock().get(name).map(|one| one.commands.clone());
        let commands = commands.ok_or_else(|| ReconcileError::NotFound(name.to_owned()))?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            commands.send(ask(reply)).await.ok()?;
            answer.await.ok()
        };
        let answer = tokio::time::timeout(patience, asked).await.ok().flatten();
        answer.ok_or_else(|| ReconcileError::Busy(name.to_owned()))
    }

    /// Every reconciliation, by name, each with its first 100 drifts. One that does not answer is left out.
    pub async fn list(&self) -> Vec<View> {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        let mut views = Vec::with_capacity(names.len());
        for name in names {
            views.extend(self.look(&name, None, LISTED).await.ok());
        }
        views
    }

    /// One of them, with its drifts after the key `after`, at most `limit` (at most 1,000).
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn show(&self, name: &str, after: Option<String>, limit: usize) -> Result<View, ReconcileError> {
        self.look(name, after, limit.clamp(1, KEPT)).await
    }

    async fn look(&self, name: &str, after: Option<String>, limit: usize) -> Result<View, ReconcileError> {
        let ask = |reply| Command::View { after, limit, reply };
        self.ask(name, PATIENCE, ask).await
    }

    /// Runs it now, and waits for the end of that run as long as 20 s. `false`: it goes on.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn run(&self, name: &str) -> Result<(View, bool), ReconcileError> {
        let ended = match self.ask(name, RUN, Command::Run).await {
            Ok(()) => true,
            Err(ReconcileError::Busy(_)) => false,
            Err(error) => return Err(error),
        };
        Ok((self.look(name, None, KEPT).await?, ended))
    }
}
