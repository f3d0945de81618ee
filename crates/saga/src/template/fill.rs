//! Fills parsed templates: JSON that keeps types, text with scalars, paths with percent-encoding.
//!
//! Invariants
//! - What is filled is JSON, whatever the values are.
//! - A value never changes the shape of the path that it is put in.
//!
//! Tests: `tests.rs`.

use super::{Part, Reference, Source, Template, TemplateError, parse, parse_value};
use serde_json::Value;
use std::borrow::Cow;

/// What templates are filled from.
pub trait Scope {
    /// The value that `reference` names; `None`: there is none.
    fn value(&self, reference: &Reference) -> Option<Cow<'_, Value>>;
}

/// A template could not be filled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FillError {
    /// Nothing is there.
    #[error("there is no `{0}`")]
    Missing(String),
    /// A list, an object or `null` inside a longer string.
    #[error("`{0}` is no text, number or truth value, so it cannot stand inside a string")]
    NoScalar(String),
    /// It would change the path it is put in.
    #[error("`{0}` is empty, `.` or `..`, so it cannot stand in a path")]
    NoSegment(String),
}

/// A JSON value with templates in its strings, parsed.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Nothing to fill: its JSON text.
    Fixed(Vec<u8>),
    /// A string.
    Text(Template),
    /// A list.
    List(Vec<Body>),
    /// An object: keys as JSON text.
    Object(Vec<(Vec<u8>, Body)>),
}

impl Body {
    /// Compiles `value`.
    ///
    /// # Errors
    /// As [`parse_value`].
    pub fn compile(value: &Value) -> Result<Self, (String, TemplateError)> {
        if parse_value(value)?.is_empty() && !holds_braces(value) {
            return Ok(Self::Fixed(value.to_string().into_bytes()));
        }
        Ok(match value {
            Value::String(text) => Self::Text(parse(text).map_err(|error| (String::new(), error))?),
            Value::Array(items) => Self::List(items.iter().map(Self::compile).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let member = |(key, item): (&String, &Value)| {
                    Ok((Value::from(key.as_str()).to_string().into_bytes(), Self::compile(item)?))
                };
                Self::Object(
                    members
                        .iter()
                        .map(member)
                        .collect::<Result<_, (String, TemplateError)>>()?,
                )
            }
            other => Self::Fixed(other.to_string().into_bytes()),
        })
    }

    /// Appends the filled JSON to `out`. A whole-string template whose value is missing in the *input* gives `null`:
    /// the schema made that member optional. Every other missing value is an error.
    ///
    /// # Errors
    /// [`FillError`]; `out` then ends somewhere in the middle.
    pub fn fill(&self, scope: &dyn Scope, out: &mut Vec<u8>) -> Result<(), FillError> {
        match self {
            Self::Fixed(text) => out.extend_from_slice(text),
            Self::Text(template) => match template.whole() {
                Some(reference) => match scope.value(reference) {
                    Some(value) => write_json(out, &value),
                    None if reference.source == Source::Input => out.extend_from_slice(b"null"),
                    None => return Err(FillError::Missing(reference.to_string())),
                },
                None => write_json(out, &Value::String(fill_text(template, scope)?)),
            },
            Self::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    out.push(if n == 0 { b'[' } else { b',' });
                    item.fill(scope, out)?;
                }
                out.push(b']');
            }
            Self::Object(members) => {
                for (n, (key, item)) in members.iter().enumerate() {
                    out.push(if n == 0 { b'{' } else { b',' });
                    out.extend_from_slice(key);
                    out.push(b':');
                    item.fill(scope, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

fn write_json(out: &mut Vec<u8>, value: &Value) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(
        written.is_ok(),
        "a JSON value always has a text, and a Vec takes every byte"
    );
}

/// Escaped braces need compiling although nothing is named.
fn holds_braces(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(['{', '}']),
        Value::Array(items) => items.iter().any(holds_braces),
        Value::Object(members) => members.values().any(holds_braces),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn scalar(reference: &Reference, scope: &dyn Scope) -> Result<String, FillError> {
    let value = scope
        .value(reference)
        .ok_or_else(|| FillError::Missing(reference.to_string()))?;
    match &*value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(FillError::NoScalar(reference.to_string())),
    }
}

/// Fills a string; scalars are inserted as they are.
///
/// # Errors
/// [`FillError::Missing`] or [`FillError::NoScalar`].
pub fn fill_text(template: &Template, scope: &dyn Scope) -> Result<String, FillError> {
    let mut out = String::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Reference(reference) => out.push_str(&scalar(reference, scope)?),
        }
    }
    Ok(out)
}

/// Fills a path with query; what is inserted is percent-encoded, so that it stays one segment or one query value.
///
/// # Errors
/// [`FillError`]; before the `?` also [`FillError::NoSegment`] for what would change the path's shape.
pub fn fill_path(template: &Template, scope: &dyn Scope) -> Result<String, FillError> {
    let mut out = String::new();
    for part in &template.parts {
        let reference = match part {
            Part::Text(text) => {
                out.push_str(text);
                continue;
            }
            Part::Reference(reference) => reference,
        };
        let value = scalar(reference, scope)?;
        if !out.contains('?') && matches!(value.as_str(), "" | "." | "..") {
            return Err(FillError::NoSegment(reference.to_string()));
        }
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    out.push('%');
                    out.push(char::from(HEX[usize::from(byte >> 4)]));
                    out.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
    }
    Ok(out)
}

/// Goes down `path` from `value`; a field of digits names a place in an array.
pub fn descend<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| match value {
        Value::Object(members) => members.get(field),
        Value::Array(items) => field.parse::<usize>().ok().and_then(|n| items.get(n)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}
