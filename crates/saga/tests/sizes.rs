//! What is large: starts, answers of steps and answers to starters, against the 4 MiB that a row holds. Virtual time.

mod support;

use ondol_core::engine::Table;
use ondol_saga::config::Definition;
use ondol_saga::operator::Action;
use ondol_saga::{Settings, StartRequest};
use ondol_testkit::engine::MemoryEngine;
use serde_json::{Value, json};
use support::{Scripted, call, life, read, request, says, two_steps, until};

/// `steps` steps, each of which hands the text that the one before it answered to the next.
fn chain(steps: usize) -> Definition {
    let backoff = json!({ "first_ms": 50, "cap_ms": 10_000 });
    let stage = |n: usize| {
        let body = if n == 0 {
            json!({})
        } else {
            json!({ "text": format!("{{s{}.text}}", n - 1) })
        };
        let step = json!({
            "name": format!("s{n}"), "kind": "compensable", "attempts": null, "backoff": backoff, "compensate": null,
            "call": call("PUT", &format!("/s{n}/{{saga.id}}"), body),
        });
        json!({ "group": null, "steps": [step] })
    };
    let stages: Vec<Value> = (0..steps).map(stage).collect();
    let answer = json!({ "done": null, "aborted": null, "waiting": null });
    let definition = json!({
        "saga": "two", "owner": "s", "deadline_ms": 600_000, "input": null, "stages": stages, "visible_after": null,
        "answer": answer,
    });
    serde_json::from_value(definition).expect("a definition")
}

#[tokio::test(start_paused = true)]
async fn answers_that_together_do_not_fit_park_the_saga_and_it_is_not_called_again() {
    let text = "x".repeat(250_000);
    let caller = Scripted::new(move |_| says(200, json!({ "text": text })));
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![chain(20)],
    )
    .await;
    let id = life.sagas.start(request("k")).await.saga.expect("an id");
    until(|| async { life.sagas.show(id).await.expect("shown").summary.state == "parked" }).await;
    let view = life.sagas.show(id).await.expect("shown");
    let held = view
        .steps
        .iter()
        .find_map(|step| step.why.clone())
        .expect("it says why");
    assert!(held.contains("cannot be kept") && held.contains("4194304"), "{held}");
    assert_eq!(caller.paths().len(), 17, "sixteen fit, the next one was called once");
    let cancel = life.sagas.act(id, Action::Cancel, "eve").await;
    assert_eq!(cancel.expect("before any pivot").as_str(), "aborted");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_leaves_no_room_for_answers_is_refused_and_nothing_is_kept() {
    let life = life(
        MemoryEngine::new(),
        Scripted::new(|_| None),
        Settings::default(),
        vec![chain(1)],
    )
    .await;
    // Five bytes each as they come, nineteen as they are kept.
    let body = format!("[{}1]", "1e15,".repeat(200_000));
    let answer = life
        .sagas
        .start(StartRequest {
            body: body.into(),
            ..request("k")
        })
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code.expect("a code").as_str()),
        (413, "SG-008")
    );
    assert!(life.engine.table(Table::Saga).is_empty() && life.engine.table(Table::StartKey).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_starter_whose_answer_would_be_too_long_gets_the_plain_one() {
    let mut definition = chain(1);
    definition.answer = serde_json::from_value(json!({
        "done": { "status": 201, "location": null, "body": { "you_said": "{input}" }, "problem": null },
        "aborted": null, "waiting": null,
    }))
    .expect("answers");
    let caller = Scripted::new(|_| says(200, json!({})));
    let life = life(MemoryEngine::new(), caller, Settings::default(), vec![definition]).await;
    let said = |key: &str, length: usize| StartRequest {
        body: format!("\"{}\"", "x".repeat(length)).into(),
        ..request(key)
    };
    assert_eq!(life.sagas.start(said("short", 1_000)).await.status, 201);
    let long = life.sagas.start(said("long", 300_000)).await;
    assert_eq!(
        read(&long),
        (
            200,
            json!({ "id": long.saga.expect("an id").to_string(), "status": "done" })
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_joins_although_the_present_definition_would_refuse_its_body() {
    let caller = Scripted::new(|_| says(200, json!({ "total": 42 })));
    let life = life(MemoryEngine::new(), caller, Settings::default(), vec![two_steps()]).await;
    let first = life.sagas.start(request("k")).await;
    let mut stricter = two_steps();
    stricter.input = Some(json!({ "type": "object", "required": ["items", "address"] }));
    life.sagas.set_definitions(vec![stricter]).await.expect("it can run");
    let again = life.sagas.start(request("k")).await;
    assert_eq!((read(&again), again.saga), (read(&first), first.saga));
    assert_eq!(life.sagas.start(request("new")).await.status, 400);
    let other_body = StartRequest {
        body: "{}".into(),
        ..request("k")
    };
    assert_eq!(life.sagas.start(other_body).await.status, 422);
}
