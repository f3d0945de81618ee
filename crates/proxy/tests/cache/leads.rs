//! Who asks for others: what it may spoil for them, and whom it holds up.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{Protocol, Snapshot};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// An edge whose answers are kept.
fn keeping(shop: SocketAddr) -> Snapshot {
    let mut edge = edge("web", "shop");
    edge.policy.cache = Some(cache());
    edge.policy.retries = 0;
    edge.policy.timeout_ms = 600_000;
    edge.policy.breaker.minimum = 1_000_000;
    snapshot(vec![], vec![edge], vec![cluster("shop", Protocol::Http1, &[shop])])
}

#[test]
fn a_caller_in_a_hurry_is_no_failure_of_the_service_and_the_next_one_asks() {
    let (let_go, leave) = channel::<()>();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |_, nth| match nth {
        1 => answer("Cache-Control: max-age=10\r\nAge: 20\r\n", "old"),
        2 => {
            let _ = leave.lock().expect("lock").recv(); // The test has ended.
            String::new()
        }
        _ => answer("Cache-Control: max-age=99\r\n", "new"),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let mut address = None;
    let (_running, _controller) = serving_with(dir.path(), &keeping(shop.address), |sockets| {
        address = Some(sockets.tcp("edge/web/shop"));
    });
    let address = address.expect("bound");
    let get = |fields: &str| {
        ask(
            &mut connect(address),
            &format!("GET / HTTP/1.1\r\nHost: shop\r\n{fields}\r\n"),
        )
    };
    assert_eq!(body(&get("")), "old");
    let hurried = get("Ondol-Deadline-Ms: 40\r\n");
    assert_eq!(
        (body(&hurried), shop.calls()),
        ("old", 2),
        "for itself a stale answer stands in: {hurried}"
    );
    assert!(how(&hurried).starts_with("ondol; fwd=stale; ttl=-1"), "{hurried}");
    let next = get("");
    assert_eq!((body(&next), shop.calls()), ("new", 3), "{next}");
    drop(let_go);
}

#[test]
fn nothing_is_said_to_be_forwarded_that_went_nowhere() {
    let shop = Shop::start(|_, _| answer("Cache-Control: max-age=10\r\nAge: 20\r\n", "old"));
    let mut world = World::start(vec![caching("/")], shop.address);
    world.get("/", "");
    let only = world.get("/other", "Cache-Control: only-if-cached\r\n");
    assert_eq!((status(&only), how(&only)), (504, "ondol"));
    world.snapshot.generation += 1;
    world.snapshot.clusters[0].endpoints.clear();
    let told = world.snapshot.clone();
    world.controller.tell(&told);
    let stale = world.get("/", "");
    assert!(
        status(&stale) == 200 && how(&stale).starts_with("ondol; hit; ttl=-1"),
        "{stale}"
    );
    let none = world.get("/other", "");
    assert_eq!((status(&none), how(&none)), (503, "ondol"));
}
