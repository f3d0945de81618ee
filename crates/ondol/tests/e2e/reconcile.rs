//! What two services say of the same things, compared: a row that is taken away by hand is found and mended.

use crate::system::{System, until};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

const ORDERS: &str = "\
database: sqlite:items.db
sagas: [charge-again.saga.yaml]
reconcile: [orders.reconcile.yaml]";
const CHARGES: &str = "database: sqlite:items.db";

/// Runs by itself once an hour, so that what is seen here is what the test has asked for.
const RECONCILE: &str = "
reconcile: orders
every: 1h
settle: 1s
sources:
  orders: orders/items
  charges: charges/items
  mended: { sagas: charge-again }
rules:
  - when: { orders: present }
    expect: { charges.total: \"{orders.total}\" }
    repair: { saga: charge-again, input: { order: \"{key}\", total: \"{orders.total}\" } }
  - when: { charges: present }
    expect: { orders: present }
";
const SAGA: &str = "
saga: charge-again
input: { type: object, required: [order, total], properties: { order: { type: string }, total: { type: integer } } }
steps:
  - charge: { call: \"PUT charges/items/{input.order}\", body: { total: \"{input.total}\" }, pivot: true }
";

/// More than two pages.
const ITEMS: u32 = 2_500;

fn database(system: &System, service: &str) -> Connection {
    let path = system.folder.join(format!(".ondol/data/{service}/items.db"));
    let connection = Connection::open(path).expect("opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("set");
    connection.pragma_update(None, "journal_mode", "wal").expect("WAL");
    connection
}

/// Both services with the same items, all at rest.
fn system() -> System {
    let system = System::new("", &[("orders", ORDERS), ("charges", CHARGES)]);
    system.write("services/orders/orders.reconcile.yaml", RECONCILE);
    system.write("services/orders/charge-again.saga.yaml", SAGA);
    let system = system.up();
    for service in ["orders", "charges"] {
        let table = "CREATE TABLE item (key TEXT PRIMARY KEY, at TEXT NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID";
        let connection = database(&system, service);
        connection.execute_batch(table).expect("created");
        let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
            INSERT INTO item SELECT printf('o%05d', n), '2026-01-01T00:00:00Z', 500 FROM n";
        connection.execute(fill, [ITEMS]).expect("filled");
    }
    system
}

/// Runs once by the command line: its exit code and what it prints.
fn run(system: &System) -> (Option<i32>, Value) {
    let ended = system.ondol(&["--json", "reconcile", "run", "orders"]);
    let shown = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no JSON: {ended:?}"));
    (ended.code, shown)
}

#[test]
fn a_row_that_is_deleted_by_hand_is_reported_after_two_runs_and_mended() {
    let system = system();
    let (code, view) = run(&system);
    assert_eq!(
        (code, &view["state"], &view["keys"]),
        (Some(0), &json!("pass"), &json!(ITEMS)),
        "{view}"
    );
    let gone = database(&system, "charges").execute("DELETE FROM item WHERE key = 'o01234'", ());
    assert_eq!(gone, Ok(1));
    let (code, view) = run(&system);
    assert_eq!(
        (code, &view["suspected"], &view["reported"]),
        (Some(0), &json!(1), &json!(0)),
        "{view}"
    );
    // What was seen once is known to the next controller.
    system.signal("controller", Signal::KILL);
    let shown = until("the next controller", || {
        let shown = system.ondol(&["--json", "reconcile", "show", "orders"]);
        (shown.code == Some(0)).then_some(shown.out)
    });
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["suspected"], &shown["last_run"]),
        (&json!(1), &view["last_run"])
    );
    let (code, view) = run(&system);
    assert_eq!(
        (code, &view["state"], &view["reported"]),
        (Some(1), &json!("fail"), &json!(1)),
        "{view}"
    );
    let drift = &view["drifts"][0];
    assert_eq!(
        (&drift["key"], &drift["why"]),
        (&json!("o01234"), &json!(["charges: absent, expected present"]))
    );
    let saga = drift["repair"]["id"].as_str().expect("a repairing saga").to_owned();
    until("the repair", || {
        let saga = system.json(&["saga", "show", &saga]);
        (saga["state"] == "done").then_some(())
    });
    // In the flow of what it mends.
    let flow = system.admin("GET", "/v1/flows/o01234", "").expect(200).json();
    assert!(flow["nodes"].to_string().contains(&saga), "{flow}");
    let (_, view) = until("a run that finds it at rest", || {
        Some(run(&system)).filter(|(code, _)| *code == Some(0))
    });
    // The saga's own id is a key too.
    assert_eq!((&view["state"], &view["drifts"]), (&json!("pass"), &json!([])));
    let total = "SELECT total FROM item WHERE key = 'o01234'";
    let total: i64 = database(&system, "charges")
        .query_row(total, (), |row| row.get(0))
        .expect("it is back");
    assert_eq!(total, 500);
    let metrics = system.admin("GET", "/metrics", "").expect(200).text();
    for line in [
        "ondol_reconcile_drifts{name=\"orders\"} 0",
        "ondol_reconcile_state{name=\"orders\",state=\"pass\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let logs = system.ondol(&["logs", "-n", "500", "controller"]).good();
    for words in [
        "services disagree",
        "a repairing saga was started",
        "do not disagree any more",
    ] {
        assert!(logs.contains(words), "{words}: {logs}");
    }
}

#[test]
fn a_source_that_is_down_or_talks_nonsense_is_unknown_and_never_passes() {
    let system = system();
    assert_eq!(run(&system).1["state"], "pass");
    let charges = database(&system, "charges");
    charges
        .execute_batch("UPDATE item SET at = 'yesterday' WHERE key = 'o00001'")
        .expect("spoiled");
    let (code, view) = run(&system);
    assert_eq!((code, &view["state"]), (Some(1), &json!("unknown")));
    let told = |view: &Value, words: &str| view["reason"].as_str().is_some_and(|reason| reason.contains(words));
    assert!(
        told(&view, "charges answered nonsense: item 1: `at` is no time"),
        "{view}"
    );
    charges
        .execute_batch("DELETE FROM item WHERE key = 'o00001'")
        .expect("deleted");
    charges
        .execute_batch("ALTER TABLE item RENAME TO away")
        .expect("renamed");
    let (_, view) = run(&system);
    assert_eq!((&view["state"], &view["suspected"]), (&json!("unknown"), &json!(0)));
    assert!(told(&view, "source charges: charges answered 500"), "{view}");
    charges
        .execute_batch("ALTER TABLE away RENAME TO item")
        .expect("renamed");
    let (code, view) = run(&system);
    assert_eq!(
        (code, &view["state"], &view["suspected"]),
        (Some(0), &json!("pass"), &json!(1)),
        "{view}"
    );
    let list = system.json(&["reconcile", "list"]);
    assert_eq!(list["reconciliations"][0]["name"], "orders");
    let table = system.ondol(&["reconcile", "list"]).good();
    assert!(table.contains("orders") && table.contains("pass"), "{table}");
    let none = system.ondol(&["reconcile", "show", "nothing"]);
    assert!(none.code == Some(1) && none.err.contains("EV-040"), "{none:?}");
}
