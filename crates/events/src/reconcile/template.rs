//! Templates of reconciliations: `{key}` and `{SOURCE.FIELD}` in a text, nothing more.
//!
//! A text that is one template alone keeps the type of what it names. `{{` and `}}` stand for single braces, as in
//! sagas. Tests: beside it.

use serde_json::Value;
use std::ops::Range;

/// The word that names the key itself, and so no source.
pub const KEY: &str = "key";

/// What a template names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// `None`: the key; else a source and a member of its item.
    pub field: Option<(String, String)>,
    /// The bytes of the text that it takes, braces included.
    pub span: Range<usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Named(Reference),
}

/// A text that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(Vec<Part>);

/// A text that is no template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The bytes of the text that are wrong.
    pub span: Range<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Whether this can be the name of a source or of a member: 1 to 63 of letters, digits, `_` and `-`, a letter first.
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Reads one text.
///
/// # Errors
/// [`TemplateError`] at the first brace without its partner, or name that is none.
pub fn parse(text: &str) -> Result<Template, TemplateError> {
    let wrong = |span: Range<usize>, message: &str| TemplateError {
        span,
        message: message.to_owned(),
    };
    let (mut parts, mut plain, mut at) = (Vec::new(), String::new(), 0);
    while let Some(step) = text[at..].find(['{', '}']) {
        plain.push_str(&text[at..at + step]);
        at += step;
        let rest = &text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            plain.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        let end = match rest.find('}') {
            Some(0) => {
                return Err(wrong(at..at + 1, "a `}` without its `{`; write `}}` for the character"));
            }
            Some(end) => end,
            None => {
                return Err(wrong(
                    at..text.len(),
                    "a `{` without its `}`; write `{{` for the character",
                ));
            }
        };
        let span = at..at + end + 1;
        let field = match rest[1..end].split_once('.') {
            None if &rest[1..end] == KEY => None,
            Some((source, field)) if is_name(source) && is_name(field) => Some((source.to_owned(), field.to_owned())),
            _ => return Err(wrong(span, "a template is `{key}` or `{SOURCE.FIELD}`")),
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        at = span.end;
        parts.push(Part::Named(Reference { field, span }));
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template(parts))
}

impl Template {
    /// What it names, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Named(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The value; `None` where something that it names has none.
    pub(crate) fn fill(&self, look: impl Fn(&Reference) -> Option<Value>) -> Option<Value> {
        if let [Part::Named(alone)] = self.0.as_slice() {
            return look(alone);
        }
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Named(reference) => match look(reference)? {
                    Value::String(text) => out.push_str(&text),
                    other => out.push_str(&other.to_string()),
                },
            }
        }
        Some(Value::String(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(text: &str) -> Option<Value> {
        let template = parse(text).expect("a template");
        template.fill(|reference| match &reference.field {
            None => Some(json!("k-1")),
            Some((source, field)) if source == "orders" && field == "total" => Some(json!(500)),
            Some(_) => None,
        })
    }

    #[test]
    fn one_alone_keeps_its_type_and_braces_are_doubled() {
        for (text, value) in [
            ("plain", Some(json!("plain"))),
            ("", Some(json!(""))),
            ("{orders.total}", Some(json!(500))),
            ("{key}", Some(json!("k-1"))),
            ("{key}: {orders.total} {{x}}", Some(json!("k-1: 500 {x}"))),
            ("{orders.none}", None),
            ("{key}{other.total}", None),
        ] {
            assert_eq!(filled(text), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_at_its_place() {
        for (text, span) in [
            ("a {", 2..3),
            ("a } b", 2..3),
            ("{orders}", 0..8),
            ("x{a.b.c}", 1..8),
            ("{}", 0..2),
            ("{.a}", 0..4),
        ] {
            assert_eq!(parse(text).expect_err(text).span, span, "{text}");
        }
    }
}
