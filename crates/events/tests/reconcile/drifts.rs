//! A drift from its first sight to its end.

use crate::system::{EVERY, System, is, orders};
use ondol_core::clock::Clock;
use ondol_core::engine::Table;
use ondol_events::reconcile::ReconcileError;
use ondol_events::reconcile::State::{Fail, Pass, Unknown};
use ondol_events::reconcile::config::{Rule, Source};
use serde_json::json;
use std::time::Duration;

fn confirmed(total: u32) -> serde_json::Value {
    json!({ "status": "confirmed", "total": total })
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_vanishes_is_reported_after_two_runs_mended_once_and_gone_when_it_is_back() {
    let mut system = System::new();
    for number in 0..10 {
        system.settled("orders", &format!("o{number}"), confirmed(500));
        system.settled("charges", &format!("o{number}"), json!({ "amount": 500 }));
    }
    let life = system.life(vec![orders()]).await;
    assert_eq!(life.view().await.state, Unknown, "it has never run");
    let view = life.run().await;
    assert_eq!((view.state, view.keys, view.moving, view.suspected), (Pass, 10, 0, 0));

    system.delete("charges", "o4");
    let first = life.run().await;
    assert_eq!((first.state, first.suspected, first.drifts.len()), (Pass, 1, 0));
    let found_at = first.last_run;
    // What one life has found counts in the next.
    system.crash(life).await;
    let life = system.life(vec![orders()]).await;
    assert_eq!((life.view().await.last_run, life.view().await.suspected), (found_at, 1));
    let second = life.run().await;
    assert_eq!((second.state, second.suspected, second.reported), (Fail, 0, 1));
    let drift = &second.drifts[0];
    assert_eq!((drift.key.as_str(), drift.seen), ("o4", 2));
    assert_eq!(drift.why, ["charges: absent, expected present"]);
    assert_eq!(
        json!(drift.values),
        json!({ "charges": "absent", "orders.status": "confirmed", "orders.total": 500 })
    );
    assert_eq!(json!(drift.repair), json!({ "saga": "charge-again", "id": "saga-0" }));
    life.run().await;
    system.crash(life).await;
    let life = system.life(vec![orders()]).await;
    assert_eq!(life.run().await.drifts[0].seen, 4);
    let wishes = system.wishes();
    assert_eq!(
        (wishes.len(), &wishes[0].input),
        (1, &json!({ "order": "o4", "amount": 500 }))
    );
    assert_eq!(wishes[0].correlation, "o4");

    // As the saga does it: dated now, so it is left out of runs until it is at rest.
    system.put("charges", "o4", json!({ "amount": 500 }));
    let moving = life.run().await;
    assert_eq!((moving.state, moving.moving, moving.drifts[0].seen), (Fail, 1, 4));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(life.run().await.state, Pass);
    assert_eq!(
        system.engine.table(Table::Reconciliation).len(),
        1,
        "the run's own row is left"
    );
    // The same again is another drift, and is mended again.
    system.delete("charges", "o4");
    life.run().await;
    life.run().await;
    assert_eq!(system.wishes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_runs_by_itself_and_a_clock_that_jumps_does_not_stop_it() {
    let system = System::new();
    system.settled("charges", "o1", json!({ "amount": 5 }));
    let life = system.life(vec![orders()]).await;
    tokio::time::sleep(EVERY * 2 + Duration::from_secs(5)).await;
    let view = life.view().await;
    assert_eq!((view.state, view.drifts.len(), view.drifts[0].seen), (Fail, 1, 2));
    assert_eq!(view.drifts[0].repair, None, "this rule says nothing of a repair");
    system.clock.jump(-86_400_000);
    system.calls();
    tokio::time::sleep(EVERY * 2).await;
    assert!(!system.calls().is_empty());
    assert!(life.view().await.next_run <= system.clock.wall().plus(EVERY));
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_is_refused_is_tried_again_after_the_next_run() {
    let system = System::new();
    system.settled("orders", "o1", confirmed(5));
    system.refuses(Some("SG-002: there is no saga"));
    let life = system.life(vec![orders()]).await;
    life.run().await;
    let drift = life.run().await.drifts.remove(0);
    let refused = json!({ "saga": "charge-again", "refused": "SG-002: there is no saga" });
    assert_eq!((json!(drift.repair), system.wishes().len()), (refused, 0));
    system.refuses(None);
    let drift = life.run().await.drifts.remove(0);
    assert_eq!(json!(drift.repair), json!({ "saga": "charge-again", "id": "saga-0" }));
}

#[tokio::test(start_paused = true)]
async fn sagas_are_a_source_like_others() {
    let system = System::new();
    for number in 0..2_500 {
        let id = format!("s{number:04}");
        system.saga(&id, if number % 2 == 0 { "done" } else { "aborted" });
        // Each page is 20 ms of virtual time: the sagas come in pages too.
        if number % 2 == 0 && number != 2_000 {
            system.settled("orders", &id, confirmed(5));
        }
    }
    let mut config = orders();
    config.sources.remove("charges");
    let started = Source::Sagas("place-order".parse().expect("a name"));
    config.sources.insert("started".into(), started);
    config.rules = vec![Rule {
        when: vec![is("started.state", json!("done"))],
        expect: vec![is("orders", json!(true))],
        repair: None,
    }];
    let life = system.life(vec![config]).await;
    life.run().await;
    let view = life.run().await;
    assert_eq!(
        (view.keys, view.reported, view.drifts[0].key.as_str()),
        (2_500, 1, "s2000")
    );
    assert_eq!(view.sources["started"], "sagas of place-order");
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_can_be_changed_and_taken_away() {
    let system = System::new();
    system.settled("charges", "o1", json!({ "amount": 5 }));
    let life = system.life(vec![orders()]).await;
    life.run().await;
    life.run().await;
    let mut other = orders();
    other.every = EVERY * 2;
    life.reconciliations.set(vec![other]).await;
    let view = life.view().await;
    assert_eq!((view.every.as_str(), view.reported), ("2m", 1), "what was known stays");
    life.reconciliations.set(Vec::new()).await;
    let none = ReconcileError::NotFound("orders".into());
    assert_eq!(life.reconciliations.show("orders", None, 1).await, Err(none.clone()));
    assert_eq!(life.reconciliations.run("orders").await, Err(none));
    assert!(life.reconciliations.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn drifts_are_listed_page_by_page() {
    let system = System::new();
    for number in 0..250 {
        system.settled("charges", &format!("o{number:03}"), json!({ "amount": 5 }));
    }
    let life = system.life(vec![orders()]).await;
    life.run().await;
    life.run().await;
    let list = life.reconciliations.list().await;
    assert_eq!((list[0].reported, list[0].drifts.len()), (250, 100));
    let rest = life
        .reconciliations
        .show("orders", Some("o099".into()), 1_000)
        .await
        .expect("there");
    assert_eq!((rest.drifts.len(), rest.drifts[0].key.as_str()), (150, "o100"));
}
