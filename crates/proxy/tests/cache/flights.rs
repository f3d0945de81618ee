//! Many that want one thing: one asks, the others wait, and nobody gets a half of it.

use crate::common::*;
use crate::setup::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::CacheResult;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// Waits for leave; a test that has ended gives it.
fn gate() -> (Sender<()>, Arc<Mutex<Receiver<()>>>) {
    let (give, leave) = channel();
    (give, Arc::new(Mutex::new(leave)))
}

#[test]
fn of_a_hundred_that_ask_at_once_the_service_sees_one() {
    let (let_go, leave) = gate();
    let shop = Shop::start(move |_, _| {
        let _ = leave.lock().expect("lock").recv();
        answer("Cache-Control: max-age=99\r\n", "once")
    });
    let mut world = World::start(vec![caching("/")], shop.address);
    let mut clients: Vec<_> = (0..100).map(|_| world.running.client()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.write_all(GET.as_bytes()).expect("write"));
    until(|| (shop.calls() == 1).then_some(()));
    let_go.send(()).expect("it waits");
    for client in &mut clients {
        assert_eq!(body(&read_message(client).expect("an answer")), "once");
    }
    assert_eq!(shop.calls(), 1);
    let sum = |cache: &[u64; 8]| cache.iter().sum::<u64>();
    let report = world
        .controller
        .report(|report| report.traffic.iter().any(|line| sum(&line.cache) == 100));
    let of = |result: CacheResult| {
        report
            .traffic
            .iter()
            .map(|line| line.cache[result as usize])
            .sum::<u64>()
    };
    assert_eq!(
        (of(CacheResult::Miss), of(CacheResult::Hit) + of(CacheResult::Collapsed)),
        (1, 99)
    );
    assert!(
        of(CacheResult::Collapsed) > 0,
        "all of them had written before it answered"
    );
}

#[test]
fn whoever_leads_may_leave_and_another_leads() {
    let (let_go, leave) = gate();
    let shop = Shop::start(move |_, nth| {
        if nth == 1 {
            let _ = leave.lock().expect("lock").recv();
        }
        answer("Cache-Control: max-age=99\r\n", &nth.to_string())
    });
    let world = World::start(vec![caching("/")], shop.address);
    let mut first = world.running.client();
    first.write_all(GET.as_bytes()).expect("write");
    until(|| (shop.calls() == 1).then_some(()));
    let mut second = world.running.client();
    second.write_all(GET.as_bytes()).expect("write");
    drop(first);
    assert_eq!(body(&read_message(&mut second).expect("an answer")), "2");
    let_go.send(()).expect("it waits");
    assert_eq!(body(&world.get("/x", "")), "2");
}

/// A service that writes its answers in pieces, each when the test says so: the first connection's, then all others whole.
fn in_pieces(pieces: &'static [&'static str], whole: &'static str) -> (SocketAddr, Sender<()>) {
    let (let_go, leave) = gate();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let accepting = move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (Ok(mut stream), leave) = (stream, leave.clone()) else {
                return;
            };
            let converse = move || {
                while read_message(&mut stream).is_some() {
                    if number > 0 {
                        let _ = stream.write_all(whole.as_bytes()); // Whoever asked may have gone.
                        continue;
                    }
                    for piece in pieces {
                        let _ = leave.lock().expect("lock").recv();
                        let _ = stream.write_all(piece.as_bytes());
                    }
                    return;
                }
            };
            Tasks::thread("conversation", converse).expect("a thread");
        }
    };
    Tasks::thread("instance", accepting).expect("a thread");
    (address, let_go)
}

fn read_until(client: &mut TcpStream, end: &str) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with(end) {
        client.read_exact(&mut byte).expect("more");
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn an_answer_reaches_its_client_as_it_comes_and_is_kept_when_it_is_whole() {
    let pieces = &[
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: 8\r\n\r\nhalf",
        "full",
    ];
    let (address, let_go) = in_pieces(pieces, "HTTP/1.1 500 None\r\nContent-Length: 0\r\n\r\n");
    let world = World::start(vec![caching("/")], address);
    let mut client = world.running.client();
    client.write_all(GET.as_bytes()).expect("write");
    let_go.send(()).expect("it waits");
    read_until(&mut client, "half");
    let_go.send(()).expect("it waits");
    read_until(&mut client, "full");
    let again = until(|| {
        let again = world.get("/x", "");
        how(&again).contains("hit").then_some(again)
    });
    assert_eq!(body(&again), "halffull");
}

#[test]
fn nobody_gets_a_half_and_those_who_wait_get_a_whole_one() {
    let pieces = &[
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: 8\r\n\r\nhalf",
        "",
    ];
    let whole = "HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: 5\r\n\r\nwhole";
    let (address, let_go) = in_pieces(pieces, whole);
    let world = World::start(vec![caching("/")], address);
    let mut leader = world.running.client();
    leader.write_all(GET.as_bytes()).expect("write");
    let_go.send(()).expect("it waits");
    read_until(&mut leader, "half");
    let mut follower = world.running.client();
    follower.write_all(GET.as_bytes()).expect("write");
    let_go.send(()).expect("it waits"); // The service closes.
    assert!(leader.read_exact(&mut [0]).is_err(), "a half is not an end");
    assert_eq!(body(&read_message(&mut follower).expect("an answer")), "whole");
    assert_eq!(body(&world.get("/x", "")), "whole");
}
