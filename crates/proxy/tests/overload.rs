//! More requests than a service can take: who waits, who is refused, and with which words.

mod common;

use common::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{Bulkhead, Cluster, Concurrency, Priority, Protocol, Report};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// An instance that tells of each request by its path and answers when it is let.
struct Held {
    address: SocketAddr,
    seen: Receiver<String>,
    lets: Sender<()>,
}

impl Held {
    fn start() -> Self {
        let (tells, seen) = channel();
        let (lets, let_go) = channel();
        let let_go = Arc::new(Mutex::new(let_go));
        let tells = Mutex::new(tells);
        let address = instance(move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = tells.lock().expect("lock").send(path); // The test may have ended.
            let _ = let_go.lock().expect("lock").recv();
            ok("")
        });
        Self { address, seen, lets }
    }

    /// The path of the next request that came.
    fn next(&self) -> String {
        self.seen
            .recv_timeout(std::time::Duration::from_secs(20))
            .expect("a request")
    }

    fn let_one_go(&self) {
        self.lets.send(()).expect("it waits");
    }
}

fn one_at_a_time(service: &str, address: SocketAddr) -> Cluster {
    Cluster {
        concurrency: Concurrency { min: 1, max: 1 },
        ..cluster(service, Protocol::Http1, &[address])
    }
}

/// Asks on a connection and a thread of its own.
fn asks(address: SocketAddr, request: &str) -> JoinHandle<String> {
    let request = request.to_owned();
    Tasks::thread("client", move || ask(&mut connect(address), &request)).expect("a thread")
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn of(bulkheads: &[Bulkhead]) -> (u64, u64, u64) {
    let one = bulkheads.first().expect("a service");
    (one.limit, one.in_flight, one.waiting)
}

#[test]
fn one_that_waits_in_vain_is_told_that_it_was_not_sent() {
    let (dir, held) = (tempfile::tempdir().expect("a folder"), Held::start());
    let mut address = None;
    let clusters = vec![one_at_a_time("orders", held.address)];
    let (_running, mut controller) = serving_with(
        dir.path(),
        &snapshot(vec![], vec![edge("web", "orders")], clusters),
        |sockets| address = Some(sockets.tcp("edge/web/orders")),
    );
    let address = address.expect("bound");
    let first = asks(address, &get("/first", ""));
    assert_eq!(held.next(), "/first");
    let answer = ask(&mut connect(address), &get("/second", "Ondol-Deadline-Ms: 50\r\n"));
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(
        field(&answer, "proxy-status"),
        Some("ondol; error=connection_limit_reached; details=\"GW-075\"")
    );
    assert_eq!(field(&answer, "retry-after"), Some("1"));
    assert_eq!(field(&answer, "ondol-retried"), None, "it is not tried again");
    held.let_one_go();
    assert!(first.join().expect("no panic").starts_with("HTTP/1.1 200"));
    let third = asks(address, &get("/third", ""));
    assert_eq!(held.next(), "/third", "the second never came");
    let answered = |report: &Report| report.traffic.iter().map(|line| line.by_class[4]).sum::<u64>();
    let report = controller.report(|report| answered(report) == 1 && of(&report.bulkheads) == (1, 1, 0));
    assert!(report.breakers.is_empty() && report.healthy.iter().all(|(_, well)| *well));
    held.let_one_go();
    third.join().expect("no panic");
}

#[test]
fn the_higher_class_is_served_first_and_tells_the_next_hop() {
    let (dir, held) = (tempfile::tempdir().expect("a folder"), Held::start());
    let mut address = None;
    let (_running, mut controller) = serving_with(
        dir.path(),
        &snapshot(
            vec![],
            vec![edge("web", "orders")],
            vec![one_at_a_time("orders", held.address)],
        ),
        |sockets| address = Some(sockets.tcp("edge/web/orders")),
    );
    let address = address.expect("bound");
    let mut clients = vec![asks(address, &get("/first", ""))];
    assert_eq!(held.next(), "/first");
    let classes = ["batch", "critical", "best-effort", "nonsense"];
    for (waiting, class) in (1..).zip(classes) {
        clients.push(asks(
            address,
            &get(&format!("/{class}"), &format!("Ondol-Priority: {class}\r\n")),
        ));
        controller.report(|report| of(&report.bulkheads).2 == waiting);
    }
    for path in ["/critical", "/nonsense", "/batch", "/best-effort"] {
        held.let_one_go();
        assert_eq!(held.next(), path);
    }
    held.let_one_go();
    for client in clients {
        assert!(client.join().expect("no panic").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_route_gives_the_class_and_nobody_outside_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(ok);
    let (plain, mut critical) = (route("/plain", "orders"), route("/pay", "orders"));
    critical.policy.priority = Priority::Critical;
    let (running, _controller) = serving(
        dir.path(),
        &snapshot(
            vec![plain, critical],
            vec![],
            vec![cluster("orders", Protocol::Http1, &[orders])],
        ),
    );
    for (path, expected) in [("/plain", None), ("/pay", Some("critical"))] {
        let answer = ask(&mut running.client(), &get(path, "Ondol-Priority: batch\r\n"));
        let (_, seen) = answer.split_once("\r\n\r\n").expect("a body");
        assert_eq!(field(seen, "ondol-priority"), expected, "{path}");
    }
}

#[test]
fn streams_take_no_place() {
    let (dir, held) = (tempfile::tempdir().expect("a folder"), Held::start());
    let (mut stream, plain) = (route("/stream", "orders"), route("/plain", "orders"));
    stream.policy.stream = true;
    let clusters = vec![one_at_a_time("orders", held.address)];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![stream, plain], vec![], clusters));
    let mut clients = Vec::new();
    for path in ["/stream/1", "/stream/2", "/plain"] {
        clients.push(asks(running.gateway, &get(path, "")));
        assert_eq!(held.next(), path);
    }
    clients.iter().for_each(|_| held.let_one_go());
    for client in clients {
        assert!(client.join().expect("no panic").starts_with("HTTP/1.1 200"));
    }
}
