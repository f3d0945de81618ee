//! Two-step sagas per second: started by HTTP at the gateway, each step called through the proxy on a real HTTP
//! participant that keeps nothing, the store fsynced, everything with this client on the same machine.

use crate::http::{Ask, Client};
use crate::system::System;
use hdrhistogram::Histogram;
use http::StatusCode;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Sagas started and not answered yet.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Measured after two seconds of warming up.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

const SYSTEM: &str = r#"system: bench
services: [participant]
gateway: { listeners: { web: { bind: 127.0.0.1:8080 } } }
console: { bind: 127.0.0.1:7070 }
store: sqlite:ondol.db
"#;

const SERVICE: &str = r#"service: participant
run: PROGRAM participant
routes:
  - name: start
    match: { path: /start, methods: [POST] }
    start: { saga: two-steps, wait: 10s, key: optional }
sagas: [two-steps.saga.yaml]
"#;

const SAGA: &str = r#"saga: two-steps
deadline: 1m
steps:
  - one: { call: "PUT participant/one/{saga.id}", compensate: "POST participant/one/{saga.id}/undo" }
  - two: { call: "PUT participant/two/{saga.id}", compensate: "POST participant/two/{saga.id}/undo" }
answer:
  done: { status: 201, body: { id: "{saga.id}" } }
"#;

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = System::write("bench-sagas", SYSTEM, Default::default())?;
    let folder = system.folder.join("participant");
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    std::fs::write(
        folder.join("service.yaml"),
        SERVICE.replace("PROGRAM", &program.to_string_lossy()),
    )?;
    std::fs::write(folder.join("two-steps.saga.yaml"), SAGA)?;
    system.up()?;

    let commits = || commits(&system);
    let client = system.client();
    drive(&client, args.in_flight, Duration::from_secs(2)).await?;
    let (before, began) = (commits()?, Instant::now());
    let (done, latency) = drive(&client, args.in_flight, Duration::from_secs(args.seconds)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let batch = (commits()? - before) as f64 / seconds;
    println!("in flight     {}", args.in_flight);
    println!("sagas/s       {:.0}", done as f64 / seconds);
    println!("p50           {:.1} ms", latency.value_at_quantile(0.5) as f64 / 1e3);
    println!("p99           {:.1} ms", latency.value_at_quantile(0.99) as f64 / 1e3);
    println!("writes/s      {batch:.0}");
    Ok(())
}

/// Writes of the saga engine so far, from the controller's metrics.
fn commits(system: &System) -> anyhow::Result<u64> {
    let token = std::fs::read_to_string(system.folder.join(".ondol/token"))?;
    let address = system.console.clone();
    let text = std::thread::spawn(move || -> anyhow::Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&address)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            token.trim()
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
    .join()
    .unwrap_or_else(|_| Ok(String::new()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ondol_saga_commits_total "));
    Ok(line.and_then(|value| value.trim().parse().ok()).unwrap_or(0))
}

async fn drive(client: &Client, in_flight: usize, time: Duration) -> anyhow::Result<(u64, Histogram<u64>)> {
    let latency = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?));
    let (done, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + time);
    let mut workers = Vec::new();
    for _ in 0..in_flight {
        let (client, latency, done) = (client.clone(), latency.clone(), done.clone());
        workers.push(tokio::spawn(async move {
            while Instant::now() < end {
                let began = Instant::now();
                let answer = client
                    .ask(Ask::post("/start", json!({})), Duration::from_secs(30))
                    .await?;
                anyhow::ensure!(
                    answer.status == StatusCode::CREATED,
                    "{} {}",
                    answer.status,
                    answer.body
                );
                done.fetch_add(1, Ordering::Relaxed);
                let micros = began.elapsed().as_micros() as u64;
                latency
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .saturating_record(micros);
            }
            anyhow::Ok(())
        }));
    }
    for worker in workers {
        worker.await??;
    }
    let latency = latency.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((done.load(Ordering::Relaxed), latency))
}
