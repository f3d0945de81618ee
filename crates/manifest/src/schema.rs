//! The JSON Schema of each file, for editors, and the reference page, for people. Both come from the documents' types.

use crate::doc::examples::ExamplesDoc;
use crate::doc::reconcile::ReconcileDoc;
use crate::doc::saga::SagaDoc;
use crate::doc::service::ServiceDoc;
use crate::doc::system::SystemDoc;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use std::fmt::Write;

/// One of the five files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// `ondol.yaml`.
    System,
    /// `service.yaml`.
    Service,
    /// `NAME.saga.yaml`.
    Saga,
    /// `NAME.reconcile.yaml`.
    Reconcile,
    /// `NAME.examples.yaml`.
    Examples,
}

impl FileKind {
    /// All five.
    pub const ALL: [Self; 5] = [Self::System, Self::Service, Self::Saga, Self::Reconcile, Self::Examples];

    /// The word for it on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Service => "service",
            Self::Saga => "saga",
            Self::Reconcile => "reconcile",
            Self::Examples => "examples",
        }
    }

    /// The file's name, as far as it is fixed.
    pub const fn file(self) -> &'static str {
        match self {
            Self::System => "ondol.yaml",
            Self::Service => "service.yaml",
            Self::Saga => "NAME.saga.yaml",
            Self::Reconcile => "NAME.reconcile.yaml",
            Self::Examples => "NAME.examples.yaml",
        }
    }
}

/// The JSON Schema (2020-12) of a file.
pub fn schema(kind: FileKind) -> Json {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        FileKind::System => generator.into_root_schema_for::<SystemDoc>(),
        FileKind::Service => generator.into_root_schema_for::<ServiceDoc>(),
        FileKind::Saga => generator.into_root_schema_for::<SagaDoc>(),
        FileKind::Reconcile => generator.into_root_schema_for::<ReconcileDoc>(),
        FileKind::Examples => generator.into_root_schema_for::<ExamplesDoc>(),
    };
    schema.to_value()
}

const INTRO: &str = "\
# The manifests

<!-- Written from the types in crates/manifest/src/doc by its test `reference_page`. Change them, not this page. -->

A system is a folder with an `ondol.yaml`; each of its services is a folder with a `service.yaml`; a service may own saga
and reconciliation files. All of them are YAML without anchors, tags and merge keys. An unknown key is an error. `ondol check` reads them all and
tells every error at once; `ondol schema` prints JSON Schemas for editors.

- `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` stand for a value from Ondol's environment or from a file, in any
  value of `ondol.yaml` and `service.yaml`. Secrets are given in no other way. Saga and reconciliation files take none, since
  they are stored.
- In `run` and `env` also an instance's variables: `${PORT}`, `${DATABASE_URL}`, `${GATEWAY_URL}`, `${ONDOL_SERVICE}`,
  `${ONDOL_INSTANCE}`, `${ONDOL_RELEASE}`, `${ONDOL_DATA}`, `${ONDOL_URL}`, `${ONDOL_TOKEN}`, and `${NAME_URL}` for each service in `depends_on`.
- Policies may stand at the system (`defaults`), at a service (`defaults`) and at a route; what is nearer to the route wins, key
  by key. `ondol explain route NAME` says where each value came from.
- Durations are written `500ms`, `15s`, `10m`, `24h`, `7d`; sizes `64KiB`, `10MiB`; rates `50/s`, `300/m`; shares `50 %`.
";

/// The reference page of all four files, in Markdown.
pub fn reference_page() -> String {
    let mut out = String::from(INTRO);
    let mut told = Vec::new();
    for kind in FileKind::ALL {
        let root = schema(kind);
        let _infallible = write!(out, "\n## `{}`\n", kind.file());
        let mut waiting = vec![(None, &root)];
        while let Some((title, object)) = waiting.pop() {
            section(&mut out, title, object);
            let mut next: Vec<(Option<String>, &Json)> = Vec::new();
            for name in objects_in(object) {
                if told.contains(&name) {
                    continue;
                }
                next.extend(root["$defs"].get(&name).map(|object| (Some(name.clone()), object)));
                told.push(name);
            }
            waiting.extend(next.into_iter().rev());
        }
    }
    out
}

/// One object: what it is, and a row for each key.
fn section(out: &mut String, title: Option<String>, object: &Json) {
    let about = object["description"].as_str().unwrap_or_default();
    let heading = title.map(|name| format!("\n### {name}\n")).unwrap_or_default();
    let _infallible = write!(
        out,
        "{heading}\n{about}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n"
    );
    let required: Vec<&str> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    for (key, value) in object["properties"].as_object().into_iter().flatten() {
        let about = value["description"].as_str().unwrap_or_default();
        // "Built in: x." in a meaning is the default of a value that is merged from several levels.
        let (about, built_in) = match about.rsplit_once("Built in: ") {
            Some((about, default)) => (about.trim(), Some(default.trim_end_matches('.'))),
            None => (about, None),
        };
        let default = match (value.get("default"), built_in) {
            (Some(Json::String(text)), _) => format!("`{text}`"),
            (Some(other), _) => format!("`{other}`"),
            (None, Some(text)) => text.to_owned(),
            (None, None) if required.contains(&&**key) => "required".into(),
            (None, None) => String::new(),
        };
        let _infallible = writeln!(out, "| `{key}` | {} | {default} | {about} |", takes(value));
    }
}

/// What a key takes, in words.
fn takes(schema: &Json) -> String {
    if let Some(name) = reference(schema) {
        return format!("[{name}](#{})", name.to_ascii_lowercase());
    }
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .filter_map(Json::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        return forms.iter().map(takes).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", takes(&schema["items"])),
        Some("object") => format!("map of names to {}", takes(&schema["additionalProperties"])),
        Some("boolean") => "`true`, `false`".into(),
        Some("integer") => "number".into(),
        _ => "text".into(),
    }
}

fn reference(schema: &Json) -> Option<String> {
    Some(schema["$ref"].as_str()?.trim_start_matches("#/$defs/").to_owned())
}

/// Objects that an object's keys refer to, in their order.
fn objects_in(schema: &Json) -> Vec<String> {
    let mut out = Vec::new();
    collect(&schema["properties"], &mut out);
    out
}

fn collect(value: &Json, out: &mut Vec<String>) {
    out.extend(reference(value));
    match value {
        Json::Object(members) => members.values().for_each(|inner| collect(inner, out)),
        Json::Array(items) => items.iter().for_each(|inner| collect(inner, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
