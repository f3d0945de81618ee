//! Whether a schema gives a path: `create.total` in an answer, `items.0.product_id` in a body.
//!
//! Follows `$ref`, `allOf`, `anyOf`, `oneOf`. Where a schema leaves something open (no type, free-form objects, references
//! out of the file) the answer is [`Look::Unknown`], which nobody reports.

use crate::openapi::resolve;
use serde_json::Value as Json;

/// Combinators within combinators.
const MAX_DEPTH: usize = 16;

/// What a schema says of a path.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Look {
    /// It cannot tell.
    Unknown,
    /// It gives it.
    Found {
        /// It need not be there.
        optional: bool,
        /// It can only be an object or a list.
        composite: bool,
    },
    /// It does not give this field of the path.
    Missing {
        /// Which, from 0.
        field: usize,
        /// What is there instead.
        known: Vec<String>,
    },
}

/// One schema of several that hold at once or by choice.
#[derive(Clone, Copy)]
struct Part<'a> {
    schema: &'a Json,
    /// Holds always, not only in one of several cases.
    certain: bool,
}

/// Looks for `path` in `schema`, whose references lead into `root`.
pub(super) fn look(root: &Json, schema: &Json, path: &[String]) -> Look {
    let mut parts = Vec::new();
    if !flatten(root, schema, true, MAX_DEPTH, &mut parts) {
        return Look::Unknown;
    }
    let mut optional = false;
    for (at, field) in path.iter().enumerate() {
        match step(root, &parts, field) {
            Step::Into { next, may_lack } => {
                optional |= may_lack;
                parts = next;
            }
            Step::Unknown => return Look::Unknown,
            Step::Missing => {
                return Look::Missing {
                    field: at,
                    known: fields(&parts),
                };
            }
        }
    }
    Look::Found {
        optional,
        composite: composite(&parts),
    }
}

/// Takes `$ref`s and combinators apart; false when something in it is not known.
fn flatten<'a>(root: &'a Json, schema: &'a Json, certain: bool, depth: usize, out: &mut Vec<Part<'a>>) -> bool {
    let Some(schema) = resolve(root, schema).filter(|_| depth > 0) else {
        return false;
    };
    out.push(Part { schema, certain });
    let all = schema["allOf"].as_array().into_iter().flatten();
    let any = ["anyOf", "oneOf"]
        .into_iter()
        .flat_map(|key| schema[key].as_array().into_iter().flatten());
    let all = all.map(|inner| (inner, certain)).chain(any.map(|inner| (inner, false)));
    all.fold(true, |known, (inner, certain)| {
        flatten(root, inner, certain, depth - 1, out) && known
    })
}

enum Step<'a> {
    Into { next: Vec<Part<'a>>, may_lack: bool },
    Unknown,
    Missing,
}

fn step<'a>(root: &'a Json, parts: &[Part<'a>], field: &str) -> Step<'a> {
    let mut next = Vec::new();
    let (mut named, mut known, mut sure) = (false, true, false);
    for part in parts {
        let inner = part.schema["properties"]
            .get(field)
            .or_else(|| item(part.schema, field));
        if let Some(inner) = inner {
            named = true;
            known &= flatten(root, inner, part.certain, MAX_DEPTH, &mut next);
        }
        let required = part.schema["required"].as_array().into_iter().flatten();
        sure |= part.certain && required.into_iter().any(|name| name.as_str() == Some(field));
        sure |= part.certain
            && field
                .parse()
                .is_ok_and(|index: u64| part.schema["minItems"].as_u64().is_some_and(|least| least > index));
    }
    if named {
        return if known {
            Step::Into { next, may_lack: !sure }
        } else {
            Step::Unknown
        };
    }
    for part in parts {
        match part.schema.get("additionalProperties") {
            Some(inner @ Json::Object(_)) => {
                return match flatten(root, inner, false, MAX_DEPTH, &mut next) {
                    true => Step::Into { next, may_lack: true },
                    false => Step::Unknown,
                };
            }
            Some(Json::Bool(true)) => return Step::Unknown,
            _ => {}
        }
    }
    if parts.iter().any(|part| closed(part.schema)) {
        Step::Missing
    } else {
        Step::Unknown
    }
}

/// The schema of a list's items, when the field is a place in a list.
fn item<'a>(schema: &'a Json, field: &str) -> Option<&'a Json> {
    let index: usize = field.parse().ok()?;
    schema["prefixItems"]
        .get(index)
        .or_else(|| schema.get("items"))
        .filter(|items| items.is_object())
}

/// Whether a schema says what is in it: it names properties, forbids others, or is a scalar.
fn closed(schema: &Json) -> bool {
    schema["properties"]
        .as_object()
        .is_some_and(|properties| !properties.is_empty())
        || schema["additionalProperties"] == Json::Bool(false)
        || schema.get("items").is_some()
        || types(schema).is_some_and(|types| !types.contains(&"object") && !types.contains(&"array"))
}

fn types(schema: &Json) -> Option<Vec<&str>> {
    match &schema["type"] {
        Json::String(one) => Some(vec![one]),
        Json::Array(many) => Some(many.iter().filter_map(Json::as_str).collect()),
        _ => None,
    }
}

fn composite(parts: &[Part<'_>]) -> bool {
    let mut known = parts.iter().filter_map(|part| types(part.schema)).peekable();
    known.peek().is_some() && known.all(|types| types.iter().all(|name| matches!(*name, "object" | "array" | "null")))
}

fn fields(parts: &[Part<'_>]) -> Vec<String> {
    let names = parts.iter().filter_map(|part| part.schema["properties"].as_object());
    let mut names: Vec<String> = names.flat_map(|properties| properties.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Json, path: &str) -> &'static str {
        let path: Vec<String> = path
            .split('.')
            .filter(|field| !field.is_empty())
            .map(str::to_owned)
            .collect();
        match look(schema, schema, &path) {
            Look::Unknown => "unknown",
            Look::Found { composite: true, .. } => "composite",
            Look::Found { optional: true, .. } => "optional",
            Look::Found { .. } => "found",
            Look::Missing { field: 0, .. } => "missing 0",
            Look::Missing { .. } => "missing later",
        }
    }

    #[test]
    fn a_path_is_given_through_references_and_combinators_or_it_is_missing() {
        let schema = json!({
            "$defs": { "Base": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "note": { "type": "string" } } } },
            "allOf": [{ "$ref": "#/$defs/Base" }],
            "oneOf": [{ "properties": { "card": { "type": "string" } } }, { "properties": { "cash": { "type": "integer" } } }],
            "type": "object",
            "required": ["items", "free", "far"],
            "properties": {
                "items": { "type": "array", "minItems": 1, "items": { "type": "object", "required": ["sku"], "properties": { "sku": { "type": "string" } } } },
                "map": { "type": "object", "additionalProperties": { "type": "integer" } },
                "free": {}, "open": { "type": "object" }, "far": { "$ref": "other.yaml#/X" },
            },
        });
        for (path, want) in [
            ("id", "found"),
            ("note", "optional"),
            ("card", "optional"),
            ("cash", "optional"),
            ("nothing", "missing 0"),
            ("items", "composite"),
            ("items.0.sku", "found"),
            ("items.1.sku", "optional"),
            ("items.0.x", "missing later"),
            ("items.x", "missing later"),
            ("id.x", "missing later"),
            ("map.anything", "optional"),
            ("free.x", "unknown"),
            ("open.x", "unknown"),
            ("far", "unknown"),
            ("", "composite"),
        ] {
            assert_eq!(check(&schema, path), want, "{path}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "$defs": { "A": { "allOf": [{ "$ref": "#/$defs/A" }] } }, "$ref": "#/$defs/A" });
        assert_eq!(check(&schema, "x"), "unknown");
    }
}
