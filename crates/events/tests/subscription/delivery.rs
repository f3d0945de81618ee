//! What arrives, when and in which order, whatever the subscriber does.

use crate::system::{Life, System, assert_complete, event, pulled, pushed, until};
use ondol_core::caller::CallError;
use ondol_core::engine::Expected;
use ondol_events::subscription::phase::Mode;
use ondol_events::subscription::{Begin, Retry, Subscription};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

type Test = (System, Life);

async fn start(config: Subscription) -> Test {
    let system = System::new();
    let life = system.life().await;
    life.subscribe(config).await;
    (system, life)
}

fn count(pairs: &[(&str, usize)]) -> HashMap<String, usize> {
    pairs.iter().map(|(key, count)| ((*key).into(), *count)).collect()
}

#[tokio::test]
async fn events_arrive_in_order_with_their_headers_and_the_position_follows() {
    let (system, life) = start(pushed()).await;
    life.append(&["order-1", "order-2", "order-1", "other-1"]).await;
    life.drained().await;
    assert_eq!(system.subscriber.ids_of("order-1"), ["order-1#0", "order-1#1"]);
    assert_eq!(system.subscriber.count(), 4, "types decide, not streams");
    let first = &system.subscriber.got()[0];
    for (name, value) in [
        ("ce-type", "order.placed.v1"),
        ("ce-position", "1"),
        ("ondol-subscription", "points.orders"),
        ("ondol-attempt", "1.1"),
        ("idempotency-key", "\"order-1%230\""),
    ] {
        let found = first.headers.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(found.to_str().expect("a text").replace('#', "%23"), value, "{name}");
    }
    assert_eq!(&*first.body, br#"{"id":"order-1#0"}"#);
    let view = life.view().await;
    assert_eq!((view.position, view.delivered, view.state), (4, 4, Mode::Running));
}

#[tokio::test]
async fn only_what_comes_after_it_was_declared_where_it_begins_now() {
    let system = System::new();
    let life = system.life().await;
    life.append(&["order-1"]).await;
    life.subscribe(Subscription {
        from: Begin::Now,
        ..pushed()
    })
    .await;
    until("it is taken up", || async {
        (life.view().await.position == 1).then_some(())
    })
    .await;
    life.append(&["order-2"]).await;
    life.drained().await;
    assert_eq!(system.subscriber.ids(), ["order-2#0"]);
}

#[tokio::test]
async fn a_key_that_fails_is_tried_again_in_order_and_others_go_on() {
    let (system, life) = start(pushed()).await;
    let failures = Arc::new(AtomicUsize::new(0));
    let seen = failures.clone();
    system.subscriber.answers(move |got| {
        let fails = got.key == "order-1" && seen.fetch_add(1, Ordering::Relaxed) < 2;
        Ok(if fails { 500 } else { 204 })
    });
    life.append(&["order-1", "order-1", "order-2", "order-1", "order-2"])
        .await;
    life.drained().await;
    assert_eq!(
        system.subscriber.ids_of("order-1"),
        ["order-1#0", "order-1#0", "order-1#0", "order-1#1", "order-1#2"]
    );
    assert_eq!(system.subscriber.ids_of("order-2"), ["order-2#0", "order-2#1"]);
}

#[tokio::test]
async fn nonsense_slowness_and_resets_are_failures_of_their_key_alone() {
    let mut config = pushed();
    config.timeout = Duration::from_millis(50);
    let (system, life) = start(config).await;
    system.subscriber.behaves(|got| match got.key.as_str() {
        "order-hang" => Box::pin(std::future::pending()),
        "order-reset" => Box::pin(async { Err(CallError::Unknown("reset".into())) }),
        "order-odd" => Box::pin(async { Ok(302) }),
        _ => Box::pin(async { Ok(200) }),
    });
    life.append(&[
        "order-hang",
        "order-reset",
        "order-odd",
        "order-1",
        "order-2",
        "order-hang",
    ])
    .await;
    life.parked(3).await;
    assert_eq!(life.view().await.parked_events, 4);
    assert_complete(&system.subscriber, &count(&[("order-1", 1), ("order-2", 1)]));
}

#[tokio::test]
async fn while_the_service_is_away_nothing_is_counted_and_all_arrives_when_it_is_back() {
    let (system, life) = start(pushed()).await;
    let is_away = Arc::new(AtomicBool::new(true));
    let away = is_away.clone();
    system.subscriber.answers(move |_| {
        if away.load(Ordering::Relaxed) {
            return Err(CallError::NotSent("connection_refused".into()));
        }
        Ok(204)
    });
    life.append_to("order-1", 3).await;
    life.append_to("order-2", 3).await;
    until("waiting", || async {
        (life.view().await.state == Mode::Waiting).then_some(())
    })
    .await;
    // More probes than a key has attempts.
    until("probes", || async { (system.subscriber.count() > 4).then_some(()) }).await;
    is_away.store(false, Ordering::Relaxed);
    life.drained().await;
    assert_eq!(life.view().await.parked_keys, 0);
    assert_complete(&system.subscriber, &count(&[("order-1", 3), ("order-2", 3)]));
}

#[tokio::test]
async fn a_wrong_path_is_shown_until_another_manifest_comes() {
    let (system, life) = start(pushed()).await;
    system.subscriber.answers(|_| Ok(404));
    life.append(&["order-1"]).await;
    let view = until("misconfigured", || async {
        Some(life.view().await).filter(|view| view.state == Mode::Misconfigured)
    })
    .await;
    assert_eq!(view.reason.as_deref(), Some("answered 404 Not Found"));
    system.subscriber.answers(|_| Ok(204));
    life.subscribe(Subscription {
        push: Some("/other".into()),
        ..pushed()
    })
    .await;
    life.drained().await;
}

#[tokio::test]
async fn a_delayed_event_comes_at_its_time_and_holds_nobody() {
    let (system, life) = start(pushed()).await;
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let mut late = event("late");
    late.extensions.insert("deliverat".into(), at.to_string().into());
    life.streams
        .append(&"order-1".parse().expect("a name"), Expected::Any, vec![late])
        .await
        .expect("appended");
    life.append(&["order-2"]).await;
    until("delayed", || async {
        (life.view().await.delayed_keys == 1).then_some(())
    })
    .await;
    until("the other", || async {
        (system.subscriber.ids() == ["order-2#0"]).then_some(())
    })
    .await;
    life.drained().await;
    assert_eq!(system.subscriber.ids(), ["order-2#0", "late"]);
    assert!(jiff::Timestamp::now() >= at);
}

#[tokio::test]
async fn after_a_crash_nothing_is_lost_and_the_order_holds() {
    // Enough attempts that no key is parked by bad luck.
    let retry = Retry {
        attempts: 1_000,
        ..pushed().retry
    };
    let config = Subscription { retry, ..pushed() };
    let (system, mut life) = start(config.clone()).await;
    let answers = Arc::new(AtomicUsize::new(0));
    // Every seventh attempt fails, so that rows come and go.
    let seen = answers.clone();
    system.subscriber.answers(move |_| {
        Ok(if seen.fetch_add(1, Ordering::Relaxed) % 7 == 3 {
            500
        } else {
            204
        })
    });
    let mut appended = HashMap::new();
    for round in 1..=5 {
        let before = system.subscriber.count();
        for key in 0..10 {
            let stream = format!("order-{key}");
            life.append_to(&stream, 20).await;
            appended.insert(stream, round * 20);
        }
        until("some", || async {
            (system.subscriber.count() >= before + 30).then_some(())
        })
        .await;
        life.crash().await;
        life = system.life().await;
        life.subscribe(config.clone()).await;
    }
    life.drained().await;
    assert_complete(&system.subscriber, &appended);
}

#[tokio::test]
async fn a_restart_after_a_quiet_moment_repeats_nothing() {
    let (system, life) = start(pushed()).await;
    life.append_to("order-1", 50).await;
    life.drained().await;
    let written = || async {
        let row = life
            .engine
            .row(ondol_core::engine::Table::Subscription, "points.orders".into())
            .await;
        let body = row.expect("read").expect("there").body;
        String::from_utf8_lossy(&body)
            .contains(r#""position":50,"delivered":50"#)
            .then_some(())
    };
    until("the position is written", written).await;
    life.crash().await;
    let life = system.life().await;
    life.subscribe(pushed()).await;
    life.append(&["order-1"]).await;
    life.drained().await;
    assert_eq!(system.subscriber.count(), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_100_000_is_caught_up_in_order() {
    let system = System::new();
    let life = system.life().await;
    let mut appended = HashMap::new();
    for key in 0..100 {
        let stream = format!("order-{key}");
        life.append_to(&stream, 1_000).await;
        appended.insert(stream, 1_000);
    }
    life.subscribe(Subscription {
        parallel: 64,
        ..pushed()
    })
    .await;
    life.drained().await;
    assert_eq!(system.subscriber.count(), 100_000, "each once, since nothing failed");
    let mut next: HashMap<String, usize> = HashMap::new();
    for got in system.subscriber.got() {
        let n = next.entry(got.key.clone()).or_default();
        assert_eq!(got.id, format!("{}#{n}", got.key));
        *n += 1;
    }
    assert_eq!(next, appended);
}

#[tokio::test]
async fn what_is_not_declared_any_more_ends_and_goes_on_where_it_was() {
    let (system, life) = start(pushed()).await;
    life.append(&["order-1"]).await;
    life.drained().await;
    life.subscriptions.set(vec![]).await;
    assert!(life.subscriptions.list().await.is_empty());
    life.append(&["order-1"]).await;
    life.subscribe(pushed()).await;
    life.drained().await;
    assert_eq!(system.subscriber.ids(), ["order-1#0", "order-1#1"]);
    // From pushed to pulled, it goes on as well.
    life.subscribe(pulled()).await;
    life.append(&["order-1"]).await;
    let got = life
        .subscriptions
        .pull(&crate::system::name(), 10, Duration::from_secs(30), None)
        .await
        .expect("pulled");
    assert_eq!(got.len(), 1);
}
