//! Templates: paths in braces inside strings, and nothing more.
//!
//! `"{create.total}"` alone keeps the JSON type of what it names; inside a longer string a scalar is inserted, and
//! percent-encoded in a URL. `{{` and `}}` stand for single braces. Grammar: `{SOURCE.FIELD.FIELD…}`, where a field of
//! digits also names a place in an array, and `SOURCE` is `input`, `auth`, `saga`, `failure` or a step.
//!
//! Parsed once, when a definition is compiled (`plan.rs`); `ondol-manifest` uses the same parser for its checks, so
//! each reference carries its place in the string. Whether a step may be named at some place is not decided here.
//!
//! Filling them is in `fill.rs`.
//!
//! Not here: conditions, functions, defaults. A definition that needs them needs a service.
//! Tests: beside it, `template/tests.rs`.

use crate::config::CallTemplate;
use ondol_core::error::ErrorCode;
use ondol_core::id::StepName;
use serde_json::Value;
use std::fmt;
use std::ops::Range;

mod fill;

pub use fill::{Body, FillError, Scope, descend, fill_path, fill_text};

/// Names that a step may not have, since they name other sources.
pub const RESERVED: [&str; 4] = ["input", "auth", "saga", "failure"];

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The start's body.
    Input,
    /// A verified claim of the starter.
    Auth(Claim),
    /// The saga's id.
    SagaId,
    /// Why the saga was aborted; only in compensations and the answer `aborted`.
    Failure(FailureField),
    /// The JSON answer of a step.
    Step(StepName),
}

/// A claim that templates may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// `auth.sub`: a string.
    Sub,
    /// `auth.scope`: a string, names parted by spaces.
    Scope,
    /// `auth.roles`: a list of strings.
    Roles,
}

/// What is known of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureField {
    /// The problem's `reason`, else its status, `deadline` or `cancelled`.
    Reason,
    /// The step that failed, or that the saga was at.
    Step,
}

/// One path in braces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Where from.
    pub source: Source,
    /// Fields below the source, outermost first; empty for `saga.id`, claims, failures and a whole input.
    pub path: Vec<String>,
    /// The bytes of the string that it takes, braces included.
    pub span: Range<usize>,
}

impl Reference {
    /// The fields joined by dots: the key under which a step's answer is kept.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Input => "input",
            Source::Auth(Claim::Sub) => "auth.sub",
            Source::Auth(Claim::Scope) => "auth.scope",
            Source::Auth(Claim::Roles) => "auth.roles",
            Source::SagaId => "saga.id",
            Source::Failure(FailureField::Reason) => "failure.reason",
            Source::Failure(FailureField::Step) => "failure.step",
            Source::Step(name) => name.as_str(),
        };
        f.write_str(source)?;
        self.path.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// A parsed string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// What it names, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The reference, when the string is one template and nothing else: then the JSON type is kept.
    pub fn whole(&self) -> Option<&Reference> {
        match self.parts.as_slice() {
            [Part::Reference(reference)] => Some(reference),
            _ => None,
        }
    }

    /// The text, when it names nothing.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// A string that is no template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The bytes of the string that are wrong.
    pub span: Range<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl TemplateError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::new("SG-001")
    }
}

/// Reads one string. Cost: one pass.
///
/// # Errors
/// [`TemplateError`] at the first brace without its partner, unknown source or malformed field.
pub fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(step) = text[at..].find(['{', '}']) {
        plain.push_str(&text[at..at + step]);
        at += step;
        let rest = &text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            plain.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        if rest.starts_with('}') {
            return Err(wrong(at..at + 1, "a `}` without its `{`; write `}}` for the character"));
        }
        let end = rest
            .find('}')
            .ok_or_else(|| wrong(at..text.len(), "a `{` without its `}`; write `{{` for the character"))?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Reference(reference(&rest[1..end], at..at + end + 1)?));
        at += end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template { parts })
}

fn wrong(span: Range<usize>, message: impl Into<String>) -> TemplateError {
    TemplateError {
        span,
        message: message.into(),
    }
}

fn reference(inner: &str, span: Range<usize>) -> Result<Reference, TemplateError> {
    let mut fields = inner.split('.');
    let first = fields.next().unwrap_or_default();
    let path: Vec<String> = fields.map(str::to_owned).collect();
    let is_field = |field: &String| {
        !field.is_empty()
            && field
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$' | b'@'))
    };
    if !path.iter().all(is_field) {
        return Err(wrong(
            span,
            format!("`{inner}` is no path: fields are letters, digits, _, -, $ and @, parted by dots"),
        ));
    }
    let only: Vec<&str> = path.iter().map(String::as_str).collect();
    let source = match (first, only.as_slice()) {
        ("input", _) => {
            return Ok(Reference {
                source: Source::Input,
                path,
                span,
            });
        }
        ("auth", ["sub"]) => Source::Auth(Claim::Sub),
        ("auth", ["scope"]) => Source::Auth(Claim::Scope),
        ("auth", ["roles"]) => Source::Auth(Claim::Roles),
        ("auth", _) => {
            return Err(wrong(
                span,
                format!("`{inner}` is not known: there are auth.sub, auth.scope and auth.roles"),
            ));
        }
        ("saga", ["id"]) => Source::SagaId,
        ("saga", _) => return Err(wrong(span, format!("`{inner}` is not known: there is saga.id alone"))),
        ("failure", ["reason"]) => Source::Failure(FailureField::Reason),
        ("failure", ["step"]) => Source::Failure(FailureField::Step),
        ("failure", _) => {
            return Err(wrong(
                span,
                format!("`{inner}` is not known: there are failure.reason and failure.step"),
            ));
        }
        (step, fields) => {
            let name = StepName::new(step).map_err(|_| {
                wrong(
                    span.clone(),
                    format!("`{step}` is no source: use input, auth, saga.id, failure or a step"),
                )
            })?;
            if fields.is_empty() {
                return Err(wrong(
                    span,
                    format!("`{step}` names a step's whole answer; name a field of it, as {step}.id"),
                ));
            }
            return Ok(Reference {
                source: Source::Step(name),
                path,
                span,
            });
        }
    };
    Ok(Reference {
        source,
        path: Vec::new(),
        span,
    })
}

/// A template in a JSON value, with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// JSON Pointer of the string inside the value; empty for the value itself.
    pub pointer: String,
    /// What it says.
    pub template: Template,
}

/// All strings of a JSON value that name something, with their places.
///
/// # Errors
/// The place of the first string that is no template, and why.
pub fn parse_value(value: &Value) -> Result<Vec<Placed>, (String, TemplateError)> {
    fn walk(value: &Value, pointer: &str, out: &mut Vec<Placed>) -> Result<(), (String, TemplateError)> {
        match value {
            Value::String(text) => {
                let template = parse(text).map_err(|error| (pointer.to_owned(), error))?;
                if template.references().next().is_some() {
                    out.push(Placed {
                        pointer: pointer.to_owned(),
                        template,
                    });
                }
                Ok(())
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(n, item)| walk(item, &format!("{pointer}/{n}"), out)),
            Value::Object(members) => members.iter().try_for_each(|(key, item)| {
                walk(
                    item,
                    &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
                    out,
                )
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out)?;
    Ok(out)
}

/// All references of a call, path and body, in order; those of the path first.
///
/// # Errors
/// Where (`path` or `body` with its JSON Pointer) and why, at the first string that is no template.
pub fn references_of(call: &CallTemplate) -> Result<Vec<Reference>, (String, TemplateError)> {
    let path = parse(&call.path).map_err(|error| ("path".to_owned(), error))?;
    let mut out: Vec<Reference> = path.references().cloned().collect();
    if let Some(body) = &call.body {
        let placed = parse_value(body).map_err(|(pointer, error)| (format!("body{pointer}"), error))?;
        out.extend(placed.iter().flat_map(|one| one.template.references().cloned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
