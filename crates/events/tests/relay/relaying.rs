//! What is committed is published, once, in order per key; what is not, never.

use crate::system::{Life, System, row};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

const WRITERS: usize = 4;
const TRANSACTIONS: usize = 60;

/// Ids are `KEY#N` with N rising per key; those of aborted transactions end with `!`.
async fn check_order(life: &Life, committed: usize) {
    let ids = life.ids().await;
    assert!(
        ids.iter().all(|id| !id.ends_with('!')),
        "nothing of an aborted transaction is published"
    );
    assert_eq!(
        ids.iter().collect::<HashSet<_>>().len(),
        ids.len(),
        "each is there once"
    );
    assert_eq!(ids.len(), committed);
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for id in &ids {
        let (key, n) = id.split_once('#').expect("KEY#N");
        let n: usize = n.parse().expect("a number");
        let before = last.insert(key, n);
        assert!(before.is_none_or(|before| before < n), "{id} after {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_becomes_the_event_that_it_says() {
    let system = System::sqlite();
    let insert = "INSERT INTO ondol_outbox (id, type, key, source, subject, data, headers, created) VALUES
        ('e-1', 'a.v1', 'k', '/services/one/there', 's', '{\"a\": 1.50}', '{\"correlationid\":\"c-1\",\"region\":\"eu\"}', '2026-11-21T18:00:00.000Z')";
    system.open().execute(insert, ()).expect("inserted");
    let life = system.life().await;
    life.relayed().await;
    let events = life.events().await;
    let stored: Value = serde_json::from_slice(&events[0].event.body).expect("JSON");
    let told = json!({ "specversion": "1.0", "id": "e-1", "source": "/services/one/there", "type": "a.v1", "subject": "s",
        "time": "2026-11-21T18:00:00.000Z", "partitionkey": "k", "correlationid": "c-1", "region": "eu", "data": { "a": 1.50 } });
    assert_eq!((stored, events[0].stream.as_str()), (told, "topic-a.v1"));
    assert_eq!(events[0].event.correlation.as_deref(), Some("c-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_and_rollbacks_on_sqlite() {
    let system = System::sqlite();
    let life = system.life().await;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let connection = system.open();
            scope.spawn(move || {
                for n in 0..TRANSACTIONS {
                    connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
                    let aborts = n % 3 == 0;
                    let end = if aborts { "!" } else { "" };
                    row(
                        &connection,
                        &format!("w{writer}#{n}{end}"),
                        Some(&format!("w{writer}")),
                        "1",
                    );
                    connection
                        .execute_batch(if aborts { "ROLLBACK" } else { "COMMIT" })
                        .expect("ends");
                }
            });
        }
    });
    life.relayed().await;
    check_order(&life, WRITERS * TRANSACTIONS * 2 / 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_and_rollbacks_on_postgres() {
    let Some(system) = System::postgres().await else { return };
    let life = system.life().await;
    let writers = (0..WRITERS).map(|writer| {
        let system = &system;
        async move {
            let mut client = system.client().await;
            for n in 0..TRANSACTIONS {
                let aborts = n % 3 == 0;
                let (id, key) = (
                    format!("w{writer}#{n}{}", if aborts { "!" } else { "" }),
                    format!("w{writer}"),
                );
                let transaction = client.transaction().await.expect("begins");
                let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES ($1, 'a.v1', $2, '1')";
                transaction.execute(insert, &[&id, &key]).await.expect("inserted");
                if aborts {
                    transaction.rollback().await
                } else {
                    transaction.commit().await
                }
                .expect("ends");
            }
        }
    });
    futures_util::future::join_all(writers).await;
    life.relayed().await;
    check_order(&life, WRITERS * TRANSACTIONS * 2 / 3).await;
    let left: i64 = system
        .client()
        .await
        .query_one("SELECT count(*) FROM ondol_outbox", &[])
        .await
        .expect("counts")
        .get(0);
    assert_eq!(left, 0, "what is relayed is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_commits_late_on_postgres_is_not_skipped() {
    let Some(system) = System::postgres().await else { return };
    let life = system.life().await;
    let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES ($1, 'a.v1', $1, '1')";
    let (mut slow, quick) = (system.client().await, system.client().await);
    let late = slow.transaction().await.expect("begins");
    late.execute(insert, &[&"late"]).await.expect("inserted");
    quick.execute(insert, &[&"quick"]).await.expect("inserted");
    life.sees("the quick one", |view| view.relayed == 2).await;
    late.commit().await.expect("commits");
    crate::system::until("the late one", || async { (life.ids().await.len() == 2).then_some(()) }).await;
    assert_eq!(life.ids().await, ["quick", "late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_of_the_relay_lose_nothing_and_repeat_nothing() {
    let system = System::sqlite();
    let connection = system.open();
    let mut written = 0;
    for life in 0..5 {
        let life_now = system.life().await;
        connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
        for n in 0..700 {
            row(
                &connection,
                &format!("k{}#{}", n % 7, life * 700 + n),
                Some(&format!("k{}", n % 7)),
                "1",
            );
        }
        connection.execute_batch("COMMIT").expect("commits");
        written += 700;
        // In the middle of its work, wherever that is.
        life_now.sees("a few", |view| view.relayed > written - 700).await;
        life_now.crash().await;
    }
    let life = system.life().await;
    life.relayed().await;
    check_order(&life, written as usize).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_may_delete_what_is_relayed() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    for n in 0..10 {
        row(&connection, &format!("k#{n}"), Some("k"), "1");
        life.relayed().await;
        let relayed = life.relays.relayed(&crate::system::one()).expect("answers");
        assert_eq!(relayed, n + 1);
        connection
            .execute("DELETE FROM ondol_outbox WHERE seq <= ?1", [relayed])
            .expect("deleted");
    }
    life.crash().await;
    row(&connection, "k#10", Some("k"), "1");
    let life = system.life().await;
    life.relayed().await;
    check_order(&life, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_relayed_in_full_batches() {
    const BACKLOG: usize = 20_000;
    let system = System::sqlite();
    let connection = system.open();
    connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
    for n in 0..BACKLOG {
        row(
            &connection,
            &format!("k{}#{n}", n % 50),
            Some(&format!("k{}", n % 50)),
            "1",
        );
    }
    connection.execute_batch("COMMIT").expect("commits");
    let life = system.life().await;
    life.relayed().await;
    check_order(&life, BACKLOG).await;
}
