//! An order as its history makes it: the aggregate and its fold.
//!
//! Event sourcing in two halves: [`evolve`] folds what has happened into an [`Order`]; `decide.rs` looks at it and says what may
//! happen next.
//!
//! Invariants
//! - `Confirmed` and `Cancelled` have no way out.
//! - A confirmed order had a price for every line.
//!
//! Not here: the stored form of events (`event.rs`), the read model (`model.rs`).
//! Tests: in `decide.rs`, where the histories are made.

use crate::event::{Asked, Cancelled, Confirmed, Event, Line, Placed, Stored};
use serde::{Deserialize, Serialize};

/// Where an order is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Placed; the saga is at work.
    Pending,
    /// Paid, reserved, shipped.
    Confirmed,
    /// Undone, or never begun.
    Cancelled,
}

impl Status {
    /// As stored and answered.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The fold of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Whose.
    pub customer: String,
    /// What was ordered, at the prices of that moment.
    pub lines: Vec<Line>,
    /// In minor units; 0 when it could not be priced.
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where it is.
    pub status: Status,
    /// Why it was cancelled.
    pub reason: Option<String>,
    /// The charge, once confirmed.
    pub payment: Option<String>,
    /// The shipment, once confirmed.
    pub shipment: Option<String>,
    /// The id of the event that opened the stream.
    pub opened_by: String,
    /// Placed and cancelled in one append, because it could not be priced.
    pub stillborn: bool,
    /// Of the last event; the first has 0.
    pub revision: u64,
}

/// A history that cannot be, such as a confirmation of nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("event {id} ({kind}) at revision {revision} cannot follow what came before it")]
pub struct BrokenHistory {
    /// The event's id.
    pub id: String,
    /// Its type.
    pub kind: &'static str,
    /// Its place.
    pub revision: u64,
}

/// Folds one more event.
///
/// # Errors
/// [`BrokenHistory`] when the event cannot follow: the store holds something that this program never wrote.
pub fn evolve(order: Option<Order>, stored: &Stored) -> Result<Order, BrokenHistory> {
    let opened = |asked: &Asked, lines, total, currency| Order {
        customer: asked.customer.clone(),
        lines,
        total,
        currency,
        status: Status::Pending,
        reason: None,
        payment: None,
        shipment: None,
        opened_by: stored.id.clone(),
        stillborn: false,
        revision: stored.revision,
    };
    let next = match (order, &stored.event) {
        (
            None,
            Event::Placed(Placed {
                asked,
                lines,
                total,
                currency,
            }),
        ) => opened(asked, lines.clone(), *total, currency.clone()),
        // The tombstone: a cancel that came first.
        (
            None,
            Event::Cancelled(Cancelled {
                asked,
                reason,
                currency,
            }),
        ) => Order {
            status: Status::Cancelled,
            reason: Some(reason.clone()),
            ..opened(
                asked,
                asked.items.iter().map(Line::unpriced).collect(),
                0,
                currency.clone(),
            )
        },
        (Some(order), Event::Confirmed(Confirmed { payment, shipment, .. })) if order.status == Status::Pending => {
            Order {
                status: Status::Confirmed,
                payment: Some(payment.clone()),
                shipment: Some(shipment.clone()),
                ..order
            }
        }
        (Some(order), Event::Cancelled(Cancelled { reason, .. })) if order.status == Status::Pending => Order {
            status: Status::Cancelled,
            reason: Some(reason.clone()),
            stillborn: stored.id == second_id(&order.opened_by),
            ..order
        },
        _ => {
            return Err(BrokenHistory {
                id: stored.id.clone(),
                kind: stored.event.kind(),
                revision: stored.revision,
            });
        }
    };
    Ok(Order {
        revision: stored.revision,
        ..next
    })
}

/// Folds a whole stream; `None` when it is empty.
///
/// # Errors
/// [`BrokenHistory`].
pub fn fold(history: &[Stored]) -> Result<Option<Order>, BrokenHistory> {
    history
        .iter()
        .try_fold(None, |order, stored| evolve(order, stored).map(Some))
}

/// The id of the second event that a call with this key appends: `KEY#2`.
pub fn second_id(key: &str) -> String {
    format!("{key}#2")
}
