//! A subscriber that comes back to a great backlog: how fast it catches up, and what those who publish meanwhile notice.
//!
//! Windows are interleaved, one with the subscription paused and one with it running, so that what else the machine does is
//! in both. In each window events are published one by one at a steady rate, and count from the moment they were due.

use crate::events::ondol::{Ondol, PUSHED};
use crate::publisher::Task;
use crate::report::{Report, median};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Events that wait.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
    /// Events published per second meanwhile.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Pushes at once; the default of subscriptions.
    #[arg(long, default_value_t = 16)]
    parallel: usize,
    /// Each window is so long.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Windows of each kind; the subscription then goes on until nothing waits.
    #[arg(long, default_value_t = 6)]
    windows: u32,
    /// Bytes of an event's data.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// JSON with every window instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let ondol = Ondol::start("bench-backlog", "sqlite:ondol.db", args.parallel, &[])?;
    ondol.act("pause").await?;
    ondol.fill(PUSHED, args.backlog, args.bytes).await?;
    ondol.reset().await?;
    let (mut report, mut paused, mut running) = (Report::default(), Vec::new(), Vec::new());
    let mut published = args.backlog;
    for _ in 0..args.windows {
        let alone = window(&ondol, &args).await?;
        ondol.act("resume").await?;
        let (before, began) = (ondol.seen().await?.events, Instant::now());
        let beside = window(&ondol, &args).await?;
        let caught = ondol.seen().await?.events - before;
        let took = began.elapsed().as_secs_f64();
        ondol.act("pause").await?;
        published += alone.events + beside.events;
        report.ours("p99 of a publish, subscription paused", "ms", alone.latency.p99);
        report.ours("p99 of a publish, subscription catching up", "ms", beside.latency.p99);
        report.ours("delivered meanwhile", "events/s", caught as f64 / took);
        paused.push(alone.latency.p99);
        running.push(beside.latency.p99);
    }
    let growth = (median(&running) / median(&paused) - 1.0) * 100.0;
    report.ours("growth of the p99", "%", growth);
    let (left, began) = (published - ondol.seen().await?.events, Instant::now());
    ondol.act("resume").await?;
    ondol.delivered(published).await?;
    report.ours(
        "the rest, nobody publishing",
        "events/s",
        left as f64 / began.elapsed().as_secs_f64(),
    );
    match args.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.table()),
    }
    Ok(())
}

async fn window(ondol: &Ondol, args: &Args) -> anyhow::Result<crate::report::Published> {
    let task = Task {
        rate: Some(f64::from(args.rate)),
        millis: Duration::from_secs(args.seconds).as_millis() as u64,
        ..ondol.task(PUSHED, 64, args.bytes)
    };
    ondol.publish(&task).await
}
