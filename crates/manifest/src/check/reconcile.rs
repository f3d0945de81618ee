//! Reconciliations: that each source is there and gives what the rules look at, that what mends is there.

use super::saga::operation;
use super::schema::{Look, look};
use super::template::one_of;
use super::{World, some_time};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::reconcile::{Expected, ReconcileDoc, RuleDoc, SagasDoc, target};
use crate::doc::saga::Call;
use crate::openapi::Found;
use crate::read::inner_offset;
use crate::source::{At, Span};
use crate::tree::{Node, Value};
use crate::value::Short;
use ondol_core::id::SagaName;
use ondol_events::reconcile::config::{MAX_RECONCILIATIONS, MAX_RULES, MAX_SOURCES};
use ondol_events::reconcile::template::{self, KEY, is_name};

/// The shortest pause between two runs.
const SHORTEST_MS: u64 = 1_000;
/// What every item has, and what one of a saga has beyond it.
const OF_SAGAS: [&str; 3] = ["key", "at", "state"];

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for file in &world.parts.reconciliations {
        let doc = &file.doc;
        some_time(&[("every", Some(doc.every))], found);
        if (1..SHORTEST_MS).contains(&doc.every.value.0) {
            found.push(Diagnostic::error(
                Code::Value,
                doc.every.at,
                "a run each second is the most",
            ));
        }
        bounds(world, doc, found);
        Checker { world, doc, found }.all();
    }
    if let Some(file) = world.parts.reconciliations.get(MAX_RECONCILIATIONS) {
        let message = format!("more than {MAX_RECONCILIATIONS} reconciliations");
        found.push(Diagnostic::error(Code::Limit, file.doc.reconcile.at, message));
    }
}

fn bounds(world: &World<'_>, doc: &ReconcileDoc, found: &mut Vec<Diagnostic>) {
    let (sources, rules) = (doc.sources.0.len(), doc.rules.value.len());
    for (what, number, most, at) in [
        ("source", sources, MAX_SOURCES, doc.sources.at),
        ("rule", rules, MAX_RULES, doc.rules.at),
    ] {
        if number == 0 && !world.broken_within(at) {
            found.push(Diagnostic::error(
                Code::Value,
                at,
                format!("at least one {what} is needed"),
            ));
        }
        if number > most {
            found.push(Diagnostic::error(
                Code::Limit,
                at,
                format!("{number} {what}s; at most {most} are taken"),
            ));
        }
    }
}

/// What a name in a rule stands for.
#[derive(Clone, Copy)]
enum Of<'a> {
    Sagas,
    /// A service, its contract, and the operation that gives the items; `None`: nothing is known of it.
    Path(Option<Operation<'a>>),
}

#[derive(Clone, Copy)]
struct Operation<'a> {
    service: &'a str,
    api: &'a crate::openapi::Contract,
    operation: &'a serde_json::Value,
}

struct Checker<'w, 'a> {
    world: &'w World<'a>,
    doc: &'a ReconcileDoc,
    found: &'w mut Vec<Diagnostic>,
}

impl<'a> Checker<'_, 'a> {
    fn all(&mut self) {
        for (name, source) in self.doc.sources.iter() {
            if !is_name(name) || name.value == KEY {
                let message = format!("`{}` is no name for a source", name.value);
                let rule = format!("letters, digits, - and _, a letter first, and not `{KEY}`");
                self.found
                    .push(Diagnostic::error(Code::Value, name.at, message).hint(rule));
            }
            match source {
                Short::Short(raw) => self.path(raw),
                Short::Long(SagasDoc { sagas, .. }) => self.saga(sagas),
            }
        }
        for rule in &self.doc.rules.value {
            self.rule(rule);
        }
    }

    fn error(&mut self, code: Code, at: Span, message: String, hint: Option<String>) {
        self.found.push(Diagnostic::error(code, at, message).maybe_hint(hint));
    }

    /// The offset of a scalar's text in its source, where it stands as it is.
    fn inner(&self, node: &Node) -> Option<usize> {
        let text = self.world.sources.get(node.at.file).map_or("", |source| &*source.text);
        inner_offset(text, node)
    }

    fn call(&self, raw: &crate::value::Raw) -> Result<Call, Diagnostic> {
        let (service, path) = target(&raw.1, raw.0.at, self.inner(&raw.0))?;
        let method = path.with("GET".to_owned());
        Ok(Call { method, service, path })
    }

    /// The service must be there, and its contract must have the path and say that it gives items.
    fn path(&mut self, raw: &crate::value::Raw) {
        let call = match self.call(raw) {
            Ok(call) => call,
            Err(wrong) => return self.found.push(wrong),
        };
        operation(self.world, &call, "the source asks", self.found);
        let Some(given) = self.operation(&call) else { return };
        for wanted in [&["items", "0", "key"][..], &["items", "0", "at"], &["next"]] {
            if let (Look::Missing { field, .. }, service) = (given.look(wanted), given.service) {
                let name = wanted[field.min(wanted.len() - 1)];
                let message =
                    format!("the contract of `{service}` says nothing of `{name}` in the answer of this path");
                let hint = "a source answers `{items: [{key, at, …}], next}`: docs/concepts/reconciliation.md";
                return self.error(Code::NoOperation, call.path.at, message, Some(hint.to_owned()));
            }
        }
    }

    fn operation(&self, call: &Call) -> Option<Operation<'a>> {
        let service = self.world.service(&call.service)?;
        let api = service.api.as_deref()?;
        match api.operation(&call.method, &call.path) {
            Found::Operation(operation) => Some(Operation {
                service: service.name.as_str(),
                api,
                operation,
            }),
            Found::NoMethod(_) | Found::NoPath => None,
        }
    }

    fn saga(&mut self, named: &At<SagaName>) {
        let parts = self.world.parts;
        let known: Vec<&str> = parts.sagas.iter().map(|saga| saga.doc.saga.value.as_str()).collect();
        let name = named.value.as_str();
        if !known.contains(&name) && !parts.broken_sagas.contains(name) {
            let hint = suggest(name, known.iter().copied());
            self.error(Code::UnknownName, named.at, format!("there is no saga `{name}`"), hint);
        }
    }

    fn rule(&mut self, rule: &RuleDoc) {
        if rule.expect.0.is_empty() && !self.world.broken_within(rule.expect.at) {
            self.error(
                Code::Value,
                rule.expect.at,
                "a rule that expects nothing".to_owned(),
                None,
            );
        }
        for (name, expected) in rule.when.iter().chain(rule.expect.iter()) {
            match name.split_once('.') {
                None => self.presence(name, expected),
                Some((source, field)) => {
                    let place = |from: usize, to: usize| name.at.part(from, to);
                    let (of, at) = (place(0, source.len()), place(source.len() + 1, name.len()));
                    self.member(source, field, of, at);
                    expected.values.iter().for_each(|value| self.templates(value));
                }
            }
        }
        if let Some(repair) = &rule.repair {
            self.saga(&repair.saga);
            if let Some(input) = &repair.input {
                self.templates(&input.0);
            }
        }
    }

    /// `SOURCE: present` or `absent`.
    fn presence(&mut self, name: &At<String>, expected: &Expected) {
        self.source(name, name.at);
        let word = |node: &Node| matches!(node.text(), Some("present" | "absent"));
        if expected.values.len() != 1 || !expected.values.iter().all(word) {
            let message = format!("`{}` is present or absent", name.value);
            let hint = format!("a member of its items is `{}.FIELD`", name.value);
            self.error(Code::Value, expected.at, message, Some(hint));
        }
    }

    fn source(&mut self, name: &str, at: Span) -> Option<Of<'a>> {
        let Some(source) = self.doc.sources.get(name) else {
            if !self.world.broken_within(self.doc.sources.at) {
                let known: Vec<&str> = self.doc.sources.iter().map(|(name, _)| name.value.as_str()).collect();
                let hint = suggest(name, known.iter().copied());
                self.error(Code::UnknownName, at, format!("there is no source `{name}`"), hint);
            }
            return None;
        };
        Some(match source {
            Short::Long(_) => Of::Sagas,
            Short::Short(raw) => Of::Path(self.call(raw).ok().and_then(|call| self.operation(&call))),
        })
    }

    /// A member that rules look at must be one that the source gives.
    fn member(&mut self, source: &str, field: &str, of: Span, at: Span) {
        let Some(given) = self.source(source, of) else { return };
        if !is_name(field) {
            let message = format!("`{field}` is no member of an item: letters, digits, - and _, a letter first");
            return self.error(Code::Value, at, message, None);
        }
        let (who, known) = match given {
            Of::Sagas if OF_SAGAS.contains(&field) => return,
            Of::Sagas => ("a saga".to_owned(), OF_SAGAS.map(str::to_owned).to_vec()),
            Of::Path(None) => return,
            Of::Path(Some(operation)) => match operation.look(&["items", "0", field]) {
                Look::Missing { field: 2, known } => (format!("the contract of `{}`", operation.service), known),
                Look::Found { composite: true, .. } => {
                    let message = format!("`{source}.{field}` is no single value, and cannot be compared");
                    return self.error(Code::Template, at, message, None);
                }
                _ => return,
            },
        };
        let message = format!("`{source}.{field}`: {who} gives no `{field}`");
        let hint = suggest(field, known.iter().map(String::as_str));
        self.error(Code::Template, at, message, hint);
    }

    /// Every string of a value.
    fn templates(&mut self, node: &Node) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.templates(item)),
            Value::Map(entries) => entries.iter().for_each(|(_, item)| self.templates(item)),
            Value::Scalar { text, .. } => {
                let inner = self.inner(node);
                let place =
                    |from: usize, to: usize| inner.map_or(node.at, |offset| node.at.part(offset + from, offset + to));
                let parsed = match template::parse(text) {
                    Ok(parsed) => parsed,
                    Err(error) => {
                        let at = place(error.span.start, error.span.end);
                        return self.error(Code::Template, at, error.message, None);
                    }
                };
                for reference in parsed.references() {
                    if let Some((source, field)) = &reference.field {
                        let at = place(reference.span.start, reference.span.end);
                        self.member(source, field, at, at);
                    }
                }
            }
        }
    }
}

impl Operation<'_> {
    fn look(&self, path: &[&str]) -> Look {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let schemas = self.api.done_schemas(self.operation);
        one_of(
            schemas
                .iter()
                .map(|schema| look(&self.api.json, schema, &path))
                .collect(),
        )
    }
}
