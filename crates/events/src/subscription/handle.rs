//! What others may ask of subscriptions.
//!
//! Each runs as a task of its own, so that none holds another up. Tests: `tests/subscription`.

use super::answer::short;
use super::config::{Subscription, SubscriptionName};
use super::error::SubscriptionError;
use super::pull::{Leased, MAX_PULL, Puller, Settled, Verdict};
use super::request::{Act, Action, Command, KeyAction, Reply};
use super::service::{Ports, Runner};
use super::source::Source;
use super::view::{Details, Outcomes, Redrive, Standing, View};
use ondol_core::engine::StoredEvent;
use ondol_core::task::Kind;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Questions that wait for one loop.
const COMMANDS: usize = 64;
/// A loop answers at once unless its store does not.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait of a pull, and the shortest: the loop must have a chance to look.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// After a store that could not be read.
const RETRY: Duration = Duration::from_secs(1);

struct Running {
    config: Arc<Subscription>,
    commands: mpsc::Sender<Command>,
    outcomes: Arc<Outcomes>,
    ended: JoinHandle<Option<()>>,
}

/// The subscriptions of a system. A clone is the same.
#[derive(Clone)]
pub struct Subscriptions {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) ports: Arc<Ports>,
    pub(crate) source: Arc<Source>,
    running: Mutex<BTreeMap<SubscriptionName, Running>>,
    /// The number of the next flight.
    numbers: Arc<AtomicU64>,
    /// One change of the whole at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Subscriptions {
    /// None yet: see [`Subscriptions::set`].
    pub fn new(ports: Ports) -> Self {
        let source = Arc::new(Source::new(ports.engine.clone()));
        let (running, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        let shared = Shared {
            ports: Arc::new(ports),
            source,
            running,
            numbers: Arc::new(AtomicU64::new(1)),
            changing,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Replaces what there is: new ones begin, known ones go on by what is written now, and those that are gone end.
    /// What an ended one had is kept: it goes on there when it comes back.
    pub async fn set(&self, configs: Vec<Subscription>) {
        let _one = self.shared.changing.lock().await;
        let mut wanted: BTreeMap<_, _> = configs
            .into_iter()
            .map(|one| (one.name.clone(), Arc::new(one)))
            .collect();
        let mut gone = Vec::new();
        {
            let mut running = self.lock();
            let names: Vec<_> = running
                .keys()
                .filter(|name| !wanted.contains_key(name))
                .cloned()
                .collect();
            gone.extend(names.iter().filter_map(|name| running.remove(name)));
        }
        for one in gone {
            let _ended = one.commands.send(Command::End).await;
            let _ended = one.ended.await;
        }
        let mut changed = Vec::new();
        {
            let mut running = self.lock();
            for (name, one) in &mut *running {
                let Some(config) = wanted.remove(name) else { continue };
                if config != one.config {
                    one.config = config.clone();
                    changed.push((one.commands.clone(), config));
                }
            }
            for (name, config) in wanted {
                running.insert(name, self.start(config));
            }
        }
        for (commands, config) in changed {
            let _ended = commands.send(Command::Configure(config)).await;
        }
    }

    fn start(&self, config: Arc<Subscription>) -> Running {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let outcomes = Arc::new(Outcomes::default());
        let live = live(self.shared.clone(), config.clone(), outcomes.clone(), inbox);
        let ended = self.shared.ports.tasks.spawn(Kind::Events, live);
        Running {
            config,
            commands,
            outcomes,
            ended,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SubscriptionName, Running>> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<T>(&self, name: &SubscriptionName, pick: impl FnOnce(&Running) -> T) -> Result<T, SubscriptionError> {
        self.lock()
            .get(name)
            .map(pick)
            .ok_or_else(|| SubscriptionError::NotFound(name.to_string()))
    }

    /// There is such a subscription.
    pub(crate) fn check(&self, name: &SubscriptionName) -> Result<(), SubscriptionError> {
        self.find(name, |_| ())
    }

    async fn ask<T>(
        &self,
        name: &SubscriptionName,
        ask: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, SubscriptionError> {
        let commands = self.find(name, |one| one.commands.clone())?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            commands.send(ask(reply)).await.ok()?;
            answer.await.ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        answer.unwrap_or_else(|| Err(SubscriptionError::Busy(name.to_string())))
    }

    /// Every declared subscription as its manifest has it, by name.
    pub fn configs(&self) -> Vec<Arc<Subscription>> {
        self.lock().values().map(|one| one.config.clone()).collect()
    }

    /// Every declared subscription with where it stands, by name. One that cannot say so is shown as waiting, with why.
    pub async fn list(&self) -> Vec<View> {
        let configs = self.configs();
        let mut views = Vec::with_capacity(configs.len());
        for config in configs {
            match self.ask(&config.name, Command::View).await {
                Ok(view) => views.push(view),
                // Taken away meanwhile.
                Err(SubscriptionError::NotFound(_)) => {}
                Err(error) => views.push(View::silent(&config, error.to_string())),
            }
        }
        views
    }

    /// One subscription.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::Busy`] or the store's.
    pub async fn show(&self, name: &SubscriptionName) -> Result<Details, SubscriptionError> {
        let settings = self.find(name, |one| Subscription::clone(&one.config))?;
        let view = self.ask(name, Command::View).await?;
        Ok(Details { view, settings })
    }

    /// Attempts of each subscription by what they came to, since this process began.
    pub fn outcomes(&self) -> Vec<(String, Vec<(&'static str, u64)>)> {
        let running = self.lock();
        running
            .iter()
            .map(|(name, one)| (name.to_string(), one.outcomes.read()))
            .collect()
    }

    /// Where these events stand with every subscription that wants them.
    ///
    /// # Errors
    /// [`SubscriptionError::Busy`].
    pub async fn standing(&self, events: Vec<StoredEvent>) -> Result<Vec<Standing>, SubscriptionError> {
        let names: Vec<_> = self.lock().keys().cloned().collect();
        let mut all = Vec::new();
        for name in names {
            all.extend(
                self.ask(&name, |reply| Command::Standing(events.clone(), reply))
                    .await?,
            );
        }
        Ok(all)
    }

    /// Pauses, resumes or resets; audited.
    ///
    /// # Errors
    /// [`SubscriptionError::Refused`] with the reason, [`SubscriptionError::Invalid`] without one for the audit.
    pub async fn act(&self, name: &SubscriptionName, action: Action, act: Act) -> Result<(), SubscriptionError> {
        act.check()?;
        self.ask(name, |reply| Command::Act(action, act, reply)).await
    }

    /// Edits or skips one event of a key; audited.
    ///
    /// # Errors
    /// As [`Subscriptions::act`].
    pub async fn act_on_key(
        &self,
        name: &SubscriptionName,
        key: &str,
        action: KeyAction,
        act: Act,
    ) -> Result<(), SubscriptionError> {
        act.check()?;
        self.ask(name, |reply| Command::ActOnKey(key.into(), action, act, reply))
            .await
    }

    /// Tries parked keys anew, in their order, so many events a second on average; audited unless it is a dry run.
    ///
    /// # Errors
    /// As [`Subscriptions::act`].
    pub(crate) async fn redrive_keys(
        &self,
        name: &SubscriptionName,
        keys: Option<Vec<Arc<str>>>,
        rate: f64,
        dry_run: bool,
        act: Act,
    ) -> Result<Redrive, SubscriptionError> {
        if !dry_run {
            act.check()?;
        }
        let ask = |reply| Command::Redrive {
            keys,
            rate,
            dry_run,
            act,
            reply,
        };
        self.ask(name, ask).await
    }

    /// At most `limit` events (at most 1,000), as leases; waits up to `wait` (at most 30 s) for the first.
    ///
    /// # Errors
    /// [`SubscriptionError::Pushes`]; [`SubscriptionError::Busy`] when too many pull at once.
    ///
    /// # Cancellation
    /// Dropping the future gives back what it would have got.
    pub async fn pull(
        &self,
        name: &SubscriptionName,
        limit: usize,
        wait: Duration,
        lease: Option<Duration>,
    ) -> Result<Vec<Leased>, SubscriptionError> {
        let commands = self.pulled(name)?;
        let (reply, given) = oneshot::channel();
        let puller = Puller::new(limit, lease, reply);
        let busy = || SubscriptionError::Busy(name.to_string());
        commands.send(Command::Pull(puller)).await.map_err(|_| busy())?;
        match tokio::time::timeout(wait.clamp(WAIT.0, WAIT.1), given).await {
            Ok(given) => given.map_err(|_| busy()),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Says what became of leases.
    ///
    /// # Errors
    /// [`SubscriptionError::Pushes`], [`SubscriptionError::Invalid`], [`SubscriptionError::Busy`].
    pub async fn settle(
        &self,
        name: &SubscriptionName,
        leases: Vec<String>,
        verdict: Verdict,
    ) -> Result<Settled, SubscriptionError> {
        self.pulled(name)?;
        if leases.len() > MAX_PULL {
            let (what, rule) = ("leases", "at most 1,000 at a time");
            return Err(SubscriptionError::Invalid { what, rule });
        }
        let verdict = match verdict {
            Verdict::Nack { delay, reject, reason } => Verdict::Nack {
                delay,
                reject,
                reason: short(&reason),
            },
            Verdict::Ack => Verdict::Ack,
        };
        self.ask(name, |reply| Command::Settle(leases, verdict, reply)).await
    }

    fn pulled(&self, name: &SubscriptionName) -> Result<mpsc::Sender<Command>, SubscriptionError> {
        let (pushes, commands) = self.find(name, |one| (one.config.push.is_some(), one.commands.clone()))?;
        if pushes {
            return Err(SubscriptionError::Pushes(name.to_string()));
        }
        Ok(commands)
    }
}

/// One subscription from its start to its end. While the store cannot say where it stands, it says so to whoever asks.
async fn live(
    shared: Arc<Shared>,
    mut config: Arc<Subscription>,
    outcomes: Arc<Outcomes>,
    mut inbox: mpsc::Receiver<Command>,
) {
    loop {
        let (ports, source) = (shared.ports.clone(), shared.source.clone());
        let (counted, numbers) = (outcomes.clone(), shared.numbers.clone());
        let error = match Runner::load(ports, source, config.clone(), counted, numbers).await {
            Ok(runner) => return runner.run(inbox).await,
            Err(error) => error,
        };
        let (subscription, code) = (&config.name, error.code());
        tracing::error!(%subscription, %code, %error, "a subscription cannot be taken up; trying on");
        tokio::time::sleep(RETRY).await;
        while let Ok(command) = inbox.try_recv() {
            match command {
                Command::End => return,
                Command::Configure(changed) => config = changed,
                other => other.refuse(error.clone().into()),
            }
        }
    }
}
