//! The read side's picture of an order: exactly what `GET /api/orders/{id}` answers, and how each event changes it.
//!
//! This is the other half of CQRS. The aggregate in `order.rs` holds what decisions need; this holds what people ask for.
//! Both are folds of the same events and neither knows the other, so a new page needs no change to how orders are taken.
//!
//! Tests: below.

use crate::event::{Cancelled, Confirmed, Event, Line, Placed, Stored};
use crate::order::Status;
use serde::{Deserialize, Serialize};

/// One order, ready to be answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct View {
    /// Its id: the saga's.
    pub id: String,
    /// Where it is.
    pub status: Status,
    /// What was ordered.
    pub items: Vec<Line>,
    /// In minor units.
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
    /// Why it was cancelled.
    pub reason: Option<String>,
    /// The charge's id.
    pub payment: Option<String>,
    /// The shipment's id.
    pub shipment: Option<String>,
    /// What happened, the oldest first.
    pub history: Vec<Moment>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub at: jiff::Timestamp,
}

impl View {
    /// The picture after one more event. `None` when a confirmation comes for an order that nobody has heard of, which
    /// only a broken log can hold.
    pub fn after(before: Option<Self>, id: &str, stored: &Stored) -> Option<Self> {
        let opened = |items, total, currency: &str| Self {
            id: id.to_owned(),
            status: Status::Pending,
            items,
            total,
            currency: currency.to_owned(),
            reason: None,
            payment: None,
            shipment: None,
            history: Vec::new(),
        };
        let mut view = match (&stored.event, before) {
            (
                Event::Placed(Placed {
                    lines, total, currency, ..
                }),
                _,
            ) => opened(lines.clone(), *total, currency),
            (Event::Confirmed(Confirmed { payment, shipment, .. }), Some(view)) => Self {
                status: Status::Confirmed,
                payment: Some(payment.clone()),
                shipment: Some(shipment.clone()),
                ..view
            },
            (Event::Confirmed(_), None) => return None,
            (
                Event::Cancelled(Cancelled {
                    asked,
                    reason,
                    currency,
                }),
                before,
            ) => Self {
                status: Status::Cancelled,
                reason: Some(reason.clone()),
                ..before.unwrap_or_else(|| opened(asked.items.iter().map(Line::unpriced).collect(), 0, currency))
            },
        };
        view.history.push(Moment {
            kind: stored.event.kind().to_owned(),
            at: stored.at,
        });
        Some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Asked, Item};

    fn asked() -> Asked {
        Asked {
            customer: "alice".to_owned(),
            items: vec![Item {
                product_id: "p01".to_owned(),
                quantity: 2,
            }],
        }
    }

    fn check(events: Vec<Event>, expected: Option<&str>) {
        let mut view = None;
        for (revision, event) in (0..).zip(events) {
            let at = jiff::Timestamp::UNIX_EPOCH;
            view = View::after(
                view,
                "o1",
                &Stored {
                    id: "k".to_owned(),
                    revision,
                    position: revision + 1,
                    at,
                    event,
                },
            );
        }
        let told = view.map(|view| {
            let history: Vec<_> = view.history.iter().map(|moment| moment.kind.as_str()).collect();
            let [status, reason] = [view.status.as_str(), view.reason.as_deref().unwrap_or("-")];
            let payment = view.payment.as_deref().unwrap_or("-");
            format!("{status} {} {reason} {payment}: {}", view.total, history.join(" "))
        });
        assert_eq!(told.as_deref(), expected);
    }

    fn placed() -> Event {
        let lines = vec![Line {
            price: Some(150),
            ..Line::unpriced(&asked().items[0])
        }];
        Event::Placed(Placed {
            asked: asked(),
            lines,
            total: 300,
            currency: "EUR".to_owned(),
        })
    }

    fn cancelled() -> Event {
        let (reason, currency) = ("out_of_stock".to_owned(), "EUR".to_owned());
        Event::Cancelled(Cancelled {
            asked: asked(),
            reason,
            currency,
        })
    }

    fn confirmed() -> Event {
        Event::Confirmed(Confirmed {
            payment: "c1".to_owned(),
            shipment: "s1".to_owned(),
            bill: None,
        })
    }

    #[test]
    fn the_picture_follows_the_events() {
        check(vec![placed()], Some("pending 300 - -: order.placed.v1"));
        check(
            vec![placed(), confirmed()],
            Some("confirmed 300 - c1: order.placed.v1 order.confirmed.v1"),
        );
        check(
            vec![placed(), cancelled()],
            Some("cancelled 300 out_of_stock -: order.placed.v1 order.cancelled.v1"),
        );
    }

    #[test]
    fn an_order_that_was_cancelled_before_it_was_placed_can_be_seen() {
        check(
            vec![cancelled()],
            Some("cancelled 0 out_of_stock -: order.cancelled.v1"),
        );
    }

    #[test]
    fn a_confirmation_of_nothing_makes_no_picture() {
        check(vec![confirmed()], None);
    }
}
