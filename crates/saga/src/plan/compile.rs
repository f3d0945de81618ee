//! Makes a plan of a definition, or says why it cannot run.
//!
//! One pass over the steps and answers; each template is parsed where it stands, and what it names is checked against
//! what is certain to be known there. Tests: `tests.rs`.

use super::{MAX_STEPS, Plan, PlanError, PlannedAnswer, PlannedCall, PlannedStep, PlannedUndo, hex};
use crate::config::{AnswerTemplate, CallTemplate, Definition, Step, StepKind};
use crate::template::{self, Body, Reference, Source, Template, TemplateError};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Method, StatusCode};
use ondol_core::id::StepName;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

pub(super) fn compile(definition: Definition) -> Result<Plan, PlanError> {
    let mut compiler = Compiler::new(&definition)?;
    let (stages, pivot) = compiler.shape()?;
    let mut steps = Vec::with_capacity(compiler.names.len());
    for (stage, group) in definition.stages.iter().enumerate() {
        for step in &group.steps {
            steps.push(compiler.step(stage, step)?);
        }
    }
    let visible_after = match &definition.visible_after {
        Some(name) => {
            let step = compiler.index(name);
            Some(step.ok_or_else(|| compiler.wrong("visible_after", format!("there is no step `{name}`")))?)
        }
        None => None,
    };
    let seen = visible_after.map_or(0, |step| steps[step].stage);
    let answer = &definition.answer;
    let done = compiler.answer(answer.done.as_ref(), "answer done", Allowed::before(usize::MAX))?;
    let aborted = compiler.answer(answer.aborted.as_ref(), "answer aborted", Allowed::before(0).failure())?;
    let waiting = Allowed {
        also: visible_after,
        ..Allowed::before(seen)
    };
    let waiting = compiler.answer(answer.waiting.as_ref(), "answer waiting", waiting)?;
    for (step, needs) in steps.iter_mut().zip(std::mem::take(&mut compiler.needs)) {
        step.needs = needs.into_iter().map(|path| (path.clone(), path.join("."))).collect();
    }
    let schema = definition.input.as_ref().map(jsonschema::draft202012::new).transpose();
    let input = schema.map_err(|error| compiler.wrong("input", format!("no JSON Schema: {error}")))?;
    let json = serde_json::to_vec(&definition).map_err(|error| compiler.wrong("definition", error.to_string()))?;
    let (scalars, uses_auth) = (compiler.scalars, compiler.uses_auth);
    let hash = hex(digest(&SHA256, &json).as_ref()).into();
    let deadline = Duration::from_millis(definition.deadline_ms);
    let json = Bytes::from(json);
    Ok(Plan {
        definition,
        hash,
        json,
        steps,
        stages,
        pivot,
        visible_after,
        deadline,
        done,
        aborted,
        waiting,
        scalars,
        uses_auth,
        input,
    })
}

/// What a template may name at its place.
#[derive(Clone, Copy)]
struct Allowed {
    /// Steps of stages before this one.
    before_stage: usize,
    /// This step too.
    also: Option<usize>,
    /// The failure too.
    failure: bool,
}

impl Allowed {
    const fn before(stage: usize) -> Self {
        Self {
            before_stage: stage,
            also: None,
            failure: false,
        }
    }

    const fn failure(self) -> Self {
        Self { failure: true, ..self }
    }
}

struct Compiler<'a> {
    definition: &'a Definition,
    names: Vec<(StepName, usize)>,
    needs: Vec<BTreeSet<Vec<String>>>,
    scalars: Vec<(Reference, bool)>,
    uses_auth: bool,
}

impl<'a> Compiler<'a> {
    fn new(definition: &'a Definition) -> Result<Self, PlanError> {
        let mut this = Self {
            definition,
            names: Vec::new(),
            needs: Vec::new(),
            scalars: Vec::new(),
            uses_auth: false,
        };
        for (stage, group) in definition.stages.iter().enumerate() {
            for step in &group.steps {
                let name = step.name.as_str();
                if template::RESERVED.contains(&name) {
                    return Err(this.wrong(&format!("step {name}"), "the name is taken by a source of templates"));
                }
                if this.index(name).is_some() {
                    return Err(this.wrong(&format!("step {name}"), "the name is used twice"));
                }
                this.names.push((step.name.clone(), stage));
            }
        }
        if this.names.is_empty() || this.names.len() > MAX_STEPS {
            return Err(this.wrong("steps", format!("a saga has 1 to {MAX_STEPS} steps")));
        }
        this.needs.resize(this.names.len(), BTreeSet::new());
        Ok(this)
    }

    fn wrong(&self, place: &str, message: impl Into<String>) -> PlanError {
        PlanError {
            saga: self.definition.saga.to_string(),
            place: place.into(),
            message: message.into(),
        }
    }

    fn index(&self, name: impl AsRef<str>) -> Option<usize> {
        self.names.iter().position(|(known, _)| known.as_str() == name.as_ref())
    }

    /// Compensable steps, at most one pivot alone in its stage, retriable steps.
    fn shape(&self) -> Result<(Vec<Range<usize>>, Option<usize>), PlanError> {
        let (mut stages, mut pivot, mut at) = (Vec::new(), None, 0);
        for group in &self.definition.stages {
            if group.steps.is_empty() {
                return Err(self.wrong("steps", "a parallel group has at least one step"));
            }
            for (n, step) in group.steps.iter().enumerate() {
                let wrong = |message: &str| Err(self.wrong(&format!("step {}", step.name), message));
                match step.kind {
                    StepKind::Compensable if pivot.is_some() => {
                        return wrong("after the pivot every step is retriable: there is no way back");
                    }
                    StepKind::Retriable if pivot.is_none() => return wrong("retriable steps come after the pivot"),
                    StepKind::Pivot if pivot.is_some() => return wrong("a saga has one pivot"),
                    StepKind::Pivot if group.steps.len() > 1 => {
                        return wrong("the pivot stands alone, not in a parallel group");
                    }
                    StepKind::Pivot | StepKind::Retriable if step.compensate.is_some() => {
                        return wrong("only what comes before the pivot is compensated");
                    }
                    StepKind::Pivot => pivot = Some(at + n),
                    StepKind::Compensable | StepKind::Retriable => {}
                }
            }
            stages.push(at..at + group.steps.len());
            at += group.steps.len();
        }
        Ok((stages, pivot))
    }

    fn step(&mut self, stage: usize, step: &Step) -> Result<PlannedStep, PlanError> {
        let (name, place) = (step.name.clone(), format!("step {}", step.name));
        let allowed = Allowed::before(stage);
        let action = self.call(&step.call, &place, allowed)?;
        let undo = match &step.compensate {
            Some(undo) => {
                let call = self.call(&undo.call, &format!("{place}, compensate"), allowed.failure())?;
                Some(PlannedUndo {
                    call,
                    backoff: undo.backoff,
                    give_up: Duration::from_millis(undo.give_up_ms),
                })
            }
            None => None,
        };
        let (kind, attempts, backoff) = (step.kind, step.attempts, step.backoff);
        Ok(PlannedStep {
            name,
            kind,
            stage,
            action,
            undo,
            attempts,
            backoff,
            needs: Vec::new(),
        })
    }

    fn call(&mut self, call: &CallTemplate, place: &str, allowed: Allowed) -> Result<PlannedCall, PlanError> {
        let method = Method::from_bytes(call.method.as_bytes())
            .map_err(|_| self.wrong(place, format!("`{}` is no method", call.method)))?;
        if !call.path.starts_with('/') {
            return Err(self.wrong(place, "a path starts with `/`"));
        }
        let path = self.template(&call.path, place, allowed, true)?;
        let body = call
            .body
            .as_ref()
            .map(|body| self.body(body, place, allowed))
            .transpose()?;
        Ok(PlannedCall {
            method,
            service: call.service.clone(),
            path,
            body,
            timeout: Duration::from_millis(call.timeout_ms),
        })
    }

    fn answer(
        &mut self,
        answer: Option<&AnswerTemplate>,
        place: &str,
        allowed: Allowed,
    ) -> Result<Option<PlannedAnswer>, PlanError> {
        let Some(answer) = answer else { return Ok(None) };
        let status = StatusCode::from_u16(answer.status)
            .map_err(|_| self.wrong(place, format!("{} is no status", answer.status)))?;
        let location = answer
            .location
            .as_ref()
            .map(|text| self.template(text, place, allowed, true))
            .transpose()?;
        let (content_type, body) = match (&answer.body, &answer.problem) {
            (Some(_), Some(_)) => return Err(self.wrong(place, "either a body or a problem")),
            (None, Some(problem)) => {
                let mut problem = problem.clone();
                if let Some(members) = problem.as_object_mut() {
                    members.entry("status").or_insert_with(|| answer.status.into());
                }
                ("application/problem+json", Some(problem))
            }
            (body, None) => ("application/json", body.clone()),
        };
        let body = body.map(|body| self.body(&body, place, allowed)).transpose()?;
        Ok(Some(PlannedAnswer {
            status,
            location,
            content_type,
            body,
        }))
    }

    fn template(&mut self, text: &str, place: &str, allowed: Allowed, path: bool) -> Result<Template, PlanError> {
        let template = template::parse(text).map_err(|error| self.no_template(place, "", &error))?;
        for reference in template.references() {
            self.reference(reference, place, allowed, true, path)?;
        }
        Ok(template)
    }

    fn body(&mut self, value: &Value, place: &str, allowed: Allowed) -> Result<Body, PlanError> {
        let placed =
            template::parse_value(value).map_err(|(pointer, error)| self.no_template(place, &pointer, &error))?;
        for one in &placed {
            let inside = one.template.whole().is_none();
            for reference in one.template.references() {
                self.reference(reference, place, allowed, inside, false)?;
            }
        }
        Body::compile(value).map_err(|(pointer, error)| self.no_template(place, &pointer, &error))
    }

    fn no_template(&self, place: &str, pointer: &str, error: &TemplateError) -> PlanError {
        self.wrong(
            &format!("{place}{}{pointer}", if pointer.is_empty() { "" } else { " " }),
            error.message.clone(),
        )
    }

    fn reference(
        &mut self,
        reference: &Reference,
        place: &str,
        allowed: Allowed,
        inside: bool,
        path: bool,
    ) -> Result<(), PlanError> {
        self.uses_auth |= matches!(reference.source, Source::Auth(_));
        match &reference.source {
            Source::Input | Source::Auth(_) if inside => {
                if !self
                    .scalars
                    .iter()
                    .any(|(known, p)| (known.to_string(), *p) == (reference.to_string(), path))
                {
                    self.scalars.push((reference.clone(), path));
                }
            }
            Source::Input | Source::Auth(_) | Source::SagaId => {}
            Source::Failure(_) if allowed.failure => {}
            Source::Failure(_) => {
                return Err(self.wrong(
                    place,
                    "a failure is known only in compensations and in the answer `aborted`",
                ));
            }
            Source::Step(name) => {
                let step = self
                    .index(name)
                    .ok_or_else(|| self.wrong(place, format!("there is no step `{name}`")))?;
                if self.names[step].1 >= allowed.before_stage && allowed.also != Some(step) {
                    return Err(self.wrong(place, format!("`{reference}` is not certain to be known here")));
                }
                self.needs[step].insert(reference.path.clone());
            }
        }
        Ok(())
    }
}
