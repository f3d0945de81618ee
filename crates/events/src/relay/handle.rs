//! What others may ask of relays. Each runs as a task of its own, so that none holds another up.

use super::config::Outbox;
use super::request::{Command, Reply, Wanted};
use super::service::{Figures, Ports, Runner};
use crate::subscription::phase::{KeyState, Mode};
use crate::subscription::view::{KeyDetails, KeyView, Redrive};
use crate::subscription::{Act, KeyAction, RedriveRequest, SubscriptionError, SubscriptionName};
use ondol_core::id::ServiceName;
use ondol_core::task::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Questions that wait for one loop.
const COMMANDS: usize = 64;
/// A loop answers at once unless its store or database does not.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a store that could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// Keys of one list.
const MAX_KEYS: u32 = 1_000;
/// Rows a second where a redrive names no rate, as with subscriptions.
const RATE: f64 = 50.0;

/// An outbox in lists.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct View {
    /// Whose.
    pub service: String,
    /// `running`, `waiting` or `full`.
    pub state: Mode,
    /// Why it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every row up to this `seq` is published or waits here: the service may delete it.
    pub relayed: u64,
    /// Rows that are not relayed, counted to 100,000; `null`: the database did not answer.
    pub pending: Option<u64>,
    /// Rows that wait for a person, and those behind them.
    pub poisoned: usize,
}

struct Running {
    outbox: Outbox,
    commands: mpsc::Sender<Command>,
    figures: Arc<Figures>,
    ended: JoinHandle<Option<()>>,
}

/// The relays of a system. A clone is the same.
#[derive(Clone)]
pub struct Relays {
    ports: Arc<Ports>,
    running: Arc<Mutex<BTreeMap<ServiceName, Running>>>,
    /// One change of the whole at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Relays {
    /// None yet: see [`Relays::set`].
    pub fn new(ports: Ports) -> Self {
        let (running, changing) = (Arc::default(), Arc::default());
        Self {
            ports: Arc::new(ports),
            running,
            changing,
        }
    }

    /// Replaces what there is. How far an ended one was is kept: it goes on there when it comes back.
    pub async fn set(&self, outboxes: Vec<Outbox>) {
        let _one = self.changing.lock().await;
        let mut wanted: BTreeMap<_, _> = outboxes.into_iter().map(|one| (one.service.clone(), one)).collect();
        let mut ending = Vec::new();
        {
            let mut running = self.lock();
            let changed = running
                .iter()
                .filter(|(service, one)| wanted.get(*service) != Some(&one.outbox));
            let changed: Vec<_> = changed.map(|(service, _)| service.clone()).collect();
            ending.extend(changed.iter().filter_map(|service| running.remove(service)));
            wanted.retain(|service, _| !running.contains_key(service));
        }
        for one in ending {
            let _ended = one.commands.send(Command::End).await;
            let _ended = one.ended.await;
        }
        let started: Vec<_> = wanted
            .into_iter()
            .map(|(service, outbox)| (service, self.start(outbox)))
            .collect();
        self.lock().extend(started);
    }

    fn start(&self, outbox: Outbox) -> Running {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let figures = Arc::new(Figures::default());
        let (ports, config, counted) = (self.ports.clone(), outbox.clone(), figures.clone());
        let ended = self.ports.tasks.spawn(Kind::Events, async move {
            loop {
                match Runner::load(ports.clone(), &config, counted.clone()).await {
                    Ok(runner) => return runner.run(inbox).await,
                    Err(error) if inbox.is_closed() => return tracing::debug!(%error, "ended before it began"),
                    Err(error) => {
                        let code = error.code();
                        tracing::error!(service = %config.service, %code, %error, "a relay cannot be taken up; trying on");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        });
        Running {
            outbox,
            commands,
            figures,
            ended,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ServiceName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(
        &self,
        service: &ServiceName,
        ask: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, SubscriptionError> {
        let name = super::record::name(service);
        let commands = self.lock().get(service).map(|one| one.commands.clone());
        let commands = commands.ok_or_else(|| SubscriptionError::NotFound(name.clone()))?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            commands.send(ask(reply)).await.ok()?;
            answer.await.ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        answer.unwrap_or_else(|| Err(SubscriptionError::Busy(name)))
    }

    /// The service whose outbox this name means, `users.outbox`.
    pub fn owner<'n>(&self, name: &'n SubscriptionName) -> Option<&'n ServiceName> {
        let is_outbox = name.name == super::OUTBOX && self.lock().contains_key(&name.service);
        is_outbox.then_some(&name.service)
    }

    /// Every outbox, by service. One that does not answer is shown as waiting.
    pub async fn list(&self) -> Vec<View> {
        let services: Vec<_> = self.lock().keys().cloned().collect();
        let mut views = Vec::with_capacity(services.len());
        for service in services {
            match self.ask(&service, Command::View).await {
                Ok(view) => views.push(view),
                // Taken away meanwhile.
                Err(SubscriptionError::NotFound(_)) => {}
                Err(error) => views.push(View {
                    service: service.to_string(),
                    state: Mode::Waiting,
                    reason: Some(error.to_string()),
                    relayed: 0,
                    pending: None,
                    poisoned: 0,
                }),
            }
        }
        views
    }

    /// Rows of the service's outbox up to this `seq` may be deleted. Costs nothing and never waits: services ask often.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`]: it has none.
    pub fn relayed(&self, service: &ServiceName) -> Result<u64, SubscriptionError> {
        let running = self.lock();
        let relayed = running
            .get(service)
            .map(|one| one.figures.relayed.load(Ordering::Relaxed));
        relayed.ok_or_else(|| SubscriptionError::NotFound(super::record::name(service)))
    }

    /// Rows published and rows that wait, of each outbox, since this process began.
    pub fn figures(&self) -> Vec<(String, u64, u64)> {
        let running = self.lock();
        let figures = running.iter().map(|(service, one)| {
            let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            (
                service.to_string(),
                read(&one.figures.published),
                read(&one.figures.held),
            )
        });
        figures.collect()
    }

    /// Keys whose rows wait, by name after `after`, at most `limit` (at most 1,000).
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::Busy`].
    pub async fn keys(
        &self,
        service: &ServiceName,
        state: Option<KeyState>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<KeyView>, SubscriptionError> {
        let limit = limit.clamp(1, MAX_KEYS) as usize;
        let ask = |reply| Command::Keys {
            state,
            after,
            limit,
            reply,
        };
        self.ask(service, ask).await
    }

    /// One key with its first rows.
    ///
    /// # Errors
    /// As [`Relays::keys`], and when nothing waits under the key.
    pub async fn key(&self, service: &ServiceName, key: &str) -> Result<KeyDetails, SubscriptionError> {
        self.ask(service, |reply| Command::Key(key.to_owned(), reply)).await
    }

    /// Tries rows that wait anew, key by key, each in its order. Audited unless it is a dry run.
    ///
    /// # Errors
    /// [`SubscriptionError::Invalid`], and as [`Relays::keys`].
    pub async fn redrive(
        &self,
        service: &ServiceName,
        request: RedriveRequest,
        act: Act,
    ) -> Result<Redrive, SubscriptionError> {
        let RedriveRequest {
            keys,
            kind,
            rate,
            dry_run,
        } = request;
        let rate = rate.unwrap_or(RATE);
        if !rate.is_finite() || rate <= 0.0 {
            let (what, rule) = ("rate", "rows a second, more than 0");
            return Err(SubscriptionError::Invalid { what, rule });
        }
        if !dry_run {
            act.check()?;
        }
        let wanted = Wanted { keys, kind };
        self.ask(service, |reply| Command::Redrive {
            wanted,
            rate,
            dry_run,
            act,
            reply,
        })
        .await
    }

    /// Edits or skips one row; audited. An edited one is published by the next redrive.
    ///
    /// # Errors
    /// [`SubscriptionError::Refused`] with the reason, and as [`Relays::redrive`].
    pub async fn act_on_key(
        &self,
        service: &ServiceName,
        key: &str,
        action: KeyAction,
        act: Act,
    ) -> Result<(), SubscriptionError> {
        act.check()?;
        self.ask(service, |reply| Command::Act(key.to_owned(), action, act, reply))
            .await
    }
}
