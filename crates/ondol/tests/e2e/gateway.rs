//! What the gateway lets through, and what not.

use crate::http::Connection;
use crate::system::System;

const ECHO: &str = "\
routes:
  - { match: { prefix: /echo }, body_limit: 1KiB }
  - { match: { prefix: /work }, limit: { rate: 1/m, burst: 2, by: ip } }
  - match: { path: /seen }";

#[test]
fn hostile_heads_are_refused_and_nothing_of_them_reaches_a_service() {
    let system = System::new("", &[("echo", ECHO)]).up();
    let cases: [(&str, &str); 14] = [
        (
            "length and chunks",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "a signed length",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        ),
        (
            "chunks twice",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
        ("bare line feeds", "GET /echo HTTP/1.1\nHost: a\n\n"),
        (
            "a bare line feed in a field",
            "GET /echo HTTP/1.1\r\nHost: a\r\nA: b\nOndol-Subject: root\r\n\r\n",
        ),
        (
            "a bare carriage return",
            "GET /echo HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
        ),
        ("two hosts", "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no host", "GET /echo HTTP/1.1\r\n\r\n"),
        (
            "a null byte in a field",
            "GET /echo HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
        ),
        ("a null byte in the path", "GET /echo%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a folded field", "GET /echo HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"),
        (
            "a space before the colon",
            "GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
        ),
        (
            "an identity with an underscore",
            "GET /echo HTTP/1.1\r\nHost: a\r\nOndol_Subject: root\r\n\r\n",
        ),
    ];
    for (name, head) in cases {
        let mut connection = Connection::open(&system.gateway).expect("the gateway listens");
        let answer = connection
            .raw(head.as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answer.status(), 400, "{name}: {}", answer.text());
        assert!(
            answer.field("proxy-status").is_some(),
            "{name} says whose answer it is: {answer:?}"
        );
    }
    assert_eq!(system.get("/seen").expect(200).text(), "0");
    system.get("/echo").expect(200);
    assert_eq!(system.get("/seen").expect(200).text(), "1");
}

#[test]
fn bodies_rates_paths_and_identities_are_kept_within_what_the_route_says() {
    let system = System::new("", &[("echo", ECHO)]).up();
    let fits = system.ask("POST", "/echo", &[], &"x".repeat(1_024)).expect(200).json();
    assert_eq!(fits["length"], 1_024);
    system.ask("POST", "/echo", &[], &"x".repeat(1_025)).expect(413);
    let mut connection = Connection::open(&system.gateway).expect("the gateway listens");
    let chunks = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x401)
    );
    connection.raw(chunks.as_bytes()).expect("an answer").expect(413);
    assert_eq!(system.get("/seen").text(), "1", "only what fits has come through");

    system.get("/work").expect(200);
    system.get("/work").expect(200);
    let limited = system.get("/work").expect(429);
    let seconds: u64 = limited
        .field("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(limited.field("content-type"), Some("application/problem+json"));

    let nowhere = system.get("/nowhere").expect(404);
    assert_eq!(nowhere.json()["code"], "GW-010");
    let outside = [
        ("ondol-subject", "root"),
        ("ondol-caller", "ondol"),
        ("ondol-roles", "admin"),
    ];
    let seen = system.ask("GET", "/echo", &outside, "").expect(200).json();
    let fields = seen["fields"].as_object().expect("fields");
    assert!(
        fields
            .keys()
            .all(|name| !["ondol-subject", "ondol-roles"].contains(&name.as_str())),
        "{seen}"
    );
    assert_ne!(seen["fields"]["ondol-caller"], "ondol", "{seen}");
}

#[test]
fn a_route_changes_what_goes_on_and_what_comes_back_or_sends_the_client_elsewhere() {
    let routes = "\
routes:
  - match: { prefix: /api/v1 }
    rewrite: { prefix: /echo, host: inner.example }
    request_headers: { set: { X-Tenant: shop }, remove: [Cookie] }
    response_headers: { set: { X-Frame-Options: DENY } }
  - { name: moved, match: { prefix: /old }, redirect: { prefix: /api/v1, status: 308 } }";
    let system = System::new("", &[("echo", routes)]).up();
    let asked = [("cookie", "a=b"), ("x-tenant", "evil")];
    let answer = system.ask("GET", "/api/v1/7?x=y", &asked, "").expect(200);
    assert_eq!(answer.field("x-frame-options"), Some("DENY"));
    let seen = answer.json();
    assert_eq!(
        (&seen["path"], &seen["fields"]["host"]),
        (&"/echo/7?x=y".into(), &"inner.example".into())
    );
    assert_eq!(seen["fields"]["x-tenant"], "shop");
    assert!(seen["fields"].get("cookie").is_none(), "{seen}");

    let moved = system.get("/old/7?x=y").expect(308);
    let to = format!("http://{}/api/v1/7?x=y", system.gateway);
    assert_eq!(moved.field("location"), Some(&*to));
    let explained = system.ondol(&["explain", "route", "moved"]).good();
    assert!(
        explained.contains("redirect.prefix") && explained.contains("/api/v1"),
        "{explained}"
    );
}
