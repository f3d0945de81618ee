//! The whole engine over a store in memory: starts, answers, recovery, operators. Virtual time.

mod support;

use http::header;
use ondol_core::caller::Call;
use ondol_core::engine::Table;
use ondol_core::id::SagaId;
use ondol_saga::operator::Action;
use ondol_saga::phase::Phase;
use ondol_saga::query::ListQuery;
use ondol_saga::{SagaError, Settings, StartRequest};
use ondol_testkit::engine::MemoryEngine;
use serde_json::json;
use std::time::Duration;
use support::{Said, Scripted, all_well, life, read, request, says, says_with, two_steps, until};

fn b_fails(call: &Call) -> Said {
    if call.path.starts_with("/b/") && !call.path.ends_with("undo") {
        says(409, json!({ "reason": "out_of_stock" }))
    } else {
        all_well(call)
    }
}

#[tokio::test(start_paused = true)]
async fn a_two_step_saga_takes_three_commits_and_answers_as_defined() {
    let caller = Scripted::new(all_well);
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let answer = life.sagas.start(request("k")).await;
    let id = answer.saga.expect("it has an id").to_string();
    assert_eq!(read(&answer), (201, json!({ "id": id, "total": 42 })));
    assert_eq!(answer.headers[header::LOCATION], format!("/o/{id}"));
    assert_eq!(life.sagas.stats().await.expect("figures").commits, 3);
    assert_eq!(caller.paths(), [format!("PUT /a/{id}"), format!("PUT /b/{id}")]);

    let calls = caller.calls.lock().expect("not poisoned").clone();
    assert_eq!(calls[0].body, r#"{"who":"anna","items":[1,2]}"#);
    assert_eq!(calls[1].body, r#"{"total":42}"#);
    let head = |name: &str| calls[1].headers[name].to_str().expect("text").to_owned();
    assert_eq!(head("idempotency-key"), format!("\"{id}.b.action\""));
    assert_eq!(
        (head("ondol-op"), head("ondol-attempt")),
        ("action".into(), "1.1".into())
    );
    assert_eq!(
        head("baggage"),
        format!("correlation-id={id},causation-id={id}.b.action")
    );
    assert_eq!(head("traceparent")[3..35], id.replace('-', ""));
}

#[tokio::test(start_paused = true)]
async fn no_call_leaves_before_its_attempt_is_in_the_store() {
    let engine = MemoryEngine::new();
    let seen = engine.clone();
    let caller = Scripted::new(move |call| {
        let row = seen
            .table(Table::Saga)
            .pop()
            .expect("the saga's row is there before its first call");
        let body: serde_json::Value = serde_json::from_slice(&row.body).expect("JSON");
        let step = usize::from(call.path.starts_with("/b/"));
        assert_eq!(body["state"]["steps"][step]["action"]["status"], "sent");
        all_well(call)
    });
    let life = life(engine, caller, Settings::default(), vec![two_steps()]).await;
    assert_eq!(life.sagas.start(request("k")).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_and_body_joins_and_another_body_is_refused() {
    let caller = Scripted::new(b_fails);
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let (first, second) = tokio::join!(life.sagas.start(request("k")), life.sagas.start(request("\"k\"")));
    assert_eq!(
        read(&first),
        (
            409,
            json!({ "title": "Cancelled", "reason": "out_of_stock", "status": 409 })
        )
    );
    assert_eq!(first.headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!((read(&second), second.saga), (read(&first), first.saga));
    let later = life.sagas.start(request("k")).await;
    assert_eq!(
        (read(&later), later.saga),
        (read(&first), first.saga),
        "the answer is kept"
    );
    assert_eq!(caller.paths().len(), 3, "one saga ran: a, b, a undone");

    let other_body = life
        .sagas
        .start(StartRequest {
            body: r#"{"items":[3]}"#.into(),
            ..request("k")
        })
        .await;
    assert_eq!(
        (other_body.status.as_u16(), other_body.code.expect("a code").to_string()),
        (422, "SG-006".into())
    );
    let other_subject = life
        .sagas
        .start(StartRequest {
            scope: ondol_saga::start::scope(&["shop", "bert", "place"]),
            ..request("k")
        })
        .await;
    assert_ne!(other_subject.saga, first.saga);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_does_not_fit_is_refused_before_anything_is_written() {
    let life = life(
        MemoryEngine::new(),
        Scripted::new(all_well),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let refused = [
        (
            StartRequest {
                saga: "other".parse().expect("a name"),
                ..request("k")
            },
            404,
            "SG-003",
        ),
        (
            StartRequest {
                key: None,
                ..request("k")
            },
            400,
            "SG-004",
        ),
        (request("bad key"), 400, "SG-005"),
        (
            StartRequest {
                body: "{".into(),
                ..request("k")
            },
            400,
            "SG-007",
        ),
        (
            StartRequest {
                body: r#"{"items":[1,"x"]}"#.into(),
                ..request("k")
            },
            400,
            "SG-007",
        ),
        (
            StartRequest {
                auth: None,
                ..request("k")
            },
            400,
            "SG-007",
        ),
        (
            StartRequest {
                body: format!("{{\"items\":[{}1]}}", "1,".repeat(600_000)).into(),
                ..request("k")
            },
            413,
            "SG-008",
        ),
    ];
    for (request, status, code) in refused {
        let answer = life.sagas.start(request).await;
        let (got, body) = read(&answer);
        assert_eq!((got, body["code"].as_str()), (status, Some(code)));
    }
    let wrong_item = life
        .sagas
        .start(StartRequest {
            body: r#"{"items":[1,"x"]}"#.into(),
            ..request("k")
        })
        .await;
    assert_eq!(read(&wrong_item).1["pointer"], "/items/1");
    assert!(life.engine.table(Table::Saga).is_empty() && life.engine.table(Table::StartKey).is_empty());
    let keyless = life
        .sagas
        .start(StartRequest {
            key: None,
            key_required: false,
            ..request("k")
        })
        .await;
    assert_eq!(keyless.status, 201);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_answered_at_its_time_once_it_may_be_seen_and_the_key_joins_later() {
    let caller = Scripted::new(|call| {
        if call.path.starts_with("/b/") {
            says_with(503, &[("retry-after", "30")], json!({}))
        } else {
            all_well(call)
        }
    });
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let began = tokio::time::Instant::now();
    let waiting = life.sagas.start(request("k")).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    let id = waiting.saga.expect("an id");
    assert_eq!(
        read(&waiting),
        (202, json!({ "id": id.to_string(), "status": "pending" }))
    );
    caller.now_says(all_well);
    let joined = life
        .sagas
        .start(StartRequest {
            wait: Duration::from_secs(60),
            ..request("k")
        })
        .await;
    assert_eq!((joined.status.as_u16(), joined.saga), (201, Some(id)));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_seen_in_time_is_a_503_with_the_saga() {
    let caller = Scripted::new(|_| None);
    let life = life(MemoryEngine::new(), caller, Settings::default(), vec![two_steps()]).await;
    let began = tokio::time::Instant::now();
    let answer = life.sagas.start(request("k")).await;
    assert_eq!(began.elapsed().as_secs(), 15);
    let (status, body) = read(&answer);
    assert_eq!(
        (status, body["code"].as_str(), body["saga"].as_str()),
        (503, Some("SG-010"), answer.saga.map(|id| id.to_string()).as_deref())
    );
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_attempt_in_doubt_is_made_again_under_the_next_epoch() {
    let caller = Scripted::new(|call| {
        if call.path.starts_with("/b/") {
            None
        } else {
            all_well(call)
        }
    });
    let first = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let waiting = first.sagas.start(request("k")).await;
    assert_eq!(waiting.status, 202);
    let next = first.engine.crash();
    first.tasks.stop();
    first.tasks.ended().await;

    caller.now_says(all_well);
    // The definition is gone; the saga keeps the one that it was started with.
    let second = life(next, caller.clone(), Settings::default(), vec![]).await;
    let id = waiting.saga.expect("an id");
    until(|| async { second.sagas.show(id).await.expect("shown").summary.state == "done" }).await;
    let calls = caller.calls.lock().expect("not poisoned").clone();
    let last = calls.last().expect("calls were made");
    let b_calls = calls.iter().filter(|call| call.path.starts_with("/b/")).count();
    assert_eq!(last.headers["ondol-attempt"], format!("2.{b_calls}"));
    assert_eq!(
        last.headers["idempotency-key"],
        calls[calls.len() - 2].headers["idempotency-key"]
    );
    let known = second.sagas.start(request("k")).await;
    assert_eq!(known.status, 201, "its starter gets its answer all the same");
    let other_body = StartRequest {
        body: "{}".into(),
        ..request("k")
    };
    assert_eq!(second.sagas.start(other_body).await.status, 422);
    assert_eq!(
        second.sagas.start(request("new")).await.status,
        404,
        "nobody may start it any more"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_sagas_are_found_beyond_a_page_that_ends_by_bytes() {
    const SAGAS: u64 = 20; // Sixteen of them fill a page.
    let settings = Settings {
        visible_wait: Duration::ZERO,
        ..Settings::default()
    };
    let hangs = Scripted::new(|_| None);
    let first = life(MemoryEngine::new(), hangs, settings, vec![two_steps()]).await;
    let note = "x".repeat(1_048_000);
    for n in 0..SAGAS {
        let start = StartRequest {
            body: format!(r#"{{"items":[1],"note":"{note}"}}"#).into(),
            wait: Duration::ZERO,
            ..request(&format!("k{n}"))
        };
        assert!(first.sagas.start(start).await.saga.is_some());
    }
    let survives = first.engine.crash();
    first.tasks.stop();
    first.tasks.ended().await;
    let next = life(survives, Scripted::new(all_well), settings, vec![two_steps()]).await;
    let phases = next.sagas.stats().await.expect("figures").phases;
    assert!(phases.contains(&("running", SAGAS)), "{phases:?}");
    until(|| async {
        next.sagas
            .stats()
            .await
            .expect("figures")
            .phases
            .contains(&("done", SAGAS))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_saga_leaves_memory_and_an_operator_brings_it_back_with_an_audit() {
    let caller = Scripted::new(|call| {
        if call.path.starts_with("/b/") {
            says(404, json!({}))
        } else {
            all_well(call)
        }
    });
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![two_steps()],
    )
    .await;
    let id = life.sagas.start(request("k")).await.saga.expect("an id");
    let parked = life
        .sagas
        .list(ListQuery {
            state: Some(Phase::Parked),
            ..ListQuery::default()
        })
        .await
        .expect("listed")
        .items;
    assert_eq!(
        (
            parked.len(),
            parked[0].id.clone(),
            parked[0].step.as_str(),
            parked[0].wake_at
        ),
        (1, id.to_string(), "b", None)
    );
    until(|| async { life.sagas.stats().await.expect("figures").active == 0 }).await;

    caller.now_says(all_well);
    let refused = life.sagas.act(id, Action::Resume, "eve").await;
    assert!(matches!(refused, Err(SagaError::Refused(_))), "{refused:?}");
    assert_eq!(
        life.sagas
            .act(id, Action::Retry { step: None }, "eve")
            .await
            .expect("accepted"),
        Phase::Running
    );
    until(|| async { life.sagas.show(id).await.expect("shown").summary.state == "done" }).await;
    let ended = life.sagas.act(id, Action::Pause, "eve").await;
    assert!(matches!(ended, Err(SagaError::Refused(_))), "{ended:?}");

    let audit = life.engine.table(Table::Audit);
    let entry: serde_json::Value = serde_json::from_slice(&audit[0].body).expect("JSON");
    assert_eq!(
        (audit.len(), entry["who"].as_str(), entry["action"].as_str()),
        (1, Some("eve"), Some("retry"))
    );
    let view = serde_json::to_value(life.sagas.show(id).await.expect("shown")).expect("JSON");
    let history: Vec<&str> = view["history"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["e"].as_str())
        .collect();
    assert_eq!(
        history,
        [
            "started", "sent", "answered", "sent", "answered", "held", "operator", "sent", "answered", "ended"
        ]
    );
    let unknown = life
        .sagas
        .act(SagaId(uuid::Uuid::from_u128(7)), Action::Pause, "eve")
        .await;
    assert!(matches!(unknown, Err(SagaError::NotFound(_))), "{unknown:?}");
}
