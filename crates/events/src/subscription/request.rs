//! What the loop of a subscription is asked, and what it does then.
//!
//! What an operator does is written, with its entry in the audit, before it is answered and before anything more is
//! sent. When the store fails meanwhile, the operator is told so; it stays done and is written as soon as that can be.

use super::answer::Outcome;
use super::config::Subscription;
use super::error::SubscriptionError;
use super::filter::Filter;
use super::pace::Pace;
use super::pull::{Puller, Settled, Verdict, bounded, flight};
use super::record::Audited;
use super::service::Runner;
use super::view::{Redrive, Standing, View};
use ondol_core::engine::StoredEvent;
use ondol_core::id::uuid_v7;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An operator's action on a whole subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Sends and reads nothing more.
    Pause,
    /// Goes on; where it waited for the service, at once.
    Resume,
    /// Goes on reading after this position instead; the subscription must be paused.
    Reset {
        /// 0: with the first event of the log.
        position: u64,
    },
}

/// An operator's action on one event of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyAction {
    /// Puts other data in its place.
    Edit {
        /// Which event.
        position: u64,
        /// JSON.
        data: Arc<str>,
    },
    /// Passes it over for good.
    Skip {
        /// Which event.
        position: u64,
    },
}

/// Who acts, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// For the audit.
    pub who: String,
    /// In the operator's words.
    pub reason: String,
}

impl Act {
    /// The audit needs a reason.
    ///
    /// # Errors
    /// [`SubscriptionError::Invalid`].
    pub(crate) fn check(&self) -> Result<(), SubscriptionError> {
        if (1..=1_000).contains(&self.reason.trim().len()) {
            return Ok(());
        }
        let (what, rule) = ("reason", "say in 1 to 1,000 bytes why, for the audit");
        Err(SubscriptionError::Invalid { what, rule })
    }
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, SubscriptionError>>;

/// A question or an order.
pub(crate) enum Command {
    View(Reply<View>),
    Standing(Vec<StoredEvent>, Reply<Vec<Standing>>),
    Act(Action, Act, Reply<()>),
    ActOnKey(Arc<str>, KeyAction, Act, Reply<()>),
    /// `None`: every parked key.
    Redrive {
        keys: Option<Vec<Arc<str>>>,
        rate: f64,
        dry_run: bool,
        act: Act,
        reply: Reply<Redrive>,
    },
    Pull(Puller),
    Settle(Vec<String>, Verdict, Reply<Settled>),
    Configure(Arc<Subscription>),
    End,
}

impl Command {
    /// Answers that it cannot be done.
    pub(crate) fn refuse(self, error: SubscriptionError) {
        match self {
            Self::View(reply) => drop(reply.send(Err(error))),
            Self::Standing(_, reply) => drop(reply.send(Err(error))),
            Self::Act(_, _, reply) | Self::ActOnKey(_, _, _, reply) => drop(reply.send(Err(error))),
            Self::Redrive { reply, .. } => drop(reply.send(Err(error))),
            Self::Settle(_, _, reply) => drop(reply.send(Err(error))),
            Self::Pull(_) | Self::Configure(_) | Self::End => {}
        }
    }
}

impl Runner {
    /// Whoever asked may have gone; the answer is then lost and nothing else.
    pub(crate) async fn obey(&mut self, command: Command) {
        match command {
            Command::View(reply) => {
                let head = self.source.clone().head().await;
                drop(reply.send(head.map(|head| self.view(head)).map_err(SubscriptionError::from)));
            }
            Command::Standing(events, reply) => drop(reply.send(Ok(self.standing(&events)))),
            Command::Act(action, act, reply) => drop(reply.send(self.act(action, act).await)),
            Command::ActOnKey(key, action, act, reply) => drop(reply.send(self.act_on_key(&key, action, act).await)),
            Command::Redrive {
                keys,
                rate,
                dry_run,
                act,
                reply,
            } => {
                drop(reply.send(self.redrive(keys, rate, dry_run, act).await));
            }
            Command::Pull(puller) => self.queue_puller(puller),
            Command::Settle(leases, verdict, reply) => drop(reply.send(Ok(self.settle(leases, &verdict)))),
            Command::Configure(config) => {
                // A read that is under way looks for what was wanted before.
                self.forget_read();
                self.machine.configure(config.parallel, config.retry);
                self.pace.configure(config.parallel, self.ports.clock.mono());
                self.filter = Arc::new(Filter::new(&config));
                self.config = config;
            }
            // The loop ends before it would come here.
            Command::End => {}
        }
    }

    fn view(&self, head: u64) -> View {
        let (machine, tally, config) = (&self.machine, &self.machine.tally, &self.config);
        let position = machine.position();
        View {
            name: self.name.clone(),
            service: config.name.service.to_string(),
            types: config.types.clone(),
            push: config.push.clone(),
            state: machine.mode,
            reason: machine.reason().map(str::to_owned),
            position,
            head,
            lag: head.saturating_sub(position),
            in_flight: machine.in_flight(),
            at_once: machine.paced.min(usize::from(config.parallel)),
            retrying_keys: tally.retrying,
            parked_keys: tally.parked,
            parked_events: tally.parked_events,
            delayed_keys: tally.delayed,
            delivered: machine.delivered,
        }
    }

    fn standing(&self, events: &[StoredEvent]) -> Vec<Standing> {
        let wanted = events
            .iter()
            .filter_map(|stored| self.filter.read(&Arc::new(stored.clone())));
        let standing = wanted.map(|read| Standing {
            subscription: self.name.clone(),
            position: read.stored.position,
            state: self.machine.standing(&read.key(), read.stored.position),
        });
        standing.collect()
    }

    async fn act(&mut self, action: Action, act: Act) -> Result<(), SubscriptionError> {
        let mut audited = self.audited("", act);
        match action {
            Action::Pause => {
                self.machine.pause();
                audited.action = "pause".to_owned();
            }
            Action::Resume => {
                self.machine.resume();
                audited.action = "resume".to_owned();
            }
            Action::Reset { position } => {
                // A read that is under way was asked for by the old position.
                self.forget_read();
                let head = self.source.clone().head().await?;
                self.machine.reset(position, head)?;
                // Another backlog than before; nothing is sent before a page of it was read.
                self.pace = Pace::new(self.config.parallel);
                (audited.action, audited.position) = ("reset".to_owned(), Some(position));
            }
        }
        self.write_audited(audited).await
    }

    async fn act_on_key(&mut self, key: &Arc<str>, action: KeyAction, act: Act) -> Result<(), SubscriptionError> {
        let (name, position) = match &action {
            KeyAction::Edit { position, .. } => ("edit", *position),
            KeyAction::Skip { position } => ("skip", *position),
        };
        match action {
            KeyAction::Edit { data, .. } => self.machine.edit(key, position, data)?,
            KeyAction::Skip { .. } => self.machine.skip(key, position, self.ports.clock.wall())?,
        }
        let mut audited = self.audited(name, act);
        (audited.key, audited.position) = (Some(key.to_string()), Some(position));
        self.write_audited(audited).await
    }

    async fn redrive(
        &mut self,
        keys: Option<Vec<Arc<str>>>,
        rate: f64,
        dry_run: bool,
        act: Act,
    ) -> Result<Redrive, SubscriptionError> {
        let keys = keys.unwrap_or_else(|| self.machine.parked());
        let reached = self.machine.redrive(&keys, rate, dry_run, self.ports.clock.wall());
        if !dry_run && reached.keys > 0 {
            let mut audited = self.audited("redrive", act);
            audited.keys = Some(reached.keys);
            audited.key = keys.first().filter(|_| keys.len() == 1).map(ToString::to_string);
            self.write_audited(audited).await?;
        }
        Ok(Redrive {
            keys: reached.keys,
            events: reached.events,
            dry_run,
        })
    }

    fn audited(&self, action: &str, act: Act) -> Audited {
        Audited {
            who: act.who,
            action: action.to_owned(),
            subscription: self.name.clone(),
            reason: act.reason,
            ..Audited::default()
        }
    }

    async fn write_audited(&mut self, audited: Audited) -> Result<(), SubscriptionError> {
        let (clock, entropy) = (&*self.ports.clock, &*self.ports.entropy);
        self.audits
            .push(audited.row(uuid_v7(clock, entropy).to_string(), clock.wall())?);
        Ok(self.write_now().await?)
    }

    fn settle(&mut self, leases: Vec<String>, verdict: &Verdict) -> Settled {
        let (epoch, mut settled) = (self.ports.engine.epoch(), Settled::default());
        for lease in leases {
            let outcome = match verdict {
                Verdict::Ack => Outcome::Done,
                Verdict::Nack {
                    reject: true, reason, ..
                } => Outcome::Refused(reason.clone()),
                Verdict::Nack { delay, reason, .. } => Outcome::Failed {
                    why: reason.clone(),
                    after: bounded(*delay),
                },
            };
            if flight(&lease, epoch).is_some_and(|flight| self.machine.is_leased(flight) && self.land(flight, outcome))
            {
                settled.settled += 1;
            } else {
                settled.unknown.push(lease);
            }
        }
        settled
    }
}
