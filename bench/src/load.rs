//! `cargo xtask load`: customers against a running shop, a live line every second, the audit at the end.

use crate::http::Client;
use crate::laws::Judge;
use crate::shop::Customer;
use crate::system::repository;
use crate::traffic::{Traffic, line};
use anyhow::bail;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Customers a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The gateway.
    #[arg(long, default_value = "127.0.0.1:8080")]
    gateway: String,
    /// The system's state, for the administrator's password.
    #[arg(long)]
    state: Option<PathBuf>,
    /// The same seed sends the same customers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.gateway);
    let state = args.state.unwrap_or_else(|| repository().join("shop/.ondol"));
    let admin = Customer::admin(&client, &state).await?;
    let traffic = Traffic::prepare(client.clone(), 20).await?;
    let (flow, rate, seed) = (traffic.clone(), args.rate, args.seed);
    tokio::spawn(async move { flow.flow(rate, seed).await });
    let (began, live) = (Instant::now(), std::io::stderr().is_terminal());
    while began.elapsed() < Duration::from_secs(args.seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        show(&traffic, began, live);
    }
    let left = traffic.end(Duration::from_secs(150)).await;
    eprintln!();
    let (acknowledged, wrong, wrong_count) = {
        let tally = traffic.tally.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", line(&tally, left));
        (tally.acknowledged.clone(), tally.wrong.clone(), tally.wrong_count)
    };
    wrong.iter().for_each(|what| eprintln!("wrong: {what}"));
    let judge = Judge {
        client: &client,
        admin: &admin,
    };
    let judgement = judge.checkout(&acknowledged).await?;
    println!("audit: {}", judgement.summary);
    judgement.broken.iter().for_each(|law| println!("BROKEN {law}"));
    if !judgement.broken.is_empty() || wrong_count > 0 || left > 0 {
        bail!(
            "{} laws broken, {wrong_count} wrong answers, {left} customers without an answer",
            judgement.broken.len()
        );
    }
    println!("all laws hold");
    Ok(())
}

fn show(traffic: &Traffic, began: Instant, live: bool) {
    let tally = traffic.tally.lock().unwrap_or_else(PoisonError::into_inner);
    let line = line(&tally, traffic.under_way.load(Ordering::Relaxed));
    let (start, end) = if live { ("\r\x1b[2K", "") } else { ("", "\n") };
    eprint!("{start}{:>4}s {line}{end}", began.elapsed().as_secs());
    // A lost terminal must not stop the load.
    let _ = std::io::stderr().flush();
}
