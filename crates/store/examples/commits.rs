//! How many durable writes per second a store takes: closed loop, each write one record, one row and nothing else.
//!
//! `cargo run --release -p ondol-store --example commits -- sqlite:/tmp/bench.db 64 10` (address, writers, seconds). Prints
//! the rate, the writes that shared an fsync cannot exceed the writers. Use a new file; the store stays for a look.

use bytes::Bytes;
use ondol_core::clock::{Clock as _, SystemClock, Timestamp};
use ondol_core::engine::{Record, Row, RowOp, SharedEngine, Table, Write};
use ondol_core::entropy::SystemEntropy;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of each record's and each row's body.
const BODY: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, writers, seconds] = &arguments[..] else {
        return Err("usage: commits ADDRESS WRITERS SECONDS".into());
    };
    let (writers, seconds): (usize, u64) = (writers.parse()?, seconds.parse()?);
    let engine = ondol_store::open(url, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
    let end = SystemClock.mono() + Duration::from_secs(seconds);
    let runs = (0..writers).map(|writer| write_until(engine.clone(), writer, end));
    let mut micros: Vec<u64> = futures_util::future::try_join_all(runs).await?.concat();
    micros.sort_unstable();
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(0);
    println!(
        "{url}: {writers} in flight, {} writes/s",
        micros.len() as u64 / seconds.max(1)
    );
    println!(
        "microseconds: p50 {}, p99 {}, p99.9 {}, longest {}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0 - 1e-9)
    );
    println!("{:?}", engine.size().await?);
    Ok(())
}

/// Each writer drives a saga through three writes and begins another: one insert and two updates of a row.
async fn write_until(
    engine: SharedEngine,
    writer: usize,
    end: Duration,
) -> Result<Vec<u64>, ondol_core::engine::StoreError> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let mut micros = Vec::new();
    for number in 0_u64.. {
        let begun = SystemClock.mono();
        if begun >= end {
            break;
        }
        let key = format!("{:016}-{writer:04}", number / 3);
        let state = if number % 3 == 2 { "completed" } else { "running" };
        let at = Timestamp(begun.as_millis() as i64);
        let record = Record {
            subject: key.clone(),
            kind: "step-done".into(),
            at,
            body: body.clone(),
        };
        let row = Row {
            key,
            state: state.into(),
            name: "place-order".into(),
            detail: "pay".into(),
            wake_at: (state == "running").then_some(at),
            updated_at: at,
            body: body.clone(),
        };
        engine
            .commit(Write {
                records: vec![record],
                rows: vec![RowOp::Put(Table::Saga, row)],
                ..Write::default()
            })
            .await?;
        micros.push(SystemClock.mono().saturating_sub(begun).as_micros() as u64);
    }
    Ok(micros)
}
