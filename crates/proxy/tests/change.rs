//! What a route changes, over real sockets: fields, host and path of what is sent on, and where a client is sent instead.

mod common;

use common::*;
use ondol_core::wire::proxy::{Action, FieldChanges, PathChange, Protocol, Redirect, Rewrite, Route};

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn ask_of(route: Route, request: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(ok);
    let clusters = vec![cluster("orders", Protocol::Http1, &[orders])];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![route], vec![], clusters));
    let answer = ask(&mut running.client(), request);
    running.stop();
    answer
}

#[test]
fn the_service_sees_another_path_host_and_fields_and_the_client_other_fields() {
    let route = Route {
        rewrite: Rewrite {
            host: Some("inner.example".into()),
            path: Some(PathChange::Prefix("/v2".into())),
        },
        request_fields: FieldChanges {
            remove: vec!["cookie".into()],
            set: vec![pair("x-tenant", "shop")],
            add: vec![pair("accept", "text/plain")],
        },
        response_fields: FieldChanges {
            set: vec![pair("strict-transport-security", "max-age=60")],
            ..FieldChanges::default()
        },
        ..route("/api/orders", "orders")
    };
    let request = "GET /api/orders/7;v=1?x=/api/orders HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\nX-Tenant: evil\r\nAccept: text/html\r\n\r\n";
    let answer = ask_of(route, request);
    let (head, seen) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(
        seen.starts_with("GET /v2/7;v=1?x=/api/orders HTTP/1.1\r\nhost: inner.example\r\n"),
        "{seen}"
    );
    assert_eq!(field(seen, "x-forwarded-host"), Some("shop.example"));
    assert_eq!((field(seen, "cookie"), field(seen, "x-tenant")), (None, Some("shop")));
    let accepted = seen.lines().filter_map(|line| line.strip_prefix("accept: "));
    assert_eq!(accepted.collect::<Vec<_>>(), ["text/html", "text/plain"]);
    assert_eq!(field(head, "strict-transport-security"), Some("max-age=60"));
}

#[test]
fn an_answer_of_our_own_has_the_route_s_fields_too() {
    let route = Route {
        response_fields: FieldChanges {
            set: vec![pair("x-frame-options", "DENY")],
            ..FieldChanges::default()
        },
        ..route("/api", "nobody")
    };
    let answer = ask_of(route, "GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(field(&answer, "x-frame-options"), Some("DENY"));
}

#[test]
fn a_client_is_sent_elsewhere_and_the_service_is_not_asked() {
    let redirect = Redirect {
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: Some(PathChange::Prefix("/new".into())),
        status: 308,
    };
    let route = Route {
        action: Action::Redirect(redirect),
        ..route("/old", "orders")
    };
    let request = "POST /old/x?y HTTP/1.1\r\nHost: shop.example:8080\r\nContent-Length: 2\r\n\r\nhi";
    let answer = ask_of(route, request);
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert_eq!(field(&answer, "location"), Some("https://shop.example/new/x?y"));
    assert_eq!(field(&answer, "proxy-status"), None);
    assert_eq!(field(&answer, "content-length"), Some("0"));
}
