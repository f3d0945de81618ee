//! Where a route's requests go, over real sockets: by weight, by session, and as copies; and pages of other origins.

mod common;

use common::*;
use ondol_core::wire::proxy::{
    Action, Auth, Backend, Cors, FieldChanges, Mirror, Protocol, Route, Session, SessionKind,
};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

fn backend(service: &str, weight: u32) -> Backend {
    Backend {
        service: name(service),
        weight,
        request_fields: Default::default(),
        response_fields: Default::default(),
    }
}

fn split(weights: &[(&str, u32)]) -> Route {
    let backends = weights.iter().map(|(service, weight)| backend(service, *weight));
    Route {
        action: Action::Forward(backends.collect()),
        ..route("/", "stable")
    }
}

/// An instance that says its name.
fn named(text: &'static str) -> SocketAddr {
    instance(move |_| ok(text))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a body").1
}

#[test]
fn requests_are_shared_out_by_weight_and_counted_by_service() {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = [
        ("stable", named("stable")),
        ("canary", named("canary")),
        ("never", named("never")),
    ]
    .map(|(service, address)| cluster(service, Protocol::Http1, &[address]));
    let route = split(&[("stable", 9), ("canary", 1), ("never", 0)]);
    let (running, mut controller) = serving(dir.path(), &snapshot(vec![route], vec![], clusters.to_vec()));
    let mut client = running.client();
    let answers: Vec<_> = (0..500)
        .map(|_| ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    let of = |service| answers.iter().filter(|answer| body(answer) == service).count();
    // 50 are expected; 11 and 104 are eight standard deviations away.
    assert!(
        (11..104).contains(&of("canary")) && of("never") == 0,
        "{}",
        of("canary")
    );
    let counted = |report: &ondol_core::wire::proxy::Report, service: &str| {
        let of = report.traffic.iter().find(|traffic| traffic.target == name(service));
        of.map_or(0, |traffic| traffic.by_class[1])
    };
    let report = controller.report(|report| counted(report, "stable") + counted(report, "canary") == 500);
    assert_eq!(counted(&report, "canary"), of("canary") as u64);
    running.stop();
}

#[test]
fn a_route_without_any_weight_answers_500() {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = vec![cluster("stable", Protocol::Http1, &[named("stable")])];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![split(&[("stable", 0)])], vec![], clusters));
    let answer = ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("GW-080"),
        "{answer}"
    );
    running.stop();
}

/// Changes that set one field and add another.
fn changes(set: &str, add: (&str, &str)) -> FieldChanges {
    FieldChanges {
        remove: vec!["x-secret".into()],
        set: vec![("x-to".into(), set.into())],
        add: vec![(add.0.into(), add.1.into())],
    }
}

#[test]
fn a_backend_changes_only_what_goes_to_it_and_what_comes_of_that() {
    let dir = tempfile::tempdir().expect("a folder");
    let saying = |name: &'static str| {
        instance(move |request| {
            let to = field(request, "x-to").unwrap_or("nobody").to_owned();
            let secret = field(request, "x-secret").unwrap_or("none").to_owned();
            ok(&format!("{name} {to} {secret}"))
        })
    };
    let changing = |service: &str| Backend {
        request_fields: changes(service, ("x-more", "1")),
        response_fields: changes(service, ("x-by", service)),
        ..backend(service, 1)
    };
    let route = Route {
        action: Action::Forward(vec![
            changing("one"),
            changing("two"),
            backend("plain", 1),
            changing("away"),
        ]),
        request_fields: changes("route", ("x-more", "0")),
        response_fields: FieldChanges {
            add: vec![("x-by".into(), "route".into())],
            ..Default::default()
        },
        ..route("/", "one")
    };
    let clusters = ["one", "two", "plain"].map(|name| cluster(name, Protocol::Http1, &[saying(name)]));
    let mut clusters = clusters.to_vec();
    clusters.push(cluster("away", Protocol::Http1, &[]));
    let (running, _controller) = serving(dir.path(), &snapshot(vec![route], vec![], clusters));
    let mut client = running.client();
    let mut left: BTreeSet<_> = ["one", "two", "plain", "away"].into();
    until(|| {
        let answer = ask(
            &mut client,
            "GET / HTTP/1.1\r\nHost: a\r\nX-To: me\r\nX-Secret: s\r\n\r\n",
        );
        let by: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("x-by: ")).collect();
        let who = match body(&answer) {
            "one one none" => "one",
            "two two none" => "two",
            "plain route none" => "plain",
            // What the proxy itself says in place of the backend is the backend's answer.
            _ => answer.starts_with("HTTP/1.1 503").then_some("away").expect(&answer),
        };
        let expected = if who == "plain" {
            vec!["route"]
        } else {
            vec![who, "route"]
        };
        assert_eq!(
            (by, field(&answer, "x-to")),
            (expected, (who != "plain").then_some(who)),
            "{answer}"
        );
        left.remove(who);
        left.is_empty().then_some(())
    });
    running.stop();
}

#[test]
fn a_session_stays_with_its_instance_whatever_the_weights_until_that_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (named("one"), named("two"));
    let clusters = |instances: &[SocketAddr]| {
        vec![
            cluster("stable", Protocol::Http1, instances),
            cluster("canary", Protocol::Http1, &[named("canary")]),
        ]
    };
    let route = Route {
        session: Some(Session {
            kind: SessionKind::Cookie,
            name: "sid".into(),
            absolute_timeout_ms: None,
            idle_timeout_ms: None,
            permanent: false,
        }),
        ..split(&[("stable", 1), ("canary", 1)])
    };
    let mut told = snapshot(vec![route], vec![], clusters(&[one, two]));
    let (running, mut controller) = serving(dir.path(), &told);
    let mut client = running.client();
    let mut ask_with = |cookie: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; {cookie}\r\n\r\n");
        ask(&mut client, &request)
    };
    let cookie_of = |answer: &str| {
        let cookie = field(answer, "set-cookie")?;
        Some(cookie.split(';').next()?.to_owned())
    };
    let cookie = until(|| {
        let answer = ask_with("sid=nonsense");
        cookie_of(&answer).filter(|_| body(&answer) == "two")
    });
    for _ in 0..50 {
        let answer = ask_with(&cookie);
        assert_eq!((body(&answer), cookie_of(&answer)), ("two", None));
    }
    told.generation = 2;
    told.clusters = clusters(&[one]);
    controller.tell(&told);
    let answer = ask_with(&cookie);
    let moved = cookie_of(&answer).expect("another session");
    assert!(body(&answer) != "two" && moved != cookie, "{answer}");
    running.stop();
}

fn mirrored(share: f64) -> Route {
    Route {
        mirrors: vec![Mirror {
            service: name("shadow"),
            share,
        }],
        ..split(&[("stable", 1)])
    }
}

/// An instance that tells the test what it sees.
fn telling() -> (SocketAddr, Receiver<String>) {
    let (tell, told) = channel();
    let address = instance(move |request| {
        let _ = tell.send(request.to_owned());
        ok("thrown away")
    });
    (address, told)
}

#[test]
fn a_mirror_gets_a_copy_with_its_body_and_its_answer_is_thrown_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let (shadow, copies) = telling();
    let clusters = vec![
        cluster("stable", Protocol::Http1, &[instance(ok)]),
        cluster("shadow", Protocol::Http1, &[shadow]),
    ];
    let (running, mut controller) = serving(dir.path(), &snapshot(vec![mirrored(1.0)], vec![], clusters));
    let text = "x".repeat(200_000);
    for request in [
        "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        format!(
            "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ),
    ] {
        let answer = ask(&mut running.client(), &request);
        assert!(
            answer.starts_with("HTTP/1.1 200") && !answer.contains("thrown away"),
            "{answer}"
        );
        let copy = copies.recv().expect("a copy");
        assert_eq!(field(&copy, "ondol-mirrored"), Some("true"));
        let (line, sent) = (request.lines().next(), body(&request));
        assert_eq!((copy.lines().next(), body(&copy) == sent), (line, true));
    }
    let report = controller.report(|report| report.traffic.iter().any(|traffic| traffic.mirrored == 3));
    assert!(report.traffic.iter().all(|traffic| traffic.mirrors_failed == 0));
    running.stop();
}

#[test]
fn a_mirror_that_is_stuck_or_away_costs_the_client_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let stuck = TcpListener::bind("127.0.0.1:0").expect("bind");
    let clusters = vec![
        cluster(
            "stable",
            Protocol::Http1,
            &[instance(|request| ok(&request.len().to_string()))],
        ),
        cluster("shadow", Protocol::Http1, &[stuck.local_addr().expect("address")]),
    ];
    let mut told = snapshot(vec![mirrored(1.0)], vec![], clusters);
    let (running, mut controller) = serving(dir.path(), &told);
    // Far more than all buffers on the way to somebody who never reads.
    let text = "x".repeat(1 << 20);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut client = running.client();
    for _ in 0..8 {
        assert!(ask(&mut client, &request).starts_with("HTTP/1.1 200"));
    }
    controller.report(|report| report.traffic.iter().any(|traffic| traffic.mirrors_failed > 0));
    told.generation = 2;
    told.clusters[1].endpoints.clear();
    controller.tell(&told);
    assert!(ask(&mut client, &request).starts_with("HTTP/1.1 200"));
    running.stop();
}

#[test]
fn a_request_that_breaks_off_is_no_whole_request_at_the_mirror() {
    let dir = tempfile::tempdir().expect("a folder");
    let shadow = TcpListener::bind("127.0.0.1:0").expect("bind");
    let clusters = vec![
        cluster("stable", Protocol::Http1, &[instance(ok)]),
        cluster("shadow", Protocol::Http1, &[shadow.local_addr().expect("address")]),
    ];
    let (running, mut controller) = serving(dir.path(), &snapshot(vec![mirrored(1.0)], vec![], clusters));
    for head in [
        "Content-Length: 100000\r\n\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let mut client = running.client();
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{head}").expect("write");
        let (mut copy, _) = shadow.accept().expect("a copy");
        drop(client);
        let mut bytes = Vec::new();
        let _ = copy.read_to_end(&mut bytes); // A reset ends it as well.
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.starts_with("POST / HTTP/1.1") && !text.ends_with("0\r\n\r\n"),
            "{text}"
        );
    }
    controller.report(|report| report.traffic.iter().any(|traffic| traffic.mirrors_failed == 2));
    running.stop();
}

fn cors() -> Cors {
    Cors {
        allow_origins: vec!["https://*.shop.example".into()],
        allow_methods: vec!["POST".into()],
        allow_headers: vec!["authorization".into()],
        expose_headers: vec![],
        allow_credentials: false,
        max_age_s: 600,
    }
}

#[test]
fn a_preflight_is_answered_for_the_route_that_would_take_the_request_without_a_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut posts = Route {
        cors: Some(cors()),
        auth: Some(Auth {
            issuer: "nobody".into(),
            scope: None,
            role: None,
            forward: false,
        }),
        ..route("/", "stable")
    };
    posts.matches.methods = vec!["POST".into()];
    let mut others = route("/", "stable");
    others.name = "others".parse().expect("a name");
    let clusters = vec![cluster("stable", Protocol::Http1, &[named("asked")])];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![posts, others], vec![], clusters));
    let mut client = running.client();
    let mut ask_as = |line: &str, fields: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nOrigin: https://www.shop.example\r\n{fields}\r\n");
        ask(&mut client, &request)
    };
    let preflight = ask_as("OPTIONS /x", "Access-Control-Request-Method: POST\r\n");
    assert!(preflight.starts_with("HTTP/1.1 204"), "{preflight}");
    let origin = |answer: &str| field(answer, "access-control-allow-origin").map(str::to_owned);
    assert_eq!(origin(&preflight).as_deref(), Some("https://www.shop.example"));
    assert_eq!(field(&preflight, "access-control-max-age"), Some("600"));
    // A page may read why it was refused.
    let refused = ask_as("POST /x", "Content-Length: 0\r\n");
    assert!(!refused.starts_with("HTTP/1.1 200"), "{refused}");
    assert_eq!(origin(&refused).as_deref(), Some("https://www.shop.example"));
    // The route without a filter leaves it to the service.
    let own = ask_as("OPTIONS /x", "Access-Control-Request-Method: PUT\r\n");
    assert_eq!((body(&own), origin(&own)), ("asked", None));
    running.stop();
}
