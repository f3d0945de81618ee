//! Heads that are no requests: what is counted and logged of them, and where.

mod common;

use common::*;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::wire::proxy::{Protocol, Traffic};

#[test]
fn a_head_that_is_no_request_leaves_a_line_without_its_bytes_and_many_of_them_few() {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(ok);
    let routes = vec![route("/", "orders")];
    let clusters = vec![cluster("orders", Protocol::Http1, &[orders])];
    let (running, mut controller) = serving(dir.path(), &snapshot(routes, vec![], clusters));
    let hostile = "GET /evil\u{1b}[31m HTTP/1.1\r\nHost: a\r\nX Evil: \"},{\r\n\r\n";
    assert!(ask(&mut running.client(), hostile).starts_with("HTTP/1.1 400 "));
    let line = running.log.line("refused head");
    let text = line.to_string();
    assert!(!text.contains("evil") && !text.contains("Evil"), "{text}");
    assert_eq!(
        (line["status"].as_u64(), line["client"].as_str(), line["level"].as_str()),
        (Some(400), Some("127.0.0.1"), Some("warn")),
        "{text}"
    );
    assert!(
        line["code"].as_str().is_some_and(|code| code.starts_with("GW-")),
        "{text}"
    );
    assert!(line["reason"].is_string() && line["left_out"].is_null(), "{text}");
    let begun = SystemClock.mono();
    for _ in 0..200 {
        ask(&mut running.client(), "GET HTTP/1.1\r\n\r\n");
    }
    let seconds = (SystemClock.mono() - begun).as_secs() + 2;
    let report = controller.report(|report| running.log.count("refused head") + report.access_log_left_out == 201);
    let lines = 201 - report.access_log_left_out;
    assert!(
        lines <= 3 * (seconds + 1),
        "{lines} lines of one client in parts of {seconds} seconds"
    );
}

#[test]
fn a_refused_head_is_counted_and_logged_where_it_came_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = vec![cluster("orders", Protocol::Http1, &[instance(ok)])];
    let mut address = None;
    let all = snapshot(vec![route("/", "orders")], vec![edge("cart", "orders")], clusters);
    let (running, mut controller) = serving_with(dir.path(), &all, |sockets| {
        address = Some(sockets.tcp("edge/cart/orders"));
    });
    let bad = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n";
    let mut service = connect(address.expect("bound"));
    assert!(ask(&mut service, bad).starts_with("HTTP/1.1 400 "));
    let line = running.log.line("refused head");
    assert_eq!(
        (line["caller"].as_str(), line["target"].as_str()),
        (Some("cart"), Some("orders")),
        "{line}"
    );
    assert!(ask(&mut running.client(), "GET /\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let line = running.log.line("\"target\":\"gateway\"");
    assert_eq!(
        (line["message"].as_str(), line["caller"].as_str()),
        (Some("refused head"), None),
        "{line}"
    );
    let refused = |line: &Traffic, caller: Option<&str>| {
        line.by_class[3] == 1 && line.caller.as_ref().map(|name| name.as_str()) == caller
    };
    controller.report(|report| {
        let counted = |caller| report.traffic.iter().any(|line| refused(line, caller));
        counted(None) && counted(Some("cart"))
    });
}
