//! What is bounded, and what happens at each bound: disk, places, calls of a service, history. Virtual time.

mod support;

use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::engine::{Engine, Write};
use ondol_saga::phase::Phase;
use ondol_saga::query::ListQuery;
use ondol_saga::{Settings, StartRequest};
use ondol_testkit::engine::MemoryEngine;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Scripted, all_well, life, request, two_steps, until};

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_starts_and_delays_what_runs() {
    let engine = MemoryEngine::new();
    let disk = engine.clone();
    let caller = Scripted::new(move |call| {
        disk.set_full(call.path.starts_with("/a/"));
        all_well(call)
    });
    let life = life(engine, caller, Settings::default(), vec![two_steps()]).await;
    let sagas = life.sagas.clone();
    let (first, ()) = tokio::join!(sagas.start(request("k")), async {
        until(|| async { life.sagas.start(request("other")).await.status == 503 }).await;
        life.engine.set_full(false);
    });
    assert_eq!(first.status, 201, "the saga went on when there was space");
}

#[tokio::test(start_paused = true)]
async fn with_every_place_taken_a_start_is_refused_and_sagas_that_wait_give_theirs_back() {
    let settings = Settings {
        active: 2,
        place_wait: Duration::ZERO,
        ..Settings::default()
    };
    let caller = Scripted::new(|_| Some(Err(CallError::NotSent("refused".into()))));
    let life = life(MemoryEngine::new(), caller.clone(), settings, vec![two_steps()]).await;
    let short = |key: &str| StartRequest {
        wait: Duration::ZERO,
        ..request(key)
    };
    for key in ["k1", "k2", "k3", "k4"] {
        let answer = life.sagas.start(short(key)).await;
        assert_eq!(answer.code.expect("not visible").to_string(), "SG-010");
    }
    caller.now_says(|_| None);
    // Two that hang take both places; a start with a new key then finds none.
    for n in 5.. {
        let answer = life.sagas.start(short(&format!("k{n}"))).await;
        if answer.code.is_some_and(|code| code.as_str() == "SG-009") {
            break;
        }
        assert!(n < 20, "places never run out");
    }
    let joined = life.sagas.start(short("k1")).await;
    assert_eq!(
        joined.code.expect("not visible").to_string(),
        "SG-010",
        "a known key needs no place"
    );
    caller.now_says(all_well);
    until(|| async {
        life.sagas
            .stats()
            .await
            .expect("figures")
            .phases
            .contains(&("running", 0))
    })
    .await;
    let done = life.sagas.list(ListQuery {
        definition: Some("two".into()),
        state: Some(Phase::Done),
        limit: 3,
        ..ListQuery::default()
    });
    let done = done.await.expect("listed").items;
    assert!(
        done.len() == 3 && done[0].id > done[1].id,
        "newest first, as many as asked"
    );
    let size = life.engine.size().await.expect("known");
    assert_eq!(size.rows[2], size.rows[0], "a start key for each saga");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_is_part_of_an_attempts_timeout() {
    let settings = Settings {
        calls_per_service: 1,
        ..Settings::default()
    };
    // The first holds the one place for two seconds, the second then has three of its five left.
    let caller = Slow(Arc::default());
    let life = life(MemoryEngine::new(), caller.clone(), settings, vec![two_steps()]).await;
    let start = |key: &str| {
        life.sagas.start(StartRequest {
            wait: Duration::ZERO,
            ..request(key)
        })
    };
    let _answers = futures_util::join!(start("k1"), start("k2"));
    let timeouts = caller.0.lock().expect("not poisoned").clone();
    assert_eq!(
        timeouts[..2],
        [Duration::from_secs(5), Duration::from_secs(3)],
        "{timeouts:?}"
    );
    assert!(
        timeouts.iter().all(|timeout| *timeout >= Duration::from_millis(2_500)),
        "{timeouts:?}"
    );
}

/// Answers after two seconds, and remembers how long it was allowed to take.
#[derive(Clone)]
struct Slow(Arc<Mutex<Vec<Duration>>>);

impl HttpCaller for Slow {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        self.0.lock().expect("not poisoned").push(call.timeout);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            all_well(&call).expect("an answer")
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_shown_page_by_page_and_says_where_it_is_cut() {
    let settings = Settings {
        history: 3_500,
        ..Settings::default()
    };
    let life = life(
        MemoryEngine::new(),
        Scripted::new(all_well),
        settings,
        vec![two_steps()],
    )
    .await;
    let id = life.sagas.start(request("k")).await.saga.expect("an id");
    let first = life
        .engine
        .records(id.to_string(), 0, 1)
        .await
        .expect("reads")
        .remove(0);
    // With those of its own course the saga has so many records.
    for (more, last, cut) in [(0, 3, false), (3_497, 3_500, false), (1, 3_500, true)] {
        let write = Write {
            records: vec![first.record.clone(); more],
            ..Write::default()
        };
        life.engine.commit(write).await.expect("commits");
        let view = life.sagas.show(id).await.expect("shown");
        let shown = view.history.last().map(|moment| moment.position);
        assert_eq!((shown, view.history_cut), (Some(last), cut));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_service_are_bounded() {
    let settings = Settings {
        calls_per_service: 3,
        ..Settings::default()
    };
    let caller = Scripted::new(|_| None);
    let life = life(MemoryEngine::new(), caller.clone(), settings, vec![two_steps()]).await;
    let starts = (0..10).map(|n| {
        life.sagas.start(StartRequest {
            wait: Duration::ZERO,
            ..request(&format!("k{n}"))
        })
    });
    let all = futures_util::future::join_all(starts);
    let (_, ()) = tokio::join!(all, async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(
            caller.paths().len(),
            3,
            "in the first timeout three are in the air and no more"
        );
    });
}
