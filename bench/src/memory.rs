//! The three roles together, idle, with the shop standing on them: the sum of their proportional set sizes (PSS).

use crate::system::{Part, System};
use anyhow::Context;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rest before the look.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = System::shop("bench-memory", Part::Checkout, Default::default())?;
    system.up()?;
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let pids = system.pids()?;
    let mut sum = 0;
    for role in ["supervisor", "controller", "proxy"] {
        let pid = pids.get(role).with_context(|| format!("no {role} runs"))?;
        let kib = pss_kib(*pid)?;
        sum += kib;
        println!("{role:12} {:>6.1} MB", kib as f64 / 1e3 * 1.024);
    }
    println!("{:12} {:>6.1} MB", "sum", sum as f64 / 1e3 * 1.024);
    Ok(())
}

/// What is a process' own, and its share of what it shares, KiB.
pub(crate) fn pss_kib(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("no PSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
