//! A definition compiled once: templates parsed, steps numbered, the input's schema ready, everything checked.
//!
//! Invariants
//! - What compiles can run: no template names a step that may not have ended, and nothing after the pivot can abort.
//! - A plan is never changed; a saga keeps the one it was started with, found by `hash`.
//!
//! `ondol-manifest` reports the same mistakes earlier, with file and line; this is the wall behind it, since plans also
//! come from the store, written by another version. How it is made is in `plan/compile.rs`. Tests: beside it, `plan/tests.rs`.

mod compile;

use crate::config::{Backoff, Definition, StepKind};
use crate::state::Op;
use crate::template::{Body, Reference, Template};
use http::{Method, StatusCode};
use jsonschema::Validator;
use ondol_core::error::ErrorCode;
use ondol_core::id::{ServiceName, StepName};
use serde_json::Value;
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

impl Plan {
    /// Compiles and checks. Cost: once per definition; the schema is the dear part.
    ///
    /// # Errors
    /// [`PlanError`] with the first mistake.
    pub fn compile(definition: Definition) -> Result<Self, PlanError> {
        compile::compile(definition)
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

#[cfg(test)]
mod tests;
