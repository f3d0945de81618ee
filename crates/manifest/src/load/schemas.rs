//! JSON Schemas that other files hold: of a saga's input, of a published type's data. Each stands alone and is compiled
//! once here, to see that it can be.

use super::{Loader, Span};
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::service::ServiceDoc;
use crate::source::join;
use crate::tree::{Node, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

impl Loader<'_> {
    /// The schemas of a service's published types, by type.
    pub(super) fn event_schemas(&mut self, folder: &Path, doc: &ServiceDoc) -> BTreeMap<String, Json> {
        let mut schemas = BTreeMap::new();
        for published in doc.events.publishes.iter().map(|published| &published.0) {
            let Some(file) = &published.schema else { continue };
            let Some((_, schema)) = self.json(&join(folder, &file.value), file.at) else {
                continue;
            };
            // The same compiler as the one that will check events: without a resolver, so that nothing is fetched.
            match jsonschema::draft202012::new(&schema) {
                Ok(_) => drop(schemas.insert(published.r#type.value.0.clone(), schema)),
                Err(error) => {
                    let shown = crate::source::show_path(&self.root, &join(folder, &file.value));
                    let message = format!("{shown} is not a JSON Schema: {error}");
                    let found = Diagnostic::error(Code::Contract, file.at, message);
                    self.found
                        .push(found.hint("write JSON Schema 2020-12 whose references stay within the file"));
                }
            }
        }
        schemas
    }

    /// The schema of a saga's input, standing alone.
    pub(super) fn input_schema(&mut self, saga: &Path, node: &Node) -> Option<Json> {
        let json = node.json();
        if let (Some(target), Value::Map(entries)) = (node.get("$ref"), &node.value)
            && entries.len() > 1
        {
            let found = Diagnostic::error(Code::Conflict, target.at, "a `$ref` stands alone");
            self.found
                .push(found.hint("write what is beside it into the schema that it names"));
            return None;
        }
        let schema = match node
            .get("$ref")
            .and_then(Node::text)
            .and_then(|target| target.split_once('#'))
        {
            Some((file, pointer)) if !file.is_empty() => {
                let at = node.get("$ref").map_or(node.at, |target| target.at);
                let folder = saga.parent().unwrap_or(Path::new("/"));
                let contract = self.contract(&join(folder, file), at)?;
                contract.alone(pointer).map_err(|why| (at, why))
            }
            _ => crate::openapi::alone(&json, &json).map_err(|why| (node.at, why)),
        };
        let checked = schema.and_then(|schema| match jsonschema::validator_for(&schema) {
            Ok(_) => Ok(schema),
            Err(error) => Err((node.at, format!("not a JSON Schema: {error}"))),
        });
        checked
            .map_err(|(at, why): (Span, String)| self.error(Code::Contract, at, why))
            .ok()
    }
}
