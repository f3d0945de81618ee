//! The end of a proxy that is told to stop: what runs ends well, who knocks waits for the next one.

mod common;

use common::*;
use ondol_core::wire::proxy::{FromProxy, Protocol, Snapshot};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// An instance that says when it was asked for `/slow` and answers that only when told.
fn slow_instance() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((asked, was_asked), (go, may_go)) = (mpsc::channel(), mpsc::channel::<()>());
    let (asked, may_go) = (Mutex::new(asked), Mutex::new(may_go));
    let address = instance(move |request| {
        if request.starts_with("GET /slow ") {
            let _ = asked.lock().expect("lock").send(());
            let _ = may_go.lock().expect("lock").recv();
        }
        ok("done")
    });
    (address, was_asked, go)
}

fn to(address: SocketAddr) -> Snapshot {
    let clusters = vec![cluster("orders", Protocol::Http1, &[address])];
    snapshot(vec![route("/", "orders")], vec![], clusters)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_running_request_ends_an_idle_connection_closes_and_a_new_one_waits_for_the_next_proxy() {
    let dir = tempfile::tempdir().expect("a folder");
    let (address, was_asked, go) = slow_instance();
    let (running, controller) = serving(dir.path(), &to(address));
    let (mut busy, mut idle) = (running.client(), running.client());
    assert_eq!(field(&ask(&mut idle, &get("/")), "connection"), None);
    busy.write_all(get("/slow").as_bytes()).expect("write");
    was_asked.recv().expect("asked");

    running.tell_to_stop();
    assert_eq!(idle.read(&mut [0]).expect("a clean end"), 0);
    let mut late = running.client();
    late.write_all(get("/late").as_bytes()).expect("write");
    go.send(()).expect("waiting");
    let answer = read_message(&mut busy).expect("the answer of the running request");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("done"),
        "{answer}"
    );
    assert_eq!(field(&answer, "connection"), Some("close"));
    assert_eq!(busy.read(&mut [0]).expect("a clean end"), 0);
    let line = running.log.line("/slow");
    assert_eq!(line["status"].as_u64(), Some(200), "it left its record");
    let (sockets, gateway) = (running.sockets.clone(), running.gateway);
    running.stop();
    drop(controller);

    let next = Running::start_on(dir.path(), sockets, gateway);
    let answer = read_message(&mut late).expect("the next proxy answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    next.stop();
}

#[test]
fn the_last_requests_are_in_the_last_report() {
    let dir = tempfile::tempdir().expect("a folder");
    let (address, was_asked, go) = slow_instance();
    let (running, mut controller) = serving(dir.path(), &to(address));
    let mut busy = running.client();
    busy.write_all(get("/slow").as_bytes()).expect("write");
    was_asked.recv().expect("asked");
    running.tell_to_stop();
    let draining = controller.report(|report| report.in_flight[0].1 == 1);
    assert!(draining.traffic.is_empty(), "{draining:?}");
    go.send(()).expect("waiting");
    read_message(&mut busy).expect("an answer");
    running.stop();
    let mut last = None;
    while let Some(word) = controller.next() {
        last = Some(word);
    }
    let Some(FromProxy::Report(last)) = last else {
        panic!("{last:?}")
    };
    assert_eq!((last.traffic[0].by_class, last.connections), ([0, 1, 0, 0, 0], 0));
}

#[test]
fn a_socket_that_never_comes_holds_no_end_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let (address, ..) = slow_instance();
    let (running, mut controller) = serving(dir.path(), &to(address));
    let mut stuck = to(address);
    stuck.generation += 1;
    stuck.edges.push(edge("web", NEVER));
    controller.send(&stuck);
    running.sockets.asked_for_never();
    running.stop();
}

#[test]
fn a_request_that_does_not_end_is_cut_at_the_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    let (address, was_asked, _go) = slow_instance();
    let listener = Controller::listen(dir.path());
    let sockets = Arc::new(Sockets::default());
    let gateway = sockets.tcp("gateway/web");
    let running = Running::start_with(dir.path(), sockets, gateway, Duration::from_millis(20));
    let mut controller = Controller::accept(&listener);
    assert!(matches!(controller.tell(&to(address)), FromProxy::Ack { .. }));
    let mut busy = running.client();
    busy.write_all(get("/slow").as_bytes()).expect("write");
    was_asked.recv().expect("asked");
    running.stop();
    let mut rest = Vec::new();
    let _ = busy.read_to_end(&mut rest); // The end may be a reset.
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}
