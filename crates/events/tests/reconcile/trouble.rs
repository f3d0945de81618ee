//! Sources that are down, slow or talk nonsense, and a store that takes nothing: nothing passes, nothing is forgotten.

use crate::system::{EVERY, Instead, System, orders};
use ondol_core::caller::CallError;
use ondol_events::reconcile::State::{Fail, Pass, Unknown};
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_compared_makes_a_run_unknown_with_the_reason() {
    let system = System::new();
    system.settled("orders", "o1", json!({ "status": "confirmed", "total": 5 }));
    let life = system.life(vec![orders()]).await;
    life.run().await;
    assert_eq!(life.run().await.state, Fail);
    let ok = |body: &str| -> Instead { Ok((200, body.as_bytes().to_vec())) };
    let unsorted = r#"{"items":[{"key":"b","at":null},{"key":"a","at":null}],"next":null}"#;
    for (instead, tries, told) in [
        (Ok((500, Vec::new())), 3, "source charges: charges answered 500"),
        (Ok((503, Vec::new())), 3, "charges answered 503"),
        (Ok((404, Vec::new())), 1, "charges answered 404"),
        (Ok((204, Vec::new())), 1, "charges answered 204"),
        (
            Err(CallError::NotSent("connection_refused".into())),
            3,
            "charges cannot be asked: connection_refused",
        ),
        (
            Err(CallError::Unknown("no answer within 10s".into())),
            3,
            "no answer within 10s",
        ),
        (ok("<html>"), 1, "charges answered nonsense: no JSON object"),
        (ok(unsorted), 1, "item 2: key \"a\" does not come after \"b\""),
        (ok("{\"items\":[],\"next\":\"x\"}"), 1, "`next` is neither"),
    ] {
        system.answers("charges", Some(instead));
        system.calls();
        let view = life.run().await;
        assert_eq!(
            (view.state, view.reported, view.drifts[0].seen),
            (Unknown, 1, 2),
            "{told}"
        );
        assert!(
            view.reason.as_deref().is_some_and(|why| why.contains(told)),
            "{:?} for {told}",
            view.reason
        );
        let asked = system.calls().iter().filter(|path| path.contains("charges")).count();
        assert_eq!(asked, tries, "{told}");
    }
    system.answers("charges", None);
    let view = life.run().await;
    assert_eq!((view.state, view.reason, view.drifts[0].seen), (Fail, None, 3));
}

#[tokio::test(start_paused = true)]
async fn after_a_run_that_could_not_be_finished_the_next_comes_soon() {
    let system = System::new();
    system.answers("charges", Some(Ok((404, Vec::new()))));
    let life = system.life(vec![orders()]).await;
    tokio::time::sleep(EVERY + Duration::from_secs(1)).await;
    assert_eq!(life.view().await.state, Unknown);
    system.answers("charges", None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(life.view().await.state, Pass);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_full_nothing_is_told_and_nothing_lost() {
    let system = System::new();
    system.settled("charges", "o1", json!({ "amount": 5 }));
    let life = system.life(vec![orders()]).await;
    life.run().await;
    system.engine.set_full(true);
    let reconciliations = life.reconciliations.clone();
    let run = tokio::join!(async { reconciliations.run("orders").await.expect("there") }, async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        system.engine.set_full(false);
    });
    let (view, ended) = run.0;
    assert_eq!((view.reported, ended), (1, true));
}
