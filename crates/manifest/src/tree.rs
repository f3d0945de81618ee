//! What a manifest's text is before anybody knows what it means: values, lists and maps, each with its place.
//!
//! `parse.rs` makes it, `read.rs` reads it.

use crate::source::{At, Span};
use serde_json::Value as Json;

/// A value and its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Where.
    pub at: Span,
    /// What.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Text; `plain` when it stood without quotes, so that `true` and `5` may be more than text.
    Scalar {
        /// After escapes.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// `[…]` or lines with `-`.
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(At<String>, Node)>),
}

impl Node {
    /// The value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.value == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// True for an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null"))
    }

    /// What this is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The JSON value by YAML's core schema.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Scalar { text, plain: false } => Json::String(text.clone()),
            Value::Scalar { text, plain: true } => plain_json(text),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|(k, v)| (k.value.clone(), v.json())).collect()),
        }
    }
}

fn plain_json(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    // `007` and `1_000` are text for YAML 1.2's JSON-like readers; only what JSON calls a number is one.
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) => Json::Number(number),
        Err(_) => Json::String(text.into()),
    }
}
