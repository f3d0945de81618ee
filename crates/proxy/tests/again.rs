//! When a service says when to ask again, in seconds or as a date: the next attempt waits for that, or is none.

mod common;

use common::*;
use ondol_core::wire::proxy::Protocol;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The status that a client gets, and how often the service was asked, of which the first time it answered 429 with this.
fn asked_again(retry_after: &'static str) -> (String, u32) {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let address = instance(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => format!("HTTP/1.1 429 Too Many Requests\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"),
        _ => ok("later"),
    });
    let clusters = vec![cluster("orders", Protocol::Http1, &[address])];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![route("/", "orders")], vec![], clusters));
    let answer = ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    running.stop();
    let status = answer.split(' ').nth(1).expect("a status").to_owned();
    (status, asked.load(Ordering::SeqCst))
}

#[test]
fn a_date_that_is_past_is_at_once_and_one_beyond_the_deadline_is_never() {
    for past in [
        "0",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(asked_again(past), ("200".into(), 2), "{past}");
    }
    for far in ["3600", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(asked_again(far), ("429".into(), 1), "{far}");
    }
}

#[test]
fn what_is_no_time_is_not_waited_for() {
    for nonsense in ["soon", "Sun, 06 Nov 1994 99999999999999999999:00:00 GMT"] {
        assert_eq!(asked_again(nonsense), ("429".into(), 1), "{nonsense}");
    }
}
