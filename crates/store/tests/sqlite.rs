//! What only the SQLite engine promises: who may open the file, what it reads of earlier versions, a full disk.

mod support;

use ondol_core::engine::{Expected, Order, RowFilter, SharedEngine, StoreError, Table, Wanted};
use ondol_store::{Config, OpenError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Bench, append, create, log, put, row, stream};

fn file(bench: &Bench) -> PathBuf {
    bench.url.trim_start_matches("sqlite:").into()
}

async fn bench() -> Bench {
    Bench::sqlite().await.expect("always there")
}

async fn refused(bench: &Bench) -> OpenError {
    bench
        .open_with(Config::default())
        .await
        .map(|_| ())
        .expect_err("must not open")
}

/// Types with how many events they have and where the last is.
async fn counts(engine: &SharedEngine) -> Vec<(String, u64, u64)> {
    let kinds = engine.kinds(None, 9).await.expect("reads");
    kinds
        .into_iter()
        .map(|kind| (kind.kind, kind.events, kind.last_position))
        .collect()
}

/// Ids of a flow's events.
async fn flow(engine: &SharedEngine, id: &str) -> Vec<String> {
    let events = engine
        .events(Wanted::Correlation(id.into()), 0, Order::Ascending, 9)
        .await
        .expect("reads");
    events.into_iter().map(|stored| stored.event.id).collect()
}

#[test]
fn the_bundled_sqlite_has_the_fix_of_the_wal_reset_bug() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let bench = bench().await;
    let first = bench.open().await;
    assert!(matches!(refused(&bench).await, OpenError::Locked(path) if path == file(&bench)));
    drop(first);
    drop(bench.open().await);
    drop(bench.open().await);
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let bench = bench().await;
    let tables = "CREATE TABLE cats (name TEXT); INSERT INTO cats VALUES ('tom');";
    rusqlite::Connection::open(file(&bench))
        .expect("opens")
        .execute_batch(tables)
        .expect("runs");
    let before = std::fs::read(file(&bench)).expect("reads");
    assert!(matches!(refused(&bench).await, OpenError::Foreign(_)));
    assert_eq!(std::fs::read(file(&bench)).expect("reads"), before);
    std::fs::write(
        file(&bench),
        "Dear diary, today I wrote a text file that is no database at all.",
    )
    .expect("writes");
    assert!(matches!(refused(&bench).await, OpenError::Sqlite(_)));
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let bench = bench().await;
    drop(bench.open().await);
    rusqlite::Connection::open(file(&bench))
        .expect("opens")
        .pragma_update(None, "user_version", 99)
        .expect("runs");
    assert!(matches!(refused(&bench).await, OpenError::Newer { found: 99, .. }));
}

#[tokio::test]
async fn an_address_that_names_no_file_is_refused_without_being_repeated() {
    for url in [
        "",
        "store.db",
        "mysql://root:secret@x/y",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:a.db?mode=ro",
        "sqlite:///",
    ] {
        let error = refused(&Bench::at(url.into())).await;
        assert!(matches!(error.code().as_str(), "ST-011" | "ST-016"), "{url}: {error}");
        assert!(!format!("{error:?}").contains("secret"));
    }
    let nowhere = refused(&Bench::at("sqlite:/no/such/folder/store.db".into())).await;
    assert!(matches!(nowhere, OpenError::File { .. }), "{nowhere:?}");
}

/// A store as an earlier version of this program wrote it; every later version must read it.
async fn golden(dump: &str) -> Bench {
    let bench = bench().await;
    let old = rusqlite::Connection::open(file(&bench)).expect("opens");
    old.execute_batch(dump).expect("runs");
    bench
}

#[tokio::test]
async fn the_stored_form_of_version_1_is_read() {
    let engine = golden(include_str!("golden/v1.sql")).await.open().await;
    assert_eq!(engine.epoch(), 4);
    let rows = engine
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 10)
        .await
        .expect("reads");
    assert_eq!(
        rows,
        [
            row("k1", "running", Some(1_700_000_000_000), "body one"),
            row("k2", "done", None, "body two")
        ]
    );
    assert_eq!(engine.size().await.expect("reads").rows, [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let records = engine.records("k1".into(), 0, 10).await.expect("reads");
    assert_eq!(records.iter().map(|stored| stored.position).collect::<Vec<_>>(), [1, 2]);
    let events = engine
        .stream(stream("order-1"), 0, Order::Ascending, 10)
        .await
        .expect("reads");
    let places: Vec<_> = events
        .iter()
        .map(|stored| (&*stored.event.id, stored.position))
        .collect();
    assert_eq!(places, [("a", 1), ("b", 2)]);
    let again = engine
        .commit(append("order-1", Expected::NoStream, &["a", "b"]))
        .await
        .expect("known");
    assert_eq!(
        (again.appended[0].last_position, again.appended[0].duplicate),
        (2, true)
    );
    assert_eq!(engine.commit(log("k1", "x")).await.expect("commits").first_record, 3);
}

#[tokio::test]
async fn the_stored_form_of_version_3_is_read() {
    let engine = golden(include_str!("golden/v3.sql")).await.open().await;
    assert_eq!(engine.size().await.expect("reads").rows, [1, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(
        counts(&engine).await,
        [("order.placed.v1".into(), 1, 1), ("user.registered.v1".into(), 1, 2)]
    );
    assert_eq!(flow(&engine, "flow-1").await, ["b"]);
    let retrying = RowFilter {
        state: Some("retrying".into()),
        name: Some("points.orders".into()),
        ..RowFilter::default()
    };
    let retrying = engine
        .rows(Table::Delivery, retrying, Order::Ascending, None, 9)
        .await
        .expect("reads");
    assert_eq!(
        retrying.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(),
        ["points.orders l"]
    );
    engine
        .commit(append("order-1", Expected::Revision(0), &["c"]))
        .await
        .expect("goes on");
}

#[tokio::test]
async fn what_builds_between_versions_2_and_3_wrote_is_read() {
    let engine = golden(include_str!("golden/v2-with-flows.sql")).await.open().await;
    assert_eq!(flow(&engine, "flow-1").await, ["b"]);
    assert_eq!(engine.size().await.expect("reads").rows, [1, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
}

/// Version 2 counts rows and knows nothing of flows and types.
#[tokio::test]
async fn the_stored_form_of_version_2_is_read() {
    let engine = golden(include_str!("golden/v2.sql")).await.open().await;
    assert_eq!(engine.epoch(), 4);
    assert_eq!(engine.size().await.expect("reads").rows, [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counts(&engine).await, [("happened".into(), 2, 2)]);
    engine
        .commit(append("order-1", Expected::Revision(1), &["c"]))
        .await
        .expect("goes on");
}

/// What version 3 keeps beside the events is made from those that earlier ones left.
#[tokio::test]
async fn flows_and_counts_of_an_earlier_version_are_made_at_the_upgrade() {
    for dump in [include_str!("golden/v1.sql"), include_str!("golden/v2.sql")] {
        let bench = golden(dump).await;
        let old = rusqlite::Connection::open(file(&bench)).expect("opens");
        old.execute_batch(
            r#"INSERT INTO event VALUES
                (3, 'order-1', 2, 0, 'order', 'c', 'placed', 5, CAST('{"id":"c","correlationid":"flow-1"}' AS BLOB)),
                (4, 'order-1', 3, 0, 'order', 'd', 'placed', 6, X'ff00');"#,
        )
        .expect("runs");
        drop(old);
        let engine = bench.open().await;
        assert_eq!(
            counts(&engine).await,
            [("happened".into(), 2, 2), ("placed".into(), 2, 4)]
        );
        assert_eq!(flow(&engine, "flow-1").await, ["c"]);
    }
}

/// Whoever changes the tables without a new version breaks this.
#[tokio::test]
async fn a_new_store_has_the_tables_of_the_newest_version() {
    let tables = |bench: &Bench| -> Vec<String> {
        let connection = rusqlite::Connection::open(file(bench)).expect("opens");
        let mut query = connection
            .prepare("SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name")
            .expect("valid");
        let rows = query.query_map([], |row| row.get::<_, String>(0)).expect("runs");
        rows.map(|row| row.expect("text").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let fresh = bench().await;
    drop(fresh.open().await);
    for dump in [
        include_str!("golden/v1.sql"),
        include_str!("golden/v2.sql"),
        include_str!("golden/v2-with-flows.sql"),
        include_str!("golden/v3.sql"),
    ] {
        let old = golden(dump).await;
        drop(old.open().await);
        assert_eq!(tables(&fresh), tables(&old));
    }
}

/// Counts that no row bears out are given as they are kept: nobody walks a table of any size to answer.
#[tokio::test]
async fn the_size_is_kept_and_never_counted() {
    let bench = bench().await;
    rusqlite::Connection::open(file(&bench))
        .expect("opens")
        .execute_batch(include_str!("golden/v1.sql"))
        .expect("runs");
    let size = bench.open().await.size().await.expect("reads");
    assert_eq!(
        size.rows,
        [2, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        "counted once, when the file came from version 1"
    );
    rusqlite::Connection::open(file(&bench))
        .expect("opens")
        .execute_batch("UPDATE row_count SET n = n + 1000000 WHERE tab = 1")
        .expect("runs");
    let engine = bench.open().await;
    engine.commit(create("new", "")).await.expect("commits");
    assert_eq!(
        engine.size().await.expect("reads").rows,
        [1_000_003, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_its_log_and_its_lock_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench().await;
    let engine = bench.open().await;
    engine.commit(create("k", "secret")).await.expect("commits");
    for end in ["", "-wal", "-shm", "-lock"] {
        let path = format!("{}{end}", file(&bench).display());
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn a_write_that_finds_no_place_in_time_is_refused_as_busy() {
    let bench = bench().await;
    let config = Config {
        queue_kib: 2,
        queue_wait: Duration::from_millis(20),
        ..Config::default()
    };
    let engine = bench.open_with(config).await.expect("opens");
    // A person's transaction holds the writer up, so that the first two writes keep their places.
    let person = rusqlite::Connection::open(file(&bench)).expect("opens");
    person.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let held = [engine.commit(create("a", "")), engine.commit(create("b", ""))];
    let mut held = futures_util::future::join_all(held);
    assert!(futures_util::poll!(&mut held).is_pending());
    let third = engine.commit(create("c", "")).await;
    assert!(matches!(third, Err(StoreError::Busy)), "{third:?}");
    person.execute_batch("ROLLBACK").expect("unlocks");
    assert!(held.await.iter().all(Result::is_ok));
    engine.commit(create("c", "")).await.expect("there is room again");
}

#[tokio::test]
async fn what_is_queued_when_the_engine_is_dropped_is_written() {
    let bench = bench().await;
    let engine = bench.open().await;
    let mut writes = futures_util::future::join_all((0..50).map(|n| engine.commit(create(&format!("{n:02}"), ""))));
    assert!(futures_util::poll!(&mut writes).is_pending());
    drop(engine);
    assert!(writes.await.iter().all(Result::is_ok));
    let rows = bench
        .open()
        .await
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 99)
        .await;
    assert_eq!(rows.expect("reads").len(), 50);
}

#[tokio::test]
async fn the_log_is_copied_into_the_file_and_stays_short() {
    let bench = bench().await;
    let engine = bench.open().await;
    let mut log = file(&bench).into_os_string();
    log.push("-wal");
    for n in 0..60 {
        engine
            .commit(put(row(&n.to_string(), "s", None, &"x".repeat(400_000))))
            .await
            .expect("commits");
    }
    // 24 MB went through it; it starts over after 4 MB (one write more may be in it).
    let length = std::fs::metadata(&log).expect("is there").len();
    assert!(length < 6_000_000, "{length}");
}

/// A small file system of its own, taken away when the test ends.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "none"])
            .arg(folder)
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("SKIPPED: only root may mount a small tmpfs");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_file_system_refuses_cleanly_and_the_store_goes_on_when_space_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = Small::mount(folder.path()) else {
        return;
    };
    let ballast = small.0.join("ballast");
    let bench = Bench::at(format!("sqlite:{}", small.0.join("store.db").display()));
    let engine = bench.open().await;
    std::fs::write(&ballast, vec![1; 500_000]).expect("fits");
    let mut acknowledged = 0;
    let error = loop {
        let outcome = engine
            .commit(create(&format!("{acknowledged:05}"), &"x".repeat(5_000)))
            .await;
        match outcome {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert!(acknowledged > 10);
    assert!(matches!(
        engine.commit(create("more", &"x".repeat(5_000))).await,
        Err(StoreError::Full)
    ));
    let rows = async |engine: &SharedEngine| {
        engine
            .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 10_000)
            .await
            .expect("reads")
            .len()
    };
    assert_eq!(rows(&engine).await, acknowledged, "reads go on");
    std::fs::remove_file(&ballast).expect("is there");
    engine.commit(create("more", "x")).await.expect("goes on");
    drop(engine);
    let engine = bench.open().await;
    assert_eq!(rows(&engine).await, acknowledged + 1);
    drop(engine);
}
