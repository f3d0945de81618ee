//! The small values of `events:` and of reconciliations.

use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::read::{Read, Reader};
use crate::tree::Node;
use crate::value::{leaf, words};
use ondol_core::id::{StreamName, is_dns_label};
use schemars::{Schema, SchemaGenerator, json_schema};

/// A type of events, such as `order.confirmed.v1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventType(pub String);
/// Text, or its beginning and one `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnyOf(pub String);
/// The name of a subscription within its service, or of a reconciliation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label(pub String);
/// The value that an attribute must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute(pub String);

leaf! {
    EventType: |text| event_type(text), { "title": "event type", "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,190}$", "examples": ["order.confirmed.v1"] };
    AnyOf: |text| any_of(text), { "title": "text, or its beginning and `*`", "type": "string", "examples": ["order.confirmed.v1", "order.*"] };
    Label: |text| label(text), { "title": "name", "type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" };
    Attribute: |text| Ok(Attribute(text.into())), { "type": ["string", "number", "boolean"] };
}

words! {
    /// `from:` of a subscription.
    Begin { /// With the first event of the log.
        Start = "start", /// With the first event after it was declared.
        Now = "now", }
}

/// A type names the stream that its published events are kept in.
fn event_type(text: &str) -> Result<EventType, String> {
    let stream = StreamName::new(&format!("{}-{text}", ondol_events::FAMILY));
    match stream {
        Ok(_) if !text.is_empty() && text.len() <= 190 => Ok(EventType(text.into())),
        _ => Err(format!(
            "`{text}` is not an event type: 1 to 190 of letters, digits, -, _ and ."
        )),
    }
}

fn any_of(text: &str) -> Result<AnyOf, String> {
    match text.find('*') {
        Some(star) if star + 1 < text.len() => Err(format!("`{text}` has a `*` that is not its end")),
        _ if text.is_empty() => Err("is empty".into()),
        _ => Ok(AnyOf(text.into())),
    }
}

fn label(text: &str) -> Result<Label, String> {
    match is_dns_label(text) {
        true => Ok(Label(text.into())),
        false => Err(format!(
            "`{text}` is not a name: 1 to 63 of a-z, 0-9 and -, a letter first, no - last"
        )),
    }
}

impl AnyOf {
    /// Whether `text` is meant.
    pub fn fits(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => self.0 == text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_patterns_take_what_they_say() {
        assert!(event_type("order.confirmed.v1").is_ok() && event_type("Order_1-x").is_ok());
        assert!(event_type("").is_err() && event_type("order.*").is_err() && event_type(&"x".repeat(191)).is_err());
        assert!(any_of("order.*").is_ok() && any_of("*").is_ok() && any_of("a*b").is_err() && any_of("a**").is_err());
        assert!(AnyOf("order.*".into()).fits("order.placed.v1") && !AnyOf("order.*".into()).fits("orders"));
        assert!(AnyOf("order".into()).fits("order") && !AnyOf("order".into()).fits("order.placed.v1"));
        assert!(label("orders").is_ok() && label("Orders").is_err() && label("").is_err());
    }
}
