//! The barrier's table of cases, with a wallet as the effect: on SQLite and PostgreSQL, by their own drivers and by
//! sqlx's run-time one. Whatever comes in whatever order, a compensated charge leaves the wallet as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use ondol_sdk::barrier::{self, BarrierError, Entry, Undo};
use ondol_sdk::testing::Postgres;
use ondol_sdk::{Answer, SagaKey};
use serde_json::json;

const WALLET: &str = "CREATE TABLE wallet (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)";
const FULL: i64 = 100;

fn key(saga: &str, operation: &str) -> SagaKey {
    SagaKey::parse(&format!("{saga}.pay.{operation}")).unwrap()
}

/// A participant and the cases, written once and compiled for each driver.
macro_rules! cases {
    ($driver:ident, $pool:ty, $begin:literal) => {
        mod $driver {
            use super::*;

            pub async fn prepare(pool: &$pool) {
                let mut tx = pool.begin().await.unwrap();
                barrier::create(&mut *tx).await.unwrap();
                sqlx::query(WALLET).execute(&mut *tx).await.unwrap();
                sqlx::query("INSERT INTO wallet VALUES (1, 100)").execute(&mut *tx).await.unwrap();
                tx.commit().await.unwrap();
            }

            /// Takes `amount`, or refuses with a stored 409.
            async fn charge(pool: &$pool, saga: &str, amount: i64) -> Answer {
                let key = key(saga, "action");
                let mut tx = pool.begin_with($begin).await.unwrap();
                let answer = match barrier::action(&mut *tx, &key).await.unwrap() {
                    Entry::First => {
                        let take = "UPDATE wallet SET balance = balance - $1 WHERE id = 1 AND balance >= $1";
                        let taken = sqlx::query(take).bind(amount).execute(&mut *tx).await.unwrap().rows_affected();
                        let status = if taken == 1 { 201 } else { 409 };
                        let answer = Answer { status, body: json!({ "amount": amount }) };
                        barrier::store(&mut *tx, &key, &answer).await.unwrap();
                        answer
                    }
                    Entry::Duplicate(stored) => stored,
                    Entry::Late => Answer::late(),
                };
                tx.commit().await.unwrap();
                answer
            }

            async fn refund(pool: &$pool, saga: &str, amount: i64) -> Answer {
                let key = key(saga, "compensate");
                let mut tx = pool.begin_with($begin).await.unwrap();
                let undo = barrier::compensation(&mut *tx, &key).await.unwrap();
                if let Undo::Duplicate(stored) = undo {
                    return stored;
                }
                if undo == Undo::Needed {
                    let give = sqlx::query("UPDATE wallet SET balance = balance + $1 WHERE id = 1").bind(amount);
                    give.execute(&mut *tx).await.unwrap();
                }
                let answer = Answer::ok(json!({ "undone": undo == Undo::Needed }));
                barrier::store(&mut *tx, &key, &answer).await.unwrap();
                tx.commit().await.unwrap();
                answer
            }

            async fn balance(pool: &$pool) -> i64 {
                sqlx::query_scalar("SELECT balance FROM wallet WHERE id = 1").fetch_one(pool).await.unwrap()
            }

            /// No row, a 409 row and a 2xx row; each compensated twice, and a late action after each compensation.
            pub async fn every_order_leaves_the_wallet_as_it_was(pool: &$pool) {
                let nothing = None;
                let refused = Some((1_000, 409));
                let done = Some((30, 201));
                for (saga, before, undone, late) in
                    [("none", nothing, false, 409), ("refused", refused, false, 409), ("done", done, true, 201)]
                {
                    let amount = before.map_or(30, |(amount, _)| amount);
                    if let Some((amount, status)) = before {
                        assert_eq!(charge(pool, saga, amount).await.status, status, "{saga}: first");
                        assert_eq!(charge(pool, saga, amount).await.status, status, "{saga}: again");
                    }
                    for round in ["first", "second"] {
                        let answer = refund(pool, saga, amount).await;
                        assert_eq!(answer, Answer::ok(json!({ "undone": undone })), "{saga}: {round} compensation");
                        let answer = charge(pool, saga, amount).await;
                        assert_eq!(answer.status, late, "{saga}: late action after the {round} compensation");
                        assert_eq!(balance(pool).await, FULL, "{saga}: after the {round} compensation");
                    }
                }
            }

            pub async fn what_is_rolled_back_was_never_there(pool: &$pool) {
                let (action, undo) = (key("rolled", "action"), key("rolled", "compensate"));
                for _ in 0..2 {
                    let mut tx = pool.begin_with($begin).await.unwrap();
                    assert_eq!(barrier::action(&mut *tx, &action).await.unwrap(), Entry::First);
                    tx.rollback().await.unwrap();
                    let mut tx = pool.begin_with($begin).await.unwrap();
                    assert_eq!(barrier::compensation(&mut *tx, &undo).await.unwrap(), Undo::NotNeeded);
                    tx.rollback().await.unwrap();
                }
                assert_eq!(charge(pool, "rolled", 30).await.status, 201);
                assert_eq!(refund(pool, "rolled", 30).await.body, json!({ "undone": true }));
            }

            pub async fn a_handler_that_forgets_its_answer_is_told(pool: &$pool) {
                let action = key("forgetful", "action");
                let mut tx = pool.begin_with($begin).await.unwrap();
                let early = barrier::store(&mut *tx, &action, &Answer::late()).await;
                assert!(matches!(early, Err(BarrierError::NotEntered(_))));
                assert_eq!(barrier::action(&mut *tx, &action).await.unwrap(), Entry::First);
                tx.commit().await.unwrap();
                let mut tx = pool.begin_with($begin).await.unwrap();
                assert!(matches!(barrier::action(&mut *tx, &action).await, Err(BarrierError::NoAnswer(_))));
                let wrong = barrier::compensation(&mut *tx, &action).await;
                assert!(matches!(wrong, Err(BarrierError::WrongOperation(_))));
            }

            /// Twice the action and its compensation, all at once: at most one charge, undone exactly when it was made.
            pub async fn racing_calls_have_one_effect(pool: &$pool) {
                for round in 0..20 {
                    let saga = format!("race-{round}");
                    let charges = async { tokio::join!(charge(pool, &saga, 30), charge(pool, &saga, 30)) };
                    let ((first, second), undone) = tokio::join!(charges, refund(pool, &saga, 30));
                    assert_eq!(first.status, second.status, "both attempts hear the same");
                    assert_eq!(undone.body["undone"], first.is_success(), "undone exactly when it was done");
                    assert_eq!(balance(pool).await, FULL);
                }
            }

            pub async fn all(pool: &$pool) {
                prepare(pool).await;
                every_order_leaves_the_wallet_as_it_was(pool).await;
                what_is_rolled_back_was_never_there(pool).await;
                a_handler_that_forgets_its_answer_is_told(pool).await;
                racing_calls_have_one_effect(pool).await;
            }
        }
    };
}

cases!(sqlite, sqlx::SqlitePool, "BEGIN IMMEDIATE");
cases!(postgres, sqlx::PgPool, "BEGIN");
cases!(any_sqlite, sqlx::AnyPool, "BEGIN IMMEDIATE");
cases!(any_postgres, sqlx::AnyPool, "BEGIN");

fn file(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}/barrier.db?mode=rwc", folder.path().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlx::SqlitePool::connect(&file(&folder)).await.unwrap();
    sqlite::all(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_on_sqlite_by_the_run_time_driver() {
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlx::AnyPool::connect(&file(&folder)).await.unwrap();
    any_sqlite::all(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_on_postgres() {
    let Some(server) = Postgres::start() else { return };
    let pool = sqlx::PgPool::connect(&server.url()).await.unwrap();
    postgres::all(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_on_postgres_by_the_run_time_driver() {
    let Some(server) = Postgres::start() else { return };
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&server.url()).await.unwrap();
    any_postgres::all(&pool).await;
}
