//! Leave to send one attempt to one instance: counted until dropped, and told how it went.

use super::{Cluster, Endpoint, Way, endpoint::lock};
use ondol_core::entropy::Entropy;
use ondol_resilience::breaker::{Breaker, Ticket};
use ondol_resilience::outlier;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How an attempt went, as far as the instance is concerned. An attempt that the client gave up has no outcome: drop
/// the permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The whole head of an answer came.
    Answered {
        /// Its status.
        status: u16,
        /// Until the head came; `None` where this says nothing of the instance: streams and waits for a saga.
        took: Option<Duration>,
        /// It took more than nine tenths of what it had.
        slow: bool,
        /// How long a 429 or 503 asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It could not be connected to: no byte was sent.
    NotSent,
    /// It was sent and no head came: reset, closed, timed out, nonsense.
    Broken,
}

/// One attempt in flight.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    endpoint: Arc<Endpoint>,
    cluster: Arc<Cluster>,
    breaker: Arc<Mutex<Breaker>>,
    /// See [`Way`]: whether an answer can be a failure.
    judges_answers: bool,
    /// Until the outcome is known.
    ticket: Option<Ticket>,
}

impl Permit {
    /// Counts the attempt in; `None` when the instance drains.
    pub(super) fn take(endpoint: Arc<Endpoint>, way: &Way, ticket: Ticket) -> Option<Self> {
        let open = endpoint.enter();
        let (cluster, breaker) = (way.cluster.clone(), way.breaker.clone());
        let permit = Self {
            endpoint,
            cluster,
            breaker,
            judges_answers: way.judges_answers,
            ticket: Some(ticket),
        };
        open.then_some(permit) // Else dropped here: counted out, ticket given back.
    }

    /// To whom.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Takes the outcome; later ones are ignored. The request stays in flight until the permit is dropped.
    pub fn report(&mut self, outcome: Outcome, now: Duration, random: &dyn Entropy) {
        let Some(ticket) = self.ticket.take() else { return };
        match outcome {
            Outcome::NotSent => lock(&self.breaker).give_back(ticket),
            Outcome::Broken => lock(&self.breaker).record(ticket, now, false),
            Outcome::Answered { status, slow, .. } => {
                let well = !self.judges_answers || (status < 500 && !slow);
                lock(&self.breaker).record(ticket, now, well);
            }
        }
        if self.remember(outcome, now) && self.may_go(now) {
            self.endpoint.eject(now, random.next_u64());
            self.cluster.shared.news.notify_one();
            tracing::warn!(service = %self.cluster.service, instance = %self.endpoint.instance, ?outcome, "instance ejected: it fails where others do not");
        }
    }

    /// Writes the outcome into the instance's history; true when it should be ejected.
    fn remember(&self, outcome: Outcome, now: Duration) -> bool {
        let mut history = self.endpoint.history();
        let failed = match outcome {
            Outcome::NotSent | Outcome::Broken => true,
            Outcome::Answered { status, .. } => self.judges_answers && status >= 500,
        };
        match outcome {
            Outcome::Answered {
                retry_after: Some(asked),
                ..
            } => history.latency.penalise(now, Some(asked)),
            Outcome::Answered { status, took, .. } if status < 500 => {
                took.into_iter().for_each(|took| history.latency.observe(now, took))
            }
            // An error that says nothing of the instance is no good answer either.
            Outcome::Answered { .. } if !self.judges_answers => {}
            _ => history.latency.penalise(now, None),
        }
        history.outlier.record(now, failed)
    }

    fn may_go(&self, now: Duration) -> bool {
        let view = self.cluster.view.load();
        // Who drains gets nothing new, so it is none of those that the others could take over from.
        let (mut open, mut out) = (0, 0);
        for endpoint in view.endpoints.iter().filter(|endpoint| !endpoint.is_draining()) {
            open += 1;
            out += usize::from(!endpoint.is_well(now));
        }
        outlier::may_eject(open, out)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            lock(&self.breaker).give_back(ticket);
        }
        if self.endpoint.leave() {
            self.cluster.shared.news.notify_one();
        }
    }
}
