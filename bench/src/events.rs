//! Published events per second: durable publishes by HTTP of a real service, through the proxy, one by one and in batches;
//! then a million stored events, how large they are on disk, and how long a killed controller takes until it publishes again.

use crate::http::{Ask, Client};
use crate::publisher::{Figures, Task};
use crate::system::{System, eventually};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Requests under way.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Each part is measured for so long, after two seconds of warming up.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Bytes of an event's data.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// Events of one batch.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Events in the store when the controller is killed.
    #[arg(long, default_value_t = 1_000_000)]
    stored: u64,
}

const SYSTEM: &str = r#"system: bench
services: [publisher]
gateway: { listeners: { web: { bind: 127.0.0.1:8080 } } }
console: { bind: 127.0.0.1:7070 }
store: sqlite:ondol.db
"#;

const SERVICE: &str = r#"service: publisher
run: PROGRAM publisher
routes:
  - name: publish
    match: { path: / }
    timeout: 10m
events: { publishes: [bench.happened.v1] }
"#;

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = System::write("bench-events", SYSTEM, Default::default())?;
    let folder = system.folder.join("publisher");
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    let service = SERVICE.replace("PROGRAM", &program.to_string_lossy());
    std::fs::write(folder.join("service.yaml"), service)?;
    system.up()?;

    let client = system.client();
    let task = |run: &str, batch, seconds: u64, events| Task {
        run: run.to_owned(),
        in_flight: args.in_flight,
        batch,
        bytes: args.bytes,
        millis: seconds * 1_000,
        events,
    };
    publish(&client, &task("warm", 1, 2, u64::MAX)).await?;
    let single = publish(&client, &task("single", 1, args.seconds, u64::MAX)).await?;
    print("one by one", &single);
    publish(&client, &task("warm-batch", args.batch, 2, u64::MAX)).await?;
    let batches = publish(&client, &task("batch", args.batch, args.seconds, u64::MAX)).await?;
    print(&format!("batches of {}", args.batch), &batches);

    let there = stored(&system)?;
    let missing = args.stored.saturating_sub(there);
    if missing > 0 {
        publish(&client, &task("fill", 1_000, 600, missing)).await?;
    }
    let there = stored(&system)?;
    let bytes = size(&system)?;
    println!(
        "stored        {there} events, {:.0} MB, {:.0} B each",
        bytes as f64 / 1e6,
        bytes as f64 / there as f64
    );
    let took = restart(&system, &client, &task("again", 1, 30, 1)).await?;
    println!(
        "restart       {:.2} s from SIGKILL of the controller to the next published event",
        took.as_secs_f64()
    );
    Ok(())
}

fn print(name: &str, figures: &Figures) {
    let rate = figures.events as f64 / figures.seconds;
    println!(
        "{name:13} {rate:.0} events/s, p50 {:.1} ms, p99 {:.1} ms",
        figures.p50, figures.p99
    );
}

async fn publish(client: &Client, task: &Task) -> anyhow::Result<Figures> {
    let ask = Ask::post("/", serde_json::to_value(task)?);
    let answer = client.ask(ask, Duration::from_secs(700)).await?;
    ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
    Ok(serde_json::from_value(answer.body)?)
}

/// Events in the log.
fn stored(system: &System) -> anyhow::Result<u64> {
    let topics = system.json(&["events", "list"])?;
    let counts = topics["topics"].as_array().into_iter().flatten();
    Ok(counts.filter_map(|topic| topic["events"].as_u64()).sum())
}

/// Bytes of the store's files.
fn size(system: &System) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for name in ["ondol.db", "ondol.db-wal"] {
        for folder in [system.folder.clone(), system.folder.join(".ondol")] {
            bytes += std::fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
        }
    }
    ensure!(bytes > 0, "the store's file is not where it was looked for");
    Ok(bytes)
}

async fn restart(system: &System, client: &Client, task: &Task) -> anyhow::Result<Duration> {
    let pids = system.pids()?;
    let pid = pids.get("controller").context("there is no controller")?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(*pid)?).context("pid 0")?;
    let killed = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    eventually("a published event", Duration::from_secs(60), || async {
        Ok(publish(client, task).await.ok())
    })
    .await?;
    Ok(killed.elapsed())
}
