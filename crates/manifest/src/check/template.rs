//! Templates in sagas: that each names something that is certainly there when it is needed.

use super::World;
use super::saga::{Placed, call_of, steps, undo_of};
use super::schema::{Look, look};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::saga::Undo;
use crate::load::Saga;
use crate::openapi::Found;
use crate::read::inner_offset;
use crate::source::Span;
use crate::tree::{Node, Value};
use crate::value::Raw;
use ondol_saga::template::{self, Reference, Source};

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for saga in &world.parts.sagas {
        Checker {
            world,
            saga,
            steps: steps(&saga.doc),
            auth: has_auth(world, saga),
            found,
        }
        .all();
    }
}

/// Whether whoever starts the saga is known: some route starts it, and each that does asks for a token.
fn has_auth(world: &World<'_>, saga: &Saga) -> bool {
    let routes = world.parts.services.iter().flat_map(|service| &service.doc.routes);
    let mut starting = routes
        .filter(|route| {
            route
                .start
                .as_ref()
                .is_some_and(|start| start.saga.value == saga.doc.saga.value)
        })
        .peekable();
    starting.peek().is_some() && starting.all(|route| route.auth.is_some())
}

/// What may be named at a place.
#[derive(Clone, Copy)]
struct Allowed<'a> {
    /// Steps of stages before this one.
    before: usize,
    /// This step too.
    also: Option<&'a str>,
    /// `failure.…`.
    failure: bool,
    /// In the compensation of this step.
    undoing: Option<&'a str>,
    /// What the place is.
    what: &'static str,
}

struct Checker<'w, 'a> {
    world: &'w World<'a>,
    saga: &'a Saga,
    steps: Vec<Placed<'a>>,
    auth: bool,
    found: &'w mut Vec<Diagnostic>,
}

impl<'a> Checker<'_, 'a> {
    fn all(&mut self) {
        for at in 0..self.steps.len() {
            let (step, stage, name) = (
                self.steps[at].step,
                self.steps[at].stage,
                self.steps[at].name.value.as_str(),
            );
            let here = Allowed {
                before: stage,
                also: None,
                failure: false,
                undoing: None,
                what: "a step's call",
            };
            self.call(step.call.as_ref(), here);
            self.tree(step.body.as_ref().map(|body| &body.0), here);
            let undo = Allowed {
                failure: true,
                undoing: Some(name),
                what: "a compensation",
                ..here
            };
            self.call(undo_of(step), undo);
            if let Some(Undo(doc)) = &step.compensate {
                self.tree(doc.body.as_ref().map(|body| &body.0), undo);
            }
        }
        self.answers();
    }

    fn answers(&mut self) {
        let Some(doc) = &self.saga.doc.answer else { return };
        let after = self.saga.doc.visible_after.as_ref().map(|step| step.value.as_str());
        let seen = self
            .steps
            .iter()
            .find(|placed| Some(placed.name.value.as_str()) == after)
            .map_or(0, |placed| placed.stage);
        let done = Allowed {
            before: usize::MAX,
            also: None,
            failure: false,
            undoing: None,
            what: "the answer `done`",
        };
        let aborted = Allowed {
            before: 0,
            failure: true,
            what: "the answer `aborted`",
            ..done
        };
        let waiting = Allowed {
            before: seen,
            also: after,
            what: "the answer `waiting`",
            ..done
        };
        for (answer, allowed) in [(&doc.done, done), (&doc.aborted, aborted), (&doc.waiting, waiting)] {
            let Some(answer) = answer else { continue };
            self.tree(answer.location.as_ref().map(|location| &location.0), allowed);
            self.tree(answer.body.as_ref().map(|body| &body.0), allowed);
            self.tree(answer.problem.as_ref().map(|problem| &problem.0), allowed);
        }
    }

    /// The path of a call; its method and service are no templates.
    fn call(&mut self, raw: Option<&Raw>, allowed: Allowed<'_>) {
        let Some(call) = raw.and_then(|raw| call_of(self.world, raw).ok()) else {
            return;
        };
        self.text(&call.path.value, call.path.at, Some(0), true, allowed);
    }

    /// Every string of a value.
    fn tree(&mut self, node: Option<&Node>, allowed: Allowed<'_>) {
        let Some(node) = node else { return };
        match &node.value {
            Value::Scalar { text, .. } => {
                let source = self.world.sources.get(node.at.file).map_or("", |source| &*source.text);
                self.text(text, node.at, inner_offset(source, node), false, allowed);
            }
            Value::List(items) => items.iter().for_each(|item| self.tree(Some(item), allowed)),
            Value::Map(entries) => entries.iter().for_each(|(_, item)| self.tree(Some(item), allowed)),
        }
    }

    fn text(&mut self, text: &str, at: Span, inner: Option<usize>, in_path: bool, allowed: Allowed<'_>) {
        let place = |from: usize, to: usize| inner.map_or(at, |offset| at.part(offset + from, offset + to));
        let parsed = match template::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let at = place(error.span.start, error.span.end);
                self.found.push(Diagnostic::error(Code::Template, at, error.message));
                return;
            }
        };
        let inside = in_path || parsed.whole().is_none();
        for reference in parsed.references() {
            let at = place(reference.span.start, reference.span.end);
            self.reference(reference, at, inside, allowed);
        }
    }

    fn reference(&mut self, reference: &Reference, at: Span, inside: bool, allowed: Allowed<'_>) {
        match &reference.source {
            Source::SagaId => {}
            Source::Auth(_) if self.auth => {}
            Source::Auth(_) => {
                let message = format!("`{{{reference}}}`: whoever starts this saga is not known");
                let hint = "`auth` is there only when a route starts the saga, and each that does has `auth`";
                self.found
                    .push(Diagnostic::error(Code::Template, at, message).hint(hint));
            }
            Source::Failure(_) if allowed.failure => {}
            Source::Failure(_) => {
                let message = format!("`{{{reference}}}`: {} knows of no failure", allowed.what);
                self.found.push(
                    Diagnostic::error(Code::Template, at, message)
                        .hint("it is known in compensations and in the answer `aborted`"),
                );
            }
            Source::Input => {
                if let Some(schema) = &self.saga.input {
                    let seen = look(schema, schema, &reference.path);
                    self.seen(seen, reference, at, inside, "the input's schema");
                }
            }
            Source::Step(name) => self.step(name.as_str(), reference, at, inside, allowed),
        }
    }

    fn step(&mut self, name: &str, reference: &Reference, at: Span, inside: bool, allowed: Allowed<'_>) {
        let Some(index) = self.steps.iter().position(|placed| placed.name.value.as_str() == name) else {
            let known: Vec<&str> = self.steps.iter().map(|placed| placed.name.value.as_str()).collect();
            let message = format!("`{{{reference}}}`: there is no step `{name}`");
            let hint = suggest(name, known.iter().copied());
            self.found
                .push(Diagnostic::error(Code::UnknownName, at, message).maybe_hint(hint));
            return;
        };
        let placed = &self.steps[index];
        let (stage, declared) = (placed.stage, placed.name.at);
        if allowed.undoing == Some(name) {
            let message = format!("`{{{reference}}}`: a compensation may not use its own step's answer");
            let hint = "after a lost answer there is none; name what is undone by `{saga.id}`";
            self.found.push(
                Diagnostic::error(Code::OwnAnswer, at, message)
                    .note(declared, "the step")
                    .hint(hint),
            );
            return;
        }
        if stage >= allowed.before && allowed.also != Some(name) {
            let message = format!(
                "`{{{reference}}}`: {} cannot be certain that the step `{name}` has ended",
                allowed.what
            );
            self.found
                .push(Diagnostic::error(Code::TooEarly, at, message).note(declared, "the step"));
            return;
        }
        let Some((seen, service)) = self.answer_of(index, &reference.path) else {
            return;
        };
        self.seen(seen, reference, at, inside, &format!("the contract of `{service}`"));
    }

    /// What the called service's contract says of a field of its answer; `None` where there is no contract to ask.
    fn answer_of(&self, index: usize, path: &[String]) -> Option<(Look, String)> {
        let call = call_of(self.world, self.steps[index].step.call.as_ref()?).ok()?;
        let service = self.world.service(&call.service)?;
        let api = service.api.as_ref()?;
        let Found::Operation(operation) = api.operation(&call.method, &call.path) else {
            return None;
        };
        let looks: Vec<Look> = api
            .done_schemas(operation)
            .iter()
            .map(|schema| look(&api.json, schema, path))
            .collect();
        Some((one_of(looks), service.name.to_string()))
    }

    fn seen(&mut self, seen: Look, reference: &Reference, at: Span, inside: bool, who: &str) {
        match seen {
            Look::Unknown
            | Look::Found {
                optional: false,
                composite: false,
            } => {}
            Look::Found { composite: true, .. } if inside => {
                let message = format!("`{{{reference}}}` is no single value, and cannot stand inside a longer text");
                self.found.push(
                    Diagnostic::error(Code::Template, at, message)
                        .hint("let it be the whole value, or name a field of it"),
                );
            }
            Look::Found { optional: true, .. } => {
                let message = format!("`{{{reference}}}` may be missing: {who} does not require it");
                self.found.push(
                    Diagnostic::warning(Code::MaybeMissing, at, message)
                        .hint("list it under `required` in the schema, if it is always there"),
                );
            }
            Look::Found { .. } => {}
            Look::Missing { field, known } => {
                let name = reference.path.get(field).map_or("", String::as_str);
                let message = format!("`{{{reference}}}`: {who} gives no `{name}`");
                let hint = suggest(name, known.iter().map(String::as_str));
                self.found
                    .push(Diagnostic::error(Code::Template, at, message).maybe_hint(hint));
            }
        }
    }
}

/// Several answers mean *done*: the field must be in one of them, and is certain only when it is in each.
pub(super) fn one_of(looks: Vec<Look>) -> Look {
    let missing = looks.iter().filter(|look| matches!(look, Look::Missing { .. })).count();
    let total = looks.len();
    let known = looks.iter().any(|look| matches!(look, Look::Found { .. }));
    if looks.contains(&Look::Unknown) && !known {
        return Look::Unknown;
    }
    let mut best = Look::Missing {
        field: 0,
        known: Vec::new(),
    };
    for look in looks {
        best = match (best, look) {
            (
                Look::Found {
                    optional: a,
                    composite: b,
                },
                Look::Found {
                    optional: c,
                    composite: d,
                },
            ) => Look::Found {
                optional: a || c,
                composite: b && d,
            },
            (found @ Look::Found { .. }, _) | (_, found @ Look::Found { .. }) => found,
            (_, other) => other,
        };
    }
    match best {
        Look::Found { composite, .. } if missing > 0 && missing < total => Look::Found {
            optional: true,
            composite,
        },
        other => other,
    }
}
