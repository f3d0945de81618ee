//! A backlog is taken gently, and what comes as it comes is not held back.

use super::system::{System, event, name, operator, pushed, until};
use ondol_core::engine::Expected;
use ondol_events::subscription::Action;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};

/// Far behind.
const BACKLOG: usize = 7_000;

#[tokio::test]
async fn where_pushes_slow_each_other_down_a_backlog_goes_few_at_a_time_and_afterwards_all_places_are_used() {
    let system = System::new();
    let life = system.life().await;
    let topic = "topic-order".parse().expect("a name");
    let ids: Vec<String> = (0..BACKLOG).map(|n| format!("n{n}")).collect();
    for batch in ids.chunks(1_000) {
        let events = batch.iter().map(|id| event(id)).collect();
        life.streams
            .append(&topic, Expected::Any, events)
            .await
            .expect("appended");
    }
    // All pushes stand in one line; after the first four hundred the longest line is noted.
    let (line, waiting) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let (seen, longest) = (system.subscriber.clone(), Arc::new(AtomicUsize::new(0)));
    let noted = longest.clone();
    system.subscriber.behaves(move |_| {
        let (line, waiting) = (line.clone(), waiting.clone());
        let here = waiting.fetch_add(1, Ordering::SeqCst) + 1;
        if seen.count() > 400 {
            noted.fetch_max(here, Ordering::SeqCst);
        }
        Box::pin(async move {
            let turn = line.lock().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            waiting.fetch_sub(1, Ordering::SeqCst);
            drop(turn);
            Ok(204)
        })
    });
    let mut config = pushed();
    config.parallel = 64;
    life.subscribe(config).await;
    until("eight hundred pushes", || async {
        (system.subscriber.count() > 800).then_some(())
    })
    .await;
    let at_once = life.view().await.at_once;
    assert!((1..=24).contains(&at_once), "{at_once} of 64 allowed");
    let reset = Action::Reset { position: 0 };
    let refused = life.subscriptions.act(&name(), reset, operator()).await;
    assert!(refused.is_err(), "it runs");
    let at_once = life.view().await.at_once;
    assert!(
        (1..=24).contains(&at_once),
        "{at_once} of 64 after a reset that was refused"
    );
    let longest = longest.load(Ordering::SeqCst);
    assert!((1..=24).contains(&longest), "{longest} of 64 at once");
    system.subscriber.answers(|_| Ok(204));
    life.drained().await;

    let (gate, under_way) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, counted) = (gate.clone(), under_way.clone());
    system.subscriber.behaves(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = opened.clone();
        Box::pin(async move {
            gate.acquire().await.expect("open").forget();
            Ok(204)
        })
    });
    let more = (0..64).map(|n| event(&format!("m{n}"))).collect();
    life.streams
        .append(&topic, Expected::Any, more)
        .await
        .expect("appended");
    until("all places in use", || async {
        (under_way.load(Ordering::SeqCst) == 64).then_some(())
    })
    .await;
    gate.add_permits(64);
    life.drained().await;
}
