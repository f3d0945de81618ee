//! What a token check and a rate limit cost, beside proxies that do neither: requests over kept connections, tokens of many
//! users that the proxy has seen before, and then tokens that it has not.
//!
//! The peers are asked by the same clients, without a token. `/guarded` has `auth` and a `limit` that nobody reaches.

use super::ours::USERS;
use super::rival::Contender;
use super::{Bench, Entrance, kept, requests, tell};
use crate::goal::Goal;
use std::sync::Arc;

const CONNECTIONS: u64 = 64;
const UNIT: &str = "µs of processor";
const PLAIN: &str = "HTTP/1.1, 64 connections kept, 291 B, clients of the bench";
const SEEN: &str = "the same with JWT check and rate limit, 1,000 tokens seen before; the others without";
const FIRST: &str = "the same, every token for the first time";

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.args.requests;
    let plain: Arc<[_]> = [request("/small", None)].into();
    let known = bench.guarded(USERS)?;
    for round in 0..=bench.args.rounds {
        let fresh = bench.guarded((count / 8).max(1))?;
        for contender in &bench.contenders {
            // Whoever was measured before has filled the caches.
            warm(contender, count / 10, &plain)?;
            let without = cost(contender, count, &plain)?;
            let mut told = vec![(PLAIN, without), (SEEN, without)];
            if contender.kind.is_none() {
                let first = cost(contender, fresh.len() as u64, &fresh)?;
                // What the new tokens have pushed out of memory is seen again.
                warm(contender, USERS.max(count / 10), &known)?;
                told = vec![
                    (PLAIN, without),
                    (SEEN, cost(contender, count, &known)?),
                    (FIRST, first),
                ];
            }
            // The first round warms everybody up.
            for (title, value) in told.into_iter().filter(|_| round > 0) {
                tell(&mut bench.report, title, UNIT, contender, value);
            }
        }
    }
    bench.report.goal(SEEN, Goal::Times("HAProxy", 1.0));
    Ok(())
}

fn warm(contender: &Contender, count: u64, asked: &Arc<[Vec<u8>]>) -> anyhow::Result<()> {
    kept::run(contender.port(Entrance::Http1), CONNECTIONS, count, asked).map(drop)
}

fn cost(contender: &Contender, count: u64, asked: &Arc<[Vec<u8>]>) -> anyhow::Result<f64> {
    let load = |port| kept::run(port, CONNECTIONS, count, asked).map(|_| count);
    requests::cost(contender, load, Entrance::Http1)
}

impl Bench {
    /// Requests with so many new tokens.
    fn guarded(&mut self, count: u64) -> anyhow::Result<Arc<[Vec<u8>]>> {
        let tokens = (0..count).map(|n| self.behind.issuer.token(n % USERS));
        tokens
            .map(|token| Ok(request("/guarded/small", Some(&token?))))
            .collect()
    }
}

fn request(path: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n").into_bytes()
}
