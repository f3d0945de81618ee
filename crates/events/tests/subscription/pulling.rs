//! Pulled subscriptions: leases, groups, and what becomes of those who do not answer.

use crate::system::{Life, System, name, pulled, pushed, until};
use ondol_events::subscription::{Leased, Settled, SubscriptionError, Verdict};
use std::time::Duration;

async fn start() -> (System, Life) {
    let system = System::new();
    let life = system.life().await;
    life.subscribe(pulled()).await;
    (system, life)
}

async fn pull(life: &Life, limit: usize) -> Vec<Leased> {
    life.subscriptions
        .pull(&name(), limit, Duration::from_secs(30), None)
        .await
        .expect("pulled")
}

async fn settle(life: &Life, leased: &[Leased], verdict: Verdict) -> Settled {
    let leases = leased.iter().map(|one| one.lease.clone()).collect();
    life.subscriptions
        .settle(&name(), leases, verdict)
        .await
        .expect("settled")
}

fn ids(leased: &[Leased]) -> Vec<String> {
    let id = |one: &Leased| {
        serde_json::from_str::<serde_json::Value>(one.event.get()).expect("JSON")["id"]
            .as_str()
            .map(Into::into)
    };
    leased.iter().filter_map(id).collect()
}

fn nack(delay: Option<Duration>, reject: bool) -> Verdict {
    Verdict::Nack {
        delay,
        reject,
        reason: "not now".into(),
    }
}

#[tokio::test]
async fn one_key_is_leased_to_one_member_at_a_time() {
    let (_system, life) = start().await;
    life.append(&["order-1", "order-1", "order-2"]).await;
    until("read", || async { (life.view().await.head == 3).then_some(()) }).await;
    let (one, two) = (pull(&life, 1).await, pull(&life, 10).await);
    assert_eq!(
        (ids(&one), ids(&two)),
        (vec!["order-1#0".into()], vec!["order-2#0".into()])
    );
    assert_eq!(settle(&life, &one, Verdict::Ack).await.settled, 1);
    assert_eq!(ids(&pull(&life, 10).await), ["order-1#1"]);
    assert_eq!(
        settle(&life, &one, Verdict::Ack).await.unknown,
        [one[0].lease.clone()],
        "twice says nothing"
    );
}

#[tokio::test]
async fn an_event_that_is_given_back_comes_again_and_a_rejected_one_is_a_dead_letter() {
    let (_system, life) = start().await;
    life.append(&["order-1"]).await;
    let first = pull(&life, 1).await;
    settle(&life, &first, nack(Some(Duration::from_millis(1)), false)).await;
    let again = pull(&life, 1).await;
    assert_eq!(ids(&again), ["order-1#0"]);
    settle(&life, &again, nack(None, true)).await;
    life.parked(1).await;
    let view = || async { life.subscriptions.key(&name(), "order-1").await.ok() };
    let letter = until("the row", view).await.view;
    assert_eq!(letter.error.as_deref(), Some("not now"));
}

#[tokio::test]
async fn a_lease_that_ends_gives_the_event_to_another() {
    let (_system, life) = start().await;
    life.append(&["order-1"]).await;
    let lease = Some(Duration::from_secs(1));
    let first = life
        .subscriptions
        .pull(&name(), 1, Duration::from_secs(30), lease)
        .await
        .expect("pulled");
    let again = pull(&life, 1).await;
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(settle(&life, &first, Verdict::Ack).await.unknown.len(), 1, "too late");
    assert_eq!(settle(&life, &again, Verdict::Ack).await.settled, 1);
}

#[tokio::test]
async fn a_wait_ends_with_the_event_and_a_member_that_went_away_loses_nothing() {
    let (_system, life) = start().await;
    let nobody = life
        .subscriptions
        .pull(&name(), 1, Duration::ZERO, None)
        .await
        .expect("pulled");
    assert!(nobody.is_empty());
    // Goes away while it waits.
    let name = name();
    let gone = life.subscriptions.pull(&name, 1, Duration::from_secs(30), None);
    assert!(tokio::time::timeout(Duration::from_millis(50), gone).await.is_err());
    let (waiting, ()) = tokio::join!(pull(&life, 1), life.append(&["order-1"]));
    assert_eq!(ids(&waiting), ["order-1#0"]);
}

#[tokio::test]
async fn a_pushed_subscription_cannot_be_pulled() {
    let (_system, life) = start().await;
    life.subscribe(pushed()).await;
    let refused = life.subscriptions.pull(&name(), 1, Duration::ZERO, None).await;
    assert!(matches!(refused, Err(SubscriptionError::Pushes(_))), "{refused:?}");
}

#[tokio::test]
async fn leases_of_an_earlier_life_are_unknown_and_their_events_come_again() {
    let (system, life) = start().await;
    life.append(&["order-1"]).await;
    let old = pull(&life, 1).await;
    life.crash().await;
    let life = system.life().await;
    life.subscribe(pulled()).await;
    let again = pull(&life, 1).await;
    assert_eq!(ids(&again), ["order-1#0"]);
    assert_eq!(settle(&life, &old, Verdict::Ack).await.unknown.len(), 1);
    assert_eq!(settle(&life, &again, Verdict::Ack).await.settled, 1);
}

#[tokio::test]
async fn leases_of_a_subscription_that_was_taken_away_acknowledge_nothing_when_it_comes_back() {
    let (_system, life) = start().await;
    life.append(&["order-1"]).await;
    let old = pull(&life, 1).await;
    life.subscriptions.set(Vec::new()).await;
    life.subscribe(pulled()).await;
    let again = pull(&life, 1).await;
    assert_eq!(ids(&again), ["order-1#0"]);
    assert_eq!(settle(&life, &old, Verdict::Ack).await.unknown, [old[0].lease.clone()]);
    assert_eq!(settle(&life, &again, Verdict::Ack).await.settled, 1);
}
