//! A service that counts how often it is asked, behind a gateway that keeps its answers.

use crate::common::*;
use ondol_core::wire::proxy::{Cache, Protocol, Route, Snapshot};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

type Answer = Arc<dyn Fn(&str, u32) -> String + Send + Sync>;

/// A service whose answers a test may change.
#[derive(Clone)]
pub struct Shop {
    pub address: SocketAddr,
    calls: Arc<AtomicU32>,
    answer: Arc<Mutex<Answer>>,
}

impl Shop {
    /// Answers the request that is the nth, from 1 on.
    pub fn start(answer: impl Fn(&str, u32) -> String + Send + Sync + 'static) -> Self {
        let calls = Arc::new(AtomicU32::new(0));
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Arc::new(answer)));
        let (count, own) = (calls.clone(), answer.clone());
        let address = instance(move |request| {
            let nth = count.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = own.lock().expect("lock").clone();
            answer(request, nth)
        });
        Self { address, calls, answer }
    }

    /// From now on it answers so.
    pub fn now(&self, answer: impl Fn(&str, u32) -> String + Send + Sync + 'static) {
        *self.answer.lock().expect("lock") = Arc::new(answer);
    }

    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

/// 200 with these fields, each with its line end.
pub fn answer(fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn error(status: u16) -> String {
    format!("HTTP/1.1 {status} Error\r\nContent-Length: 0\r\n\r\n")
}

pub fn cache() -> Cache {
    Cache {
        stale_if_error_ms: 60_000,
        stale_while_revalidate_ms: 0,
        shared: false,
    }
}

pub fn caching(path: &str) -> Route {
    let mut route = route(path, "shop");
    route.policy.cache = Some(cache());
    route.policy.retries = 0;
    // What fails here fails on purpose.
    route.policy.breaker.minimum = 1_000_000;
    route
}

pub struct World {
    pub running: Running,
    pub controller: Controller,
    pub snapshot: Snapshot,
    _dir: TempDir,
}

impl World {
    pub fn start(routes: Vec<Route>, shop: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clusters = vec![cluster("shop", Protocol::Http1, &[shop])];
        let snapshot = snapshot(routes, vec![], clusters);
        let (running, controller) = serving(dir.path(), &snapshot);
        Self {
            running,
            controller,
            snapshot,
            _dir: dir,
        }
    }

    /// Asks on a connection of its own; fields with their line ends.
    pub fn send(&self, method: &str, path: &str, fields: &str) -> String {
        ask(
            &mut self.running.client(),
            &format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
        )
    }

    pub fn get(&self, path: &str, fields: &str) -> String {
        self.send("GET", path, fields)
    }
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

pub fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("a status")
}

/// How kept answers served it.
pub fn how(answer: &str) -> &str {
    field(answer, "cache-status").expect("a cache's word")
}

/// A head to which no body belongs.
pub fn head_of(client: &mut TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).expect("write");
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).expect("a head");
        text.push(byte[0]);
    }
    String::from_utf8(text).expect("text")
}
