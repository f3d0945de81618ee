//! What is kept, for whom, and what makes it go.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{Cache, CacheResult, PathMatch, Protocol, Report};
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

#[test]
fn a_fresh_answer_is_given_again_with_its_age() {
    let shop = Shop::start(|_, nth| answer("Cache-Control: max-age=100\r\nAge: 7\r\nX-Own: y\r\n", &nth.to_string()));
    let mut world = World::start(vec![caching("/")], shop.address);
    let first = world.get("/a?b=c", "");
    assert_eq!(
        (body(&first), how(&first)),
        ("1", "ondol; fwd=miss; fwd-status=200; stored")
    );
    let again = world.get("/a?b=c", "");
    assert!(how(&again).starts_with("ondol; hit; ttl=9"), "{again}");
    assert_eq!(
        (body(&again), field(&again, "x-own"), shop.calls()),
        ("1", Some("y"), 1)
    );
    let age: u32 = field(&again, "age").and_then(|age| age.parse().ok()).expect("an age");
    assert!((7..30).contains(&age), "{again}");
    assert_eq!(body(&world.get("/a?b=d", "")), "2", "another target");
    let of = |report: &Report, result: CacheResult| {
        let lines = report.traffic.iter();
        lines.map(|line| line.cache[result as usize]).sum::<u64>()
    };
    let report = world.controller.report(|report| of(report, CacheResult::Miss) == 2);
    assert_eq!((of(&report, CacheResult::Hit), report.cache.entries), (1, 2));
    assert!(report.cache.bytes > 0);
    assert_eq!(world.running.log.line("\"cache\":\"hit\"")["attempts"], 0);
}

#[test]
fn what_may_not_be_kept_is_asked_for_each_time() {
    for fields in [
        "Cache-Control: no-store, max-age=9\r\n",
        "Cache-Control: max-age=9, private\r\n",
        "Cache-Control: max-age=9\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: public, max-age=9\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: max-age=9\r\nVary: *\r\n",
    ] {
        let shop = Shop::start(move |_, nth| answer(fields, &nth.to_string()));
        let world = World::start(vec![caching("/")], shop.address);
        assert_eq!(
            (body(&world.get("/", "")), body(&world.get("/", ""))),
            ("1", "2"),
            "{fields}"
        );
    }
}

#[test]
fn an_answer_with_trailers_is_passed_on_whole_and_not_kept() {
    let shop = Shop::start(|_, nth| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n";
        format!("{head}\r\n1\r\n{nth}\r\n0\r\nx: y\r\n\r\n")
    });
    let world = World::start(vec![caching("/")], shop.address);
    for nth in 1..=2 {
        let mut client = world.running.client();
        ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut client, &mut rest).expect("the rest");
        assert!(rest.starts_with(&format!("1\r\n{nth}\r\n0\r\n")), "{rest}");
    }
}

#[test]
fn requests_with_credentials_need_an_answer_that_says_public() {
    for credentials in ["Authorization: Basic YTpi\r\n", "Cookie: sid=1\r\n"] {
        for (control, calls) in [("max-age=9", 2), ("max-age=9, public", 1), ("s-maxage=9", 1)] {
            let shop = Shop::start(move |_, _| answer(&format!("Cache-Control: {control}\r\n"), ""));
            let world = World::start(vec![caching("/")], shop.address);
            world.get("/", credentials);
            world.get("/", credentials);
            assert_eq!(shop.calls(), calls, "{credentials} {control}");
        }
    }
}

#[test]
fn no_consumer_sees_what_is_another_ones_unless_the_answer_is_for_all() {
    for (shared, control, calls) in [
        (false, "max-age=9", 3),
        (true, "max-age=9", 5),
        (true, "max-age=9, public", 2),
    ] {
        let shop = Shop::start(move |request, _| {
            let subject = field(request, "ondol-subject").unwrap_or("nobody").to_owned();
            answer(&format!("Cache-Control: {control}\r\n"), &subject)
        });
        let dir = tempfile::tempdir().expect("a folder");
        let mut edge = edge("web", "shop");
        edge.policy.cache = Some(Cache { shared, ..cache() });
        let clusters = vec![cluster("shop", Protocol::Http1, &[shop.address])];
        let mut address = None;
        let snapshot = snapshot(vec![], vec![edge], clusters);
        let (_running, _controller) = serving_with(dir.path(), &snapshot, |sockets| {
            address = Some(sockets.tcp("edge/web/shop"));
        });
        let address = address.expect("bound");
        let get = |subject: &str| {
            let request = format!("GET / HTTP/1.1\r\nHost: shop\r\n{subject}\r\n");
            ask(&mut connect(address), &request)
        };
        let asked = [
            "Ondol-Subject: alice\r\n",
            "Ondol-Subject: bob\r\n",
            "",
            "Ondol-Subject: alice\r\n",
            "Ondol-Subject: bob\r\n",
        ];
        let seen: Vec<_> = asked.map(|subject| body(&get(subject)).to_owned()).into();
        match control.contains("public") {
            true => assert_eq!(seen, ["alice", "alice", "nobody", "alice", "alice"]),
            false => assert_eq!(seen, ["alice", "bob", "nobody", "alice", "bob"]),
        }
        assert_eq!(shop.calls(), calls, "{shared} {control}");
    }
}

#[test]
fn what_varies_is_given_to_those_who_ask_alike() {
    let shop = Shop::start(|request, _| {
        let language = field(request, "accept-language").unwrap_or("none").to_owned();
        answer("Cache-Control: max-age=9\r\nVary: Accept-Language\r\n", &language)
    });
    let world = World::start(vec![caching("/")], shop.address);
    for _ in 0..2 {
        for language in ["de", "en", "none"] {
            let fields = match language {
                "none" => String::new(),
                language => format!("Accept-Language: {language}\r\n"),
            };
            assert_eq!(body(&world.get("/", &fields)), language);
        }
    }
    assert_eq!(shop.calls(), 3);
}

#[test]
fn what_is_no_plain_get_is_not_kept_and_head_is_answered_from_what_is() {
    let shop = Shop::start(|_, nth| answer("Cache-Control: max-age=9\r\n", &nth.to_string()));
    let world = World::start(vec![caching("/")], shop.address);
    for (method, fields) in [
        ("GET", "Range: bytes=0-1\r\n"),
        ("GET", "Cache-Control: no-store\r\n"),
        ("GET", "If-Match: \"a\"\r\n"),
        ("OPTIONS", ""),
    ] {
        assert_eq!(
            how(&world.send(method, "/", fields)),
            "ondol; fwd=bypass",
            "{method} {fields}"
        );
    }
    let with_body = ask(
        &mut world.running.client(),
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(how(&with_body), "ondol; fwd=bypass");
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let before = shop.calls();
    world.get("/", "");
    let mut client = world.running.client();
    let seen = head_of(&mut client, head);
    assert!(how(&seen).starts_with("ondol; hit"), "{seen}");
    let next = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        how(&next).starts_with("ondol; hit"),
        "nothing came behind the head: {next}"
    );
    assert_eq!(shop.calls(), before + 1);
    let only = world.get("/other", "Cache-Control: only-if-cached\r\n");
    assert!(status(&only) == 504 && only.contains("GW-078"), "{only}");
    let newer = world.get("/", "Cache-Control: no-cache\r\n");
    assert_eq!(
        (body(&newer), shop.calls()),
        ((before + 2).to_string().as_str(), before + 2)
    );
    assert_eq!(
        body(&world.get("/", "")),
        (before + 2).to_string(),
        "the newer one is kept"
    );
}

#[test]
fn a_client_that_has_it_is_told_so_and_a_stale_one_is_compared() {
    let shop = Shop::start(|request, _| match field(request, "if-none-match") {
        Some("\"v1\"") => {
            "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: no-cache\r\nX-New: 2\r\n\r\n".to_owned()
        }
        Some(_) => error(500),
        None if request.contains("/fresh") => answer("ETag: \"f\"\r\nCache-Control: max-age=9\r\n", "fresh"),
        None => answer("ETag: \"v1\"\r\nCache-Control: no-cache\r\n", "one"),
    });
    let world = World::start(vec![caching("/")], shop.address);
    // The client's condition is not the service's affair: its answer is for all.
    let first = world.get("/fresh", "If-None-Match: W/\"f\"\r\n");
    assert_eq!(
        (status(&first), field(&first, "etag"), body(&first)),
        (304, Some("\"f\""), "")
    );
    let other = world.get("/fresh", "If-None-Match: \"g\"\r\n");
    assert_eq!((status(&other), body(&other)), (200, "fresh"));
    assert_eq!(status(&world.get("/fresh", "If-None-Match: \"f\"\r\n")), 304);
    assert_eq!(shop.calls(), 1);
    // To be confirmed each time, by its tag.
    world.get("/", "");
    let confirmed = world.get("/", "");
    assert_eq!(
        (status(&confirmed), body(&confirmed), field(&confirmed, "x-new")),
        (200, "one", Some("2"))
    );
    assert_eq!(how(&confirmed), "ondol; fwd=stale; fwd-status=304");
    assert_eq!(status(&world.get("/", "If-None-Match: \"v1\"\r\n")), 304);
    assert_eq!(shop.calls(), 4);
}

#[test]
fn who_asks_for_itself_alone_is_told_what_it_has_and_gets_its_cookie() {
    let shop = Shop::start(|request, _| match field(request, "if-none-match") {
        Some("\"mine\"") => "HTTP/1.1 304 Not Modified\r\nETag: \"mine\"\r\n\r\n".to_owned(),
        Some(_) => "HTTP/1.1 304 Not Modified\r\nSet-Cookie: a=b\r\n\r\n".to_owned(),
        None if request.contains("/own") => answer("ETag: \"mine\"\r\nCache-Control: private\r\n", "mine"),
        None => answer("ETag: \"all\"\r\nCache-Control: no-cache\r\n", "all"),
    });
    let world = World::start(vec![caching("/")], shop.address);
    // What is never kept is between the client and the service.
    assert_eq!(body(&world.get("/own", "")), "mine");
    let has = world.get("/own", "If-None-Match: \"mine\"\r\n");
    assert_eq!(
        (status(&has), field(&has, "etag"), shop.calls()),
        (304, Some("\"mine\""), 2)
    );
    // What is said with a confirmation is for the one who asked.
    world.get("/", "");
    let confirmed = world.get("/", "");
    assert_eq!(
        (body(&confirmed), field(&confirmed, "set-cookie")),
        ("all", Some("a=b"))
    );
    let next = world.get("/", "");
    assert_eq!((body(&next), field(&next, "set-cookie")), ("all", None));
}

#[test]
fn what_an_unsafe_request_changes_is_asked_for_again() {
    let shop = Shop::start(|request, nth| match request.starts_with("GET") {
        true => answer("Cache-Control: max-age=99\r\n", &nth.to_string()),
        false if request.contains("x-fails") => error(500),
        false => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    });
    let mut writing = route("/a", "shop");
    writing.name = "writing".parse().expect("a name");
    writing.matches.path = PathMatch::Exact("/a".into());
    writing.matches.methods = vec!["PUT".into(), "DELETE".into()];
    let world = World::start(vec![caching("/"), writing], shop.address);
    let put = |path: &str, fields: &str| status(&world.send("PUT", path, &format!("{fields}Content-Length: 0\r\n")));
    assert_eq!((body(&world.get("/a", "")), body(&world.get("/b", ""))), ("1", "2"));
    assert_eq!(put("/a", "X-Fails: y\r\n"), 500);
    assert_eq!(body(&world.get("/a", "")), "1", "what failed has changed nothing");
    assert_eq!(put("/a", ""), 204);
    assert_eq!(body(&world.get("/a", "")), "5", "by another route, and for all");
    assert_eq!(body(&world.get("/b", "")), "2");
}

#[test]
fn an_answer_that_was_asked_for_before_a_change_is_not_given_after_it() {
    let (let_go, leave) = channel();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |request, nth| {
        if nth == 1 {
            let _ = leave.lock().expect("lock").recv(); // The test may have ended.
        }
        match request.starts_with("GET") {
            true => answer("Cache-Control: max-age=99\r\n", &nth.to_string()),
            false => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        }
    });
    let world = World::start(vec![caching("/")], shop.address);
    let mut early = world.running.client();
    early.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
    until(|| (shop.calls() == 1).then_some(()));
    assert_eq!(status(&world.send("DELETE", "/a", "")), 204);
    let_go.send(()).expect("it waits");
    assert_eq!(
        body(&read_message(&mut early).expect("an answer")),
        "1",
        "whoever asked before may have what was"
    );
    assert_eq!(body(&world.get("/a", "")), "3");
}

#[test]
fn memory_is_bounded_and_what_is_too_large_goes_on_to_its_client() {
    const BODY: usize = (1 << 20) - 1_000;
    let shop = Shop::start(|request, _| {
        let size = if request.contains("/large") { 3 << 20 } else { BODY };
        answer("Cache-Control: max-age=999\r\n", &"x".repeat(size))
    });
    let mut world = World::start(vec![caching("/")], shop.address);
    for number in 0..80 {
        assert_eq!(body(&world.get(&format!("/{number}"), "")).len(), BODY);
    }
    let report = world.controller.report(|report| report.cache.evicted >= 16);
    assert!(
        report.cache.bytes <= 64 << 20 && report.cache.entries >= 60,
        "{:?}",
        report.cache
    );
    for _ in 0..2 {
        assert_eq!(body(&world.get("/large", "")).len(), 3 << 20);
    }
    assert_eq!(shop.calls(), 82);
}
