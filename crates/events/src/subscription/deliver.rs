//! Events on their way: pushed as calls, or given to whoever pulls. Each is a task that reports to the loop how it ended.

use super::answer::{self, Outcome};
use super::config::Subscription;
use super::filter::Read;
use super::machine::Delivery;
use super::pace::Answered;
use super::pull::{self, Leased, Puller, Taken};
use super::push;
use super::service::{Landing, Ports, Runner};
use super::source::Source;
use ondol_core::caller::CallError;
use ondol_core::task::Kind;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// The caller's own timeout comes first.
const GRACE: Duration = Duration::from_secs(1);
/// Pulls that wait at once.
const PULLERS: usize = 256;

impl Runner {
    pub(super) fn push(&self, delivery: Delivery<Arc<Read>>) {
        let attempt = format!("{}.{}", self.ports.engine.epoch(), delivery.attempt);
        let (ports, source, config) = (self.ports.clone(), self.source.clone(), self.config.clone());
        let landed = self.landed.0.clone();
        // What a row holds is read first, and may be what failed: it says nothing of the others.
        let beside = delivery.body.is_some().then(|| self.machine.fresh_in_flight());
        self.ports.tasks.spawn(Kind::Events, async move {
            let began = ports.clock.mono();
            let outcome = attempt_push(&ports, &source, &config, &delivery, &attempt).await;
            let took = ports.clock.mono().saturating_sub(began);
            let (subscription, key, position) = (&config.name, &*delivery.key, delivery.position);
            tracing::debug!(%subscription, key, position, attempt, ?outcome, "pushed");
            // The loop has ended when nobody takes it.
            let landing = Landing {
                flight: delivery.flight,
                outcome,
                push: beside.map(|beside| Answered { took, beside }),
            };
            let _gone = landed.send(landing).await;
        });
    }

    /// Takes one more who waits, unless too many do.
    pub(crate) fn queue_puller(&mut self, puller: Puller) {
        self.pullers.retain(|one| !one.reply.is_closed());
        if self.pullers.len() < PULLERS {
            self.pullers.push_back(puller);
        }
    }

    pub(super) fn serve_pullers(&mut self) {
        let (now, mono) = (self.ports.clock.wall(), self.ports.clock.mono());
        while let Some(puller) = self.pullers.pop_front() {
            if puller.reply.is_closed() {
                continue;
            }
            let until = Some(mono + puller.lease);
            let next = || self.machine.next(now, until);
            let taken: Vec<_> = std::iter::from_fn(next).take(puller.limit).map(taken).collect();
            if taken.is_empty() {
                return self.pullers.push_front(puller);
            }
            self.give(taken, puller);
        }
    }

    /// Gives events to who waited. What cannot be given, because it cannot be read or they have gone, comes back.
    fn give(&self, taken: Vec<Taken>, puller: Puller) {
        let (source, epoch, landed) = (self.source.clone(), self.ports.engine.epoch(), self.landed.0.clone());
        self.ports.tasks.spawn(Kind::Events, async move {
            let (mut given, mut flights) = (Vec::new(), Vec::new());
            for one in taken {
                match render(&source, &one).await {
                    Ok(event) => {
                        flights.push(one.flight);
                        given.push(Leased {
                            lease: pull::lease(epoch, one.flight),
                            event,
                        });
                    }
                    Err(outcome) => drop(landed.send(Landing::of(one.flight, outcome)).await),
                }
            }
            if puller.reply.send(given).is_err() {
                for flight in flights {
                    drop(landed.send(Landing::of(flight, Outcome::Released)).await);
                }
            }
        });
    }
}

fn taken(delivery: Delivery<Arc<Read>>) -> Taken {
    let Delivery {
        flight,
        position,
        body,
        edited,
        ..
    } = delivery;
    Taken {
        flight,
        position,
        body,
        edited,
    }
}

/// The event that is to be delivered: of the window, or from the log.
async fn body(source: &Source, position: u64, known: Option<&Arc<Read>>) -> Result<Arc<Read>, Outcome> {
    if let Some(read) = known {
        return Ok(read.clone());
    }
    match source.one(position).await {
        Ok(Some(read)) => Ok(read),
        Ok(None) => Err(Outcome::Refused(format!("the log has no event at position {position}"))),
        // Says nothing of the event.
        Err(error) => Err(Outcome::Unreachable {
            why: answer::short(&error.to_string()),
            after: None,
        }),
    }
}

async fn render(source: &Source, taken: &Taken) -> Result<Box<RawValue>, Outcome> {
    let read = body(source, taken.position, taken.body.as_ref()).await?;
    pull::render(&read, taken.edited.as_deref()).map_err(|error| Outcome::Refused(error.to_string()))
}

async fn attempt_push(
    ports: &Ports,
    source: &Source,
    config: &Subscription,
    delivery: &Delivery<Arc<Read>>,
    attempt: &str,
) -> Outcome {
    let read = match body(source, delivery.position, delivery.body.as_ref()).await {
        Ok(read) => read,
        Err(outcome) => return outcome,
    };
    let call = match push::call(config, &read, delivery.edited.as_deref(), attempt) {
        Ok(call) => call,
        Err(why) => return Outcome::Refused(why),
    };
    let answer = tokio::time::timeout(config.timeout + GRACE, ports.caller.call(call)).await;
    let answer = answer.unwrap_or_else(|_| Err(CallError::Unknown("timeout".into())));
    answer::outcome(answer, ports.clock.wall())
}
