//! What only the PostgreSQL engine promises: take-over, a server that crashes under load, settings it refuses.

mod support;

use ondol_core::engine::{Expected, Guard, Order, RowOp, StoreError, Table, Wanted};
use ondol_store::{Config, OpenError};
use std::sync::atomic::{AtomicBool, Ordering};
use support::postgres::Postgres;
use support::{Bench, append, create, log, record, row, stream};

#[tokio::test]
async fn a_second_opening_takes_over_and_the_first_never_writes_again() {
    let Some(bench) = Bench::postgres().await else { return };
    let first = bench.open().await;
    first.commit(create("before", "")).await.expect("commits");
    let failed = first.failed();
    let second = bench.open().await;
    for _ in 0..2 {
        let outcome = first.commit(create("stale", "")).await;
        assert!(
            matches!(outcome, Err(StoreError::Fenced { mine: 1, current: 2 })),
            "{outcome:?}"
        );
    }
    assert_eq!(failed.await.code().as_str(), "ST-007");
    second.commit(log("s", "x")).await.expect("the new owner writes");
    assert_eq!(second.row(Table::Saga, "stale".into()).await.expect("reads"), None);
    assert!(second.row(Table::Saga, "before".into()).await.expect("reads").is_some());
}

/// The take-over waits for a transaction in flight, so that what it reads is all that there will ever be of the first.
#[tokio::test]
async fn no_write_of_the_first_owner_appears_after_the_take_over_has_read() {
    let Some(bench) = Bench::postgres().await else { return };
    let first = bench.open().await;
    let writes = async {
        let mut done = 0;
        while first.commit(log("s", "x")).await.is_ok() {
            done += 1;
        }
        done
    };
    let take_over = async {
        while first.records("s".into(), 0, 1).await.expect("reads").is_empty() {
            tokio::task::yield_now().await;
        }
        let second = bench.open().await;
        let seen = second.records("s".into(), 0, 10_000).await.expect("reads").len();
        (second, seen)
    };
    let (done, (second, seen)) = tokio::join!(writes, take_over);
    let now = second.records("s".into(), 0, 10_000).await.expect("reads").len();
    assert_eq!((seen, done), (now, now));
}

/// Counts that no row bears out are given as they are kept: nobody walks a table of any size to answer.
#[tokio::test]
async fn the_size_is_kept_and_never_counted() {
    let Some(server) = support::postgres::shared() else {
        return;
    };
    let bench = Bench::at(server.new_database());
    let database = bench.url.rsplit('/').next().expect("a name");
    // As version 1 left it, with one row; the counts are made when it is opened.
    server.sql(database, include_str!("../src/postgres/v1.sql"));
    let row =
        "UPDATE ondol.meta SET version = 1; INSERT INTO ondol.state_row VALUES (1, 'old', '', '', '', NULL, 0, '')";
    server.sql(database, row);
    let engine = bench.open().await;
    assert_eq!(engine.size().await.expect("reads").rows, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    server.sql(database, "UPDATE ondol.row_count SET n = n + 1000000 WHERE tab = 1");
    engine.commit(create("new", "")).await.expect("commits");
    assert_eq!(
        engine.size().await.expect("reads").rows,
        [1_000_002, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_and_doubles_nothing() {
    let Some(server) = Postgres::start() else { return };
    let bench = Bench::at(server.new_database());
    let engine = bench.open().await;
    let stop = AtomicBool::new(false);
    // Each number is tried until the store says that it is there; the guard and the id make a repeat harmless.
    let writer = async |writer: usize| {
        let (mut number, mut doubts) = (0_u64, 0_u64);
        while !stop.load(Ordering::Relaxed) {
            let key = format!("{writer}.{number}");
            let mut write = append(&format!("w{writer}-x"), Expected::Any, &[&key]);
            write.guards = vec![Guard::Absent(Table::Saga, key.clone())];
            write.rows = vec![RowOp::Put(Table::Saga, row(&key, "s", None, ""))];
            write.records = vec![record(&format!("w{writer}"), &key)];
            match engine.commit(write).await {
                Ok(_) | Err(StoreError::Exists(_)) => number += 1,
                Err(StoreError::Unavailable(_)) => doubts += 1,
                Err(error) => panic!("{key}: {error:?}"),
            }
        }
        (number, doubts)
    };
    let crashes = async {
        for _ in 0..3 {
            let seen = engine.size().await.expect("answers").records;
            while engine.size().await.map_or(seen, |size| size.records) < seen + 20 {
                tokio::task::yield_now().await;
            }
            // Away from the runtime, so that the writers meet the dead server.
            tokio::task::block_in_place(|| {
                server.crash();
                server.begin();
            });
        }
        let seen = loop {
            // A read that meets the restart may fail; the next finds the server.
            if let Ok(size) = engine.size().await {
                break size.records;
            }
        };
        while engine.size().await.map_or(seen, |size| size.records) < seen + 20 {
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(futures_util::future::join_all((0..8).map(writer)), crashes);
    let mut sum = 0;
    for (writer, (number, _)) in done.iter().enumerate() {
        let records = engine.records(format!("w{writer}"), 0, 10_000).await.expect("reads");
        let keys: Vec<_> = records
            .iter()
            .map(|stored| String::from_utf8_lossy(&stored.record.body))
            .collect();
        assert_eq!(keys, (0..*number).map(|n| format!("{writer}.{n}")).collect::<Vec<_>>());
        assert_eq!(
            engine
                .stream(stream(&format!("w{writer}-x")), 0, Order::Ascending, 10_000)
                .await
                .expect("reads")
                .len() as u64,
            *number
        );
        sum += number;
    }
    let size = engine.size().await.expect("reads");
    assert_eq!((size.records, size.events, size.rows[0]), (sum, sum, sum));
    assert!(
        done.iter().any(|(_, doubts)| *doubts > 0),
        "the crashes were met by writes"
    );
}

#[tokio::test]
async fn a_server_that_would_lose_acknowledged_writes_is_refused() {
    let Some(server) = Postgres::start() else { return };
    let bench = Bench::at(server.new_database());
    let refused = async || {
        bench
            .open_with(Config::default())
            .await
            .map(|_| ())
            .expect_err("must not open")
    };
    server.sql("postgres", "ALTER ROLE postgres SET synchronous_commit = off");
    assert!(matches!(refused().await, OpenError::Unsafe(reason) if reason == "synchronous_commit is off"));
    server.sql("postgres", "ALTER ROLE postgres RESET synchronous_commit");
    server.sql("postgres", "ALTER SYSTEM SET fsync = off");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let reason = loop {
        // The reload reaches new connections after a moment.
        match bench.open_with(Config::default()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(reason, OpenError::Unsafe(reason) if reason == "fsync is off"));
}

/// There an event's id in Korean would be an error of the whole batch, and then of the store.
#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(server) = Postgres::start() else { return };
    server.sql(
        "postgres",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    );
    let opened = Bench::at(server.url("latin")).open_with(Config::default()).await;
    let error = opened.map(|_| ()).expect_err("must not open");
    assert!(
        matches!(&error, OpenError::Unsafe(reason) if reason == "server_encoding is LATIN1, not UTF8"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_schema_of_something_else_is_refused() {
    let Some(server) = Postgres::start() else { return };
    let bench = Bench::at(server.new_database());
    server.sql("db0", "CREATE SCHEMA ondol; CREATE TABLE ondol.cats (name text)");
    let error = bench
        .open_with(Config::default())
        .await
        .map(|_| ())
        .expect_err("must not open");
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
    server.sql("db0", "DROP SCHEMA ondol CASCADE");
    drop(bench.open().await);
    server.sql("db0", "UPDATE ondol.meta SET version = 99");
    let error = bench
        .open_with(Config::default())
        .await
        .map(|_| ())
        .expect_err("must not open");
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
}

const SCHEMAS: [&str; 3] = [
    include_str!("../src/postgres/v1.sql"),
    include_str!("../src/postgres/v2.sql"),
    include_str!("../src/postgres/v3.sql"),
];

/// What version 3 keeps beside the events is made from those that earlier ones left.
#[tokio::test]
async fn stores_of_earlier_versions_are_upgraded() {
    let Some(server) = Postgres::start() else { return };
    for (database, version) in ["db0", "db1"].into_iter().zip(1..) {
        let bench = Bench::at(server.new_database());
        SCHEMAS[..version].iter().for_each(|sql| server.sql(database, sql));
        upgrade(&server, &bench, database, version).await;
    }
    // Builds between versions 2 and 3 wrote an index more.
    let bench = Bench::at(server.new_database());
    SCHEMAS.iter().for_each(|sql| server.sql("db2", sql));
    server.sql(
        "db2",
        "UPDATE ondol.meta SET version = 2; CREATE INDEX state_row_due ON ondol.state_row (name, wake_at, key)",
    );
    drop(bench.open().await);
    server.sql("db2", "CREATE INDEX state_row_due ON ondol.state_row (name)");
    drop(bench.open().await);
}

async fn upgrade(server: &Postgres, bench: &Bench, database: &str, version: usize) {
    server.sql(
        database,
        &format!("UPDATE ondol.meta SET version = {version}, epoch = 3"),
    );
    server.sql(
        database,
        r#"
           INSERT INTO ondol.event VALUES
             (1, 'order-1', 0, 1, 'order', 'a', 'happened', 5, '{}'),
             (2, 'order-1', 1, 0, 'order', 'b', 'placed', 5, '{"id":"b","correlationid":"flow-1"}'),
             (3, 'order-1', 2, 0, 'order', 'c', 'placed', 6, '\xff00');"#,
    );
    let engine = bench.open().await;
    assert_eq!(engine.epoch(), 4);
    let kinds = engine.kinds(None, 9).await.expect("reads");
    let counts: Vec<_> = kinds
        .iter()
        .map(|kind| (&*kind.kind, kind.events, kind.last_position))
        .collect();
    assert_eq!(counts, [("happened", 1, 1), ("placed", 2, 3)]);
    let flow = engine
        .events(Wanted::Correlation("flow-1".into()), 0, Order::Ascending, 9)
        .await;
    assert_eq!(
        flow.expect("reads")
            .iter()
            .map(|stored| stored.position)
            .collect::<Vec<_>>(),
        [2]
    );
    let next = engine.commit(append("order-1", Expected::Revision(2), &["d"])).await;
    assert_eq!(next.expect("goes on").appended[0].first_position, 4);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_says_so() {
    let bench = Bench::at("postgres://nobody@%2Fno%2Fsuch%2Ffolder/db".into());
    let error = bench
        .open_with(Config::default())
        .await
        .map(|_| ())
        .expect_err("must not open");
    assert_eq!(error.code().as_str(), "ST-016");
    let tls = Bench::at("postgres://nobody:secret@127.0.0.1:1/db?sslmode=nonsense".into());
    let error = tls
        .open_with(Config::default())
        .await
        .map(|_| ())
        .expect_err("must not open");
    assert!(
        matches!(error, OpenError::Address { .. }) && !format!("{error:?}").contains("secret"),
        "{error:?}"
    );
}
