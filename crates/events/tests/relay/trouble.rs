//! Databases that are not there, not as they should be, not the same any more, or held by others: seen, and tried on.

use crate::postgres::Postgres;
use crate::system::{SQLITE, System, one, row, until};
use ondol_events::relay::config::Outbox;
use ondol_events::subscription::phase::Mode;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_waited_for_with_a_reason() {
    let system = System::without_database();
    let life = system.life().await;
    let waits = async |words: &str| {
        let view = life
            .sees(words, |view| {
                view.reason.as_deref().is_some_and(|reason| reason.contains(words))
            })
            .await;
        assert_eq!(view.state, Mode::Waiting);
    };
    waits("there is no file").await;
    std::fs::write(
        system.file(),
        "this is no database, but long enough to look like one: ".repeat(40),
    )
    .expect("written");
    waits("not a database").await;
    std::fs::remove_file(system.file()).expect("removed");
    let connection = system.open();
    connection.execute_batch("CREATE TABLE other (x)").expect("created");
    waits("it is not there").await;
    connection
        .execute_batch(&SQLITE.replace("AUTOINCREMENT", ""))
        .expect("created");
    waits("AUTOINCREMENT").await;
    connection.execute_batch("DROP TABLE ondol_outbox").expect("dropped");
    connection.execute_batch(SQLITE).expect("created");
    row(&connection, "a", None, "1");
    life.sees("the outbox relayed", |view| {
        view.state == Mode::Running && view.relayed == 1
    })
    .await;
    assert_eq!(life.ids().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_replaced_is_read_from_its_start() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    for id in ["a", "b", "c"] {
        row(&connection, id, None, "1");
    }
    life.relayed().await;
    drop(connection);
    for end in ["", "-wal", "-shm"] {
        let mut file = system.file().into_os_string();
        file.push(end);
        let removed = std::fs::remove_file(&file);
        assert!(removed.is_ok() || !end.is_empty(), "{file:?}");
    }
    let connection = system.open();
    connection.execute_batch(SQLITE).expect("created");
    for id in ["d", "e"] {
        row(&connection, id, None, "1");
    }
    until("the new rows", || async { (life.ids().await.len() == 5).then_some(()) }).await;
    assert_eq!(life.ids().await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_never_held_up_and_a_long_one_holds_up_nobody() {
    let system = System::sqlite();
    let (writer, life) = (system.open(), system.life().await);
    writer.execute_batch("BEGIN IMMEDIATE").expect("begins");
    row(&writer, "long", None, "1");
    assert_eq!(life.view().await.pending, Some(0), "what is not committed is not seen");
    assert_eq!(life.view().await.state, Mode::Running);
    writer.execute_batch("COMMIT").expect("commits");
    until("the row", || async { (life.ids().await == ["long"]).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_crashes_is_found_again() {
    let Some(server) = Postgres::start() else { return };
    let mut system = System::without_database();
    system.database = server.new_database();
    let life = system.life().await;
    let table = "CREATE TABLE ondol_outbox (seq bigserial PRIMARY KEY, id text NOT NULL UNIQUE, type text NOT NULL, key text,
        source text, subject text, data text NOT NULL, headers text NOT NULL DEFAULT '{}', created timestamptz DEFAULT now());
        INSERT INTO ondol_outbox (id, type, data) VALUES ('before', 'a.v1', '1')";
    life.sees("no table yet", |view| view.state == Mode::Waiting).await;
    system.client().await.batch_execute(table).await.expect("created");
    until("the first row", || async {
        (life.ids().await.len() == 1).then_some(())
    })
    .await;
    server.crash();
    life.sees("the crash", |view| {
        view.state == Mode::Waiting && view.pending.is_none()
    })
    .await;
    server.begin();
    let insert = "INSERT INTO ondol_outbox (id, type, data) VALUES ('after', 'a.v1', '1')";
    system.client().await.batch_execute(insert).await.expect("inserted");
    until("the second row", || async {
        (life.ids().await == ["before", "after"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_keeps_no_process_of_the_server_for_long() {
    let Some(system) = System::postgres().await else { return };
    let life = system.life().await;
    let (mut locker, watcher) = (system.client().await, system.client().await);
    let lock = locker.transaction().await.expect("begins");
    lock.batch_execute("LOCK TABLE ondol_outbox IN ACCESS EXCLUSIVE MODE; INSERT INTO ondol_outbox (id, type, data) VALUES ('a', 'a.v1', '1')")
        .await
        .expect("locked");
    let asked = async |what: &str, question: &str| {
        until(what, || async {
            watcher.query_opt(question, &[]).await.expect("asked")
        })
        .await
    };
    let relay = "FROM pg_stat_activity WHERE application_name = 'ondol relay' AND datname = current_database()";
    let waits = format!("SELECT pid {relay} AND wait_event_type = 'Lock'");
    let first: i32 = asked("a process that waits for the lock", &waits).await.get(0);
    let gone = format!("SELECT 1 WHERE NOT EXISTS (SELECT {relay} AND pid = {first})");
    asked("its end, though the table is still locked", &gone).await;
    assert!(life.relays.relayed(&one()).is_ok(), "the loop waits, who asks does not");
    lock.commit().await.expect("commits");
    until("the row", || async { (life.ids().await == ["a"]).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_in_trouble_holds_up_no_other_and_one_that_comes_back_goes_on() {
    let system = System::sqlite();
    let life = system.life().await;
    let missing = Outbox {
        service: "two".parse().expect("a name"),
        database: "sqlite:///nowhere/two.db".into(),
    };
    life.relays.set(vec![system.outbox(), missing.clone()]).await;
    let connection = system.open();
    row(&connection, "a", None, "1");
    until("the row", || async { (life.ids().await == ["a"]).then_some(()) }).await;
    life.relays.set(vec![missing]).await;
    assert!(life.relays.relayed(&one()).is_err(), "it is not relayed any more");
    row(&connection, "b", None, "1");
    life.relays.set(vec![system.outbox()]).await;
    until("the row of meanwhile", || async {
        (life.ids().await == ["a", "b"]).then_some(())
    })
    .await;
}
