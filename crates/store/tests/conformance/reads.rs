//! What is read back: after reopening, by page, by filter, in which order.

use crate::support::{Bench, append, create, event, log, put, record, row, stream, together};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Expected, Guard, Order, RowFilter, RowOp, Selector, Table, Wanted, Write};

pub async fn lists_of_rows_filter_and_page_by_key_in_bytes(bench: Bench) {
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

pub async fn rows_of_one_name_are_found_by_state(bench: Bench) {
    let engine = bench.open().await;
    let waiting = |key: &str, name: &str, wake_at| {
        let row = ondol_core::engine::Row {
            name: name.into(),
            ..row(key, "retrying", wake_at, "")
        };
        Write {
            rows: vec![RowOp::Put(Table::Delivery, row)],
            ..Write::default()
        }
    };
    let rows = [
        ("d", "a", Some(5)),
        ("c", "a", Some(7)),
        ("b", "a", Some(5)),
        ("e", "a", Some(9)),
        ("f", "b", Some(1)),
    ];
    let rows = rows.into_iter().chain([("g", "a", None)]);
    together(
        &engine,
        rows.map(|(key, name, wake_at)| waiting(key, name, wake_at)).collect(),
    )
    .await;
    let state = |state: &str| RowFilter {
        state: Some(state.into()),
        name: Some("a".into()),
        ..RowFilter::default()
    };
    for (filter, claim) in [(state("retrying"), "de"), (state("parked"), "")] {
        let rows = engine
            .rows(Table::Delivery, filter, Order::Ascending, Some("c".into()), 2)
            .await;
        assert_eq!(
            rows.expect("reads")
                .iter()
                .map(|row| row.key.as_str())
                .collect::<String>(),
            claim
        );
    }
}

pub async fn a_page_ends_by_bytes_too(bench: Bench) {
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
    for wanted in [
        Wanted::All,
        Wanted::Any(vec![Selector::family("even"), Selector::family("odd")]),
    ] {
        // Following page by page sees every event once, in order.
        let mut seen = Vec::new();
        loop {
            let page = engine
                .events(wanted.clone(), seen.last().copied().unwrap_or(0), Order::Ascending, 100)
                .await
                .expect("reads");
            assert!(page.len() <= 18);
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|stored| stored.position));
        }
        assert_eq!(seen, (1..=18).collect::<Vec<_>>(), "{wanted:?}");
    }
}

pub async fn the_size_counts_what_is_there(bench: Bench) {
    let engine = bench.open().await;
    engine
        .commit(append("s", Expected::Any, &["a", "b"]))
        .await
        .expect("commits");
    engine.commit(log("s", "x")).await.expect("commits");
    for key in ["kept", "gone", "kept"] {
        engine.commit(put(row(key, "s", None, "x"))).await.expect("commits");
    }
    assert!(engine.commit(create("kept", "refused")).await.is_err());
    let mut rows = vec![
        RowOp::Delete(Table::Saga, "gone".into()),
        RowOp::Delete(Table::Saga, "never there".into()),
    ];
    rows.extend(["1", "2", "3"].map(|key| RowOp::Put(Table::Audit, row(key, "s", None, ""))));
    engine
        .commit(Write {
            rows,
            ..Write::default()
        })
        .await
        .expect("commits");
    let expected = (1, 2, vec![1, 0, 0, 3, 0, 0, 0, 0, 0, 0]);
    let size = engine.size().await.expect("reads");
    assert_eq!((size.records, size.events, size.rows), expected);
    assert!(size.bytes > 0);
    drop(engine);
    let size = bench.open().await.size().await.expect("reads");
    assert_eq!(
        (size.records, size.events, size.rows),
        expected,
        "right after a restart"
    );
}

pub async fn what_was_acknowledged_is_there_after_reopening(bench: Bench) {
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
    let events = engine
        .stream(stream("order-1"), 0, Order::Ascending, 10)
        .await
        .expect("reads");
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

pub async fn each_opening_raises_the_epoch(bench: Bench) {
    for epoch in 1..=3 {
        let engine = bench.open().await;
        assert_eq!(engine.epoch(), epoch);
        engine.commit(log("s", "x")).await.expect("commits");
    }
}
