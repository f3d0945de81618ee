//! What stands in for an error where nothing is kept: a declared answer, another service.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{Fallback, Protocol, Route, Traffic};

fn with(fallback: Fallback, keeps: bool) -> Route {
    let mut route = caching("/");
    route.policy.cache.take_if(|_| !keeps);
    route.policy.fallback = Some(fallback);
    route
}

fn nothing() -> Fallback {
    Fallback::Answer {
        status: 203,
        content_type: "application/json".into(),
        body: "[]".into(),
    }
}

fn other() -> Fallback {
    Fallback::Service { service: name("other") }
}

#[test]
fn a_declared_answer_stands_in_for_an_error_after_what_is_kept() {
    let stale = "Cache-Control: max-age=10\r\nAge: 20\r\n";
    let shop = Shop::start(move |_, _| answer(stale, "kept"));
    let mut world = World::start(vec![with(nothing(), true)], shop.address);
    assert_eq!(body(&world.get("/", "")), "kept");
    shop.now(|request, _| {
        if request.contains("/gone") {
            String::new()
        } else {
            error(503)
        }
    });
    assert_eq!(body(&world.get("/", "")), "kept", "what was well comes first");
    for (path, words) in [("/a", "received-status=503"), ("/gone", "error=")] {
        let seen = world.get(path, "");
        assert_eq!((status(&seen), body(&seen)), (203, "[]"), "{seen}");
        assert_eq!(field(&seen, "content-type"), Some("application/json"));
        let told = field(&seen, "proxy-status").expect("it is no answer of the service");
        assert!(told.contains(words) && told.contains("fallback"), "{told}");
    }
    let post = world.send("POST", "/a", "Content-Length: 0\r\n");
    assert_eq!(status(&post), 503, "whoever wants something done hears that it was not");
    let only = world.get("/b", "Cache-Control: only-if-cached\r\n");
    assert_eq!(status(&only), 504, "it wants no other answer");
    shop.now(|_, _| error(404));
    assert_eq!(status(&world.get("/a", "")), 404, "that is an answer");
    let counted = |line: &Traffic| line.fallbacks == [2, 0] && line.by_class[3] == 1;
    world.controller.report(|report| report.traffic.iter().any(counted));
}

#[test]
fn another_service_stands_in_and_may_fail_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Shop::start(|_, _| error(500));
    let well = Shop::start(|request, _| match field(request, "if-none-match") {
        None => answer("ETag: \"other\"\r\n", "other"),
        Some(_) => "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
    });
    let clusters = vec![
        cluster("shop", Protocol::Http1, &[shop.address]),
        cluster("other", Protocol::Http1, &[well.address]),
    ];
    let (running, mut controller) = serving(dir.path(), &snapshot(vec![with(other(), false)], vec![], clusters));
    let get = || {
        ask(
            &mut running.client(),
            "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n",
        )
    };
    let seen = get();
    assert_eq!((status(&seen), body(&seen)), (200, "other"), "{seen}");
    assert!(field(&seen, "proxy-status").is_some_and(|told| told.contains("received-status=500")));
    assert_eq!(running.log.line("\"status\":200")["instance"], "other.1");
    well.now(|_, _| error(502));
    assert_eq!(status(&get()), 500, "the first one's error");
    let report = controller.report(|report| report.traffic.iter().any(|line| line.fallbacks == [1, 1]));
    assert_eq!((well.calls(), shop.calls()), (2, 2));
    assert_eq!(report.in_flight.iter().map(|(_, count)| count).sum::<u64>(), 0);
}
