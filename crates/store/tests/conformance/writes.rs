//! Which writes happen, which are refused, and which places they get.

use crate::support::{Bench, append, create, event, log, put, record, row, stream, together};
use ondol_core::engine::{Append, Committed, Expected, Order, RowFilter, RowOp, StoreError, Table, Wanted, Write};

pub async fn of_many_writes_with_one_guard_exactly_one_happens(bench: Bench) {
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

pub async fn a_refused_write_leaves_no_trace_and_its_neighbours_happen(bench: Bench) {
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

pub async fn positions_are_dense_and_in_order(bench: Bench) {
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
    let events = engine
        .events(Wanted::All, 0, Order::Ascending, 10_000)
        .await
        .expect("reads");
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

pub async fn a_known_batch_gets_its_first_places_before_its_revision_is_looked_at(bench: Bench) {
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
    assert_eq!(
        engine
            .events(Wanted::All, 0, Order::Ascending, 100)
            .await
            .expect("reads")
            .len(),
        7
    );
}

pub async fn an_event_id_is_used_once(bench: Bench) {
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
    assert_eq!(
        engine
            .events(Wanted::All, 0, Order::Ascending, 100)
            .await
            .expect("reads")
            .len(),
        1
    );
}

pub async fn an_append_needs_the_revision_it_expects(bench: Bench) {
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

pub async fn two_appends_of_one_write_follow_each_other(bench: Bench) {
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

pub async fn of_two_changes_to_one_row_in_one_batch_the_last_stays(bench: Bench) {
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

pub async fn what_passes_a_bound_is_refused_before_it_is_queued(bench: Bench) {
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
