//! Ways of choosing an instance, over real sockets: at the gateway by what a client sends, at an edge by what the caller sends.

mod common;

use common::*;
use ondol_core::wire::proxy::{Balance, HashBy, HealthCheck, Mesh, Protocol, Report, Route};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Instances that say their names.
fn instances() -> [SocketAddr; 3] {
    NAMES.map(|name| instance(move |_| ok(name)))
}

fn balanced(balance: Balance) -> Route {
    let mut route = route("/", "orders");
    route.policy.balance = balance;
    route
}

fn start(dir: &std::path::Path, balance: Balance, addresses: &[SocketAddr]) -> (Running, Controller) {
    let clusters = vec![cluster("orders", Protocol::Http1, addresses)];
    serving(dir, &snapshot(vec![balanced(balance)], vec![], clusters))
}

/// Who answers a request for this target with these fields, each with its line end.
fn who(client: &mut TcpStream, target: &str, fields: &str) -> String {
    let answer = ask(client, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

#[test]
fn in_turn_everybody_gets_the_same_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller) = start(dir.path(), Balance::RoundRobin, &instances());
    let mut client = running.client();
    let order: Vec<_> = (0..30).map(|_| who(&mut client, "/", "")).collect();
    assert!(order.chunks(3).all(|turn| turn == NAMES), "{order:?}");
    running.stop();
}

#[test]
fn by_requests_in_flight_a_busy_instance_gets_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let (lets, let_go) = channel::<()>();
    let (let_go, is_free, told) = (
        Mutex::new(let_go),
        AtomicBool::new(true),
        Arc::new(AtomicBool::new(false)),
    );
    let (let_go, is_free, asked) = (Arc::new(let_go), Arc::new(is_free), told.clone());
    let addresses = ["one", "two"].map(|name| {
        let (let_go, is_free, asked) = (let_go.clone(), is_free.clone(), asked.clone());
        instance(move |request| {
            if request.contains("/hangs") && is_free.swap(false, Ordering::SeqCst) {
                asked.store(true, Ordering::SeqCst);
                let _ = let_go.lock().expect("lock").recv(); // The test may have ended.
            }
            ok(name)
        })
    });
    let (running, _controller) = start(dir.path(), Balance::LeastRequest, &addresses);
    let mut waits = running.client();
    std::io::Write::write_all(&mut waits, b"GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
    until(|| told.load(Ordering::SeqCst).then_some(()));
    let mut client = running.client();
    let free = who(&mut client, "/", "");
    assert!((0..20).all(|_| who(&mut client, "/", "") == free));
    lets.send(()).expect("it waits");
    let hung = read_message(&mut waits).expect("an answer");
    assert!(!hung.ends_with(&free), "{hung}");
    running.stop();
}

#[test]
fn requests_of_one_key_go_to_one_instance_and_those_without_go_anywhere() {
    type Request = fn(u32) -> (String, String);
    let ways: [(HashBy, Request); 4] = [
        (HashBy::Header("x-user".into()), |key| {
            ("/".into(), format!("X-User: {key}\r\n"))
        }),
        (HashBy::Cookie("sid".into()), |key| {
            ("/".into(), format!("Cookie: a=b; sid={key}\r\n"))
        }),
        (HashBy::Query("user".into()), |key| {
            (format!("/?a=b&user={key}"), String::new())
        }),
        (HashBy::Path, |key| (format!("/carts/{key}"), String::new())),
    ];
    for (hash, request) in ways {
        for balance in [Balance::RingHash(hash.clone()), Balance::Maglev(hash.clone())] {
            let dir = tempfile::tempdir().expect("a folder");
            let (running, _controller) = start(dir.path(), balance.clone(), &instances());
            let mut client = running.client();
            let mut homes = BTreeMap::<String, u32>::new();
            for key in 0..30 {
                let (target, fields) = request(key);
                let home = who(&mut client, &target, &fields);
                assert!(
                    (0..3).all(|_| who(&mut client, &target, &fields) == home),
                    "{balance:?} {key}"
                );
                *homes.entry(home).or_default() += 1;
            }
            assert!(
                homes.len() == 3 && homes.values().all(|keys| *keys >= 2),
                "{balance:?} {homes:?}"
            );
            running.stop();
        }
    }
}

#[test]
fn a_client_is_known_by_its_address() {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = vec![cluster("orders", Protocol::Http1, &instances())];
    let mut told = snapshot(vec![balanced(Balance::Maglev(HashBy::SourceIp))], vec![], clusters);
    told.trusted_proxies = vec!["127.0.0.0/8".into()];
    let (running, _controller) = serving(dir.path(), &told);
    let mut client = running.client();
    let mut homes = BTreeMap::<String, u32>::new();
    for last in 1..=30 {
        let from = format!("X-Forwarded-For: 198.51.100.{last}\r\n");
        let home = who(&mut client, "/", &from);
        assert!((0..3).all(|_| who(&mut client, "/", &from) == home));
        *homes.entry(home).or_default() += 1;
    }
    assert_eq!(homes.len(), 3, "{homes:?}");
    running.stop();
}

#[test]
fn when_an_instance_goes_only_its_keys_move() {
    let dir = tempfile::tempdir().expect("a folder");
    let hash = HashBy::Header("x-user".into());
    for balance in [Balance::RingHash(hash.clone()), Balance::Maglev(hash)] {
        let addresses = instances();
        let dir = dir.path().join(format!("{}", matches!(balance, Balance::Maglev(_))));
        std::fs::create_dir(&dir).expect("a folder");
        let route = balanced(balance.clone());
        let of = |addresses: &[SocketAddr]| vec![cluster("orders", Protocol::Http1, addresses)];
        let mut told = snapshot(vec![route], vec![], of(&addresses));
        let (running, mut controller) = serving(&dir, &told);
        let mut client = running.client();
        let mut homes = || -> Vec<String> {
            let of = |key| who(&mut client, "/", &format!("X-User: {key}\r\n"));
            (0..60).map(of).collect()
        };
        let before = homes();
        (told.generation, told.clusters) = (2, of(&addresses[..2]));
        controller.tell(&told);
        let after = homes();
        let stayed = before.iter().zip(&after).filter(|(old, new)| old == new).count();
        let had_to = before.iter().filter(|home| *home == "three").count();
        assert!(
            had_to > 5 && !after.iter().any(|home| home == "three"),
            "{balance:?} {had_to}"
        );
        // Of Maglev a few more move; the ring moves none.
        let more = if matches!(balance, Balance::RingHash(_)) { 0 } else { 12 };
        assert!(stayed + had_to + more >= 60, "{balance:?} {stayed} {had_to}");
        running.stop();
    }
}

#[test]
fn an_edge_is_balanced_by_what_its_caller_sends() {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = vec![cluster("orders", Protocol::Http1, &instances())];
    let mut edge = edge("web", "orders");
    edge.policy.balance = Balance::Maglev(HashBy::Header("x-user".into()));
    let mut address = None;
    let told = snapshot(vec![], vec![edge.clone()], clusters);
    let (running, _controller) = serving_with(dir.path(), &told, |sockets| {
        address = Some(sockets.tcp(&edge.socket.0));
    });
    let mut caller = connect(address.expect("bound"));
    let homes: Vec<_> = (0..30)
        .map(|key| {
            let fields = format!("X-User: {key}\r\n");
            let home = who(&mut caller, "/", &fields);
            assert_eq!(who(&mut caller, "/", &fields), home);
            home
        })
        .collect();
    assert!(
        NAMES.iter().all(|name| homes.iter().any(|home| home == name)),
        "{homes:?}"
    );
    running.stop();
}

#[test]
fn panic_mode_is_reported_and_requests_are_answered_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let addresses = NAMES.map(|name| {
        let is_well = is_well.clone();
        instance(
            move |request| match request.starts_with("GET /health ") && !is_well.load(Ordering::SeqCst) {
                true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                false => ok(name),
            },
        )
    });
    let mut orders = cluster("orders", Protocol::Http1, &addresses);
    orders.health = Some(HealthCheck {
        path: "/health".into(),
        interval_ms: 50,
        timeout_ms: 5_000,
    });
    let told = snapshot(vec![balanced(Balance::RoundRobin)], vec![], vec![orders]);
    let (running, mut controller) = serving(dir.path(), &told);
    let report = controller.report(|report| !report.panics.is_empty());
    assert_eq!(report.panics, [name("orders")]);
    let mut client = running.client();
    let answered: Vec<_> = (0..3).map(|_| who(&mut client, "/", "")).collect();
    assert_eq!(answered, NAMES);
    is_well.store(true, Ordering::SeqCst);
    controller.report(|report| report.panics.is_empty());
    running.stop();
}

#[test]
fn requests_stay_in_their_zone_go_elsewhere_when_it_fails_and_come_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(true));
    let addresses = ["home", "home", "away", "away"].map(|name| {
        let is_well = is_well.clone();
        instance(move |_| match name == "away" || is_well.load(Ordering::SeqCst) {
            true => ok(name),
            false => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        })
    });
    let mut orders = cluster("orders", Protocol::Http1, &addresses);
    orders.health = Some(HealthCheck {
        path: "/health".into(),
        interval_ms: 50,
        timeout_ms: 5_000,
    });
    for endpoint in &mut orders.endpoints[2..] {
        endpoint.zone = Some("seoul-b".parse().expect("a zone"));
    }
    let mut told = snapshot(vec![balanced(Balance::PeakEwma)], vec![], vec![orders]);
    told.mesh = Some(Mesh {
        domain: "shop".parse().expect("a name"),
        zone: Some("seoul-a".parse().expect("a zone")),
        socket: None,
        identities: vec![],
        peers: vec![],
    });
    let (running, mut controller) = serving(dir.path(), &told);
    let mut client = running.client();
    assert!((0..40).all(|_| who(&mut client, "/", "") == "home"));
    controller.report(|report| report.bulkheads.iter().any(|one| one.zones == [40, 0]));

    is_well.store(false, Ordering::SeqCst);
    let out = |report: &Report| report.healthy.iter().filter(|(_, well)| !well).count();
    controller.report(|report| out(report) == 2);
    assert!((0..40).all(|_| who(&mut client, "/", "") == "away"));
    controller.report(|report| report.bulkheads.iter().any(|one| one.zones == [40, 40]));

    is_well.store(true, Ordering::SeqCst);
    controller.report(|report| out(report) == 0);
    assert!((0..40).all(|_| who(&mut client, "/", "") == "home"));
    running.stop();
}
