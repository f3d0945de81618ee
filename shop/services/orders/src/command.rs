//! Doing what `order.rs` decides: load the events, decide, append, wait until everybody can see it.
//!
//! The loop is the whole of event sourcing's write side. The append says which revision the decision was made on; when
//! somebody else was faster the log refuses it, and the loop looks again. There is no lock and none is needed.
//!
//! What must hold
//! - An answer is made from events that are in the log, never from what a second look-up would say now.
//! - A handler answers only when the read model knows what it answers. Whoever is told "confirmed" reads "confirmed".
//! - Where it is not known what happened the answer is a 503. The saga asks again with the same key, and so with the same
//!   event ids; the log then says what was stored the first time.
//!
//! Tests: `tests/http/`, with a log that loses answers and a rival that appends in between.

use crate::decide::{self, Refused};
use crate::event::{Asked, Event, Stored};
use crate::log::{Cause, Log, LogError};
use crate::model::Model;
use crate::order::{self, BrokenHistory, Order, second_id};
use crate::prices::Prices;
use shop_kit::{CURRENCY, CallError};

/// How often a decision is made anew because the stream has moved on. An order has one writer at a time, its saga; a
/// second round is rare and a third means that something is wrong.
const ROUNDS: usize = 4;

/// What a saga asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Place it.
    Create(Asked),
    /// Carry it through.
    Confirm {
        /// The charge's id.
        payment: String,
        /// The shipment's id.
        shipment: String,
    },
    /// Undo it, or see that it never begins.
    Cancel {
        /// Who and what: for an order that is not there.
        asked: Asked,
        /// Why.
        reason: String,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Definite.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The log does not answer, or refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log holds what cannot be.
    #[error(transparent)]
    History(#[from] BrokenHistory),
    /// The prices are not known.
    #[error("products does not say what the order costs")]
    Prices(#[from] CallError),
    /// The read model does not know the outcome yet.
    #[error("the read model has not reached position {0}")]
    Behind(u64),
    /// Others were faster each time.
    #[error("the stream moved on {ROUNDS} times")]
    Contended,
}

/// Carries out commands. A clone does the same.
#[derive(Clone, Debug)]
pub struct Commands {
    log: Log,
    model: Model,
    prices: Prices,
}

impl Commands {
    /// From its parts.
    pub const fn new(log: Log, model: Model, prices: Prices) -> Self {
        Self { log, model, prices }
    }

    /// Carries out `command` on the order `id`, and gives the order as it is in the log afterwards.
    ///
    /// # Errors
    /// [`Failure::Refused`] is definite; after any other it is unknown whether it was done, and the same command with the
    /// same cause may be sent again.
    ///
    /// # Cancellation
    /// As after an error that is not definite.
    pub async fn run(&self, id: &str, cause: &Cause, command: &Command) -> Result<Order, Failure> {
        for _ in 0..ROUNDS {
            let mut history = self.log.read(id).await?;
            if let Some(last) = history.last() {
                self.visible(last.position).await?;
            }
            let before = order::fold(&history)?;
            let events = self.decide(before.as_ref(), cause, command).await?;
            let revision = before.as_ref().map(|order| order.revision);
            if let (Some(order), true) = (before, events.is_empty()) {
                return Ok(order);
            }
            let receipt = match self.log.append(id, revision, cause, &events).await {
                Ok(receipt) if !receipt.duplicate => receipt,
                // A rival, or this very command on an attempt of which nothing was heard: look again.
                Ok(_) | Err(LogError::Moved(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            self.visible(receipt.position).await?;
            history.extend(appended(cause, revision, receipt.first_position, events));
            if let Some(order) = order::fold(&history)? {
                return Ok(order);
            }
        }
        Err(Failure::Contended)
    }

    /// Which events must be appended so that the command is done.
    async fn decide(&self, order: Option<&Order>, cause: &Cause, command: &Command) -> Result<Vec<Event>, Failure> {
        Ok(match (command, order) {
            (Command::Create(_), Some(order)) => {
                decide::placed_before(order, &cause.key)?;
                Vec::new()
            }
            // Only here a price is looked up: for an order that does not exist yet.
            (Command::Create(asked), None) => {
                decide::place(asked.clone(), self.prices.lines(&asked.items).await?, CURRENCY)
            }
            (Command::Confirm { payment, shipment }, order) => {
                decide::confirm(order, payment.clone(), shipment.clone())?
            }
            (Command::Cancel { asked, reason }, order) => decide::cancel(order, asked.clone(), reason, CURRENCY)?,
        })
    }

    async fn visible(&self, position: u64) -> Result<(), Failure> {
        if self.model.reached(position).await {
            Ok(())
        } else {
            Err(Failure::Behind(position))
        }
    }
}

/// The events as the log now holds them.
fn appended(cause: &Cause, before: Option<u64>, position: u64, events: Vec<Event>) -> impl Iterator<Item = Stored> {
    let first = before.map_or(0, |revision| revision + 1);
    let at = jiff::Timestamp::now();
    (0..).zip(events).map(move |(index, event)| Stored {
        id: if index == 0 {
            cause.key.clone()
        } else {
            second_id(&cause.key)
        },
        revision: first + index,
        position: position + index,
        at,
        event,
    })
}
