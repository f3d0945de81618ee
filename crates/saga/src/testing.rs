//! Definitions for the tests of this room.

use crate::config::{AnswerTemplate, Answers, Backoff, CallTemplate, Compensation, Definition, Stage, Step, StepKind};
use serde_json::json;

/// A call of service `s`.
pub(crate) fn call(path: &str) -> CallTemplate {
    let service = "s".parse().expect("a name");
    CallTemplate {
        method: "POST".into(),
        service,
        path: path.into(),
        body: None,
        timeout_ms: 5_000,
    }
}

/// Stages of steps: each word is a stage, its steps parted by `+`; `!` marks the pivot, `*` a retriable step. The answer
/// `done` names `total` of a step called `needs`.
pub(crate) fn definition(stages: &[&str]) -> Definition {
    let backoff = Backoff {
        first_ms: 100,
        cap_ms: 1_000,
    };
    let step = |word: &str| {
        let (name, kind) = match (word.strip_suffix('!'), word.strip_suffix('*')) {
            (Some(name), _) => (name, StepKind::Pivot),
            (_, Some(name)) => (name, StepKind::Retriable),
            _ => (word, StepKind::Compensable),
        };
        let undo = Compensation {
            call: call(&format!("/{name}/{{saga.id}}/undo")),
            backoff,
            give_up_ms: 60_000,
        };
        let compensate = (kind == StepKind::Compensable).then_some(undo);
        Step {
            name: name.parse().expect("a name"),
            kind,
            call: call(&format!("/{name}/{{saga.id}}")),
            attempts: None,
            backoff,
            compensate,
        }
    };
    let stage = |word: &&str| {
        let steps: Vec<Step> = word.split('+').map(step).collect();
        Stage {
            group: (steps.len() > 1).then(|| "group".parse().expect("a name")),
            steps,
        }
    };
    let total = stages.contains(&"needs").then(|| json!({ "total": "{needs.total}" }));
    let done = total.map(|body| AnswerTemplate {
        status: 201,
        location: None,
        body: Some(body),
        problem: None,
    });
    Definition {
        saga: "test".parse().expect("a name"),
        owner: "s".parse().expect("a name"),
        deadline_ms: 10_000,
        input: None,
        stages: stages.iter().map(stage).collect(),
        visible_after: None,
        answer: Answers {
            done,
            ..Answers::default()
        },
    }
}
