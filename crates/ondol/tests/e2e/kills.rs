//! `kill -9` of each role.

use crate::load::without_a_failed_request;
use crate::system::{System, until};
use ondol_core::clock::{Clock, SystemClock};
use rustix::process::Signal;
use std::time::Duration;

const SAGA: &str = "
saga: book
steps:
  - seat: { call: \"PUT hello/part/seat/{saga.id}\", body: { how: \"{input.seat}\" }, compensate: \"DELETE hello/part/seat/{saga.id}\" }
answer:
  done: { status: 201, body: { id: \"{saga.id}\", number: \"{seat.number}\" } }
";

const HELLO: &str = "\
scale: { min: 2 }
health: /health
sagas: [book.saga.yaml]
routes:
  - match: { prefix: /work }
  - { name: book, match: { path: /book }, start: { saga: book, wait: 5s } }";

fn system() -> System {
    let system = System::new("", &[("hello", HELLO)]);
    system.write("services/hello/book.saga.yaml", SAGA);
    system.up()
}

/// Starts a saga once; its status.
fn book(system: &System, key: &str) -> u16 {
    let answer = system.ask("POST", "/book", &[("idempotency-key", key)], "{\"seat\":[]}");
    if answer.status() == 503 {
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
    }
    answer.status()
}

#[test]
fn a_controller_dead_for_ten_seconds_fails_no_request_that_asks_nothing_of_it() {
    let system = system();
    let before = system.processes();
    let mut statuses = Vec::new();
    without_a_failed_request(&system.gateway, "/work", |_| {
        // Stopped: it holds its sockets and answers nothing.
        let stopped = system.signal("controller", Signal::STOP);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| book(&system, "stopped"));
            let end = SystemClock.mono() + Duration::from_secs(2);
            until("two seconds of silence", || (SystemClock.mono() >= end).then_some(()));
            assert_eq!(system.signal("controller", Signal::CONT), stopped);
            statuses.push(waits.join().expect("an answer"));
        });
        // Dead: killed again whenever it comes back.
        let end = SystemClock.mono() + Duration::from_secs(10);
        while SystemClock.mono() < end {
            system.signal_if_there("controller", Signal::KILL);
            statuses.push(book(&system, "dead"));
        }
    });
    let allowed = |status: &u16| matches!(status, 201 | 503);
    assert!(
        statuses.iter().all(allowed),
        "starts wait or are told to come again: {statuses:?}"
    );
    until("the start is taken after all", || {
        (book(&system, "dead") == 201).then_some(())
    });
    let after = system.processes();
    for name in ["hello.1", "hello.2", "proxy", "supervisor"] {
        assert_eq!(after[name], before[name], "{name} lives on");
    }
    let sagas = system.json(&["saga", "list", "--state", "done"]);
    assert_eq!(
        sagas["items"].as_array().map(Vec::len),
        Some(2),
        "one saga a key: {sagas}"
    );
}

#[test]
fn a_killed_proxy_and_a_killed_instance_come_back_and_nobody_else_is_touched() {
    let system = system();
    let before = system.processes();
    system.signal("proxy", Signal::KILL);
    until("the proxy serves again", || {
        let answer = crate::http::ask(&system.gateway, "GET", "/work", &[], b"").ok()?;
        (answer.status() == 200).then_some(())
    });
    let after = system.processes();
    assert_ne!(after["proxy"], before["proxy"]);
    for name in ["hello.1", "hello.2", "controller", "supervisor"] {
        assert_eq!(after[name], before[name], "{name} lives on");
    }

    system.signal("hello.2", Signal::KILL);
    until("the instance is back", || {
        let now = system.processes().get("hello.2").copied();
        now.is_some_and(|pid| pid != before["hello.2"]).then_some(())
    });
    until("all is ready", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
    assert_eq!(system.processes()["hello.1"], before["hello.1"]);
}

#[test]
fn after_a_killed_supervisor_up_clears_what_was_left_and_starts_anew_with_everything_that_was_acknowledged() {
    let system = system();
    assert_eq!(book(&system, "kept"), 201);
    let before = system.processes();
    system.signal("supervisor", Signal::KILL);
    system.ondol(&["up", "--detach"]).good();
    let after = system.processes();
    for name in ["hello.1", "hello.2", "controller", "proxy", "supervisor"] {
        assert_ne!(after[name], before[name], "{name} is another");
    }
    assert_eq!(
        after.len(),
        before.len(),
        "nothing is left of the first life: {after:?}"
    );
    let sagas = system.json(&["saga", "list"]);
    assert_eq!(sagas["items"].as_array().map(Vec::len), Some(1), "{sagas}");
    assert_eq!(book(&system, "kept"), 201, "the same key joins");
}
