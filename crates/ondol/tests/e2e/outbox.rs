//! Rows of a service's own database become events, once and in order, whoever is killed in between.

use crate::stores::on_both_stores;
use crate::streams::Owner;
use crate::system::{System, until};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const SHOP: [(&str, &str); 2] = [
    (
        "shop",
        "database: sqlite:shop.db\noutbox: true\nevents: { publishes: [shop.sold.v1] }",
    ),
    (
        "fans",
        "events: { subscribes: [{ name: sales, types: [shop.sold.v1], push: /events/sales }] }",
    ),
];
const TABLE: &str = "CREATE TABLE ondol_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, key TEXT, source TEXT, subject TEXT,
  data TEXT NOT NULL, headers TEXT NOT NULL DEFAULT '{}',
  created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))";

on_both_stores!(
    committed_rows_become_events_once_and_in_order_whoever_is_killed,
    a_poisoned_row_is_a_dead_letter_that_can_be_mended,
);

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("set");
    connection.pragma_update(None, "journal_mode", "wal").expect("WAL");
    connection
}

fn database(system: &System) -> PathBuf {
    system.folder.join(".ondol/data/shop/shop.db")
}

/// Writes rows without end; each third transaction is rolled back, and its id ends with `!`.
#[test]
#[ignore = "no test: the writer that the test below kills"]
fn writer() {
    let connection = open(Path::new(&std::env::var("OUTBOX").expect("the path")));
    let (from, insert) = (
        std::env::var("FROM").expect("a number"),
        "INSERT INTO ondol_outbox (id, type, key, data) VALUES (?1, 'shop.sold.v1', ?2, '{\"how\":[]}')",
    );
    for n in 0.. {
        let aborts = n % 3 == 2;
        connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
        let id = format!("{from}-{n:06}{}", if aborts { "!" } else { "" });
        // Of one key events are pushed one after the other, which a busy machine takes long for.
        let key = format!("till-{}", n % 8);
        connection.execute(insert, [id, key]).expect("inserted");
        connection
            .execute_batch(if aborts { "ROLLBACK" } else { "COMMIT" })
            .expect("ends");
        // A service's pace and not a disk's: two systems at once must get through it on a busy machine.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Killed at the latest when its test ends, however that ends.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_writer(path: &Path, from: usize) -> Writer {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "outbox::writer"]);
    let command = command.env("OUTBOX", path).env("FROM", format!("{from}"));
    Writer(command.spawn().expect("starts"))
}

fn outbox(system: &System) -> Value {
    // A controller that was killed needs a moment.
    let shown = until("an answer", || {
        let shown = system.ondol(&["--json", "events", "outboxes"]);
        (shown.code == Some(0)).then_some(shown.out)
    });
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    shown["outboxes"][0].clone()
}

/// Every id, page by page: how much the writer gets done is the machine's affair.
fn all_ids(owner: &Owner) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = owner.ids(&format!("/v1/all?limit=1000&after={}", ids.len()));
        if page.is_empty() {
            return ids;
        }
        ids.extend(page);
    }
}

fn committed_rows_become_events_once_and_in_order_whoever_is_killed(store: &str) {
    let system = System::new(store, &SHOP).up();
    let path = database(&system);
    assert_eq!(outbox(&system)["state"], "waiting", "the service has made no table yet");
    let connection = open(&path);
    connection.execute_batch(TABLE).expect("created");
    let rows = || -> u64 {
        let count = "SELECT count(*) FROM ondol_outbox";
        connection.query_row(count, (), |row| row.get(0)).expect("counts")
    };
    for life in 0..3 {
        let before = rows();
        let writer = start_writer(&path, life);
        until("a hundred rows more", || (rows() > before + 100).then_some(()));
        // The one before may not have begun yet.
        until("a controller", || system.signal_if_there("controller", Signal::KILL));
        until("another hundred", || (rows() > before + 200).then_some(()));
        drop(writer);
    }
    let mut written = connection
        .prepare("SELECT id FROM ondol_outbox ORDER BY seq")
        .expect("reads");
    let written: Vec<String> = written
        .query_map((), |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("reads");
    let shown = until("everything relayed", || {
        let shown = outbox(&system);
        (shown["pending"] == 0).then_some(shown)
    });
    assert_eq!((&shown["state"], &shown["poisoned"]), (&json!("running"), &json!(0)));
    let shop = Owner::of(&system, "shop.1");
    assert_eq!(
        all_ids(&shop),
        written,
        "each once, in order, nothing that was rolled back"
    );
    let relayed = shop.ask("GET", "/v1/outbox", &[], "").expect(200).json();
    assert_eq!(relayed, json!({ "relayed": shown["relayed"] }));
    Owner::of(&system, "fans.1")
        .ask("GET", "/v1/outbox", &[], "")
        .expect(404);
    until("everything delivered", || {
        let shown = system.json(&["events", "subscriptions"]);
        let all = &shown["subscriptions"][0];
        (all["lag"] == 0 && all["delivered"].as_u64() >= Some(written.len() as u64)).then_some(())
    });
}

fn a_poisoned_row_is_a_dead_letter_that_can_be_mended(store: &str) {
    let system = System::new(store, &SHOP).up();
    let connection = open(&database(&system));
    connection.execute_batch(TABLE).expect("created");
    let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES (?1, 'shop.sold.v1', ?2, ?3)";
    for row in [["a1", "a", "{ no JSON"], ["a2", "a", "2"], ["b1", "b", "1"]] {
        connection.execute(insert, row).expect("inserted");
    }
    let poisoned = |rows: u64| {
        until("dead letters", || (outbox(&system)["poisoned"] == rows).then_some(()));
    };
    poisoned(2);
    let shop = Owner::of(&system, "shop.1");
    until("the other key's row", || (shop.ids("/v1/all") == ["b1"]).then_some(()));
    let keys = system
        .admin("GET", "/v1/subscriptions/shop.outbox/keys", "")
        .expect(200)
        .json();
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["key"], &key["state"], &key["events"]),
        (&json!("a"), &json!("parked"), &json!(2)),
        "{keys}"
    );
    let actions = "/v1/subscriptions/shop.outbox/keys/a/actions";
    let edit = json!({ "action": "edit", "position": key["first"]["position"], "data": { "mended": true }, "reason": "a test" });
    system.admin("POST", actions, &edit.to_string()).expect(200);
    let nobody = json!({ "action": "skip", "position": 77, "reason": "a test" });
    system.admin("POST", actions, &nobody.to_string()).expect(404);
    let shown = system.ondol(&["dlq", "show", "shop.outbox", "a"]).good();
    assert!(shown.contains("no JSON"), "{shown}");
    system
        .ondol(&["dlq", "redrive", "shop.outbox", "--reason", "mended"])
        .good();
    poisoned(0);
    assert_eq!(shop.ids("/v1/all"), ["b1", "a1", "a2"]);
}
