//! A saga definition as the engine runs it: checked by `ondol-manifest`, pinned by hash for every saga started with it.
//!
//! Its JSON form is stored under its hash and read back by later versions, so fields are only ever added, with a default
//! that keeps old meaning. All spans are milliseconds.

use ondol_core::id::{SagaName, ServiceName, StepName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A saga definition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name, unique in the system.
    pub saga: SagaName,
    /// The service whose folder holds it; only this service's token may start it by the service API.
    pub owner: ServiceName,
    /// From the start to the abort, unless the pivot has been passed or tried.
    pub deadline_ms: u64,
    /// JSON Schema (2020-12, `$ref`s resolved) of the start's body; `None`: any JSON.
    pub input: Option<Value>,
    /// In order; each ends before the next begins.
    pub stages: Vec<Stage>,
    /// Before this step has ended `waiting` is not answered. `None`: at once.
    pub visible_after: Option<StepName>,
    /// What the starter is told.
    pub answer: Answers,
}

/// One step, or several at once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The name of a parallel group; `None` for a single step.
    pub group: Option<StepName>,
    /// One, or all of the group. Names are unique in the definition.
    pub steps: Vec<Step>,
}

/// A call with its undoing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: StepName,
    /// What kind.
    pub kind: StepKind,
    /// The action.
    pub call: CallTemplate,
    /// Attempts before the step counts as failed; `None`: no limit before the deadline. Attempts not sent do not count.
    pub attempts: Option<u32>,
    /// Back-off of the action.
    pub backoff: Backoff,
    /// How to undo it. `None`: nothing to undo.
    pub compensate: Option<Compensation>,
}

/// What a step's failure means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Can be undone.
    Compensable,
    /// Once it is done there is no way back.
    Pivot,
    /// After the pivot: tried until it succeeds.
    Retriable,
}

/// A compensation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    /// The call.
    pub call: CallTemplate,
    /// Back-off.
    pub backoff: Backoff,
    /// After this it is stuck and a person must look. Default 24 h.
    pub give_up_ms: u64,
}

/// Exponential with full jitter: a pause between 0 and min(cap, first × 2^n).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Largest first pause.
    pub first_ms: u64,
    /// Largest pause.
    pub cap_ms: u64,
}

/// A call with templates.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallTemplate {
    /// `PUT`, `POST`, `DELETE` …
    pub method: String,
    /// Whom.
    pub service: ServiceName,
    /// Path and query with templates, starting with `/`, such as `/internal/orders/{saga.id}`.
    pub path: String,
    /// JSON with templates in its strings; `None`: no body.
    pub body: Option<Value>,
    /// One attempt.
    pub timeout_ms: u64,
}

/// The starter's answers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// When every step is done. `None`: 200 with `{id, status}`.
    pub done: Option<AnswerTemplate>,
    /// When every compensation has ended. `None`: 409 with `reason`.
    pub aborted: Option<AnswerTemplate>,
    /// When the wait ends first. `None`: 202 with `{id, status}`.
    pub waiting: Option<AnswerTemplate>,
}

/// One answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerTemplate {
    /// HTTP status.
    pub status: u16,
    /// `Location`, with templates.
    pub location: Option<String>,
    /// JSON with templates.
    pub body: Option<Value>,
    /// An RFC 9457 problem with templates; sent as `application/problem+json`. Excludes `body`.
    pub problem: Option<Value>,
}
