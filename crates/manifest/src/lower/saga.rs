//! One saga file → its definition.

use crate::doc::saga::{AnswerDoc, AnswersDoc, Call, CompensateDoc, EntryDoc, StepDoc};
use crate::load::Saga;
use crate::value::{Raw, Short, Tree};
use ondol_core::id::ServiceName;
use ondol_saga::config::{
    AnswerTemplate, Answers, Backoff, CallTemplate, Compensation, Definition, Stage, Step, StepKind,
};

/// The action's longest pause.
const CAP_MS: u64 = 10_000;
/// The first pause of both.
const FIRST_MS: u64 = 50;
/// A compensation's longest pause.
const UNDO_CAP_MS: u64 = 30_000;
/// One attempt of a compensation in its short form.
const TIMEOUT_MS: u64 = 5_000;
/// A compensation in its short form gives up after a day.
const GIVE_UP_MS: u64 = 24 * 3_600_000;

/// The definition. Calls that a check refuses are left out.
pub fn definition(saga: &Saga) -> Definition {
    let doc = &saga.doc;
    Definition {
        saga: doc.saga.value.clone(),
        owner: saga.owner.clone(),
        deadline_ms: doc.deadline.value.0,
        input: saga.input.clone(),
        stages: doc.steps.value.iter().map(stage).collect(),
        visible_after: doc.visible_after.as_ref().map(|step| step.value.clone()),
        answer: doc.answer.as_ref().map(answers).unwrap_or_default(),
    }
}

fn stage(entry: &EntryDoc) -> Stage {
    match &entry.step.parallel {
        Some(steps) => Stage {
            group: Some(entry.name.value.clone()),
            steps: steps.iter().filter_map(step).collect(),
        },
        None => Stage {
            group: None,
            steps: step(entry).into_iter().collect(),
        },
    }
}

fn step(entry: &EntryDoc) -> Option<Step> {
    let doc = &entry.step;
    let retry = doc.retry.as_ref();
    Some(Step {
        name: entry.name.value.clone(),
        kind: kind(doc),
        call: call(doc.call.as_ref()?, doc.body.as_ref(), doc.timeout.value.0)?,
        attempts: retry.and_then(|retry| retry.attempts).map(|attempts| attempts.value),
        backoff: Backoff {
            first_ms: retry.map_or(FIRST_MS, |retry| retry.first.value.0),
            cap_ms: retry.and_then(|retry| retry.cap).map_or(CAP_MS, |cap| cap.value.0),
        },
        compensate: doc.compensate.as_ref().and_then(compensation),
    })
}

/// What a step's failure means.
pub fn kind(doc: &StepDoc) -> StepKind {
    match (
        doc.pivot.is_some_and(|pivot| pivot.value),
        doc.retriable.is_some_and(|retriable| retriable.value),
    ) {
        (true, _) => StepKind::Pivot,
        (false, true) => StepKind::Retriable,
        (false, false) => StepKind::Compensable,
    }
}

fn call(raw: &Raw, body: Option<&Tree>, timeout_ms: u64) -> Option<CallTemplate> {
    let parsed = Call::parse(&raw.1, raw.0.at, None).ok()?;
    Some(CallTemplate {
        method: parsed.method.value,
        service: ServiceName::new(&parsed.service.value).ok()?,
        path: parsed.path.value,
        body: body.map(|body| body.0.json()),
        timeout_ms,
    })
}

fn compensation(short: &Short<Raw, CompensateDoc>) -> Option<Compensation> {
    match short {
        Short::Short(raw) => Some(Compensation {
            call: call(raw, None, TIMEOUT_MS)?,
            backoff: Backoff {
                first_ms: FIRST_MS,
                cap_ms: UNDO_CAP_MS,
            },
            give_up_ms: GIVE_UP_MS,
        }),
        Short::Long(doc) => Some(Compensation {
            call: call(&doc.call, doc.body.as_ref(), doc.timeout.value.0)?,
            backoff: Backoff {
                first_ms: doc.retry.as_ref().map_or(FIRST_MS, |retry| retry.first.value.0),
                cap_ms: doc.retry.as_ref().map_or(UNDO_CAP_MS, |retry| retry.cap.value.0),
            },
            give_up_ms: doc.give_up.value.0,
        }),
    }
}

fn answers(doc: &AnswersDoc) -> Answers {
    Answers {
        done: doc.done.as_ref().map(answer),
        aborted: doc.aborted.as_ref().map(answer),
        waiting: doc.waiting.as_ref().map(answer),
    }
}

fn answer(doc: &AnswerDoc) -> AnswerTemplate {
    AnswerTemplate {
        status: doc.status.value.0,
        location: doc.location.as_ref().map(|location| location.1.clone()),
        body: doc.body.as_ref().map(|body| body.0.json()),
        problem: doc.problem.as_ref().map(|problem| problem.0.json()),
    }
}
