//! Dead letters: what an operator sees and does, and what the audit says of it.

use crate::system::{Life, System, name, operator, pushed, until};
use ondol_core::engine::{Order, RowFilter, Table};
use ondol_events::subscription::phase::{KeyState, Mode};
use ondol_events::subscription::{Act, Action, KeyAction, RedriveRequest, SubscriptionError};

async fn parked() -> (System, Life) {
    let system = System::new();
    let life = system.life().await;
    life.subscribe(pushed()).await;
    system.subscriber.answers(|got| {
        Ok(if got.key == "order-1" || got.key == "order-3" {
            422
        } else {
            204
        })
    });
    life.append(&["order-1", "order-2", "order-1", "order-3", "order-2"])
        .await;
    life.parked(2).await;
    until("the second of order-1", || async {
        (life.view().await.parked_events == 3).then_some(())
    })
    .await;
    // Lists are read from the store, which is a moment behind.
    let written = || async {
        let keys = life
            .subscriptions
            .keys(&name(), Some(KeyState::Parked), None, 10)
            .await
            .expect("listed");
        (keys.iter().map(|key| key.events).sum::<usize>() == 3).then_some(())
    };
    until("the rows", written).await;
    system.subscriber.forget();
    (system, life)
}

async fn audit(life: &Life) -> Vec<String> {
    let rows = life
        .engine
        .rows(Table::Audit, RowFilter::default(), Order::Ascending, None, 100)
        .await;
    rows.expect("read")
        .into_iter()
        .map(|row| String::from_utf8_lossy(&row.body).into_owned())
        .collect()
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_with_their_events() {
    let (_system, life) = parked().await;
    let list = |after| {
        let subscriptions = life.subscriptions.clone();
        async move {
            subscriptions
                .keys(&name(), Some(KeyState::Parked), after, 1)
                .await
                .expect("listed")
        }
    };
    let first = list(None).await.remove(0);
    assert_eq!((&*first.key, first.events, first.attempts), ("order-1", 2, 1));
    assert!(
        first
            .error
            .as_deref()
            .is_some_and(|why| why.starts_with("answered 422")),
        "{:?}",
        first.error
    );
    let event = first.first.expect("the event");
    assert_eq!(
        (event.position, event.id.as_str(), event.kind.as_str()),
        (1, "order-1#0", "order.placed.v1")
    );
    assert_eq!(&*list(Some("order-1")).await[0].key, "order-3");
    assert!(list(Some("order-3")).await.is_empty());
    let shown = life.subscriptions.key(&name(), "order-1").await.expect("shown");
    let ids: Vec<_> = shown
        .queue
        .iter()
        .map(|one| one.event.get().contains("order-1#"))
        .collect();
    assert_eq!(ids, [true, true]);
    assert!(matches!(
        life.subscriptions.key(&name(), "order-2").await,
        Err(SubscriptionError::Refused(_))
    ));
}

#[tokio::test]
async fn a_redrive_delivers_everything_in_order_and_a_dry_run_nothing() {
    let (system, life) = parked().await;
    system.subscriber.answers(|_| Ok(204));
    let request = |dry_run| RedriveRequest {
        dry_run,
        rate: Some(1_000.0),
        ..RedriveRequest::default()
    };
    let dry = life
        .subscriptions
        .redrive(&name(), request(true), operator())
        .await
        .expect("counted");
    assert_eq!((dry.keys, dry.events, dry.dry_run), (2, 3, true));
    assert_eq!(audit(&life).await.len(), 0);
    let done = life
        .subscriptions
        .redrive(&name(), request(false), operator())
        .await
        .expect("redriven");
    assert_eq!((done.keys, done.events), (2, 3));
    life.drained().await;
    assert_eq!(system.subscriber.ids_of("order-1"), ["order-1#0", "order-1#1"]);
    assert_eq!(system.subscriber.ids_of("order-3"), ["order-3#0"]);
    let audit = audit(&life).await;
    assert!(
        audit.len() == 1 && audit[0].contains(r#""action":"redrive""#) && audit[0].contains("a test"),
        "{audit:?}"
    );
}

#[tokio::test]
async fn a_redrive_takes_the_keys_and_the_type_that_it_names() {
    let (system, life) = parked().await;
    system.subscriber.answers(|_| Ok(204));
    let of = |kind: &str| RedriveRequest {
        kind: Some(kind.into()),
        ..RedriveRequest::default()
    };
    let none = life
        .subscriptions
        .redrive(&name(), of("user.gone.v1"), operator())
        .await
        .expect("counted");
    assert_eq!(none.keys, 0);
    let one = RedriveRequest {
        keys: Some(vec!["order-3".into(), "order-9".into()]),
        ..of("order.placed.v1")
    };
    assert_eq!(
        life.subscriptions
            .redrive(&name(), one, operator())
            .await
            .expect("redriven")
            .keys,
        1
    );
    life.parked(1).await;
    until("order-3", || async {
        (system.subscriber.ids() == ["order-3#0"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redrive_keeps_its_rate() {
    let (system, life) = parked().await;
    system.subscriber.answers(|_| Ok(204));
    let slow = RedriveRequest {
        rate: Some(0.001),
        ..RedriveRequest::default()
    };
    life.subscriptions
        .redrive(&name(), slow, operator())
        .await
        .expect("redriven");
    until("the first key", || async {
        (system.subscriber.count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        system.subscriber.ids(),
        ["order-1#0", "order-1#1"],
        "order-3 waits its turn, far off"
    );
    let waiting = life.subscriptions.key(&name(), "order-3").await.expect("shown");
    assert_eq!(waiting.view.state, KeyState::Retrying);
}

#[tokio::test]
async fn an_edited_event_arrives_edited_and_a_skipped_one_never() {
    let (system, life) = parked().await;
    let edit = KeyAction::Edit {
        position: 1,
        data: r#"{"id":"mended"}"#.into(),
    };
    life.subscriptions
        .act_on_key(&name(), "order-1", edit, operator())
        .await
        .expect("edited");
    let skip = KeyAction::Skip { position: 4 };
    system.subscriber.answers(|_| Ok(204));
    life.subscriptions
        .act_on_key(&name(), "order-3", skip, operator())
        .await
        .expect("skipped");
    life.parked(1).await;
    // Both are durable: the next life knows them.
    life.crash().await;
    let life = system.life().await;
    life.subscribe(pushed()).await;
    life.parked(1).await;
    life.subscriptions
        .redrive(&name(), RedriveRequest::default(), operator())
        .await
        .expect("redriven");
    life.drained().await;
    let got = system.subscriber.got();
    assert!(got.iter().all(|got| got.key != "order-3"), "skipped for good");
    let mended = got.iter().find(|got| got.id == "order-1#0").expect("delivered");
    assert_eq!(&*mended.body, br#"{"id":"mended"}"#);
    let audit = audit(&life).await.join("\n");
    for word in ["edit", "skip", "redrive"] {
        assert!(audit.contains(&format!(r#""action":"{word}""#)), "{word}: {audit}");
    }
}

#[tokio::test]
async fn pause_reset_and_resume_begin_anew_and_every_act_needs_a_reason() {
    let (system, life) = parked().await;
    let act = |action| {
        let subscriptions = life.subscriptions.clone();
        async move { subscriptions.act(&name(), action, operator()).await }
    };
    let mute = Act {
        reason: " ".into(),
        ..operator()
    };
    let refused = life.subscriptions.act(&name(), Action::Pause, mute).await;
    assert!(
        matches!(refused, Err(SubscriptionError::Invalid { what: "reason", .. })),
        "{refused:?}"
    );
    let reset = Action::Reset { position: 0 };
    assert!(
        matches!(act(reset).await, Err(SubscriptionError::Refused(_))),
        "it runs"
    );
    act(Action::Pause).await.expect("paused");
    until("idle", || async { (life.view().await.in_flight == 0).then_some(()) }).await;
    assert_eq!(life.view().await.state, Mode::Paused);
    assert!(act(Action::Reset { position: 99 }).await.is_err(), "beyond the log");
    act(reset).await.expect("reset");
    assert_eq!((life.view().await.parked_keys, life.view().await.position), (0, 0));
    system.subscriber.answers(|_| Ok(204));
    life.append(&["order-2"]).await;
    assert_eq!(system.subscriber.count(), 0);
    act(Action::Resume).await.expect("resumed");
    life.drained().await;
    assert_eq!(system.subscriber.count(), 6, "everything once more");
    assert_eq!(audit(&life).await.len(), 3);
}

#[tokio::test]
async fn a_pause_outlives_a_crash() {
    let (system, life) = parked().await;
    life.subscriptions
        .act(&name(), Action::Pause, operator())
        .await
        .expect("paused");
    life.crash().await;
    let life = system.life().await;
    life.subscribe(pushed()).await;
    assert_eq!(life.view().await.state, Mode::Paused);
    let unknown = "points.none".parse().expect("valid");
    assert!(matches!(
        life.subscriptions.show(&unknown).await,
        Err(SubscriptionError::NotFound(_))
    ));
}
