//! Outbox and inbox on SQLite and PostgreSQL, by their own drivers and by sqlx's run-time one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use ondol_sdk::testing::Postgres;
use ondol_sdk::{Event, inbox, outbox};
use serde_json::{Value, json};

/// Written once and compiled for each driver.
macro_rules! cases {
    ($driver:ident, $pool:ty, $begin:literal) => {
        mod $driver {
            use super::*;

            pub async fn prepare(pool: &$pool) {
                let mut tx = pool.begin().await.unwrap();
                for _ in 0..2 {
                    outbox::create(&mut *tx).await.unwrap();
                    inbox::create(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            }

            async fn ids(pool: &$pool) -> Vec<String> {
                sqlx::query_scalar("SELECT id FROM ondol_outbox ORDER BY seq").fetch_all(pool).await.unwrap()
            }

            pub async fn an_event_is_there_exactly_when_its_transaction_is(pool: &$pool) {
                let event = Event::new("a.v1", json!({ "total": 1.50 })).id("e1").key("k").with("region", "eu");
                let mut aborted = pool.begin_with($begin).await.unwrap();
                outbox::enqueue(&mut *aborted, &event).await.unwrap();
                aborted.rollback().await.unwrap();
                assert!(ids(pool).await.is_empty());
                let mut tx = pool.begin_with($begin).await.unwrap();
                assert!(outbox::enqueue(&mut *tx, &Event::new("", Value::Null)).await.is_err());
                outbox::enqueue(&mut *tx, &event).await.unwrap();
                tx.commit().await.unwrap();
                let select = "SELECT type, key, source, data, headers FROM ondol_outbox";
                let row: (String, Option<String>, Option<String>, String, String) =
                    sqlx::query_as(select).fetch_one(pool).await.unwrap();
                let told = ("a.v1".into(), Some("k".into()), None, r#"{"total":1.5}"#.into(), r#"{"region":"eu"}"#.into());
                assert_eq!(row, told);
            }

            pub async fn the_service_deletes_on_sqlite_and_the_relay_on_postgres(pool: &$pool, postgres: bool) {
                let mut tx = pool.begin_with($begin).await.unwrap();
                for id in ["e2", "e3"] {
                    outbox::enqueue(&mut *tx, &Event::new("a.v1", json!(1)).id(id)).await.unwrap();
                }
                let gone = outbox::trim(&mut *tx, if postgres { 100 } else { 2 }).await.unwrap();
                tx.commit().await.unwrap();
                let left: &[&str] = if postgres { &["e1", "e2", "e3"] } else { &["e3"] };
                assert_eq!((gone, ids(pool).await), (if postgres { 0 } else { 2 }, left.iter().map(ToString::to_string).collect()));
            }

            pub async fn an_event_is_taken_once_by_each_subscription(pool: &$pool) {
                let once = async |subscription, event, commits: bool| {
                    let mut tx = pool.begin_with($begin).await.unwrap();
                    let first = inbox::once(&mut *tx, subscription, event).await.unwrap();
                    if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
                    first
                };
                assert!(once("points.orders", "e1", false).await);
                assert!(once("points.orders", "e1", true).await, "what was rolled back was not taken");
                assert!(!once("points.orders", "e1", true).await);
                assert!(once("points.audit", "e1", true).await && once("points.orders", "E1", true).await);
            }

            pub async fn all(pool: &$pool, postgres: bool) {
                prepare(pool).await;
                an_event_is_there_exactly_when_its_transaction_is(pool).await;
                the_service_deletes_on_sqlite_and_the_relay_on_postgres(pool, postgres).await;
                an_event_is_taken_once_by_each_subscription(pool).await;
            }
        }
    };
}

cases!(sqlite, sqlx::SqlitePool, "BEGIN IMMEDIATE");
cases!(postgres, sqlx::PgPool, "BEGIN");
cases!(any_sqlite, sqlx::AnyPool, "BEGIN IMMEDIATE");
cases!(any_postgres, sqlx::AnyPool, "BEGIN");

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}/{name}?mode=rwc", folder.path().display());
    sqlite::all(&sqlx::SqlitePool::connect(&url("own.db")).await.unwrap(), false).await;
    sqlx::any::install_default_drivers();
    any_sqlite::all(&sqlx::AnyPool::connect(&url("any.db")).await.unwrap(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let Some(server) = Postgres::start() else { return };
    postgres::all(&sqlx::PgPool::connect(&server.url()).await.unwrap(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_by_the_run_time_driver() {
    let Some(server) = Postgres::start() else { return };
    sqlx::any::install_default_drivers();
    any_postgres::all(&sqlx::AnyPool::connect(&server.url()).await.unwrap(), true).await;
}
