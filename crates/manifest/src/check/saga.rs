//! A saga's shape: calls that exist, one pivot, an order in which everything can be taken back or carried through.

use super::{World, some_time, twice};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::saga::{AnswerDoc, Call, EntryDoc, SagaDoc, StepDoc, Undo};
use crate::load::Saga;
use crate::lower::step_kind;
use crate::openapi::Found;
use crate::read::inner_offset;
use crate::source::{At, Span};
use crate::tree::Value;
use crate::value::{Raw, Status};
use ondol_core::id::StepName;
use ondol_saga::config::StepKind;
use ondol_saga::template::RESERVED;
use std::collections::BTreeMap;

/// Steps of one saga, as the engine takes them.
const MAX_STEPS: usize = 64;

/// A step and where it comes.
pub(super) struct Placed<'a> {
    pub name: &'a At<StepName>,
    pub stage: usize,
    pub step: &'a StepDoc,
}

/// All steps in order, those of groups too.
pub(super) fn steps(doc: &SagaDoc) -> Vec<Placed<'_>> {
    let mut out = Vec::new();
    for (stage, entry) in doc.steps.value.iter().enumerate() {
        match &entry.step.parallel {
            Some(group) => out.extend(group.iter().map(|entry| Placed {
                name: &entry.name,
                stage,
                step: &entry.step,
            })),
            None => out.push(Placed {
                name: &entry.name,
                stage,
                step: &entry.step,
            }),
        }
    }
    out
}

/// A call as written, or nothing where its form is reported elsewhere.
pub(super) fn call_of(world: &World<'_>, raw: &Raw) -> Result<Call, Diagnostic> {
    let text = world.sources.get(raw.0.at.file).map_or("", |source| &*source.text);
    Call::parse(&raw.1, raw.0.at, inner_offset(text, &raw.0))
}

/// The compensation's call.
pub(super) fn undo_of(step: &StepDoc) -> Option<&Raw> {
    step.compensate.as_ref().map(|undo| &undo.0.call)
}

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for saga in &world.parts.sagas {
        let steps = steps(&saga.doc);
        size(saga, &steps, found);
        for entry in &saga.doc.steps.value {
            form(world, entry, found);
        }
        order(&steps, found);
        unique(&steps, found);
        for placed in &steps {
            calls(world, placed, found);
            spans(placed.step, found);
        }
        answers(saga, &steps, found);
    }
}

fn size(saga: &Saga, steps: &[Placed<'_>], found: &mut Vec<Diagnostic>) {
    let at = saga.doc.steps.at;
    if steps.is_empty() && saga.doc.steps.value.is_empty() {
        found.push(Diagnostic::error(Code::Value, at, "a saga has at least one step"));
    }
    if steps.len() > MAX_STEPS {
        found.push(Diagnostic::error(
            Code::Limit,
            at,
            format!("{} steps; at most {MAX_STEPS} are taken", steps.len()),
        ));
    }
    some_time(&[("deadline", Some(saga.doc.deadline))], found);
}

/// A step calls, or is a group of steps that call.
fn form(world: &World<'_>, entry: &EntryDoc, found: &mut Vec<Diagnostic>) {
    let Some(group) = &entry.step.parallel else {
        if entry.step.call.is_none() && !world.broken_within(entry.step.at) {
            let message = format!("the step `{}` calls nothing", entry.name.value);
            found.push(
                Diagnostic::error(Code::MissingKey, entry.name.at, message)
                    .hint("add `call: METHOD SERVICE/PATH`, or `parallel: [ … ]`"),
            );
        }
        return;
    };
    let step = &entry.step;
    let others = [
        ("call", step.call.as_ref().map(|raw| raw.0.at)),
        ("body", step.body.as_ref().map(|body| body.0.at)),
        ("retry", Some(step.retry.at).filter(|at| *at != Span::BUILT_IN)),
        ("compensate", undo_of(step).map(|raw| raw.0.at)),
        ("pivot", step.pivot.map(|flag| flag.at)),
        ("retriable", step.retriable.map(|flag| flag.at)),
    ];
    for (key, at) in others.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        found.push(
            Diagnostic::error(Code::Conflict, at, format!("a group has no `{key}`"))
                .hint("write it at the steps within `parallel`"),
        );
    }
    if group.is_empty() {
        found.push(Diagnostic::error(
            Code::Value,
            entry.name.at,
            format!("the group `{}` is empty", entry.name.value),
        ));
    }
    for inner in group {
        match inner.step.parallel {
            Some(_) => found.push(Diagnostic::error(
                Code::Conflict,
                inner.name.at,
                "a group within a group",
            )),
            None => form(world, inner, found),
        }
    }
}

/// Compensable steps, then at most one pivot alone in its stage, then retriable steps.
fn order(steps: &[Placed<'_>], found: &mut Vec<Diagnostic>) {
    let mut pivot: Option<&Placed<'_>> = None;
    for placed in steps {
        let at = placed.name.at;
        let mut wrong = |at: Span, message: &str, hint: &str, pivot: Option<&Placed<'_>>| {
            let mut here = Diagnostic::error(Code::Order, at, message).hint(hint);
            if let Some(pivot) = pivot {
                here = here.note(pivot.name.at, "the pivot");
            }
            found.push(here);
        };
        let kind = step_kind(placed.step);
        match kind {
            StepKind::Compensable if pivot.is_some() => {
                wrong(
                    at,
                    "after the pivot every step is retriable: there is no way back",
                    "add `retriable: true`, or move it before the pivot",
                    pivot,
                );
            }
            StepKind::Retriable if pivot.is_none() => {
                wrong(
                    at,
                    "a retriable step comes after the pivot",
                    "mark the last step that may fail with `pivot: true`",
                    None,
                );
            }
            StepKind::Pivot if pivot.is_some() => {
                wrong(at, "a saga has one pivot", "take `pivot` out of one of them", pivot)
            }
            StepKind::Pivot if steps.iter().filter(|other| other.stage == placed.stage).count() > 1 => {
                wrong(
                    at,
                    "the pivot stands alone, not in a group",
                    "move it out of `parallel`",
                    None,
                );
            }
            _ => {}
        }
        if kind == StepKind::Pivot && pivot.is_none() {
            pivot = Some(placed);
        }
        if let (StepKind::Pivot | StepKind::Retriable, Some(undo)) = (kind, undo_of(placed.step)) {
            wrong(
                undo.0.at,
                "only what comes before the pivot is compensated",
                "take `compensate` out",
                None,
            );
        }
        if placed.step.pivot.is_some_and(|flag| flag.value) && placed.step.retriable.is_some_and(|flag| flag.value) {
            wrong(at, "the pivot is not retriable", "take one of the two out", None);
        }
    }
}

fn unique(steps: &[Placed<'_>], found: &mut Vec<Diagnostic>) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for placed in steps {
        let (name, at) = (placed.name.value.as_str(), placed.name.at);
        if RESERVED.contains(&name) {
            let here = Diagnostic::error(
                Code::Reserved,
                at,
                format!("`{name}` is a source of templates and no name for a step"),
            );
            found.push(here.hint(format!("taken are {}", RESERVED.join(", "))));
        }
        match names.get(name) {
            Some(first) => twice("the step", name, *first, at, found),
            None => drop(names.insert(name, at)),
        }
    }
}

fn calls(world: &World<'_>, placed: &Placed<'_>, found: &mut Vec<Diagnostic>) {
    let mut safe = true;
    for raw in placed.step.call.iter().chain(undo_of(placed.step)) {
        match call_of(world, raw) {
            Ok(call) => {
                safe &= call.method.value == "GET";
                operation(world, &call, "the step calls", found);
            }
            Err(wrong) => found.push(wrong),
        }
    }
    if !safe && step_kind(placed.step) == StepKind::Compensable && placed.step.compensate.is_none() {
        let message = format!(
            "the step `{}` comes before the pivot and cannot be undone",
            placed.name.value
        );
        found.push(
            Diagnostic::warning(Code::NotUndone, placed.name.at, message)
                .hint("add `compensate`, or make it the pivot"),
        );
    }
}

/// The called service must be there, and its contract must have the operation. `what` says who calls.
pub(super) fn operation(world: &World<'_>, call: &Call, what: &str, found: &mut Vec<Diagnostic>) {
    let Some(service) = world.service(&call.service) else {
        world.known_service(&call.service, what, found);
        return;
    };
    let Some(api) = &service.api else { return };
    let what = format!("{} {}", *call.method, *call.path);
    match api.operation(&call.method, &call.path) {
        Found::Operation(_) => {}
        Found::NoMethod(path) => {
            let message = format!(
                "`{what}`: the contract of `{}` has `{path}`, but no {}",
                service.name, *call.method
            );
            found.push(Diagnostic::error(Code::NoOperation, call.method.at, message));
        }
        Found::NoPath => {
            let message = format!("`{what}`: the contract of `{}` has no such path", service.name);
            let plain = |path: &str| {
                path.split('/')
                    .map(|part| if part.contains('{') { "{}" } else { part })
                    .collect::<Vec<_>>()
                    .join("/")
            };
            let known: Vec<(String, &str)> = api.paths().map(|(path, _)| (plain(path), path)).collect();
            let near = crate::diagnostic::nearest(&plain(&call.path), known.iter().map(|(plain, _)| plain.as_str()));
            let near = near
                .and_then(|near| known.iter().find(|(plain, _)| plain == near))
                .map(|(_, path)| format!("did you mean `{path}`?"));
            let all = || suggest("", known.iter().map(|(_, path)| *path));
            found.push(Diagnostic::error(Code::NoOperation, call.path.at, message).maybe_hint(near.or_else(all)));
        }
    }
}

fn spans(step: &StepDoc, found: &mut Vec<Diagnostic>) {
    some_time(
        &[
            ("timeout", Some(step.timeout)),
            ("first", Some(step.retry.first)),
            ("cap", Some(step.retry.cap)),
        ],
        found,
    );
    if let Some(attempts) = step.retry.attempts.filter(|attempts| attempts.value == 0) {
        found.push(Diagnostic::error(
            Code::Value,
            attempts.at,
            "at least one attempt is made",
        ));
    }
    if let Some(Undo(undo)) = &step.compensate {
        some_time(
            &[("timeout", Some(undo.timeout)), ("give_up", Some(undo.give_up))],
            found,
        );
        some_time(
            &[("first", Some(undo.retry.first)), ("cap", Some(undo.retry.cap))],
            found,
        );
    }
}

fn answers(saga: &Saga, steps: &[Placed<'_>], found: &mut Vec<Diagnostic>) {
    if let Some(after) = &saga.doc.visible_after {
        let names = || steps.iter().map(|placed| placed.name.value.as_str());
        if !names().any(|name| name == after.value.as_str()) {
            let here = Diagnostic::error(
                Code::UnknownName,
                after.at,
                format!("there is no step `{}`", after.value),
            );
            let known: Vec<&str> = names().collect();
            found.push(here.maybe_hint(suggest(after.value.as_str(), known.iter().copied())));
        }
    }
    let Some(doc) = &saga.doc.answer else { return };
    for answer in [&doc.done, &doc.aborted, &doc.waiting].into_iter().flatten() {
        one_answer(answer, found);
    }
    if let Some(done) = doc.done.as_ref().filter(|done| done.status.value.0 >= 300) {
        found.push(Diagnostic::error(
            Code::Value,
            done.status.at,
            "a saga that is done is answered with 2xx",
        ));
    }
    if let Some(aborted) = doc.aborted.as_ref().filter(|aborted| aborted.status.value.0 < 400) {
        found.push(Diagnostic::error(
            Code::Value,
            aborted.status.at,
            "a saga that was aborted is answered with 4xx or 5xx",
        ));
    }
}

fn one_answer(answer: &AnswerDoc, found: &mut Vec<Diagnostic>) {
    if let (Some(body), Some(problem)) = (&answer.body, &answer.problem) {
        let here = Diagnostic::error(
            Code::Conflict,
            problem.0.at,
            "an answer has a `body` or a `problem`, not both",
        );
        found.push(here.note(body.0.at, "the body"));
    }
    let map = |tree: &crate::value::Tree| matches!(tree.0.value, Value::Map(_));
    if let Some(problem) = answer.problem.as_ref().filter(|problem| !map(problem)) {
        found.push(Diagnostic::error(Code::Shape, problem.0.at, "a problem is a map"));
    }
    if let (Status(204 | 205 | 304), Some(body)) = (answer.status.value, &answer.body) {
        found.push(Diagnostic::error(
            Code::Conflict,
            body.0.at,
            "an answer with this status has no body",
        ));
    }
}
