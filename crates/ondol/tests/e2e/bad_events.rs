//! Bad input to events, by every way in: each is a clear error or a visible dead letter, and nobody else waits for it.

use crate::http::Message;
use crate::streams::Owner;
use crate::system::{System, until};
use ondol_core::task::Tasks;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;

const SERVICES: [(&str, &str); 3] = [
    ("shop", "streams: [order]\nevents: { publishes: [shop.opened.v1] }"),
    (
        "till",
        "database: sqlite:till.db\noutbox: true\nevents: { publishes: [till.rang.v1] }",
    ),
    (
        "fans",
        r#"database: sqlite:fans.db
outbox: true
events: { publishes: [fan.came.v1], subscribes: [{ name: all, types: ["shop.*", "till.*"], push: /events/fans, timeout: 2s,
  retry: { attempts: 2, first: 10ms, cap: 50ms } }] }"#,
    ),
];
const OUTBOX: &str = "CREATE TABLE ondol_outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL, key TEXT, source TEXT, subject TEXT, data TEXT NOT NULL, headers TEXT NOT NULL DEFAULT '{}', created TEXT)";

fn event(id: &str, more: Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": id, "source": "/services/shop", "type": "shop.opened.v1", "data": { "how": [] } });
    event
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    event
}

fn publish(owner: &Owner, event: &Value) -> Message {
    let kind = [("content-type", "application/cloudevents+json")];
    owner.ask("POST", "/v1/events", &kind, &event.to_string())
}

/// Ids of what the subscriber got, in the order of the first attempts.
fn got(system: &System) -> Vec<String> {
    let port = system.variable("fans.1", "PORT");
    let calls = crate::http::ask(&format!("127.0.0.1:{port}"), "GET", "/calls/fans", &[], b"");
    let calls = calls.ok().map(|calls| calls.json()).unwrap_or_default();
    let mut ids: Vec<String> = Vec::new();
    for call in calls.as_array().into_iter().flatten() {
        let id = call["fields"]["ce-id"].as_str().expect("an id").to_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn delivered(system: &System, ids: &[&str]) {
    until("delivered", || (got(system) == ids).then_some(()));
}

fn outboxes(system: &System) -> Vec<Value> {
    let shown = system.json(&["events", "outboxes"]);
    shown["outboxes"].as_array().cloned().expect("outboxes")
}

fn outbox(system: &System, service: &str) -> Value {
    let shown = outboxes(system);
    shown
        .into_iter()
        .find(|outbox| outbox["service"] == service)
        .expect("one")
}

fn database(system: &System, service: &str) -> PathBuf {
    system.folder.join(format!(".ondol/data/{service}/{service}.db"))
}

/// Sends a body that does not end until an answer comes.
fn endless(owner: &Owner, path: &str) -> Message {
    let mut stream = TcpStream::connect(&owner.address).expect("connects");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/cloudevents+json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        owner.address, owner.token
    );
    let mut writer = stream.try_clone().expect("a second handle");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let sending = move || {
        let mut sent = writer.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = writer.write_all(chunk.as_bytes());
        }
    };
    let sender = Tasks::thread("endless", sending).expect("a thread");
    let answer = Message::read(&mut BufReader::new(stream.try_clone().expect("a handle")), true);
    // The other side may have left it open: it is this side's to end.
    stream
        .shutdown(std::net::Shutdown::Both)
        .or_else(|_| stream.flush())
        .ok();
    sender.join().expect("it ends");
    answer.expect("reads").expect("an answer")
}

#[test]
fn a_body_that_does_not_end_is_refused_and_holds_up_nobody() {
    let system = System::new("", &SERVICES).up();
    let shop = Owner::of(&system, "shop.1");
    for path in ["/v1/events", "/v1/streams/order-1/events", "/v1/subscriptions/all/pull"] {
        assert_eq!(endless(&shop, path).status(), 413, "{path}");
    }
    publish(&shop, &event("a", json!({}))).expect(201);
    delivered(&system, &["a"]);
}

#[test]
fn clocks_that_are_years_off_change_neither_order_nor_delivery() {
    let system = System::new("", &SERVICES).up();
    let shop = Owner::of(&system, "shop.1");
    let at = |id: &str, time: &str| publish(&shop, &event(id, json!({ "time": time, "partitionkey": "k" })));
    for (id, time) in [
        ("future", "9999-12-30T20:00:00Z"),
        ("past", "1970-01-01T00:00:00Z"),
        ("older", "0001-01-01T00:00:00Z"),
        ("now", "2026-11-22T00:00:00+14:00"),
    ] {
        at(id, time).expect(201);
    }
    delivered(&system, &["future", "past", "older", "now"]);
    for time in ["12026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "1700000000", ""] {
        let refused = at("x", time).expect(400).json();
        assert_eq!(refused["code"], "EV-002", "{time}: {refused}");
    }
    // What is to be delivered long ago comes at once; what is to be delivered in 7,000 years is shown, and waits alone.
    let due = |id: &str, time: &str| publish(&shop, &event(id, json!({ "deliverat": time }))).expect(201);
    due("never", "9999-12-30T20:00:00Z");
    due("long-due", "1970-01-01T00:00:00Z");
    delivered(&system, &["future", "past", "older", "now", "long-due"]);
    let keys = until("the one that waits", || {
        let keys = system.admin("GET", "/v1/subscriptions/fans.all/keys?state=delayed", "");
        let keys = keys.json()["keys"].as_array().cloned()?;
        (!keys.is_empty()).then_some(keys)
    });
    assert_eq!((keys.len(), &keys[0]["first"]["id"]), (1, &json!("never")), "{keys:?}");
    let skip = json!({ "action": "skip", "position": keys[0]["first"]["position"], "reason": "a test" });
    let path = format!(
        "/v1/subscriptions/fans.all/keys/{}/actions",
        keys[0]["key"].as_str().expect("a key")
    );
    system.admin("POST", &path, &skip.to_string()).expect(200);
}

#[test]
fn an_outbox_that_cannot_be_read_says_why_and_the_others_go_on() {
    let system = System::new("", &SERVICES).up();
    let garbage = "no database, but long enough to be looked at as one: ".repeat(200);
    std::fs::write(database(&system, "fans"), garbage).expect("written");
    let till = Connection::open(database(&system, "till")).expect("opens");
    till.execute_batch(OUTBOX).expect("created");
    let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES (?1, 'till.rang.v1', 'k', '{\"how\":[]}')";
    till.execute(insert, ["t1"]).expect("inserted");
    delivered(&system, &["t1"]);
    let shown = until("a reason", || {
        let shown = outbox(&system, "fans");
        let reason = shown["reason"].as_str()?;
        reason.contains("not a database").then_some(shown)
    });
    assert_eq!(shown["state"], "waiting", "{shown}");
    assert_eq!(outbox(&system, "till")["state"], "running");

    std::fs::remove_file(database(&system, "fans")).expect("removed");
    let fans = Connection::open(database(&system, "fans")).expect("opens");
    fans.execute_batch(OUTBOX).expect("created");
    fans.execute(
        "INSERT INTO ondol_outbox (id, type, data) VALUES ('f1', 'fan.came.v1', '1')",
        (),
    )
    .expect("inserted");
    until("relayed", || (outbox(&system, "fans")["relayed"] == 1).then_some(()));
}

#[test]
fn an_id_that_says_something_else_is_refused_by_every_way_in() {
    let system = System::new("", &SERVICES).up();
    let shop = Owner::of(&system, "shop.1");
    publish(&shop, &event("one", json!({}))).expect(201);
    let refused = publish(&shop, &event("one", json!({ "data": { "how": ["other"] } })))
        .expect(409)
        .json();
    assert_eq!(refused["code"], "EV-007", "{refused}");
    let batch = json!([event("two", json!({})), event("one", json!({ "data": 7 }))]);
    let kind = [("content-type", "application/cloudevents-batch+json")];
    shop.ask("POST", "/v1/events", &kind, &batch.to_string()).expect(409);
    let append = json!([event("one", json!({ "type": "order.moved.v1" }))]).to_string();
    let stream = "/v1/streams/order-1/events";
    shop.ask("POST", stream, &kind, &append).expect(409);

    let till = Connection::open(database(&system, "till")).expect("opens");
    till.execute_batch(OUTBOX).expect("created");
    for (id, key) in [("one", "a"), ("three", "b")] {
        let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES (?1, 'till.rang.v1', ?2, '{\"how\":[]}')";
        till.execute(insert, [id, key]).expect("inserted");
    }
    delivered(&system, &["one", "three"]);
    let shown = until("a dead letter", || {
        let shown = outbox(&system, "till");
        (shown["poisoned"] == 1).then_some(shown)
    });
    assert_eq!(shown["state"], "running", "{shown}");
    assert_eq!(shop.ids("/v1/all"), ["one"], "of a refused batch nothing is there");
}

#[test]
fn a_subscriber_that_drips_or_babbles_holds_up_no_other_key() {
    let system = System::new("", &SERVICES).up();
    let shop = Owner::of(&system, "shop.1");
    for (id, how) in [("slow", "drip"), ("odd", "nonsense"), ("cut", "cut")] {
        let how = json!({ "data": { "how": [how, how] }, "partitionkey": id });
        publish(&shop, &event(id, how)).expect(201);
    }
    publish(&shop, &event("good", json!({}))).expect(201);
    until("the good one", || {
        got(&system).contains(&"good".to_owned()).then_some(())
    });
    let letters = until("three dead letters", || {
        let letters = system.json(&["dlq", "list"])["keys"].as_array().cloned()?;
        (letters.len() == 3).then_some(letters)
    });
    let mut keys: Vec<&str> = letters.iter().filter_map(|letter| letter["key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["cut", "odd", "slow"]);
    for letter in &letters {
        assert!(letter["error"].as_str().is_some_and(|why| !why.is_empty()), "{letter}");
    }
}
