//! Hedging over real sockets: a safe request that hangs at one instance is answered by another.

mod common;

use common::*;
use ondol_core::wire::proxy::{Protocol, Route};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

/// Two instances of which the first to be asked for `/hangs` does not answer until it is let.
struct Pair {
    addresses: [SocketAddr; 2],
    asked: Arc<AtomicU32>,
    lets: Sender<()>,
}

impl Pair {
    fn start() -> Self {
        let (lets, let_go) = channel();
        let (let_go, asked) = (Arc::new(Mutex::new(let_go)), Arc::new(AtomicU32::new(0)));
        let hangs = Arc::new(AtomicBool::new(true));
        let addresses = [(); 2].map(|()| {
            let (let_go, asked, hangs) = (let_go.clone(), asked.clone(), hangs.clone());
            instance(move |request| {
                if request.contains("/hangs") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if hangs.swap(false, Ordering::SeqCst) {
                        let _ = let_go.lock().expect("lock").recv(); // The test may have ended.
                    }
                }
                ok("")
            })
        });
        Self { addresses, asked, lets }
    }
}

fn hedging(path: &str) -> Route {
    let mut route = route(path, "orders");
    route.policy.hedge_share = 0.2;
    route.policy.retries = 0;
    route
}

/// A proxy that knows what requests to the pair take.
fn knowing(dir: &std::path::Path, route: Route, pair: &Pair) -> (Running, Controller) {
    let clusters = vec![cluster("orders", Protocol::Http1, &pair.addresses)];
    let (running, controller) = serving(dir, &snapshot(vec![route], vec![], clusters));
    let mut client = running.client();
    // As many as it needs to know: none of them is hedged itself.
    for _ in 0..50 {
        assert!(ask(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200"));
    }
    (running, controller)
}

#[test]
fn a_safe_request_that_hangs_is_answered_by_the_other_instance() {
    let (dir, pair) = (tempfile::tempdir().expect("a folder"), Pair::start());
    let (running, mut controller) = knowing(dir.path(), hedging("/"), &pair);
    let answer = ask(&mut running.client(), "GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(pair.asked.load(Ordering::SeqCst), 2);
    let report = controller.report(|report| report.bulkheads[0].hedges == [1, 1]);
    assert_eq!(report.bulkheads[0].in_flight, 0, "the loser has given its place back");
    assert!(report.in_flight.iter().all(|(_, count)| *count == 0));
    assert_eq!(report.traffic[0].retries, 0, "a hedge is no retry");
    drop(pair.lets);
}

#[test]
fn a_request_that_may_do_something_twice_is_waited_for() {
    let (dir, pair) = (tempfile::tempdir().expect("a folder"), Pair::start());
    let (running, mut controller) = knowing(dir.path(), hedging("/"), &pair);
    let request = "POST /hangs HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let mut client = running.client();
    std::io::Write::write_all(&mut client, request.as_bytes()).expect("write");
    until(|| (pair.asked.load(Ordering::SeqCst) == 1).then_some(()));
    // Twice what a report takes to come is far beyond the delay of a hedge.
    for _ in 0..2 {
        let report = controller.report(|report| report.bulkheads[0].in_flight == 1);
        assert_eq!(report.bulkheads[0].hedges, [0, 0]);
    }
    pair.lets.send(()).expect("it waits");
    assert!(
        read_message(&mut client)
            .expect("an answer")
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(pair.asked.load(Ordering::SeqCst), 1);
}
