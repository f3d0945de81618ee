//! What is read of the event log: by stream, by type, family, flow, id and place, both ways, while others write.

use crate::support::{Bench, append, event, stream, together};
use ondol_core::engine::{
    Append, Expected, Guard, KindInfo, NewEvent, Order, Pattern, Selector, SharedEngine, StoreError, StoredEvent,
    Wanted, Write,
};
use ondol_core::entropy::{Entropy, SeededEntropy};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const BOTH: [Order; 2] = [Order::Ascending, Order::Descending];

fn ids(events: &[StoredEvent]) -> String {
    events.iter().map(|stored| stored.event.id.as_str()).collect()
}

pub async fn a_stream_is_read_from_any_revision_both_ways(bench: Bench) {
    let engine = bench.open().await;
    for (name, id) in [
        ("order-1", "1"),
        ("cart-1", "2"),
        ("order-2", "3"),
        ("order-1", "4"),
        ("order-1", "5"),
    ] {
        engine
            .commit(append(name, Expected::Any, &[id]))
            .await
            .expect("commits");
    }
    let (up, down) = (Order::Ascending, Order::Descending);
    for (from, order, limit, claim) in [
        (0, up, 9, "145"),
        (1, up, 9, "45"),
        (3, up, 9, ""),
        (0, up, 1, "1"),
        (u64::MAX, up, 9, ""),
        (u64::MAX, down, 9, "541"),
        (1, down, 9, "41"),
        (2, down, 2, "54"),
    ] {
        let events = engine
            .stream(stream("order-1"), from, order, limit)
            .await
            .expect("reads");
        assert_eq!(ids(&events), claim, "{from} {order:?} {limit}");
    }
    assert!(
        engine
            .stream(stream("order-3"), 0, up, 9)
            .await
            .expect("reads")
            .is_empty()
    );
}

/// One event of a few families, types and flows.
fn random_append(dice: &SeededEntropy, id: usize) -> Write {
    let kinds = [
        "order.placed.v1",
        "order.confirmed.v1",
        "order",
        "orders.v2",
        "user.registered.v1",
    ];
    let flow = dice.below(4);
    let event = NewEvent {
        kind: kinds[dice.below(5) as usize].into(),
        correlation: (flow > 0).then(|| format!("flow-{flow}")),
        ..event(&format!("e{id}"))
    };
    let name = ["order-1", "order-2", "cart-1", "topic-x"][dice.below(4) as usize];
    Write {
        appends: vec![Append {
            stream: stream(name),
            expected: Expected::Any,
            events: vec![event],
        }],
        ..Write::default()
    }
}

fn random_wanted(dice: &SeededEntropy) -> Wanted {
    let selector = || {
        let kinds = [
            "order.placed.v1",
            "order",
            "order.*",
            "order*",
            "u*",
            "*",
            "nobody.*",
            "nobody",
        ];
        let families = ["order", "cart", "topic", "none"];
        Selector {
            kind: kinds.get(dice.below(12) as usize).map(|kind| Pattern::new(kind)),
            family: families.get(dice.below(8) as usize).map(|name| (*name).to_owned()),
        }
    };
    match dice.below(8) {
        0 => Wanted::All,
        1 => Wanted::Correlation(format!("flow-{}", dice.below(5))),
        2 => Wanted::Ids((0..dice.below(5)).map(|_| format!("e{}", dice.below(250))).collect()),
        3 => Wanted::Positions((0..dice.below(5)).map(|_| dice.below(250)).collect()),
        _ => Wanted::Any((0..dice.below(4)).map(|_| selector()).collect()),
    }
}

pub async fn whatever_is_wanted_of_the_log_is_what_a_plain_filter_gives(bench: Bench) {
    let engine = bench.open().await;
    let dice = SeededEntropy::new(20_261_122);
    together(&engine, (0..200).map(|id| random_append(&dice, id)).collect()).await;
    let log = engine
        .events(Wanted::All, 0, Order::Ascending, 1_000)
        .await
        .expect("reads");
    assert_eq!(log.len(), 200);
    for _ in 0..300 {
        let (wanted, limit) = (random_wanted(&dice), dice.below(30) as u32);
        let from = [0, dice.below(205), u64::MAX][dice.below(3) as usize];
        for order in BOTH {
            let fits = |stored: &&StoredEvent| wanted.matches(stored);
            let claim: Vec<StoredEvent> = match order {
                Order::Ascending => {
                    let beyond = log.iter().filter(|stored| stored.position > from);
                    beyond.filter(fits).take(limit as usize).cloned().collect()
                }
                Order::Descending => {
                    let beyond = log.iter().rev().filter(|stored| stored.position < from);
                    beyond.filter(fits).take(limit as usize).cloned().collect()
                }
            };
            let events = engine.events(wanted.clone(), from, order, limit).await.expect("reads");
            assert_eq!(events, claim, "{wanted:?} {from} {order:?} {limit}");
        }
    }
}

pub async fn streams_and_types_are_listed_with_their_counts(bench: Bench) {
    let engine = bench.open().await;
    let dice = SeededEntropy::new(7);
    together(&engine, (0..60).map(|id| random_append(&dice, id)).collect()).await;
    // A repeat adds nothing, and neither does a write that is refused.
    let known = engine
        .events(Wanted::All, 0, Order::Ascending, 1)
        .await
        .expect("reads")
        .remove(0);
    let again = Append {
        stream: known.stream.clone(),
        expected: Expected::Any,
        events: vec![known.event],
    };
    let again = Write {
        appends: vec![again],
        ..Write::default()
    };
    assert!(engine.commit(again).await.expect("known").appended[0].duplicate);
    engine
        .commit(append("order-1", Expected::NoStream, &["x"]))
        .await
        .expect_err("it is there");
    drop(engine);
    let engine = bench.open().await;
    let log = engine
        .events(Wanted::All, 0, Order::Ascending, 1_000)
        .await
        .expect("reads");
    let mut kinds: BTreeMap<String, KindInfo> = BTreeMap::new();
    for stored in &log {
        let kind = kinds.entry(stored.event.kind.clone()).or_insert_with(|| KindInfo {
            kind: stored.event.kind.clone(),
            events: 0,
            last_position: 0,
            last_at: stored.event.at,
        });
        (kind.events, kind.last_position) = (kind.events + 1, stored.position);
    }
    let claim: Vec<KindInfo> = kinds.into_values().collect();
    assert_eq!(engine.kinds(None, 99).await.expect("reads"), claim);
    assert_eq!(engine.kinds(Some("order".into()), 2).await.expect("reads"), claim[1..3]);
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let streams = engine
            .streams(prefix.into(), after.map(Into::into), limit)
            .await
            .expect("reads");
        for info in &streams {
            let count = log.iter().filter(|stored| stored.stream == info.stream).count();
            assert_eq!(info.events, count as u64, "{}", info.stream);
        }
        let names: Vec<String> = streams.iter().map(|info| info.stream.to_string()).collect();
        names.join(" ")
    };
    assert_eq!(list("", None, 9).await, "cart-1 order-1 order-2 topic-x");
    assert_eq!(list("", Some("cart-1"), 2).await, "order-1 order-2");
    assert_eq!(list("order", None, 9).await, "order-1 order-2");
    assert_eq!(list("order-", Some("order-1"), 9).await, "order-2");
    assert_eq!(list("order", Some("a"), 1).await, "order-1");
    assert_eq!(list("order", Some("p"), 9).await, "");
    assert_eq!(list("order-3", None, 9).await, "");
    assert_eq!(list("", None, 0).await, "");
}

pub async fn with_new_ids_asked_for_a_known_one_refuses_the_whole_write(bench: Bench) {
    let engine = bench.open().await;
    let strict = |name: &str, ids: &[&str]| Write {
        guards: vec![Guard::NewIds],
        ..append(name, Expected::Any, ids)
    };
    engine.commit(strict("s-1", &["a", "b"])).await.expect("new");
    // In one batch with a neighbour that takes the id first, too.
    let outcomes = together(
        &engine,
        vec![
            strict("s-1", &["a", "b"]),
            strict("s-1", &["c"]),
            strict("s-1", &["d", "c"]),
            strict("s-2", &["b"]),
        ],
    )
    .await;
    let refused = |outcome: &Result<_, StoreError>, id: &str| {
        assert!(
            matches!(outcome, Err(StoreError::IdInUse { id: used }) if used == id),
            "{id}"
        );
    };
    refused(&outcomes[0], "a");
    assert!(outcomes[1].is_ok());
    refused(&outcomes[2], "c");
    refused(&outcomes[3], "b");
    let log = engine
        .events(Wanted::All, 0, Order::Ascending, 99)
        .await
        .expect("reads");
    assert_eq!(ids(&log), "abc");
}

/// Merged walks are where an event that commits late could be jumped over.
pub async fn a_follower_misses_nothing_while_others_write(bench: Bench) {
    let engine = bench.open().await;
    let wanted = Wanted::Any(vec![
        Selector::kind(Pattern::new("order.*")),
        Selector::kind(Pattern::new("user.registered.v1")),
        Selector::family("cart"),
        Selector::family("topic"),
    ]);
    let done = AtomicBool::new(false);
    let write = async |seed: u64| {
        let dice = SeededEntropy::new(seed);
        for id in 0..150 {
            let id = seed as usize * 1_000 + id;
            engine.commit(random_append(&dice, id)).await.expect("commits");
        }
    };
    let writers = async {
        futures_util::future::join_all((1..=6).map(write)).await;
        done.store(true, Ordering::Relaxed);
    };
    let follow = async |limit| {
        let mut seen: Vec<StoredEvent> = Vec::new();
        loop {
            let last_look = done.load(Ordering::Relaxed);
            let after = seen.last().map_or(0, |last| last.position);
            let page = engine
                .events(wanted.clone(), after, Order::Ascending, limit)
                .await
                .expect("reads");
            if page.is_empty() && last_look {
                return seen;
            }
            seen.extend(page);
        }
    };
    let ((), one, other) = tokio::join!(writers, follow(3), follow(1_000));
    let all: Vec<StoredEvent> = everything(&engine)
        .await
        .into_iter()
        .filter(|stored| wanted.matches(stored))
        .collect();
    assert!(
        one == all && other == all,
        "{} and {} of {}",
        one.len(),
        other.len(),
        all.len()
    );
}

async fn everything(engine: &SharedEngine) -> Vec<StoredEvent> {
    engine
        .events(Wanted::All, 0, Order::Ascending, 10_000)
        .await
        .expect("reads")
}
