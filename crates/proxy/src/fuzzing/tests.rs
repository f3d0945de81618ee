//! The targets over the conformance tables and the committed corpus.

use super::{TARGETS, run};
use crate::h1::head::MAX_RESPONSE_HEAD;
use crate::testing::unescape;
use std::path::PathBuf;

/// Gives every input of a target's folder to it.
fn replay(name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let input = std::fs::read(&path).expect("read");
        if let Err(panic) = std::panic::catch_unwind(|| run(name, &input)) {
            eprintln!("the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
        seen += 1;
    }
    assert!((10..=100).contains(&seen), "{seen} inputs in {}", folder.display());
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*
        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|(name, _)| name).as_slice(), [$(stringify!($name)),*].as_slice());
        }
    };
}

replays!(
    request_head,
    response_head,
    chunks,
    connection,
    path,
    forwarded,
    h2_head,
    token,
    deadline,
    grpc_web
);

fn rows(table: &str) -> impl Iterator<Item = Vec<u8>> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| unescape(line.split('\t').nth(1).unwrap_or(line)))
}

#[test]
fn the_conformance_tables_break_no_promise_however_they_are_cut() {
    let (heads, chunks) = (
        include_str!("../../../../conformance/gateway/heads.tsv"),
        include_str!("../../../../conformance/gateway/chunks.tsv"),
    );
    for head in rows(heads) {
        run("request_head", &head);
        for cut in [&[0][..], &[3, 1, 7, 2], &[1, 200]] {
            run("connection", &[cut, &head].concat());
            run("connection", &[cut, b"\r\n", &head, &head].concat());
        }
    }
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in rows(chunks) {
        run("chunks", &[&[0], body.as_slice()].concat());
        run(
            "connection",
            &[
                &[2, 5, 3],
                chunked.as_slice(),
                &body,
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
            .concat(),
        );
    }
    let paths = include_str!("../../../../conformance/gateway/paths.tsv");
    for line in paths.lines().filter(|line| !line.starts_with('#')) {
        run("path", line.split('\t').next().unwrap_or_default().as_bytes());
    }
}

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\nContent-Length: 1\r\n\r\nab",
        "y".repeat(600)
    );
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_RESPONSE_HEAD));
    let upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n3;e=1\r\nabc\r\n0\r\nx: 1\r\n\r\nrest",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nrest",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nrest",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        &format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\u{81}\u{5}hello"),
        "HTTP/1.1 101 Switching Protocols\r\n\r\nrest",
        "HTTP/1.1 200 OK\r\nx: a\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nx: a\rb\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : a\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\nrest",
        "SSH-2.0-OpenSSH\r\n\r\n",
        &long,
        &endless,
    ] {
        for first in 0..4 {
            run("response_head", &[&[first], answer.as_bytes()].concat());
        }
    }
}
