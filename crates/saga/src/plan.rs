//! A definition compiled once: templates parsed, steps numbered, the input's schema ready, everything checked.
//!
//! Invariants
//! - What compiles can run: no template names a step that may not have ended, and nothing after the pivot can abort.
//! - A plan is never changed; a saga keeps the one it was started with, found by `hash`.
//!
//! `ondol-manifest` reports the same mistakes earlier, with file and line; this is the wall behind it, since plans also
//! come from the store, written by another version. Tests: beside it, `plan/tests.rs`.

use crate::config::{AnswerTemplate, Backoff, CallTemplate, Definition, StepKind};
use crate::state::Op;
use crate::template::{self, Body, Reference, Source, Template, TemplateError};
use http::{Method, StatusCode};
use jsonschema::Validator;
use ondol_core::error::ErrorCode;
use ondol_core::id::{ServiceName, StepName};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Most steps of one saga.
pub const MAX_STEPS: usize = 64;

/// A definition that cannot run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("saga {saga}: {place}: {message}")]
pub struct PlanError {
    /// Which definition.
    pub saga: String,
    /// Where in it, such as `step pay, compensate`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl PlanError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::new("SG-002")
    }
}

/// A call ready to be filled.
#[derive(Debug)]
pub struct PlannedCall {
    /// How.
    pub method: Method,
    /// Whom.
    pub service: ServiceName,
    /// Path and query.
    pub path: Template,
    /// JSON, if any.
    pub body: Option<Body>,
    /// One attempt.
    pub timeout: Duration,
}

/// A compensation ready to be filled.
#[derive(Debug)]
pub struct PlannedUndo {
    /// The call.
    pub call: PlannedCall,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// After this it is stuck.
    pub give_up: Duration,
}

/// A step.
#[derive(Debug)]
pub struct PlannedStep {
    /// Its name.
    pub name: StepName,
    /// What kind.
    pub kind: StepKind,
    /// Its place in [`Plan::stages`].
    pub stage: usize,
    /// The action.
    pub action: PlannedCall,
    /// How to undo it.
    pub undo: Option<PlannedUndo>,
    /// Attempts that may have reached the service before it counts as failed.
    pub attempts: Option<u32>,
    /// Pauses between attempts of the action.
    pub backoff: Backoff,
    /// Fields of its answer that are named anywhere: path and its dotted form.
    pub needs: Vec<(Vec<String>, String)>,
}

/// An answer ready to be filled.
#[derive(Debug)]
pub struct PlannedAnswer {
    /// HTTP status.
    pub status: StatusCode,
    /// `Location`.
    pub location: Option<Template>,
    /// `application/json` or `application/problem+json`.
    pub content_type: &'static str,
    /// The body.
    pub body: Option<Body>,
}

impl PlannedStep {
    /// The call of an operation, and its pauses. A step without a compensation has only its action.
    pub fn call(&self, op: Op) -> (&PlannedCall, Backoff) {
        match (op, &self.undo) {
            (Op::Compensate, Some(undo)) => (&undo.call, undo.backoff),
            _ => (&self.action, self.backoff),
        }
    }
}

/// A compiled definition.
#[derive(Debug)]
pub struct Plan {
    /// What it was made from.
    pub definition: Definition,
    /// SHA-256 of the definition's stored form, in hexadecimal.
    pub hash: Arc<str>,
    /// The definition's stored form.
    pub json: bytes::Bytes,
    /// All steps in order.
    pub steps: Vec<PlannedStep>,
    /// Steps that run at once, as ranges of `steps`.
    pub stages: Vec<Range<usize>>,
    /// The step after which there is no way back.
    pub pivot: Option<usize>,
    /// Before this step has ended `waiting` is not answered.
    pub visible_after: Option<usize>,
    /// From the start to the abort.
    pub deadline: Duration,
    /// The starter's answers.
    pub done: Option<PlannedAnswer>,
    /// See `done`.
    pub aborted: Option<PlannedAnswer>,
    /// See `done`.
    pub waiting: Option<PlannedAnswer>,
    /// Inputs and claims that stand inside strings, so must be scalars; true: in a path.
    pub scalars: Vec<(Reference, bool)>,
    /// Some template names a claim, so only a verified starter will do.
    pub uses_auth: bool,
    input: Option<Validator>,
}

/// What a template may name at its place.
#[derive(Clone, Copy)]
struct Allowed {
    /// Steps of stages before this one.
    before_stage: usize,
    /// This step too.
    also: Option<usize>,
    failure: bool,
}

struct Compiler<'a> {
    definition: &'a Definition,
    names: Vec<(StepName, usize)>,
    needs: Vec<BTreeSet<Vec<String>>>,
    scalars: Vec<(Reference, bool)>,
    uses_auth: bool,
}

impl Plan {
    /// Compiles and checks.
    ///
    /// # Errors
    /// [`PlanError`] with the first mistake.
    pub fn compile(definition: Definition) -> Result<Self, PlanError> {
        let mut compiler = Compiler::new(&definition)?;
        let (stages, pivot) = compiler.shape()?;
        let mut steps = Vec::with_capacity(compiler.names.len());
        for (stage, group) in definition.stages.iter().enumerate() {
            for step in &group.steps {
                let place = format!("step {}", step.name);
                let mut allowed = Allowed {
                    before_stage: stage,
                    also: None,
                    failure: false,
                };
                let action = compiler.call(&step.call, &place, allowed)?;
                allowed.failure = true;
                let undo = match &step.compensate {
                    Some(undo) => Some(PlannedUndo {
                        call: compiler.call(&undo.call, &format!("{place}, compensate"), allowed)?,
                        backoff: undo.backoff,
                        give_up: Duration::from_millis(undo.give_up_ms),
                    }),
                    None => None,
                };
                let (name, kind, attempts, backoff) = (step.name.clone(), step.kind, step.attempts, step.backoff);
                steps.push(PlannedStep {
                    name,
                    kind,
                    stage,
                    action,
                    undo,
                    attempts,
                    backoff,
                    needs: Vec::new(),
                });
            }
        }
        let visible_after = match &definition.visible_after {
            Some(name) => Some(
                compiler
                    .index(name)
                    .ok_or_else(|| compiler.wrong("visible_after", format!("there is no step `{name}`")))?,
            ),
            None => None,
        };
        let seen = visible_after.map_or(0, |step| steps[step].stage);
        let mut answer = |template: &Option<AnswerTemplate>, place: &str, allowed| {
            template
                .as_ref()
                .map(|template| compiler.answer(template, place, allowed))
                .transpose()
        };
        let done = answer(
            &definition.answer.done,
            "answer done",
            Allowed {
                before_stage: usize::MAX,
                also: None,
                failure: false,
            },
        )?;
        let aborted = answer(
            &definition.answer.aborted,
            "answer aborted",
            Allowed {
                before_stage: 0,
                also: None,
                failure: true,
            },
        )?;
        let waiting = answer(
            &definition.answer.waiting,
            "answer waiting",
            Allowed {
                before_stage: seen,
                also: visible_after,
                failure: false,
            },
        )?;
        for (step, needs) in steps.iter_mut().zip(std::mem::take(&mut compiler.needs)) {
            step.needs = needs
                .into_iter()
                .map(|path| {
                    let dotted = path.join(".");
                    (path, dotted)
                })
                .collect();
        }
        let input = match &definition.input {
            Some(schema) => Some(
                jsonschema::draft202012::new(schema)
                    .map_err(|error| compiler.wrong("input", format!("no JSON Schema: {error}")))?,
            ),
            None => None,
        };
        let (scalars, uses_auth) = (compiler.scalars, compiler.uses_auth);
        let json = bytes::Bytes::from(serde_json::to_vec(&definition).map_err(|error| PlanError {
            saga: definition.saga.to_string(),
            place: "definition".into(),
            message: error.to_string(),
        })?);
        let hash = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &json).as_ref()).into();
        let deadline = Duration::from_millis(definition.deadline_ms);
        Ok(Self {
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

    /// The number of a step.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name.as_str() == name)
    }

    /// Checks a start's body.
    ///
    /// # Errors
    /// The JSON Pointer of the first member that does not fit (empty: the body itself) and why.
    pub fn check_input(&self, input: &Value) -> Result<(), (String, String)> {
        match &self.input {
            Some(schema) => schema.validate(input).map_err(|error| {
                // The value itself may be long, and is the starter's own.
                let why: String = error.masked().to_string().chars().take(300).collect();
                (error.instance_path().to_string(), why)
            }),
            None => Ok(()),
        }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _infallible = write!(out, "{byte:02x}");
            out
        })
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

    fn answer(&mut self, answer: &AnswerTemplate, place: &str, allowed: Allowed) -> Result<PlannedAnswer, PlanError> {
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
        Ok(PlannedAnswer {
            status,
            location,
            content_type,
            body,
        })
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

#[cfg(test)]
mod tests;
