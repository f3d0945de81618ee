//! What can happen to an order, in the form in which it is kept for ever.
//!
//! Events are the only thing this service must never lose, and are read by later versions: a field may be added with a
//! default, never renamed or given another meaning. Anything else is a new type, `order.placed.v2`, beside the old.
//!
//! Tests: below; the stored texts are written out, so that a change of the form fails.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a basket, as the customer sends it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Which product.
    pub product_id: String,
    /// How many pieces.
    pub quantity: u32,
}

/// Who wants what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The token's `sub`.
    pub customer: String,
    /// What.
    pub items: Vec<Item>,
}

/// A line of an order: name and price are those of the moment of ordering and never change again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Which product.
    pub product_id: String,
    /// How many pieces.
    pub quantity: u32,
    /// As the catalogue called it; `None` for an unknown product.
    pub name: Option<String>,
    /// Of one piece, in minor units; `None` for an unknown product.
    pub price: Option<i64>,
}

impl Line {
    /// A line of which the catalogue knows nothing.
    pub fn unpriced(item: &Item) -> Self {
        Self {
            product_id: item.product_id.clone(),
            quantity: item.quantity,
            name: None,
            price: None,
        }
    }

    /// Price times quantity; `None` without a price, or when no number is large enough.
    pub fn amount(&self) -> Option<i64> {
        self.price?.checked_mul(i64::from(self.quantity))
    }
}

/// The customer has ordered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// Who and what.
    #[serde(flatten)]
    pub asked: Asked,
    /// At which prices.
    pub lines: Vec<Line>,
    /// In minor units.
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Everything is carried through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Confirmed {
    /// The charge's id.
    pub payment: String,
    /// The shipment's id.
    pub shipment: String,
    /// Whose and how much, so that others need not have seen it placed. Earlier events lack it.
    #[serde(flatten)]
    pub bill: Option<Bill>,
}

/// What an order came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bill {
    /// The token's `sub`.
    pub customer: String,
    /// In minor units.
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
}

/// It is called off. Names the customer and the items too, since it may be the first that is heard of the order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancelled {
    /// Who and what.
    #[serde(flatten)]
    pub asked: Asked,
    /// Why, as one word: `out_of_stock`, `insufficient_funds`, `unknown_product`, `deadline` …
    pub reason: String,
    /// ISO 4217.
    pub currency: String,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `order.placed.v1`.
    Placed(Placed),
    /// `order.confirmed.v1`.
    Confirmed(Confirmed),
    /// `order.cancelled.v1`.
    Cancelled(Cancelled),
}

/// An event that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Written by a later version, or not by this service.
    #[error("unknown event type {0:?}")]
    Type(String),
    /// Known type, wrong content.
    #[error("data of {kind} does not fit")]
    Data {
        /// The type.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Event {
    /// The CloudEvents `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Placed(_) => "order.placed.v1",
            Self::Confirmed(_) => "order.confirmed.v1",
            Self::Cancelled(_) => "order.cancelled.v1",
        }
    }

    /// The CloudEvents `data`.
    ///
    /// # Errors
    /// Never for the types of this module: they hold strings and numbers only.
    pub fn data(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Placed(data) => serde_json::to_value(data),
            Self::Confirmed(data) => serde_json::to_value(data),
            Self::Cancelled(data) => serde_json::to_value(data),
        }
    }

    /// Reads what [`Event::kind`] and [`Event::data`] wrote, in this version or an earlier one.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        let fit = |source| Unreadable::Data {
            kind: kind.to_owned(),
            source,
        };
        match kind {
            "order.placed.v1" => serde_json::from_value(data).map(Self::Placed).map_err(fit),
            "order.confirmed.v1" => serde_json::from_value(data).map(Self::Confirmed).map_err(fit),
            "order.cancelled.v1" => serde_json::from_value(data).map(Self::Cancelled).map_err(fit),
            other => Err(Unreadable::Type(other.to_owned())),
        }
    }
}

/// An event and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The `Idempotency-Key` of the call that made it, `KEY#2` for the second of a batch.
    pub id: String,
    /// In its stream, from 0.
    pub revision: u64,
    /// In the log of all events, from 1.
    pub position: u64,
    /// When, by the clock of the instance that appended it; for people, never for ordering.
    pub at: jiff::Timestamp,
    /// What.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: &str, data: Value) {
        let event = Event::read(kind, data.clone()).expect("a stored form is readable");
        assert_eq!(
            (event.kind(), event.data().unwrap()),
            (kind, data),
            "what is read is written the same"
        );
        // The contract that others read by. The platform refuses what does not follow it, and so does this test.
        let schema = std::fs::read(format!("events/{kind}.json")).expect("every type has a schema");
        let schema = serde_json::from_slice(&schema).expect("JSON");
        let checked = jsonschema::draft202012::new(&schema).expect("a schema");
        assert!(checked.is_valid(&event.data().unwrap()), "{kind} follows its schema");
        assert!(
            !checked.is_valid(&json!({ "total": "much" })),
            "the schema of {kind} refuses something"
        );
    }

    #[test]
    fn stored_forms_of_version_1_are_read_for_ever() {
        let items = json!([{"product_id": "p01", "quantity": 2}, {"product_id": "x", "quantity": 1}]);
        let lines = json!([
            {"product_id": "p01", "quantity": 2, "name": "Teapot", "price": 2450},
            {"product_id": "x", "quantity": 1, "name": null, "price": null}
        ]);
        check(
            "order.placed.v1",
            json!({"customer": "u1", "items": items, "lines": lines, "total": 4900, "currency": "EUR"}),
        );
        check("order.confirmed.v1", json!({"payment": "c1", "shipment": "s1"}));
        check(
            "order.confirmed.v1",
            json!({"payment": "c1", "shipment": "s1", "customer": "u1", "total": 4900, "currency": "EUR"}),
        );
        check(
            "order.cancelled.v1",
            json!({"customer": "u1", "items": items, "reason": "out_of_stock", "currency": "EUR"}),
        );
    }

    #[test]
    fn a_later_version_is_not_guessed_at() {
        assert!(matches!(
            Event::read("order.placed.v2", json!({})),
            Err(Unreadable::Type(_))
        ));
        assert!(matches!(
            Event::read("order.confirmed.v1", json!({})),
            Err(Unreadable::Data { .. })
        ));
    }
}
