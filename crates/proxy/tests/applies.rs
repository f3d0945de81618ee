//! Another snapshot while requests go on: none is dropped, and each is served by a snapshot that held while it ran.

mod common;

use common::*;
use ondol_core::wire::proxy::{Change, FromProxy, Protocol, Snapshot, ToProxy};
use ondol_proxy::listener::Socket;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const APPLIES: u64 = 1_000;
const CLIENTS: usize = 4;

/// Under odd generations `one` answers, under even ones `two`; a route beside comes and goes.
fn generation(number: u64, addresses: [SocketAddr; 2]) -> Snapshot {
    let [one, two] = addresses;
    let clusters = vec![
        cluster("one", Protocol::Http1, &[one]),
        cluster("two", Protocol::Http1, &[two]),
    ];
    let mut routes = vec![route("/x", target(number))];
    if number.is_multiple_of(3) {
        routes.push(route("/x/beside", "one"));
    }
    Snapshot {
        generation: number,
        ..snapshot(routes, vec![], clusters)
    }
}

fn target(generation: u64) -> &'static str {
    if generation.is_multiple_of(2) { "two" } else { "one" }
}

#[test]
fn no_request_is_dropped_or_misrouted_during_a_thousand_applies() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = ["one", "two"].map(|name| instance(move |_| ok(name)));
    let (running, mut controller) = serving(dir.path(), &generation(1, addresses));
    // Sent to the proxy, and served by all of its workers.
    let (told, served, over) = (AtomicU64::new(1), AtomicU64::new(1), AtomicBool::new(false));
    let client = |keeps: bool| {
        let mut stream: Option<TcpStream> = None;
        let mut asked = 0_u64;
        while !over.load(Ordering::SeqCst) {
            let mut open = stream.take().unwrap_or_else(|| running.client());
            let before = served.load(Ordering::SeqCst);
            let answer = ask(&mut open, "GET /x/things?n=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n");
            let after = told.load(Ordering::SeqCst);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let by = answer.rsplit("\r\n").next().unwrap_or_default();
            let right = (before..=after).any(|generation| by == target(generation));
            assert!(right, "{by} answered between generations {before} and {after}");
            let ends = field(&answer, "connection") == Some("close");
            stream = (keeps && !ends).then_some(open);
            asked += 1;
        }
        asked
    };
    let asked = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number % 2 == 0)))
            .collect();
        for number in 2..=APPLIES {
            told.store(number, Ordering::SeqCst);
            let word = controller.tell(&generation(number, addresses));
            assert_eq!(word, FromProxy::Ack { generation: number });
            served.store(number, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        clients
            .into_iter()
            .map(|client| client.join().expect("all answers were right"))
            .sum::<u64>()
    });
    running.stop();
    assert!(asked > APPLIES, "{asked} requests are not a load");
}

#[test]
fn a_change_is_served_like_a_snapshot_and_one_that_does_not_fit_is_asked_for_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = ["one", "two"].map(|name| instance(move |_| ok(name)));
    let listener = Controller::listen(dir.path());
    let running = Running::start(dir.path());
    let mut controller = Controller::accept(&listener);
    let of = |number| generation(number, addresses);
    assert!(matches!(controller.tell(&of(1)), FromProxy::Ack { .. }));
    let change = |from, to| ToProxy::Change(Box::new(Change::between(&of(from), &of(to)).expect("routes differ")));
    for number in 2..=4 {
        assert_eq!(
            controller.tell_word(&change(number - 1, number)),
            FromProxy::Ack { generation: number }
        );
        let answer = ask(&mut running.client(), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with(target(number)), "{number}: {answer}");
    }

    // It ends the conversation, serves on, and comes again to hear the whole.
    controller.send_word(&change(8, 9));
    while controller.next().is_some() {}
    let answer = ask(&mut running.client(), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with(target(4)), "{answer}");
    let mut controller = Controller::accept(&listener);
    assert!(matches!(
        controller.hello,
        FromProxy::Hello {
            generation: Some(4),
            ..
        }
    ));
    controller.send_word(&change(4, 5));
    while controller.next().is_some() {}
    let mut controller = Controller::accept(&listener);
    assert!(
        matches!(controller.tell(&of(9)), FromProxy::Ack { generation: 9 }),
        "nothing was said before"
    );
    running.stop();
}

#[test]
fn a_listener_that_cannot_be_opened_leaves_all_as_they_are_and_is_tried_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = instance(|_| ok("a"));
    let clusters = vec![cluster("a", Protocol::Http1, &[a])];
    let first = snapshot(vec![], vec![edge("web", "a"), edge("cart", "a")], clusters.clone());
    let mut bound = None;
    let (running, mut controller) = serving_with(dir.path(), &first, |sockets| {
        bound = Some((sockets.tcp("edge/web/a"), sockets.tcp("edge/cart/a")));
        let no_listener = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let no_listener = TcpListener::from(OwnedFd::from(no_listener));
        sockets.put("edge/shop/a", Socket::Tcp(no_listener));
    });
    let (old, both) = bound.expect("bound");
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut second = snapshot(vec![], vec![edge("shop", "a"), edge("cart", "a")], clusters);
    second.generation = 2;
    let word = controller.tell(&second);
    assert!(matches!(word, FromProxy::Refused { generation: 2, .. }), "{word:?}");
    assert!(ask(&mut connect(old), get).starts_with("HTTP/1.1 "), "it is open still");
    assert!(ask(&mut connect(both), get).ends_with('a'));

    let new = running.sockets.tcp("edge/shop/a");
    let word = loop {
        match controller.word() {
            FromProxy::Report(_) => {}
            word => break word,
        }
    };
    assert_eq!(word, FromProxy::Ack { generation: 2 }, "without being told again");
    assert!(ask(&mut connect(new), get).ends_with('a'));
    assert!(ask(&mut connect(both), get).ends_with('a'));
    running.stop();
}
