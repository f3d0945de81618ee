//! `NAME.reconcile.yaml`: what several services say of the same things, compared.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::document;
use crate::read::{Named, Read, Reader};
use crate::source::{At, Span};
use crate::tree::{Node, Value};
use crate::value::{Millis, Raw, Short, Tree};
use crate::value_event::Label;
use ondol_core::id::SagaName;
use schemars::{Schema, SchemaGenerator, json_schema};

document! {
    /// NAME.reconcile.yaml: what several services say of the same things, compared on a schedule.
    "a reconciliation" struct ReconcileDoc {
        /// Its name, a DNS label, unique in the system.
        reconcile: At<Label>,
        /// What it says, for people.
        about: Option<At<String>>,
        /// From the end of a run to the next one.
        every: At<Millis> = "1m",
        /// What changed within this time before a run is left out of it.
        settle: At<Millis> = "30s",
        /// What is compared, by name: `SERVICE/PATH`, or `{ sagas: NAME }`. Items with the same key belong together.
        sources: At<Named<Short<Raw, SagasDoc>>>,
        /// What must hold of every key.
        rules: At<Vec<RuleDoc>>,
    }
}

document! {
    /// The sagas of a definition as a source: `key` is the saga's id, `at` its last change, `state` where it stands.
    "a source" struct SagasDoc {
        /// Which definition.
        sagas: At<SagaName>,
    }
}

document! {
    /// Where all of `when` hold, all of `expect` must. `SOURCE` is `present` or `absent`; `SOURCE.FIELD` a value or a list of values.
    "a rule" struct RuleDoc {
        /// Whom it concerns. Absent: every key.
        when: Named<Expected>,
        /// What must hold for those.
        expect: At<Named<Expected>>,
        /// The saga that mends what does not hold. Absent: it is reported only.
        repair: Option<RepairDoc>,
    }
}

document! {
    /// A saga that is started once for a drift.
    "a repair" struct RepairDoc {
        /// Which definition.
        saga: At<SagaName>,
        /// JSON with templates in its strings. Absent: `{ key: "{key}" }`.
        input: Option<Tree>,
    }
}

/// One value or several, of which one must be there.
#[derive(Clone, PartialEq, Debug)]
pub struct Expected {
    /// As it is written.
    pub at: Span,
    /// Each a scalar.
    pub values: Vec<Node>,
}

impl Read for Expected {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let values = match &node.value {
            Value::List(items) => items.clone(),
            _ => vec![node.clone()],
        };
        let (at, mut fits) = (node.at, !values.is_empty());
        for value in &values {
            if !matches!(value.value, Value::Scalar { .. }) || value.is_null() {
                fits = false;
            }
        }
        if !fits {
            let found = Diagnostic::error(
                Code::Shape,
                at,
                format!("expected a value or a list of values, found {}", node.kind()),
            );
            cx.found.push(
                found.hint("write `present`, `absent`, a value such as `confirmed` or \"{orders.total}\", or `[a, b]`"),
            );
        }
        fits.then_some(Self { at, values })
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        let value = || json_schema!({ "type": ["string", "number", "boolean"] });
        json_schema!({ "title": "value, or list of values", "anyOf": [value(), { "type": "array", "items": value(), "minItems": 1 }] })
    }
}

/// `orders/internal/reconcile/orders` as a service and a path; `inner` is where in `at` the text starts, if it stands
/// there as it is.
///
/// # Errors
/// One diagnostic.
pub fn target(text: &str, at: Span, inner: Option<usize>) -> Result<(At<String>, At<String>), Diagnostic> {
    let part = |from: usize, to: usize| inner.map_or(at, |offset| at.part(offset + from, offset + to));
    let wrong = |c: char| c.is_whitespace() || matches!(c, '?' | '#' | '{' | '}');
    match text.find('/').filter(|slash| *slash > 0) {
        Some(slash) if !text.contains(wrong) => {
            let piece = |from: usize, to: usize| At {
                value: text[from..to].to_owned(),
                at: part(from, to),
            };
            Ok((piece(0, slash), piece(slash, text.len())))
        }
        _ => {
            let found = Diagnostic::error(Code::Value, at, format!("`{text}` is not a source"));
            Err(found.hint("write `SERVICE/PATH`, such as `orders/internal/reconcile/orders`, or `{ sagas: NAME }`"))
        }
    }
}
