//! What stands in: stale answers while others are fetched, and for an origin that fails.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{CacheResult, Report};
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// It comes stale, so that no test waits for that.
const STALE: &str = "Cache-Control: max-age=10\r\nAge: 20\r\n";

#[test]
fn a_stale_answer_stands_in_for_an_error_and_for_an_instance_that_has_gone() {
    let shop = Shop::start(|_, nth| answer(STALE, &nth.to_string()));
    let mut world = World::start(vec![caching("/")], shop.address);
    let get = |world: &World| world.get("/", "");
    assert_eq!(
        (body(&get(&world)), body(&get(&world))),
        ("1", "2"),
        "while it answers it is asked"
    );
    for broken in [error(500), error(503), String::new()] {
        shop.now(move |_, _| broken.clone());
        let seen = get(&world);
        assert_eq!((status(&seen), body(&seen)), (200, "2"), "{seen}");
        assert!(
            how(&seen).starts_with("ondol; fwd=stale; ttl=-1") || how(&seen).starts_with("ondol; hit; ttl=-1"),
            "{seen}"
        );
        assert_eq!(field(&seen, "cache-control"), Some("max-age=10"));
    }
    world.snapshot.generation += 1;
    world.snapshot.clusters[0].endpoints.clear();
    let told = world.snapshot.clone();
    world.controller.tell(&told);
    assert_eq!(body(&get(&world)), "2");
    assert_eq!(
        status(&world.get("/other", "")),
        503,
        "nothing stands in for what is not there"
    );
    let of = |report: &Report, result: CacheResult| {
        let lines = report.traffic.iter();
        lines.map(|line| line.cache[result as usize]).sum::<u64>()
    };
    let report = world.controller.report(|report| of(report, CacheResult::Error) == 1);
    assert!(of(&report, CacheResult::Stale) >= 1);
}

#[test]
fn it_stands_in_for_the_error_of_a_head_too() {
    let shop = Shop::start(|_, nth| match nth {
        1 => answer(STALE, "well"),
        _ => error(500),
    });
    let world = World::start(vec![caching("/")], shop.address);
    world.get("/", "");
    let head = head_of(&mut world.running.client(), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((status(&head), shop.calls()), (200, 2), "{head}");
    assert!(how(&head).starts_with("ondol; fwd=stale"), "{head}");
}

#[test]
fn what_forbids_stale_answers_has_an_error_instead() {
    for control in [
        "max-age=10, must-revalidate",
        "max-age=10, stale-if-error=0",
        "s-maxage=10",
        "no-cache",
    ] {
        let fields = format!("Cache-Control: {control}\r\nAge: 20\r\nETag: \"1\"\r\n");
        let shop = Shop::start(move |_, nth| match nth {
            1 => answer(&fields, "1"),
            _ => error(502),
        });
        let world = World::start(vec![caching("/")], shop.address);
        assert_eq!(body(&world.get("/", "")), "1");
        assert_eq!(status(&world.get("/", "")), 502, "{control}");
    }
}

#[test]
fn a_failing_service_is_left_alone_while_a_stale_answer_stands_in() {
    let shop = Shop::start(|_, _| answer(STALE, "well"));
    let world = World::start(vec![caching("/")], shop.address);
    world.get("/", "");
    shop.now(|_, _| error(500));
    for _ in 0..60 {
        assert_eq!(body(&world.get("/", "")), "well");
    }
    // Its pauses double, so ten more would take minutes.
    assert!((2..12).contains(&shop.calls()), "{}", shop.calls());
    shop.now(|_, _| answer("Cache-Control: max-age=99\r\n", "again"));
    until(|| (body(&world.get("/", "")) == "again").then_some(()));
}

#[test]
fn a_stale_answer_is_given_while_one_call_fetches_another() {
    let (let_go, leave) = channel();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |_, nth| match nth {
        1 => answer(
            "Cache-Control: max-age=10, stale-while-revalidate=60\r\nAge: 20\r\n",
            "old",
        ),
        _ => {
            let _ = leave.lock().expect("lock").recv();
            answer("Cache-Control: max-age=99\r\n", "new")
        }
    });
    let world = World::start(vec![caching("/")], shop.address);
    world.get("/", "");
    for _ in 0..20 {
        let seen = world.get("/", "");
        assert_eq!(body(&seen), "old");
        assert!(how(&seen).starts_with("ondol; hit; ttl=-1"), "{seen}");
    }
    until(|| (shop.calls() == 2).then_some(()));
    let_go.send(()).expect("it waits");
    until(|| (body(&world.get("/", "")) == "new").then_some(()));
    assert_eq!(shop.calls(), 2);
}

#[test]
fn a_policy_gives_answers_time_that_say_nothing_of_it() {
    let shop = Shop::start(|request, nth| {
        let changed = field(request, "if-modified-since").is_none();
        let fields = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: max-age=10\r\n";
        match changed {
            true => answer(&format!("{fields}Age: 20\r\n"), &nth.to_string()),
            false => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
        }
    });
    let mut route = caching("/");
    route.policy.cache.as_mut().expect("one").stale_while_revalidate_ms = 60_000;
    let world = World::start(vec![route], shop.address);
    world.get("/", "");
    until(|| how(&world.get("/", "")).starts_with("ondol; hit; ttl=9").then_some(()));
    assert_eq!(
        (body(&world.get("/", "")), shop.calls()),
        ("1", 2),
        "confirmed beside, by its date"
    );
}

#[test]
fn who_has_waited_long_enough_for_a_slow_service_gets_what_was() {
    let (let_go, leave) = channel::<()>();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |_, nth| match nth {
        1 => answer("Cache-Control: max-age=10\r\nAge: 9\r\n", "old"),
        _ => {
            let _ = leave.lock().expect("lock").recv(); // The test has ended.
            String::new()
        }
    });
    let mut route = caching("/");
    route.policy.timeout_ms = 600_000;
    let world = World::start(vec![route], shop.address);
    world.get("/", "");
    // Those that come while it is fresh get it at once; the first after that asks, and hangs.
    let mut clients = Vec::new();
    until(|| {
        let mut client = world.running.client();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
        clients.push(client);
        (shop.calls() == 2).then_some(())
    });
    let waits = world.get("/", "");
    assert_eq!((body(&waits), shop.calls()), ("old", 2), "{waits}");
    assert!(how(&waits).starts_with("ondol; hit; ttl=-"), "{waits}");
    drop(let_go);
}
