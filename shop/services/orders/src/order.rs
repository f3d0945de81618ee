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
<<<<<<< HEAD
=======

/// What to append for an order that does not exist yet. `lines` holds the catalogue's answer for each item.
///
/// A product that nobody knows still makes an order, cancelled in the same append: the customer can see what became of it.
pub fn place(asked: Asked, lines: Vec<Line>, currency: &str) -> Vec<Event> {
    let total = lines.iter().try_fold(0i64, |sum, line| sum.checked_add(line.amount()?));
    let placed = |total| {
        Event::Placed(Placed {
            asked: asked.clone(),
            lines: lines.clone(),
            total,
            currency: currency.to_owned(),
        })
    };
    match total {
        Some(total) => vec![placed(total)],
        None => vec![placed(0), cancelled(asked.clone(), UNKNOWN_PRODUCT, currency)],
    }
}

/// What a create under `key` is told about an order that exists already.
///
/// # Errors
/// [`Refused::UnknownProduct`] when that was its own first answer, [`Refused::CancelledFirst`] when it comes too late.
pub fn placed_before(order: &Order, key: &str) -> Result<(), Refused> {
    match (order.opened_by == key, order.stillborn) {
        (true, false) => Ok(()),
        (true, true) => Err(Refused::UnknownProduct),
        (false, _) => Err(Refused::CancelledFirst),
    }
}

/// What to append so that the order is confirmed; nothing when it is.
///
/// # Errors
/// [`Refused`] when it is cancelled or missing. The saga confirms after its pivot only, so a person must look.
pub fn confirm(order: Option<&Order>, payment: String, shipment: String) -> Result<Vec<Event>, Refused> {
    let order = order.ok_or(Refused::Missing)?;
    match order.status {
        Status::Pending => {
            let bill = Some(Bill {
                customer: order.customer.clone(),
                total: order.total,
                currency: order.currency.clone(),
            });
            Ok(vec![Event::Confirmed(Confirmed {
                payment,
                shipment,
                bill,
            })])
        }
        Status::Confirmed => Ok(Vec::new()),
        Status::Cancelled => Err(Refused::Ended(Status::Cancelled)),
    }
}

/// What to append so that the order is cancelled; nothing when it is. For a missing order: a tombstone.
///
/// # Errors
/// [`Refused`] when it is confirmed. The saga undoes nothing after its pivot, so a person must look.
pub fn cancel(order: Option<&Order>, asked: Asked, reason: &str, currency: &str) -> Result<Vec<Event>, Refused> {
    match order.map(|order| order.status) {
        None | Some(Status::Pending) => Ok(vec![cancelled(asked, reason, currency)]),
        Some(Status::Cancelled) => Ok(Vec::new()),
        Some(Status::Confirmed) => Err(Refused::Ended(Status::Confirmed)),
    }
}

fn cancelled(asked: Asked, reason: &str, currency: &str) -> Event {
    Event::Cancelled(Cancelled {
        asked,
        reason: reason.to_owned(),
        currency: currency.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Item;

    const KEY: &str = "0190.create.action";
    const UNDO: &str = "0190.create.compensate";

    fn asked() -> Asked {
        Asked {
            customer: "alice".to_owned(),
            items: vec![
                Item {
                    product_id: "p01".to_owned(),
                    quantity: 2,
                },
                Item {
                    product_id: "p02".to_owned(),
                    quantity: 1,
                },
            ],
        }
    }

    fn lines(prices: [Option<i64>; 2]) -> Vec<Line> {
        asked()
            .items
            .iter()
            .zip(prices)
            .map(|(item, price)| Line {
                price,
                ..Line::unpriced(item)
            })
            .collect()
    }

    /// Appends what a call under `key` decided.
    fn append(order: Option<Order>, key: &str, events: Vec<Event>) -> Option<Order> {
        let mut order = order;
        for (index, event) in events.into_iter().enumerate() {
            let id = if index == 0 { key.to_owned() } else { second_id(key) };
            let revision = order.as_ref().map_or(0, |order| order.revision + 1);
            let stored = Stored {
                id,
                revision,
                position: revision + 1,
                at: jiff::Timestamp::UNIX_EPOCH,
                event,
            };
            order = Some(evolve(order, &stored).expect("what was decided can happen"));
        }
        order
    }

    /// Every order there can be, by name.
    fn orders() -> Vec<(&'static str, Option<Order>)> {
        let pending = append(None, KEY, place(asked(), lines([Some(150), Some(70)]), "EUR"));
        let stillborn = append(None, KEY, place(asked(), lines([Some(150), None]), "EUR"));
        let tombstone = append(None, UNDO, cancel(None, asked(), "deadline", "EUR").unwrap());
        let paid = confirm(pending.as_ref(), "c".to_owned(), "s".to_owned()).unwrap();
        let undone = cancel(pending.as_ref(), asked(), "out_of_stock", "EUR").unwrap();
        vec![
            ("missing", None),
            ("confirmed", append(pending.clone(), "0190.confirm.action", paid)),
            ("cancelled", append(pending.clone(), UNDO, undone)),
            ("pending", pending),
            ("stillborn", stillborn),
            ("tombstone", tombstone),
        ]
    }

    fn named(name: &str) -> Option<Order> {
        orders()
            .into_iter()
            .find(|(other, _)| *other == name)
            .expect("a known name")
            .1
    }

    fn check(decide: impl Fn(Option<&Order>) -> Result<Vec<Event>, Refused>, expected: &[(&str, &str)]) {
        assert_eq!(expected.len(), orders().len(), "every state has its row");
        for (name, outcome) in expected {
            let got = match decide(named(name).as_ref()) {
                Ok(events) if events.is_empty() => "nothing".to_owned(),
                Ok(events) => events.iter().map(Event::kind).collect::<Vec<_>>().join("+"),
                Err(refused) => format!("refused: {}", refused.reason()),
            };
            assert_eq!(&got, outcome, "{name}");
        }
    }

    #[test]
    fn confirm_in_every_state() {
        check(
            |order| confirm(order, "c".to_owned(), "s".to_owned()),
            &[
                ("missing", "refused: unknown_order"),
                ("pending", "order.confirmed.v1"),
                ("confirmed", "nothing"),
                ("cancelled", "refused: cancelled"),
                ("stillborn", "refused: cancelled"),
                ("tombstone", "refused: cancelled"),
            ],
        );
    }

    #[test]
    fn cancel_in_every_state() {
        check(
            |order| cancel(order, asked(), "out_of_stock", "EUR"),
            &[
                ("missing", "order.cancelled.v1"),
                ("pending", "order.cancelled.v1"),
                ("confirmed", "refused: confirmed"),
                ("cancelled", "nothing"),
                ("stillborn", "nothing"),
                ("tombstone", "nothing"),
            ],
        );
    }

    #[test]
    fn a_repeated_create_is_told_what_the_first_was_whatever_came_since() {
        for name in ["pending", "confirmed", "cancelled"] {
            assert_eq!(placed_before(&named(name).unwrap(), KEY), Ok(()), "{name}");
        }
        assert_eq!(
            placed_before(&named("stillborn").unwrap(), KEY),
            Err(Refused::UnknownProduct)
        );
    }

    #[test]
    fn a_create_after_its_own_cancel_is_refused() {
        assert_eq!(
            placed_before(&named("tombstone").unwrap(), KEY),
            Err(Refused::CancelledFirst)
        );
    }

    #[test]
    fn a_cancel_that_follows_a_refused_create_adds_nothing() {
        let events = cancel(named("stillborn").as_ref(), asked(), "unknown_product", "EUR").unwrap();
        assert_eq!(events, Vec::new());
    }

    #[test]
    fn the_total_is_the_sum_of_price_times_quantity() {
        assert_eq!(named("pending").unwrap().total, 2 * 150 + 70);
    }

    #[test]
    fn an_order_with_an_unknown_product_is_placed_unpriced_and_cancelled() {
        let order = named("stillborn").unwrap();
        assert_eq!(
            (order.status, order.total, order.stillborn),
            (Status::Cancelled, 0, true)
        );
        assert_eq!(order.reason.as_deref(), Some(UNKNOWN_PRODUCT));
        assert_eq!(order.lines[0].price, Some(150), "the price that was known is kept");
    }

    #[test]
    fn a_total_beyond_the_largest_number_is_not_a_total() {
        let events = place(asked(), lines([Some(i64::MAX), Some(1)]), "EUR");
        assert_eq!(
            events.len(),
            2,
            "placed and cancelled, never wrapped round to a small price"
        );
    }

    #[test]
    fn every_event_that_cannot_follow_is_a_broken_history() {
        let confirmed = Event::Confirmed(Confirmed {
            payment: "c".to_owned(),
            shipment: "s".to_owned(),
            bill: None,
        });
        let placed = place(asked(), lines([Some(1), Some(1)]), "EUR").remove(0);
        let undone = cancelled(asked(), "x", "EUR");
        let allowed = [
            ("missing", placed.kind()),
            ("missing", undone.kind()),
            ("pending", confirmed.kind()),
            ("pending", undone.kind()),
        ];
        for (name, order) in orders() {
            for event in [&placed, &confirmed, &undone] {
                let stored = Stored {
                    id: "x".to_owned(),
                    revision: 9,
                    position: 9,
                    at: jiff::Timestamp::UNIX_EPOCH,
                    event: event.clone(),
                };
                let allowed = allowed.contains(&(name, event.kind()));
                assert_eq!(
                    evolve(order.clone(), &stored).is_ok(),
                    allowed,
                    "{} after {name}",
                    event.kind()
                );
            }
        }
    }
}
>>>>>>> ev
