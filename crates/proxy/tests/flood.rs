//! HTTP/2 clients that flood, over real sockets: each is sent away, and everybody else is served meanwhile.

mod common;
#[path = "common/frames.rs"]
mod frames;

use common::*;
use frames::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::Protocol;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// More than any bound here lets pass, at the speed of any machine.
const MOST_ROUNDS: u32 = 2_000;

/// A proxy whose one service counts its requests.
fn shop(dir: &std::path::Path) -> (Running, Controller, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let orders = instance(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        ok("here")
    });
    let clusters = vec![cluster("orders", Protocol::Http1, &[orders])];
    let (running, controller) = serving(dir, &snapshot(vec![route("/", "orders")], vec![], clusters));
    (running, controller, seen)
}

/// Reads to the end of the connection; every frame that came.
fn listen(mut stream: TcpStream, gone: &AtomicBool) -> Vec<Frame> {
    let (mut bytes, mut piece, mut heard) = (Vec::new(), [0; 4096], Vec::new());
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        bytes.extend(&piece[..n]);
        while let Some(frame) = take(&mut bytes) {
            if frame.kind == GOAWAY {
                gone.store(true, Ordering::SeqCst);
            }
            heard.push(frame);
        }
    }
    gone.store(true, Ordering::SeqCst);
    heard
}

/// Sends `first`, then `round(0)`, `round(1)` … until the proxy says goodbye; what came back.
fn attack(running: &Running, first: &[u8], round: impl Fn(u32) -> Vec<u8>) -> Vec<Frame> {
    let (mut stream, gone) = (running.client(), Arc::new(AtomicBool::new(false)));
    let (other, told) = (stream.try_clone().expect("a second handle"), gone.clone());
    let ear = Tasks::thread("ear", move || listen(other, &told)).expect("a thread");
    stream.write_all(&[hello(&[]), first.to_vec()].concat()).expect("write");
    let mut rounds = 0;
    while rounds < MOST_ROUNDS && !gone.load(Ordering::SeqCst) && stream.write_all(&round(rounds)).is_ok() {
        rounds += 1;
    }
    ear.join().expect("no panic")
}

fn goodbye(heard: &[Frame]) -> Option<u32> {
    heard.iter().find(|frame| frame.kind == GOAWAY).and_then(Frame::code)
}

/// Odd numbers, each once.
fn stream_of(round: u32, n: u32, each: u32) -> u32 {
    2 * (round * each + n) + 3
}

#[test]
fn frames_that_ask_for_no_work_end_their_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, _) = shop(dir.path());
    let mut bystander = running.client();
    for (name, one) in [
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("answers to pings nobody sent", frame(PING, 1, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        (
            "settings that say the same",
            frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        ),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        ("unknown frames", frame(0xbe, 0, 0, &[1; 20])),
        ("data without data", frame(DATA, 0, 1, &[])),
        ("data that is padding alone", frame(DATA, 8, 1, &[3, 0, 0, 0])),
        ("window updates", window_update(0, 1)),
    ] {
        let round = one.repeat(100);
        let heard = attack(&running, &post(1, "/open"), |_| round.clone());
        assert_eq!(goodbye(&heard), Some(ENHANCE_YOUR_CALM), "{name}: {heard:?}");
        let answer = ask(&mut bystander, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with("here"), "{name}: {answer}");
    }
}

#[test]
fn a_rapid_reset_ends_its_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, _) = shop(dir.path());
    let heard = attack(&running, &[], |round| {
        let streams = (0..50).map(|n| stream_of(round, n, 50));
        streams.flat_map(|id| [get(id, "/"), reset(id)].concat()).collect()
    });
    assert_eq!(goodbye(&heard), Some(ENHANCE_YOUR_CALM), "{heard:?}");
}

#[test]
fn a_client_that_makes_the_proxy_reset_its_streams_is_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, _) = shop(dir.path());
    let overflow = |id| {
        [
            post(id, "/"),
            window_update(id, (1 << 31) - 1),
            window_update(id, (1 << 31) - 1),
        ]
        .concat()
    };
    let own_parent = |id: u32| {
        [
            post(id, "/"),
            frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[9]].concat()),
        ]
        .concat()
    };
    let too_much = |id| {
        let head = block("POST", "/", &[("content-length", "1")]);
        [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, 0, id, b"12")].concat()
    };
    let after_end = |id| [get(id, "/"), frame(DATA, 0, id, b"more")].concat();
    let malformed = |id| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            id,
            &block("GET", "/", &[("Upper", "x")]),
        )
    };
    type Provoke<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let ways: [(&str, Provoke<'_>); 5] = [
        ("a window that overflows", &overflow),
        ("a stream that is its own parent", &own_parent),
        ("more data than was said", &too_much),
        ("data after the end", &after_end),
        ("a head that is none", &malformed),
    ];
    for (name, provoke) in ways {
        let heard = attack(&running, &[], |round| {
            (0..10).flat_map(|n| provoke(stream_of(round, n, 10))).collect()
        });
        let resets = heard.iter().filter(|frame| frame.kind == RST_STREAM).count();
        assert!(goodbye(&heard).is_some(), "{name}: {resets} resets and no end");
        assert!(resets <= ondol_proxy::h2::MAX_ERROR_RESETS + 1, "{name}: {resets}");
    }
}

#[test]
fn a_head_in_endless_parts_ends_its_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, seen) = shop(dir.path());
    let begin = frame(HEADERS, 0, 1, &block("GET", "/", &[]));
    for payload in [&[][..], &literal(b"x", &[b'y'; 100])] {
        let heard = attack(&running, &begin, |_| frame(CONTINUATION, 0, 1, payload));
        assert_eq!(goodbye(&heard), Some(ENHANCE_YOUR_CALM), "{heard:?}");
    }
    let heard = attack(&running, &begin, |_| frame(PING, 0, 0, &[0; 8]));
    assert_eq!(goodbye(&heard), Some(1), "nothing may come in between: {heard:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[test]
fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, seen) = shop(dir.path());
    // One entry of 4,000 bytes, and references to it of a byte each.
    let bomb = |references: usize| {
        let large = indexed(b"x", &[b'y'; 3_960]);
        [block("GET", "/", &[]), large, vec![NEWEST; references]].concat()
    };
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb(5_000));
    let heard = attack(&running, &head, |_| Vec::new());
    assert_eq!(
        goodbye(&heard),
        Some(ENHANCE_YOUR_CALM),
        "four times too large: {heard:?}"
    );

    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb(8));
    let mut client = running.client();
    client.write_all(&[hello(&[]), head].concat()).expect("write");
    let answer = first(&mut client, HEADERS);
    assert_eq!(status(&answer.payload), 431, "too large: {answer:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

/// The first frame of a kind.
fn first(stream: &mut TcpStream, kind: u8) -> Frame {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(frame) = take(&mut bytes) {
            if frame.kind == kind {
                return frame;
            }
        }
        let n = stream.read(&mut piece).expect("read");
        assert!(n > 0, "the connection ended");
        bytes.extend(&piece[..n]);
    }
}

#[test]
fn a_head_of_more_than_100_fields_is_refused_though_it_is_small() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller, seen) = shop(dir.path());
    for (count, expected) in [(100, 200), (101, 431)] {
        let block = [block("GET", "/", &[]), literal(b"x", b"y").repeat(count)].concat();
        let mut client = running.client();
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
        client.write_all(&[hello(&[]), head].concat()).expect("write");
        assert_eq!(status(&first(&mut client, HEADERS).payload), expected, "{count} fields");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}
