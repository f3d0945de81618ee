//! One saga file → its definition.

use crate::doc::saga::{AnswerDoc, AnswersDoc, Call, EntryDoc, StepDoc, Undo};
use crate::load::Saga;
use crate::value::{Raw, Tree};
use ondol_core::id::ServiceName;
use ondol_saga::config::{
    AnswerTemplate, Answers, Backoff, CallTemplate, Compensation, Definition, Stage, Step, StepKind,
};

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
    let retry = &doc.retry;
    Some(Step {
        name: entry.name.value.clone(),
        kind: kind(doc),
        call: call(doc.call.as_ref()?, doc.body.as_ref(), doc.timeout.value.0)?,
        attempts: retry.attempts.map(|attempts| attempts.value),
        backoff: Backoff {
            first_ms: retry.first.value.0,
            cap_ms: retry.cap.value.0,
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

fn compensation(Undo(doc): &Undo) -> Option<Compensation> {
    Some(Compensation {
        call: call(&doc.call, doc.body.as_ref(), doc.timeout.value.0)?,
        backoff: Backoff {
            first_ms: doc.retry.first.value.0,
            cap_ms: doc.retry.cap.value.0,
        },
        give_up_ms: doc.give_up.value.0,
    })
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
