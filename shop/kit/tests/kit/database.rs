//! One type over two databases: migrations, writers, readers, and what happens when there is no room left.

use axum::http::StatusCode;
use shop_kit::testing::Postgres;
use shop_kit::{Database, Problem, StartError};

use crate::{file, sqlite};

const NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
const AUTHOR: &str = "ALTER TABLE notes ADD COLUMN author TEXT; INSERT INTO notes VALUES (1, 'first', 'nobody')";

async fn write(database: &Database, id: i64, text: &str) -> Result<(), Problem> {
    let mut tx = database.write().await?;
    let insert = sqlx::query("INSERT INTO notes (id, text) VALUES ($1, $2)")
        .bind(id)
        .bind(text.to_owned());
    insert.execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn count(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM notes")
        .fetch_one(database.read())
        .await
        .unwrap()
}

/// Instances that start at once, an older version first: each migration runs once, in order.
async fn migrations_run_once(url: &str) {
    let (first, second) = tokio::join!(Database::open(url, &[NOTES]), Database::open(url, &[NOTES]));
    write(&first.unwrap(), 7, "kept").await.unwrap();
    drop(second.unwrap());
    let newer: &[&'static str] = &[NOTES, AUTHOR];
    let (first, second) = tokio::join!(Database::open(url, newer), Database::open(url, newer));
    assert_eq!((count(&first.unwrap()).await, count(&second.unwrap()).await), (2, 2));
}

/// A broken migration leaves nothing behind, not even the good one before it.
async fn a_broken_migration_changes_nothing(url: &str) {
    let broken = Database::open(url, &[NOTES, "CREATE TABEL typo (id BIGINT)"]).await;
    assert!(matches!(broken, Err(StartError::Database { what: "migrate", .. })));
    let repaired = Database::open(url, &[NOTES]).await.unwrap();
    assert_eq!(count(&repaired).await, 0);
}

/// Readers see what is committed and wait for nobody; what is dropped is gone.
async fn readers_do_not_wait_and_drops_roll_back(url: &str) {
    let database = Database::open(url, &[NOTES]).await.unwrap();
    let mut tx = database.write().await.unwrap();
    sqlx::query("INSERT INTO notes VALUES (99, 'unfinished')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let before = count(&database).await;
    drop(tx);
    write(&database, 99, "finished").await.unwrap();
    assert_eq!(count(&database).await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_its_promises() {
    for _ in 0..5 {
        migrations_run_once(&file(&tempfile::tempdir().unwrap())).await;
    }
    let folder = tempfile::tempdir().unwrap();
    a_broken_migration_changes_nothing(&file(&folder)).await;
    readers_do_not_wait_and_drops_roll_back(&file(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_its_promises() {
    let Some(server) = Postgres::start() else { return };
    a_broken_migration_changes_nothing(&server.url()).await;
    readers_do_not_wait_and_drops_roll_back(&server.url()).await;
    let database = Database::open(&server.url(), &[NOTES]).await.unwrap();
    let mut tx = database.write().await.unwrap();
    sqlx::query("DROP TABLE notes").execute(&mut *tx).await.unwrap();
    sqlx::query("DROP TABLE schema_version")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    migrations_run_once(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_opened_as_the_docs_say() {
    let (_folder, database) = sqlite(&[NOTES]).await;
    let mut tx = database.write().await.unwrap();
    for (pragma, expected) in [
        ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
        ("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous", "2"),
        ("SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys", "1"),
        ("SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout", "5000"),
    ] {
        let value: String = sqlx::query_scalar(pragma).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
    let refused = sqlx::query("DELETE FROM notes").execute(database.read()).await;
    assert!(refused.is_err(), "readers cannot write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_503_and_service_resumes_when_there_is_room() {
    // SQLite's own limit of pages gives the error that a full disk gives: SQLITE_FULL.
    let (_folder, database) = sqlite(&[NOTES, "PRAGMA max_page_count = 8"]).await;
    let text = "x".repeat(1_000);
    let mut written = 0;
    let full = loop {
        match write(&database, written, &text).await {
            Ok(()) => written += 1,
            Err(problem) => break problem,
        }
        assert!(written < 100, "8 pages cannot hold this");
    };
    assert_eq!(
        (full.status(), full.reason()),
        (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable")
    );
    assert_eq!(
        count(&database).await,
        written,
        "nothing acknowledged is lost, nothing refused is there"
    );
    // The limit was the connection's. SQLite has ended its transaction behind the driver's back, so it is replaced, and
    // the new one has room.
    write(&database, written, &text).await.unwrap();
    assert_eq!(count(&database).await, written + 1);
}

#[tokio::test]
async fn an_error_names_the_database_without_its_password() {
    let refused = Database::open("postgres://shop:secret@127.0.0.1:1/shop", &[])
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "could not connect to the database postgres://127.0.0.1:1/shop"
    );
    let unknown = Database::open("mysql://shop:secret@host/shop", &[]).await.unwrap_err();
    assert!(
        matches!(&unknown, StartError::BadVariable { value, .. } if value == "mysql://host/shop"),
        "{unknown}"
    );
}
