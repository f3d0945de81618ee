//! A service's contract: which operations it has and what they answer. OpenAPI 3.0 and 3.1, YAML or JSON.
//!
//! Only what checks need: paths, methods, request and response schemas in JSON, references within the file. What is
//! outside (references to other files) is *unknown*, and unknown is never reported as missing.

use crate::source::FileId;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;

/// A reference may lead to a reference; so many are followed.
const MAX_HOPS: usize = 32;

/// A contract.
#[derive(Clone, PartialEq, Debug)]
pub struct Contract {
    /// Absolute.
    pub path: PathBuf,
    /// Among the sources.
    pub file: FileId,
    /// The whole of it.
    pub json: Json,
}

impl Contract {
    /// Takes in a file's content.
    ///
    /// # Errors
    /// A sentence for what is not OpenAPI 3.
    pub fn new(path: PathBuf, file: FileId, json: Json) -> Result<Self, String> {
        match json["openapi"].as_str() {
            Some(version) if version.starts_with("3.") => {}
            Some(version) => return Err(format!("OpenAPI {version}; 3.0 or 3.1 is needed")),
            None if json.get("swagger").is_some() => return Err("Swagger 2; OpenAPI 3.0 or 3.1 is needed".into()),
            None => return Err("not OpenAPI: no key `openapi`".into()),
        }
        match &json["paths"] {
            Json::Object(_) => Ok(Self { path, file, json }),
            Json::Null => Err("no key `paths`".into()),
            _ => Err("`paths` is not a map".into()),
        }
    }

    /// Paths with their operations.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Json)> {
        let paths = self.json["paths"].as_object();
        paths
            .into_iter()
            .flatten()
            .map(|(path, item)| (&**path, resolve(&self.json, item).unwrap_or(item)))
    }

    /// The operation for a method and a path whose segments may hold templates, the most literal path first.
    pub fn operation(&self, method: &str, path: &str) -> Found<'_> {
        let mut fitting: Vec<(&str, &Json)> = self.paths().filter(|(known, _)| fits(known, path)).collect();
        fitting.sort_by_key(|(known, _)| known.matches('{').count());
        let Some((known, _)) = fitting.first() else {
            return Found::NoPath;
        };
        let method = method.to_ascii_lowercase();
        match fitting.iter().find_map(|(_, item)| item.get(&method)) {
            Some(operation) => Found::Operation(operation),
            None => Found::NoMethod(known),
        }
    }

    /// The JSON schemas of an operation's answers that mean *done*: 2xx but 202.
    pub fn done_schemas<'a>(&'a self, operation: &'a Json) -> Vec<&'a Json> {
        let answers = operation["responses"].as_object();
        let done = |status: &str| status.starts_with('2') && status != "202";
        let answers = answers.into_iter().flatten().filter(|(status, _)| done(status));
        let schemas = answers.filter_map(|(_, answer)| json_content(resolve(&self.json, answer)?));
        schemas.collect()
    }

    /// The JSON schema of an operation's body.
    pub fn body_schema<'a>(&'a self, operation: &'a Json) -> Option<&'a Json> {
        json_content(resolve(&self.json, operation.get("requestBody")?)?)
    }

    /// The schema at a pointer such as `/components/schemas/NewOrder`, made to stand alone: what it refers to comes along
    /// in `$defs`, and OpenAPI 3.0's own words become JSON Schema's.
    ///
    /// # Errors
    /// A sentence about a reference that leads nowhere or out of the file.
    pub fn alone(&self, pointer: &str) -> Result<Json, String> {
        alone(&self.json, &json!({ "$ref": format!("#{pointer}") }))
    }
}

/// What a look-up gave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Found<'a> {
    /// It is there.
    Operation(&'a Json),
    /// The path is there, with other methods.
    NoMethod(&'a str),
    /// No such path.
    NoPath,
}

/// Whether a path with templates can be an instance of a contract's path.
fn fits(known: &str, given: &str) -> bool {
    let given = given.split('?').next().unwrap_or_default();
    let (mut known, mut given) = (known.split('/'), segments(given).into_iter());
    loop {
        match (known.next(), given.next()) {
            (None, None) => return true,
            (Some(known), Some(given)) => {
                let open = known.contains('{');
                if !(open && !given.is_empty() || known == given) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Splits at `/`, but not within braces.
fn segments(path: &str) -> Vec<&str> {
    let (mut out, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                out.push(&path[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&path[start..]);
    out
}

fn json_content(holder: &Json) -> Option<&Json> {
    let content = holder["content"].as_object()?;
    let is_json = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind == "application/json" || kind.ends_with("+json") || kind == "*/*"
    };
    content
        .iter()
        .find(|(kind, _)| is_json(kind))
        .and_then(|(_, media)| media.get("schema"))
}

/// Follows `$ref`s within the document; `None` when one leads out of it or in a circle.
pub fn resolve<'a>(root: &'a Json, mut value: &'a Json) -> Option<&'a Json> {
    for _ in 0..MAX_HOPS {
        match value.get("$ref") {
            None => return Some(value),
            Some(Json::String(target)) => value = root.pointer(&unescape(target.strip_prefix('#')?))?,
            Some(_) => return None,
        }
    }
    None
}

/// Percent-escapes of a fragment, as far as pointers need them.
fn unescape(pointer: &str) -> String {
    pointer
        .replace("%7B", "{")
        .replace("%7D", "}")
        .replace("%20", " ")
        .replace("%24", "$")
}

/// A schema that stands alone; see [`Contract::alone`].
///
/// # Errors
/// As there.
pub fn alone(root: &Json, schema: &Json) -> Result<Json, String> {
    let old = root["openapi"]
        .as_str()
        .is_some_and(|version| version.starts_with("3.0"));
    let mut defs = Map::new();
    let mut out = rewrite(root, schema, old, &mut defs)?;
    if !defs.is_empty() {
        out["$defs"] = Json::Object(defs);
    }
    Ok(out)
}

fn rewrite(root: &Json, schema: &Json, old: bool, defs: &mut Map<String, Json>) -> Result<Json, String> {
    match schema {
        Json::Array(items) => items
            .iter()
            .map(|item| rewrite(root, item, old, defs))
            .collect::<Result<Vec<_>, _>>()
            .map(Json::Array),
        Json::Object(entries) => {
            let mut out = Map::new();
            for (key, value) in entries {
                let value = match (&**key, value) {
                    ("$ref", Json::String(target)) => json!(format!("#/$defs/{}", define(root, target, old, defs)?)),
                    // Data, not schemas: a `$ref` in it is no reference.
                    ("example" | "examples" | "default" | "const" | "enum", value) => value.clone(),
                    (_, value) => rewrite(root, value, old, defs)?,
                };
                out.insert(key.clone(), value);
            }
            if old {
                modernise(&mut out);
            }
            Ok(Json::Object(out))
        }
        other => Ok(other.clone()),
    }
}

/// Brings what `target` names into `defs`, once, and gives its name there.
fn define(root: &Json, target: &str, old: bool, defs: &mut Map<String, Json>) -> Result<String, String> {
    let pointer = target
        .strip_prefix('#')
        .ok_or_else(|| format!("`{target}` leads out of the file"))?;
    let found = root
        .pointer(&unescape(pointer))
        .ok_or_else(|| format!("`{target}` leads nowhere"))?;
    let name = pointer
        .trim_start_matches("/components/schemas/")
        .trim_start_matches('/')
        .replace(['/', '~', '%'], ".");
    if !defs.contains_key(&name) {
        // The place is taken first, so that a schema that refers to itself ends.
        defs.insert(name.clone(), Json::Bool(true));
        let rewritten = rewrite(root, found, old, defs)?;
        defs.insert(name.clone(), rewritten);
    }
    Ok(name)
}

/// OpenAPI 3.0's words that JSON Schema 2020-12 has not.
fn modernise(schema: &mut Map<String, Json>) {
    if schema.remove("nullable") == Some(Json::Bool(true)) {
        if let Some(kind) = schema.get("type").filter(|kind| kind.is_string()).cloned() {
            schema.insert("type".into(), json!([kind, "null"]));
        }
        if let Some(Json::Array(values)) = schema.get_mut("enum") {
            values.push(Json::Null);
        }
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match schema.get(flag) {
            Some(Json::Bool(true)) => {
                if let Some(limit) = schema.remove(bound) {
                    schema.insert(flag.into(), limit);
                }
            }
            Some(Json::Bool(false)) => drop(schema.remove(flag)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(json: Json) -> Contract {
        Contract::new("/x.yaml".into(), FileId::BUILT_IN, json).expect("valid")
    }

    #[test]
    fn paths_fit_by_segments_and_templates_fill_parameters_only() {
        for (known, given, want) in [
            ("/a/{id}", "/a/{saga.id}", true),
            ("/a/{id}", "/a/x?b={input.c}", true),
            ("/a/b", "/a/{saga.id}", false),
            ("/a/{id}", "/a/", false),
            ("/a/{id}/b", "/a/{input.list[0]}/b", true),
            ("/a/{id}", "/a/x/y", false),
            ("/a", "/a", true),
        ] {
            assert_eq!(fits(known, given), want, "{known} {given}");
        }
    }

    #[test]
    fn the_most_literal_path_wins_but_another_may_have_the_method() {
        let api = contract(json!({ "openapi": "3.1.0", "paths": {
            "/a/{id}": { "get": { "x": 1 }, "put": { "x": 2 } }, "/a/me": { "get": { "x": 3 } },
        } }));
        assert_eq!(api.operation("GET", "/a/me"), Found::Operation(&json!({ "x": 3 })));
        assert_eq!(api.operation("PUT", "/a/me"), Found::Operation(&json!({ "x": 2 })));
        assert_eq!(api.operation("POST", "/a/{input.x}"), Found::NoMethod("/a/{id}"));
        assert_eq!(api.operation("GET", "/b"), Found::NoPath);
    }

    #[test]
    fn a_schema_that_refers_to_itself_stands_alone() {
        let api = contract(json!({ "openapi": "3.0.3", "paths": {}, "components": { "schemas": {
            "Tree": { "type": "object", "properties": { "kids": { "type": "array", "items": { "$ref": "#/components/schemas/Tree" } },
                "name": { "type": "string", "nullable": true }, "age": { "type": "number", "minimum": 0, "exclusiveMinimum": true } } },
        } } }));
        let alone = api.alone("/components/schemas/Tree").expect("resolves");
        assert_eq!(alone["$ref"], "#/$defs/Tree");
        let tree = &alone["$defs"]["Tree"]["properties"];
        assert_eq!(tree["kids"]["items"]["$ref"], "#/$defs/Tree");
        assert_eq!(tree["name"]["type"], json!(["string", "null"]));
        assert_eq!(tree["age"], json!({ "type": "number", "exclusiveMinimum": 0 }));
        let valid = jsonschema::validator_for(&alone).expect("compiles");
        assert!(valid.is_valid(&json!({ "kids": [{ "name": null, "kids": [] }] })));
        assert!(!valid.is_valid(&json!({ "kids": [{ "kids": 1 }] })));
        assert!(api.alone("/components/schemas/None").is_err());
    }

    #[test]
    fn what_is_not_openapi_3_is_refused_with_a_reason() {
        for json in [
            json!({}),
            json!({ "swagger": "2.0" }),
            json!({ "openapi": "4.0" }),
            json!({ "openapi": "3.1.0" }),
            json!([]),
        ] {
            assert!(
                Contract::new("/x".into(), FileId::BUILT_IN, json.clone()).is_err(),
                "{json}"
            );
        }
    }
}
