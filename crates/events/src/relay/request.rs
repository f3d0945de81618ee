//! What the loop of an outbox is asked, and what it does then. What an operator does is durable, with its entry in the
//! audit, before it is answered.

use super::handle::View;
use super::machine::Held;
use super::record::{gone, held_row, name};
use super::row::LARGEST;
use super::service::Runner;
use crate::subscription::phase::KeyState;
use crate::subscription::record::{Audited, torn};
use crate::subscription::view::{EventRef, KeyDetails, KeyView, Queued, Redrive};
use crate::subscription::{Act, KeyAction, Refused, SubscriptionError};
use ondol_core::engine::RowOp;
use ondol_core::id::uuid_v7;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Rows of one key that are shown.
const SHOWN: usize = 100;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, SubscriptionError>>;

/// A question or an order.
pub(crate) enum Command {
    View(Reply<View>),
    Keys {
        state: Option<KeyState>,
        after: Option<String>,
        limit: usize,
        reply: Reply<Vec<KeyView>>,
    },
    Key(String, Reply<KeyDetails>),
    Redrive {
        wanted: Wanted,
        rate: f64,
        dry_run: bool,
        act: Act,
        reply: Reply<Redrive>,
    },
    Act(String, KeyAction, Act, Reply<()>),
    End,
}

/// Which keys a redrive means; what is `None` excludes none.
pub(crate) struct Wanted {
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) kind: Option<String>,
}

impl Runner {
    /// Whoever asked may have gone; the answer is then lost and nothing else.
    pub(crate) async fn obey(&mut self, command: Command) {
        match command {
            Command::View(reply) => drop(reply.send(Ok(self.view().await))),
            Command::Keys {
                state,
                after,
                limit,
                reply,
            } => {
                let lanes = self.machine.lanes(after.as_deref());
                let views = lanes.map(|(key, lane)| self.key_view(key, lane));
                let wanted = views.filter(|view| state.is_none_or(|state| view.state == state));
                drop(reply.send(Ok(wanted.take(limit).collect())));
            }
            Command::Key(key, reply) => drop(reply.send(self.key(&key))),
            Command::Redrive {
                wanted,
                rate,
                dry_run,
                act,
                reply,
            } => {
                drop(reply.send(self.redrive(&wanted, rate, dry_run, act).await));
            }
            Command::Act(key, action, act, reply) => drop(reply.send(self.act(&key, action, act).await)),
            // The loop ends before it would come here.
            Command::End => {}
        }
    }

    async fn view(&mut self) -> View {
        let left: Vec<u64> = self.machine.cut().collect();
        let pending = self.source.pending(self.machine.cursor, &left).await;
        View {
            service: self.service.to_string(),
            state: self.mode,
            reason: self.reason.clone(),
            relayed: self.machine.cursor,
            pending: pending.ok(),
            poisoned: self.machine.held(),
        }
    }

    fn key_view(&self, key: &Arc<str>, lane: &VecDeque<Held>) -> KeyView {
        let first = lane.front();
        let driving = self.machine.is_driving(key);
        KeyView {
            key: key.clone(),
            state: if driving { KeyState::Retrying } else { KeyState::Parked },
            since: first.map(|held| held.since).unwrap_or_default(),
            wake_at: None,
            attempts: first.map_or(0, |held| held.attempts),
            error: first.and_then(|held| held.error.clone()),
            events: lane.len(),
            first: first.map(|held| EventRef {
                position: held.row.seq,
                id: held.row.id.clone(),
                kind: held.row.kind.clone(),
            }),
        }
    }

    fn key(&self, key: &str) -> Result<KeyDetails, SubscriptionError> {
        let lane = self.machine.lane(key).ok_or_else(|| Refused::NoKey(key.to_owned()))?;
        let torn = |error| torn("a row of an outbox", &error);
        let queue = lane.iter().take(SHOWN).map(|held| {
            let edited = held.edited.as_ref().map(|data| RawValue::from_string(data.to_string()));
            Ok(Queued {
                position: held.row.seq,
                event: to_raw_value(&held.row.shown()).map_err(torn)?,
                edited: edited.transpose().map_err(torn)?,
            })
        });
        let queue = queue.collect::<Result<_, SubscriptionError>>()?;
        let view = self.key_view(&key.into(), lane);
        Ok(KeyDetails { view, queue })
    }

    async fn redrive(
        &mut self,
        wanted: &Wanted,
        rate: f64,
        dry_run: bool,
        act: Act,
    ) -> Result<Redrive, SubscriptionError> {
        let is_wanted = |key: &Arc<str>, lane: &VecDeque<Held>| {
            let named = wanted
                .keys
                .as_ref()
                .is_none_or(|keys| keys.iter().any(|one| **one == **key));
            let kind = |kind: &String| lane.front().is_some_and(|first| first.row.kind == *kind);
            named && wanted.kind.as_ref().is_none_or(kind)
        };
        let lanes = self.machine.lanes(None).filter(|(key, lane)| is_wanted(key, lane));
        let lanes: Vec<(Arc<str>, usize)> = lanes.map(|(key, lane)| (key.clone(), lane.len())).collect();
        let (keys, events) = (lanes.len() as u64, lanes.iter().map(|(_, events)| *events as u64).sum());
        if !dry_run && keys > 0 {
            let key = lanes.first().filter(|_| keys == 1).map(|(key, _)| key.to_string());
            let audited = Audited {
                keys: Some(keys),
                key,
                ..self.audited("redrive", act)
            };
            self.write_audited(audited, Vec::new()).await?;
            let now = self.ports.clock.wall();
            self.machine
                .redrive(lanes.into_iter().map(|(key, _)| key).collect(), rate, now);
        }
        Ok(Redrive { keys, events, dry_run })
    }

    async fn act(&mut self, key: &str, action: KeyAction, act: Act) -> Result<(), SubscriptionError> {
        let (word, seq) = match &action {
            KeyAction::Edit { position, .. } => ("edit", *position),
            KeyAction::Skip { position } => ("skip", *position),
        };
        let lane = self.machine.lane(key).ok_or_else(|| Refused::NoKey(key.to_owned()))?;
        let held = lane
            .iter()
            .find(|held| held.row.seq == seq)
            .cloned()
            .ok_or(Refused::NoEvent(seq))?;
        let audited = Audited {
            key: Some(key.to_owned()),
            position: Some(seq),
            ..self.audited(word, act)
        };
        match action {
            KeyAction::Edit { data, .. } => {
                if data.len() > LARGEST {
                    return Err(Refused::TooLarge(data.len()).into());
                }
                let edited = Held {
                    edited: Some(data.clone()),
                    ..held
                };
                let row = held_row(&self.service, &edited, self.ports.clock.wall())?;
                self.write_audited(audited, vec![row]).await?;
                self.machine.edit(key, seq, data);
            }
            KeyAction::Skip { .. } => {
                // Its original first: a row that is forgotten here and found there would be a new one.
                self.source
                    .relayed(&[seq])
                    .await
                    .map_err(|error| SubscriptionError::Outbox {
                        name: name(&self.service),
                        why: error.to_string(),
                    })?;
                let row = gone(&self.service, &held.row);
                self.write_audited(audited, vec![row]).await?;
                self.machine.remove(key, seq);
            }
        }
        Ok(())
    }

    fn audited(&self, action: &str, act: Act) -> Audited {
        Audited {
            who: act.who,
            action: action.to_owned(),
            subscription: name(&self.service),
            reason: act.reason,
            ..Audited::default()
        }
    }

    async fn write_audited(&mut self, audited: Audited, mut rows: Vec<RowOp>) -> Result<(), SubscriptionError> {
        let (clock, entropy) = (self.ports.clock.clone(), self.ports.entropy.clone());
        rows.push(audited.row(uuid_v7(&*clock, &*entropy).to_string(), clock.wall())?);
        Ok(self.write(rows).await?)
    }
}
