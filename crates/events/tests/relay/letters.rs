//! Rows that cannot be published: seen, edited, tried again, passed over; others go on.

use crate::system::{System, act, one, row, until};
use ondol_events::subscription::phase::{KeyState, Mode};
use ondol_events::subscription::{KeyAction, RedriveRequest};

fn all() -> RedriveRequest {
    RedriveRequest {
        rate: Some(1_000.0),
        ..RedriveRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_row_parks_its_key_and_an_edit_and_a_redrive_set_it_free_in_order() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    row(&connection, "a1", Some("a"), "1");
    row(&connection, "a2", Some("a"), "{ no JSON");
    row(&connection, "a3", Some("a"), "3");
    row(&connection, "b1", Some("b"), "1");
    life.relayed().await;
    assert_eq!(life.ids().await, ["a1", "b1"]);
    let keys = life.relays.keys(&one(), None, None, 10).await.expect("lists");
    assert_eq!(
        (keys.len(), &*keys[0].key, keys[0].state, keys[0].events),
        (1, "a", KeyState::Parked, 2)
    );
    assert!(
        keys[0].error.as_deref().is_some_and(|error| error.contains("no JSON")),
        "{keys:?}"
    );

    // A new life knows them too, and what comes meanwhile waits behind them.
    life.crash().await;
    let life = system.life().await;
    row(&connection, "a4", Some("a"), "4");
    life.sees("three that wait", |view| view.poisoned == 3).await;
    let details = life.relays.key(&one(), "a").await.expect("shows");
    let position = details.queue[0].position;
    assert!(details.queue[0].event.get().contains("{ no JSON"));

    let edit = KeyAction::Edit {
        position,
        data: r#"{"mended":true}"#.into(),
    };
    life.relays.act_on_key(&one(), "a", edit, act()).await.expect("edits");
    let dry = RedriveRequest { dry_run: true, ..all() };
    let reached = life.relays.redrive(&one(), dry, act()).await.expect("says");
    assert_eq!((reached.keys, reached.events, life.view().await.poisoned), (1, 3, 3));
    life.relays.redrive(&one(), all(), act()).await.expect("begins");
    life.sees("none that waits", |view| view.poisoned == 0).await;
    row(&connection, "a5", Some("a"), "5");
    life.relayed().await;
    assert_eq!(life.ids().await, ["a1", "b1", "a2", "a3", "a4", "a5"]);
    let mended = &life.events().await[2].event.body;
    assert!(String::from_utf8_lossy(mended).contains(r#"{"mended":true}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_waits_until_it_is_declared() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    let insert = "INSERT INTO ondol_outbox (id, type, data) VALUES (?1, ?2, '1')";
    for (id, kind) in [("x", "b.v1"), ("y", "a.v1"), ("z", "b.v1")] {
        connection.execute(insert, [id, kind]).expect("inserted");
    }
    let view = life.sees("two that wait", |view| view.poisoned == 2).await;
    assert_eq!((view.state, life.ids().await), (Mode::Running, vec!["y".to_owned()]));
    life.relays.redrive(&one(), all(), act()).await.expect("begins");
    until("another attempt", || async {
        let keys = life
            .relays
            .keys(&one(), Some(KeyState::Parked), None, 10)
            .await
            .expect("lists");
        keys.iter().any(|key| key.attempts > 1).then_some(())
    })
    .await;
    life.publishes(&["a.v1", "b.v1"]);
    life.relays.redrive(&one(), all(), act()).await.expect("begins");
    life.sees("none that waits", |view| view.poisoned == 0).await;
    // Rows without a key have no order among each other.
    let mut ids = life.ids().await;
    ids[1..].sort();
    assert_eq!(ids, ["y", "x", "z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_left_in_postgres_until_it_is_skipped() {
    let Some(system) = System::postgres().await else { return };
    let (client, life) = (system.client().await, system.life().await);
    let insert = "INSERT INTO ondol_outbox (id, type, data) VALUES ($1, 'a.v1', to_json(repeat('x', $2))::text)";
    client
        .execute(insert, &[&"huge", &3_000_000_i32])
        .await
        .expect("inserted");
    client.execute(insert, &[&"small", &3_i32]).await.expect("inserted");
    life.sees("one that waits", |view| view.poisoned == 1).await;
    until("the small one", || async {
        (life.ids().await == ["small"]).then_some(())
    })
    .await;
    let rows = async || {
        client
            .query_one("SELECT count(*) FROM ondol_outbox", &[])
            .await
            .expect("counts")
            .get::<_, i64>(0)
    };
    // The small one goes once its event is durable; the original of the other stays.
    until("one row", || async { (rows().await == 1).then_some(()) }).await;
    let keys = life.relays.keys(&one(), None, None, 10).await.expect("lists");
    let position = keys[0].first.as_ref().expect("has one").position;
    let skip = KeyAction::Skip { position };
    life.relays
        .act_on_key(&one(), &keys[0].key, skip, act())
        .await
        .expect("skips");
    assert_eq!((rows().await, life.view().await.poisoned), (0, 0));
}

/// A row that cannot be deleted there is not forgotten here, where it would come back as a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_keeps_is_not_skipped_until_it_lets_go() {
    let Some(system) = System::postgres().await else { return };
    let (client, life) = (system.client().await, system.life().await);
    let keeps = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
        CREATE TRIGGER keep BEFORE DELETE ON ondol_outbox FOR EACH ROW EXECUTE FUNCTION keep();
        INSERT INTO ondol_outbox (id, type, key, data) VALUES ('a', 'a.v1', 'k', '{')";
    client.batch_execute(keeps).await.expect("runs");
    life.sees("one that waits", |view| view.poisoned == 1).await;
    let skip = || KeyAction::Skip { position: 1 };
    let refused = life.relays.act_on_key(&one(), "k", skip(), act()).await;
    let told = refused.expect_err("is refused");
    assert_eq!((told.code().as_str(), told.status()), ("EV-030", 503), "{told}");
    assert_eq!(life.view().await.poisoned, 1);
    let lets_go =
        "DROP TRIGGER keep ON ondol_outbox; INSERT INTO ondol_outbox (id, type, data) VALUES ('b', 'a.v1', '1')";
    client.batch_execute(lets_go).await.expect("runs");
    life.relays.act_on_key(&one(), "k", skip(), act()).await.expect("skips");
    until("the other row", || async { (life.ids().await == ["b"]).then_some(()) }).await;
    let view = life.relayed().await;
    assert_eq!((view.poisoned, life.ids().await), (0, vec!["b".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_event_is_refused_and_other_rows_go_on() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    row(&connection, "same", None, "1");
    life.relayed().await;
    // The service has forgotten that it used the id.
    connection.execute("DELETE FROM ondol_outbox", ()).expect("deleted");
    row(&connection, "same", None, "2");
    row(&connection, "other", None, "3");
    let view = life.sees("one that waits", |view| view.poisoned == 1).await;
    assert_eq!(view.state, Mode::Running);
    until("the other", || async {
        (life.ids().await == ["same", "other"]).then_some(())
    })
    .await;
    let keys = life.relays.keys(&one(), None, None, 10).await.expect("lists");
    assert!(
        keys[0].error.as_deref().is_some_and(|error| error.contains("EV-007")),
        "{keys:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_keys_in_one_state_does_not_end_with_a_key_in_another() {
    let system = System::sqlite();
    let (connection, life) = (system.open(), system.life().await);
    for key in ["a", "b", "c"] {
        row(&connection, key, Some(key), "{");
    }
    life.sees("three that wait", |view| view.poisoned == 3).await;
    // The first is tried at once and parked again, the second waits for its turn.
    let some = RedriveRequest {
        keys: Some(vec!["a".into(), "b".into()]),
        rate: Some(0.001),
        ..RedriveRequest::default()
    };
    life.relays.redrive(&one(), some, act()).await.expect("begins");
    let page = async |state, after: Option<&str>| {
        let keys = life.relays.keys(&one(), Some(state), after.map(str::to_owned), 1).await;
        let keys = keys.expect("lists").into_iter().map(|key| key.key.to_string());
        keys.collect::<Vec<_>>().join(" ")
    };
    until("the first parked again", || async {
        (page(KeyState::Parked, None).await == "a").then_some(())
    })
    .await;
    assert_eq!(page(KeyState::Retrying, None).await, "b");
    assert_eq!(page(KeyState::Parked, Some("a")).await, "c");
}

/// Whatever is wrong with them: a batch is looked through once, not tried again for each.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_that_cannot_be_published_hold_up_nothing_beside_their_keys() {
    let system = System::sqlite();
    let (mut connection, life) = (system.open(), system.life().await);
    row(&connection, "taken", None, "1");
    life.relayed().await;
    let transaction = connection.transaction().expect("begins");
    let insert = "INSERT INTO ondol_outbox (id, type, key, source, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    for n in 0..600 {
        let (kind, source) = match n % 3 {
            0 => ("unknown.v1", "/services/one"),
            1 => ("a.v1", "/services/two"),
            _ => ("a.v1", "/services/one"),
        };
        let values = [&*format!("e{n}"), kind, &*format!("k{n}"), source, "1"];
        transaction.execute(insert, values).expect("inserted");
    }
    // Its id is that of an event with other data, known only to the log: the row of that one was deleted.
    transaction
        .execute("DELETE FROM ondol_outbox WHERE id = 'taken'", ())
        .expect("deleted");
    transaction
        .execute(insert, ["taken", "a.v1", "taken", "/services/one", "2"])
        .expect("inserted");
    transaction.commit().expect("commits");
    life.sees("all that wait", |view| view.poisoned == 401 && view.pending == Some(0))
        .await;
    assert_eq!(life.ids().await.len(), 201);
    for (key, code) in [
        ("k0", "EV-005"),
        ("k1", "EV-002"),
        ("k598", "EV-002"),
        ("taken", "EV-007"),
    ] {
        let error = life.relays.key(&one(), key).await.expect("shows").view.error;
        assert!(
            error.as_deref().is_some_and(|error| error.starts_with(code)),
            "{key}: {error:?}"
        );
    }
}
