//! `NAME.saga.yaml`.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::document;
use crate::read::{Filled, Read, Reader};
use crate::source::{At, Span};
use crate::tree::{Node, Value};
use crate::value::{Millis, Raw, Status, Tree};
use ondol_core::id::{SagaName, StepName};
use schemars::{Schema, SchemaGenerator, json_schema};

document! {
    /// NAME.saga.yaml: a transaction over several services.
    "a saga" struct SagaDoc {
        /// Its name, unique in the system.
        saga: At<SagaName>,
        /// From the start to the abort, unless the pivot has been passed or tried.
        deadline: At<Millis> = "10m",
        /// JSON Schema of the start's body, or `{ $ref: "openapi.yaml#/components/schemas/NAME" }`; a body that does not fit is answered 400. Absent: any JSON.
        input: Option<Tree>,
        /// In order; each ends before the next begins. A step is `NAME: { … }`, a group `NAME: { parallel: [ … ] }`.
        steps: At<Vec<EntryDoc>>,
        /// Before this step has ended `waiting` is not answered. Absent: at once.
        visible_after: Option<At<StepName>>,
        /// What the starter is told.
        answer: Option<AnswersDoc>,
    }
}

/// `- NAME: { … }`.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryDoc {
    /// The step's or group's name.
    pub name: At<StepName>,
    /// What it is.
    pub step: StepDoc,
}

document! {
    /// A call with its undoing, or a group of them at once.
    "a step" struct StepDoc {
        /// `METHOD SERVICE/PATH`, with templates in the path.
        call: Option<Raw>,
        /// JSON with templates in its strings. Absent: no body.
        body: Option<Tree>,
        /// One attempt.
        timeout: At<Millis> = "5s",
        /// How often and how soon it is tried again.
        retry: Filled<RetryDoc>,
        /// How to undo it: a call, or a map with one. Absent: nothing to undo.
        compensate: Option<Undo>,
        /// Once it is done there is no way back.
        pivot: Option<At<bool>>,
        /// After the pivot: tried until it succeeds.
        retriable: Option<At<bool>>,
        /// Steps that run at once.
        parallel: Option<Vec<EntryDoc>>,
    }
}

document! {
    /// How often and how soon a step is tried again.
    "retry" struct RetryDoc {
        /// Attempts before the step counts as failed; attempts not sent do not count. Absent: no limit before the deadline.
        attempts: Option<At<u32>>,
        /// The largest first pause; doubles.
        first: At<Millis> = "50ms",
        /// The largest pause.
        cap: At<Millis> = "10s",
    }
}

document! {
    /// How to undo a step.
    "a compensation" struct CompensateDoc {
        /// `METHOD SERVICE/PATH`, with templates in the path.
        call: Raw,
        /// JSON with templates in its strings. Absent: no body.
        body: Option<Tree>,
        /// One attempt.
        timeout: At<Millis> = "5s",
        /// How soon it is tried again.
        retry: Filled<UndoRetryDoc>,
        /// After this it is stuck, and a person must look.
        give_up: At<Millis> = "24h",
    }
}

document! {
    /// How soon a compensation is tried again.
    "a compensation's retry" struct UndoRetryDoc {
        /// The largest first pause; doubles.
        first: At<Millis> = "50ms",
        /// The largest pause.
        cap: At<Millis> = "30s",
    }
}

document! {
    /// What the starter is told, with templates.
    "answer" struct AnswersDoc {
        /// When every step is done. Absent: 200 with `{id, status}`.
        done: Option<AnswerDoc>,
        /// When every compensation has ended. Absent: 409 with `reason`.
        aborted: Option<AnswerDoc>,
        /// When the wait ends first. Absent: 202 with `{id, status}`.
        waiting: Option<AnswerDoc>,
    }
}

document! {
    /// One answer.
    "an answer" struct AnswerDoc {
        /// HTTP status.
        status: At<Status>,
        /// The header `Location`, with templates.
        location: Option<Raw>,
        /// JSON with templates in its strings.
        body: Option<Tree>,
        /// An RFC 9457 problem with templates, instead of `body`.
        problem: Option<Tree>,
    }
}

/// How to undo a step, in its short or its long form.
#[derive(Clone, PartialEq, Debug)]
pub struct Undo(pub CompensateDoc);

impl Read for Undo {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Scalar { .. } = node.value else {
            return CompensateDoc::read(node, cx).map(Self);
        };
        // The text is the call of the long form, whose other keys then have their defaults.
        let key = At {
            value: "call".to_owned(),
            at: node.at,
        };
        let long = Node {
            at: node.at,
            value: Value::Map(vec![(key, node.clone())]),
        };
        CompensateDoc::read(&long, cx).map(Self)
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let forms = [<Raw as Read>::schema(generator), CompensateDoc::schema(generator)];
        json_schema!({ "anyOf": forms })
    }
}

impl Read for EntryDoc {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let found = Diagnostic::error(
                Code::Shape,
                node.at,
                format!("a step is `NAME: {{ … }}`, found {}", node.kind()),
            );
            cx.found.push(found);
            return None;
        };
        let [(name, value)] = &**entries else {
            let found = Diagnostic::error(
                Code::Shape,
                node.at,
                format!("a step has one name, found {} keys", entries.len()),
            );
            cx.found
                .push(found.hint("write `- NAME:` and indent the step's keys beneath it"));
            return None;
        };
        // Both are read before either is missed, so that the errors of both show.
        let step = StepDoc::read(value, cx);
        match name.value.parse::<StepName>() {
            Ok(parsed) => Some(Self {
                name: name.with(parsed),
                step: step?,
            }),
            Err(error) => {
                cx.error(Code::Value, name.at, error.to_string());
                None
            }
        }
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let step = StepDoc::schema(generator);
        json_schema!({ "type": "object", "additionalProperties": step, "minProperties": 1, "maxProperties": 1 })
    }
}

impl crate::read::Field for Raw {
    const REQUIRED: bool = true;
    fn field(
        map: &crate::read::Map<'_>,
        key: &'static str,
        default: Option<&str>,
        cx: &mut Reader<'_>,
    ) -> Option<Self> {
        At::<Self>::field(map, key, default, cx).map(|at| at.value)
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Read>::schema(generator)
    }
}

/// A call as written: `PUT orders/internal/orders/{saga.id}`.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The method.
    pub method: At<String>,
    /// The service's name, not yet looked up.
    pub service: At<String>,
    /// Path and query, starting with `/`.
    pub path: At<String>,
}

impl Call {
    /// Splits a call's text; `at` covers it and `inner` is where in it the text starts, if it stands there as it is.
    ///
    /// # Errors
    /// One diagnostic.
    pub fn parse(text: &str, at: Span, inner: Option<usize>) -> Result<Self, Diagnostic> {
        let part = |from: usize, to: usize| inner.map_or(at, |offset| at.part(offset + from, offset + to));
        let shape = || {
            let found = Diagnostic::error(Code::Value, at, format!("`{text}` is not a call"));
            found.hint("write `METHOD SERVICE/PATH`, such as `PUT orders/internal/orders/{saga.id}`")
        };
        let (method, target) = text.split_once(' ').ok_or_else(shape)?;
        let start = method.len() + 1 + (target.len() - target.trim_start().len());
        let target = target.trim();
        let slash = target.find('/').filter(|slash| *slash > 0).ok_or_else(shape)?;
        crate::value::method(method).map_err(|why| Diagnostic::error(Code::Value, part(0, method.len()), why))?;
        if target.chars().any(char::is_whitespace) || target.contains('#') {
            return Err(Diagnostic::error(
                Code::Value,
                part(start, start + target.len()),
                "a call's path has no blanks and no `#`",
            ));
        }
        Ok(Self {
            method: At {
                value: method.into(),
                at: part(0, method.len()),
            },
            service: At {
                value: target[..slash].into(),
                at: part(start, start + slash),
            },
            path: At {
                value: target[slash..].into(),
                at: part(start + slash, start + target.len()),
            },
        })
    }
}
