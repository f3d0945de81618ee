//! What every engine promises, asked of each. A new engine is done when this is green.

mod support;

use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{
    Append, Committed, Expected, Guard, Order, RowFilter, RowOp, SharedEngine, StoreError, Table, Write,
};
use ondol_core::entropy::{Entropy, SeededEntropy};
use support::model::Model;
use support::{Bench, append, create, event, log, put, record, row, stream, together};

macro_rules! conformance {
    ($($case:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $case() { super::$case(super::Bench::sqlite().await.expect("always there")).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $case() {
                if let Some(bench) = super::Bench::postgres().await { super::$case(bench).await }
            })*
        }
    };
}

conformance! {
    what_was_acknowledged_is_there_after_reopening
    each_opening_raises_the_epoch
    of_many_writes_with_one_guard_exactly_one_happens
    a_refused_write_leaves_no_trace_and_its_neighbours_happen
    positions_are_dense_and_in_order
    a_known_batch_gets_its_first_places_before_its_revision_is_looked_at
    an_event_id_is_used_once
    an_append_needs_the_revision_it_expects
    two_appends_of_one_write_follow_each_other
    of_two_changes_to_one_row_in_one_batch_the_last_stays
    lists_of_rows_filter_and_page_by_key_in_bytes
    events_are_read_by_stream_by_position_and_by_family
    a_page_ends_by_bytes_too
    what_passes_a_bound_is_refused_before_it_is_queued
    random_writes_do_what_the_model_does
    the_size_counts_what_is_there
}

async fn what_was_acknowledged_is_there_after_reopening(bench: Bench) {
    let engine = bench.open().await;
    let body = Bytes::from(vec![0_u8, 255, 1, 0]);
    let mut kept = row("k", "running", Some(9), "");
    kept.body = body.clone();
    let write = Write {
        guards: vec![Guard::Absent(Table::Saga, "k".into())],
        records: vec![record("s", "one"), record("s", "two")],
        rows: vec![
            RowOp::Put(Table::Saga, kept.clone()),
            RowOp::Put(Table::Audit, row("k", "", None, "audit")),
        ],
        ..append("order-1", Expected::NoStream, &["a", "b"])
    };
    let committed = engine.commit(write.clone()).await.expect("commits");
    assert_eq!((committed.first_record, committed.appended[0].last_position), (1, 2));
    drop(engine);
    let engine = bench.open().await;
    assert_eq!(engine.row(Table::Saga, "k".into()).await.expect("reads"), Some(kept));
    assert_eq!(
        engine.row(Table::Audit, "k".into()).await.expect("reads"),
        Some(row("k", "", None, "audit"))
    );
    assert_eq!(engine.row(Table::Setting, "k".into()).await.expect("reads"), None);
    let records = engine.records("s".into(), 0, 10).await.expect("reads");
    assert_eq!(records.iter().map(|stored| stored.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(records[1].record, record("s", "two"));
    assert_eq!(engine.records("s".into(), 1, 10).await.expect("reads"), records[1..]);
    let events = engine.stream(stream("order-1"), 0, 10).await.expect("reads");
    assert_eq!(
        (events[1].revision, events[1].position, &events[1].event),
        (1, 2, &event("b"))
    );
    // Positions go on where they ended.
    assert_eq!(engine.commit(log("s", "three")).await.expect("commits").first_record, 3);
    assert_eq!(
        engine
            .commit(append("x", Expected::Any, &["c"]))
            .await
            .expect("commits")
            .appended[0]
            .first_position,
        3
    );
}

async fn each_opening_raises_the_epoch(bench: Bench) {
    for epoch in 1..=3 {
        let engine = bench.open().await;
        assert_eq!(engine.epoch(), epoch);
        engine.commit(log("s", "x")).await.expect("commits");
    }
}

async fn of_many_writes_with_one_guard_exactly_one_happens(bench: Bench) {
    let engine = bench.open().await;
    let outcomes = together(&engine, (0..64).map(|n| create("the-key", &n.to_string())).collect()).await;
    assert!(outcomes[0].is_ok(), "the first in the queue");
    let there = engine
        .row(Table::Saga, "the-key".into())
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(there.body, "0");
    for outcome in &outcomes[1..] {
        assert!(
            matches!(outcome, Err(StoreError::Exists(row)) if **row == there),
            "{outcome:?}"
        );
    }
}

async fn a_refused_write_leaves_no_trace_and_its_neighbours_happen(bench: Bench) {
    let engine = bench.open().await;
    engine.commit(create("taken", "x")).await.expect("commits");
    engine
        .commit(append("order-1", Expected::Any, &["a"]))
        .await
        .expect("commits");
    let mut by_guard = create("taken", "y");
    by_guard.records = vec![record("trace", "guard")];
    by_guard.rows.push(RowOp::Delete(Table::Saga, "taken".into()));
    let mut by_revision = append("order-2", Expected::Any, &["new"]);
    by_revision
        .appends
        .extend(append("order-1", Expected::NoStream, &["b"]).appends);
    by_revision.records = vec![record("trace", "revision")];
    let neighbours = || log("neighbour", "n");
    let writes = vec![
        neighbours(),
        by_guard,
        neighbours(),
        by_revision,
        neighbours(),
        append("order-2", Expected::NoStream, &["new"]),
    ];
    let outcomes = together(&engine, writes).await;
    assert!(matches!(outcomes[1], Err(StoreError::Exists(_))));
    assert!(matches!(
        outcomes[3],
        Err(StoreError::WrongRevision { actual: Some(0), .. })
    ));
    let firsts: Vec<u64> = [0, 2, 4]
        .map(|at: usize| outcomes[at].as_ref().expect("happens").first_record)
        .to_vec();
    assert_eq!(firsts, [1, 2, 3], "no gap where a write was refused");
    assert_eq!(
        outcomes[5].as_ref().expect("its id and stream are still free").appended[0].first_position,
        2
    );
    assert_eq!(engine.records("trace".into(), 0, 10).await.expect("reads"), []);
    assert_eq!(
        engine
            .row(Table::Saga, "taken".into())
            .await
            .expect("reads")
            .expect("still there")
            .body,
        "x"
    );
}

async fn positions_are_dense_and_in_order(bench: Bench) {
    let engine = bench.open().await;
    let writer = |n: usize| {
        let engine = engine.clone();
        async move {
            let mut last = 0;
            for round in 0..20 {
                let mut write = append(&format!("s{n}-x"), Expected::Any, &[&format!("{n}.{round}")]);
                write.records = vec![record("all", ""), record("all", "")];
                let committed = engine.commit(write).await.expect("commits");
                assert!(committed.first_record > last, "each writer's own positions rise");
                last = committed.first_record + 1;
            }
        }
    };
    futures_util::future::join_all((0..16).map(writer)).await;
    let records = engine.records("all".into(), 0, 10_000).await.expect("reads");
    assert_eq!(
        records.iter().map(|stored| stored.position).collect::<Vec<_>>(),
        (1..=640).collect::<Vec<_>>()
    );
    let events = engine.all(0, None, 10_000).await.expect("reads");
    assert_eq!(
        events.iter().map(|stored| stored.position).collect::<Vec<_>>(),
        (1..=320).collect::<Vec<_>>()
    );
}

fn places(committed: &Committed) -> (u64, u64, u64, u64, bool) {
    let at = committed.appended[0];
    (
        at.first_revision,
        at.last_revision,
        at.first_position,
        at.last_position,
        at.duplicate,
    )
}

async fn a_known_batch_gets_its_first_places_before_its_revision_is_looked_at(bench: Bench) {
    let engine = bench.open().await;
    engine
        .commit(append("other-1", Expected::Any, &["x"]))
        .await
        .expect("commits");
    let first = engine
        .commit(append("order-1", Expected::NoStream, &["a", "a#2", "a#3"]))
        .await
        .expect("commits");
    assert_eq!(places(&first), (0, 2, 2, 4, false));
    engine
        .commit(append("order-1", Expected::Revision(2), &["b"]))
        .await
        .expect("commits");
    for expected in [Expected::NoStream, Expected::Any, Expected::Revision(99)] {
        // Whatever the repeat holds behind its first id: the places are those of what was appended then.
        for ids in [&["a", "a#2", "a#3"][..], &["a"], &["a", "other"]] {
            let again = engine
                .commit(append("order-1", expected, ids))
                .await
                .expect("a duplicate");
            assert_eq!(places(&again), (0, 2, 2, 4, true), "{expected:?} {ids:?}");
        }
    }
    let middle = engine
        .commit(append("order-1", Expected::Any, &["a#2"]))
        .await
        .expect("a duplicate");
    assert_eq!(places(&middle), (1, 2, 3, 4, true));
    // Within one batch of the writer too.
    let same = || append("order-2", Expected::NoStream, &["c", "c#2"]);
    let outcomes = together(&engine, vec![same(), same()]).await;
    assert_eq!(places(outcomes[0].as_ref().expect("new")), (0, 1, 6, 7, false));
    assert_eq!(places(outcomes[1].as_ref().expect("known")), (0, 1, 6, 7, true));
    assert_eq!(engine.all(0, None, 100).await.expect("reads").len(), 7);
}

async fn an_event_id_is_used_once(bench: Bench) {
    let engine = bench.open().await;
    engine
        .commit(append("order-1", Expected::Any, &["a"]))
        .await
        .expect("commits");
    let mut twice_in_a_write = append("order-2", Expected::Any, &["d"]);
    twice_in_a_write
        .appends
        .extend(append("order-3", Expected::Any, &["d"]).appends);
    let cases = [
        ("a", append("order-2", Expected::Any, &["a"])),
        ("a", append("order-1", Expected::Any, &["b", "a"])),
        ("c", append("order-1", Expected::Any, &["c", "c"])),
        ("d", twice_in_a_write),
    ];
    for (used, write) in cases {
        let outcome = engine.commit(write).await;
        assert!(
            matches!(&outcome, Err(StoreError::IdInUse { id }) if id == used),
            "{used}: {outcome:?}"
        );
    }
    assert_eq!(engine.all(0, None, 100).await.expect("reads").len(), 1);
}

async fn an_append_needs_the_revision_it_expects(bench: Bench) {
    let engine = bench.open().await;
    engine
        .commit(append("there-1", Expected::Any, &["1", "2"]))
        .await
        .expect("commits");
    let cases = [
        ("there-1", Expected::NoStream, Some(1)),
        ("there-1", Expected::Revision(0), Some(1)),
        ("there-1", Expected::Revision(2), Some(1)),
        ("none-1", Expected::Exists, None),
        ("none-1", Expected::Revision(0), None),
    ];
    for (name, expected, actual) in cases {
        let outcome = engine.commit(append(name, expected, &["x"])).await;
        let Err(StoreError::WrongRevision {
            actual: found,
            stream: of,
            ..
        }) = outcome
        else {
            panic!("{name} {expected:?}: {outcome:?}")
        };
        assert_eq!((found, of.as_str()), (actual, name), "{expected:?}");
    }
    for (name, expected, id) in [
        ("there-1", Expected::Revision(1), "3"),
        ("there-1", Expected::Exists, "4"),
        ("new-1", Expected::NoStream, "5"),
    ] {
        engine.commit(append(name, expected, &[id])).await.expect("as expected");
    }
}

async fn two_appends_of_one_write_follow_each_other(bench: Bench) {
    let engine = bench.open().await;
    let mut write = append("order-1", Expected::NoStream, &["a", "b"]);
    write.appends.push(Append {
        stream: stream("cart-1"),
        expected: Expected::NoStream,
        events: vec![event("c")],
    });
    write.appends.push(Append {
        stream: stream("order-1"),
        expected: Expected::Revision(1),
        events: vec![event("d")],
    });
    let committed = engine.commit(write).await.expect("commits");
    let at = |n: usize| {
        (
            committed.appended[n].first_revision,
            committed.appended[n].first_position,
        )
    };
    assert_eq!((at(0), at(1), at(2)), ((0, 1), (0, 3), (2, 4)));
}

async fn of_two_changes_to_one_row_in_one_batch_the_last_stays(bench: Bench) {
    let engine = bench.open().await;
    let delete = |key: &str| Write {
        rows: vec![RowOp::Delete(Table::Saga, key.into())],
        ..Write::default()
    };
    let mut writes: Vec<Write> = (0..40).map(|n| put(row("a", "s", None, &n.to_string()))).collect();
    writes.extend([
        put(row("b", "s", None, "")),
        delete("b"),
        delete("c"),
        put(row("c", "s", None, "back")),
    ]);
    let mut both = put(row("d", "s", None, "first"));
    both.rows.extend(put(row("d", "s", None, "second")).rows);
    writes.push(both);
    assert!(together(&engine, writes).await.iter().all(Result::is_ok));
    let rows = engine
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 10)
        .await
        .expect("reads");
    let left: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.body.as_ref())).collect();
    assert_eq!(left, [("a", &b"39"[..]), ("c", b"back"), ("d", b"second")]);
}

async fn lists_of_rows_filter_and_page_by_key_in_bytes(bench: Bench) {
    let engine = bench.open().await;
    let rows = [
        row("B", "running", Some(10), ""),
        row("a", "running", Some(20), ""),
        row("a-b", "stuck", None, ""),
        row("ab", "done", None, ""),
        row("é", "running", Some(30), ""),
    ];
    together(&engine, rows.iter().cloned().map(put).collect()).await;
    engine
        .commit(Write {
            rows: vec![RowOp::Put(Table::Audit, row("z", "running", Some(1), ""))],
            ..Write::default()
        })
        .await
        .expect("commits");
    let check = async |filter: RowFilter, order, after: Option<&str>, limit, claim: &[&str]| {
        let rows = engine
            .rows(Table::Saga, filter.clone(), order, after.map(Into::into), limit)
            .await
            .expect("reads");
        assert_eq!(
            rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(),
            claim,
            "{filter:?} {order:?} {after:?}"
        );
    };
    let any = RowFilter::default();
    let state = |state: &str| RowFilter {
        state: Some(state.into()),
        ..RowFilter::default()
    };
    let (up, down) = (Order::Ascending, Order::Descending);
    check(any.clone(), up, None, 99, &["B", "a", "a-b", "ab", "é"]).await;
    check(any.clone(), down, None, 2, &["é", "ab"]).await;
    check(any.clone(), up, Some("a"), 2, &["a-b", "ab"]).await;
    check(any.clone(), down, Some("a-b"), 9, &["a", "B"]).await;
    check(any.clone(), up, None, 0, &[]).await;
    check(state("running"), up, None, 9, &["B", "a", "é"]).await;
    check(state("running"), down, Some("é"), 9, &["a", "B"]).await;
    check(
        RowFilter {
            name: Some("name-of-stuck".into()),
            ..any.clone()
        },
        up,
        None,
        9,
        &["a-b"],
    )
    .await;
    check(
        RowFilter {
            name: Some("name-of-stuck".into()),
            ..state("running")
        },
        up,
        None,
        9,
        &[],
    )
    .await;
    check(
        RowFilter {
            detail: Some("d".into()),
            ..state("done")
        },
        up,
        None,
        9,
        &["ab"],
    )
    .await;
    check(
        RowFilter {
            awake: true,
            ..any.clone()
        },
        up,
        Some("B"),
        9,
        &["a", "é"],
    )
    .await;
    check(
        RowFilter {
            due_by: Some(Timestamp(20)),
            ..any.clone()
        },
        up,
        None,
        9,
        &["B", "a"],
    )
    .await;
    check(
        RowFilter {
            due_by: Some(Timestamp(20)),
            ..state("running")
        },
        down,
        Some("a"),
        9,
        &["B"],
    )
    .await;
}

async fn events_are_read_by_stream_by_position_and_by_family(bench: Bench) {
    let engine = bench.open().await;
    for (name, id) in [
        ("order-1", "1"),
        ("cart-1", "2"),
        ("order-2", "3"),
        ("order-1", "4"),
        ("bill-1", "5"),
    ] {
        engine
            .commit(append(name, Expected::Any, &[id]))
            .await
            .expect("commits");
    }
    let ids = |events: Vec<ondol_core::engine::StoredEvent>| {
        events.into_iter().map(|stored| stored.event.id).collect::<String>()
    };
    let families = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (from, limit, claim) in [(0, 9, "14"), (1, 9, "4"), (2, 9, ""), (0, 1, "1"), (u64::MAX, 9, "")] {
        assert_eq!(
            ids(engine.stream(stream("order-1"), from, limit).await.expect("reads")),
            claim
        );
    }
    let cases: [(u64, Option<Vec<String>>, u32, &str); 8] = [
        (0, None, 9, "12345"),
        (2, None, 2, "34"),
        (5, None, 9, ""),
        (u64::MAX, None, 9, ""),
        (0, families(&["order"]), 9, "134"),
        (1, families(&["bill", "order", "order"]), 2, "34"),
        (0, families(&["ord"]), 9, ""),
        (0, families(&[]), 9, ""),
    ];
    for (after, families, limit, claim) in cases {
        assert_eq!(
            ids(engine.all(after, families.clone(), limit).await.expect("reads")),
            claim,
            "{after} {families:?}"
        );
    }
}

async fn a_page_ends_by_bytes_too(bench: Bench) {
    let engine = bench.open().await;
    let big = "x".repeat(4 << 20);
    for key in ["a", "b", "c", "d", "e"] {
        engine.commit(put(row(key, "s", None, &big))).await.expect("commits");
    }
    let page = engine
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 100)
        .await
        .expect("reads");
    assert_eq!(page.len(), 4);
    let rest = engine
        .rows(
            Table::Saga,
            RowFilter::default(),
            Order::Ascending,
            Some("d".into()),
            100,
        )
        .await
        .expect("reads");
    assert_eq!((rest.len(), rest[0].body.len()), (1, big.len()));
    for n in 0..18 {
        let family = if n % 2 == 0 { "even" } else { "odd" };
        let mut write = append(&format!("{family}-1"), Expected::Any, &[&n.to_string()]);
        write.appends[0].events[0].body = Bytes::from(vec![b'x'; 1 << 20]);
        engine.commit(write).await.expect("commits");
    }
    for families in [None, Some(vec!["even".to_owned(), "odd".to_owned()])] {
        // Following page by page sees every event once, in order.
        let mut seen = Vec::new();
        loop {
            let page = engine
                .all(seen.last().copied().unwrap_or(0), families.clone(), 100)
                .await
                .expect("reads");
            assert!(page.len() <= 18);
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|stored| stored.position));
        }
        assert_eq!(seen, (1..=18).collect::<Vec<_>>(), "{families:?}");
    }
}

async fn what_passes_a_bound_is_refused_before_it_is_queued(bench: Bench) {
    let engine = bench.open().await;
    let long = |n: usize| "x".repeat(n);
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut wide = log("s", &long(4 << 20));
    wide.records.extend((0..4).map(|_| record("s", &long(4 << 20))));
    let cases = [
        ("ST-004", put(row(&long(513), "s", None, ""))),
        ("ST-004", put(row("k", &long(65), None, ""))),
        ("ST-004", put(row("k", "s", None, &long((4 << 20) + 1)))),
        ("ST-004", log(&long(513), "")),
        ("ST-004", log("s", &long((4 << 20) + 1))),
        ("ST-004", wide),
        ("ST-004", append("s", Expected::Any, &[&long(513)])),
        ("ST-010", append("s", Expected::Any, &[])),
        ("ST-010", append("s", Expected::Any, &[""])),
        ("ST-010", append("s", Expected::Any, &many)),
        ("ST-010", append("s", Expected::Any, &["a\0b"])),
        ("ST-010", log("a\0b", "")),
        ("ST-010", create("a\0b", "")),
    ];
    for (code, write) in cases {
        let error = engine.commit(write).await.expect_err(code);
        assert_eq!(error.code().as_str(), code, "{error}");
    }
    engine
        .commit(append("s", Expected::Any, &many[..1_000]))
        .await
        .expect("a thousand fit");
    engine
        .commit(put(row(&long(512), &long(64), None, &long(4 << 20))))
        .await
        .expect("the bounds themselves fit");
}

/// Writes with few keys, ids and streams, so that they meet; submitted together, so that they share batches.
async fn random_writes_do_what_the_model_does(bench: Bench) {
    let engine = bench.open().await;
    let (dice, mut model) = (SeededEntropy::new(20_261_121), Model::default());
    for _ in 0..60 {
        let writes: Vec<Write> = (0..dice.below(12) + 1).map(|_| random_write(&dice)).collect();
        let claims: Vec<_> = writes
            .iter()
            .map(|write| format!("{:?}", model.commit(write)))
            .collect();
        let outcomes = together(&engine, writes.clone()).await;
        for ((write, outcome), claim) in writes.iter().zip(outcomes).zip(claims) {
            assert_eq!(format!("{outcome:?}"), claim, "{write:?}");
        }
    }
    assert_same(&engine, &model).await;
}

fn random_write(dice: &SeededEntropy) -> Write {
    let key = || format!("k{}", dice.below(6));
    let mut write = Write::default();
    if dice.below(3) == 0 {
        write.guards.push(Guard::Absent(Table::Saga, key()));
    }
    for _ in 0..dice.below(3) {
        write.records.push(record(&key(), &dice.below(100).to_string()));
    }
    for _ in 0..dice.below(3) {
        write.rows.push(match dice.below(3) {
            0 => RowOp::Delete(Table::Saga, key()),
            _ => RowOp::Put(
                Table::Saga,
                row(&key(), "s", Some(dice.below(9) as i64), &dice.below(100).to_string()),
            ),
        });
    }
    let mut ids: Vec<String> = (0..40).map(|n| format!("e{n}")).collect();
    for _ in 0..dice.below(3) {
        let expected = match dice.below(4) {
            0 => Expected::Any,
            1 => Expected::NoStream,
            2 => Expected::Exists,
            _ => Expected::Revision(dice.below(8)),
        };
        let events = (0..dice.below(3) + 1).map(|_| event(&ids.swap_remove(dice.below(ids.len() as u64) as usize)));
        let events = events.collect();
        write.appends.push(Append {
            stream: stream(&format!("s-{}", dice.below(3))),
            expected,
            events,
        });
    }
    write
}

async fn assert_same(engine: &SharedEngine, model: &Model) {
    let rows = engine
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 100)
        .await
        .expect("reads");
    assert_eq!(rows, model.rows.values().cloned().collect::<Vec<_>>());
    assert_eq!(engine.all(0, None, 10_000).await.expect("reads"), model.events);
    let mut records = Vec::new();
    for n in 0..6 {
        records.extend(engine.records(format!("k{n}"), 0, 10_000).await.expect("reads"));
    }
    records.sort_by_key(|stored| stored.position);
    assert_eq!(records, model.records);
}

async fn the_size_counts_what_is_there(bench: Bench) {
    let engine = bench.open().await;
    engine
        .commit(append("s", Expected::Any, &["a", "b"]))
        .await
        .expect("commits");
    engine.commit(log("s", "x")).await.expect("commits");
    engine.commit(put(row("k", "s", None, "x"))).await.expect("commits");
    let size = engine.size().await.expect("reads");
    assert_eq!(
        (size.records, size.events, &size.rows[..]),
        (1, 2, &[1, 0, 0, 0, 0][..])
    );
    assert!(size.bytes > 0);
}
