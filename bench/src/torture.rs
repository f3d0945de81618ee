//! `cargo xtask torture`: under load, `kill -9` at random of every process, Ondol's own too; then the laws.
//!
//! A killed supervisor is started again by `ondol up --detach`, as a person would; everything else must come back by
//! itself. Each kill is followed by the next after a random pause, so that several recoveries overlap.

use crate::claims::Claims;
use crate::laws::{self, Judge};
use crate::postgres::Postgres;
use crate::random::Random;
use crate::shop::Customer;
use crate::system::{Part, System, eventually};
use crate::traffic::{Traffic, line};
use crate::witness;
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// About two minutes, for every change.
    #[arg(long)]
    short: bool,
    /// How many kills.
    #[arg(long)]
    kills: Option<u32>,
    /// Ondol's store, users, payments and the witness on PostgreSQL.
    #[arg(long)]
    postgres: bool,
    /// The same seed kills in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers a second.
    #[arg(long, default_value_t = 15.0)]
    rate: f64,
    /// Leave the system's folder and logs as they are at the end.
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let kills = args.kills.unwrap_or(if args.short { 40 } else { 100 });
    let database = if args.postgres {
        Some(Postgres::start(&["ondol", "users", "payments", "witness"])?)
    } else {
        None
    };
    let env = database.as_ref().map_or_else(BTreeMap::new, Postgres::environment);
    let mut system = System::shop("torture", Part::Kept, env)?;
    witness::join(&mut system)?;
    system.up()?;
    let client = system.client();
    let admin = Customer::admin(&client, &system.folder.join(".ondol")).await?;
    let traffic = Traffic::prepare(client.clone(), 10).await?;
    let (flow, rate, seed) = (traffic.clone(), args.rate, args.seed);
    tokio::spawn(async move { flow.flow(rate, seed).await });
    let claims = Claims::default();
    let claiming = {
        let (claims, client, claimant) = (claims.clone(), client.clone(), admin.clone());
        let uploads = laws::is_here(&system, "media")?;
        tokio::spawn(async move { claims.flow(&client, &claimant, uploads, seed).await })
    };

    let began = Instant::now();
    let killed = kill_all(&system, &traffic, kills, args.seed).await?;
    eprintln!(
        "{} kills in {:.0} s: {killed:?}",
        killed.values().sum::<u32>(),
        began.elapsed().as_secs_f64()
    );
    // Whatever was killed last must come back by itself, or by a person's `up`.
    system.up()?;
    let left = traffic.end(Duration::from_secs(150)).await;
    let (acknowledged, wrong, wrong_count) = {
        let tally = traffic.tally.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", line(&tally, left));
        (tally.acknowledged.clone(), tally.wrong.clone(), tally.wrong_count)
    };
    wrong.iter().for_each(|what| eprintln!("wrong: {what}"));
    claims.end();
    claiming.await.context("making claims")?;
    let judge = Judge {
        client: &client,
        admin: &admin,
    };
    let told = std::mem::take(&mut *claims.told());
    let judgement = judge.everything(&system, &acknowledged, &told).await?;
    let unfinished = unfinished(&system).await?;
    println!("audit: {}", judgement.summary);
    for (service, why) in &judgement.skipped {
        println!("SKIPPED the laws of {service}, which is not here: {why}");
    }
    judgement.broken.iter().for_each(|law| println!("BROKEN {law}"));
    unfinished.iter().for_each(|saga| println!("UNFINISHED {saga}"));
    if args.keep || !judgement.broken.is_empty() || !unfinished.is_empty() {
        println!("the system is in {}", system.folder.display());
    }
    let defects = judgement.broken.len() + unfinished.len() + wrong_count as usize + left as usize;
    if defects > 0 {
        bail!(
            "{} laws broken, {} sagas unfinished, {wrong_count} wrong answers, {left} customers without an answer",
            judgement.broken.len(),
            unfinished.len()
        );
    }
    println!("all laws hold after {} kills", killed.values().sum::<u32>());
    Ok(())
}

/// Kills until `kills` were made; by kind of process.
async fn kill_all(system: &System, traffic: &Traffic, kills: u32, seed: u64) -> anyhow::Result<BTreeMap<String, u32>> {
    let (mut random, mut killed) = (Random::new(seed), BTreeMap::new());
    for n in 1..=kills {
        tokio::time::sleep(Duration::from_millis(500 + random.below(3_500))).await;
        let target = eventually("something to kill", Duration::from_secs(30), || async {
            choose(system, n, seed)
        })
        .await?;
        let (name, pid) = target;
        kill(pid)?;
        let kind = name.split('.').next().unwrap_or_default().to_owned();
        *killed.entry(kind).or_insert(0) += 1;
        {
            let tally = traffic.tally.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!(
                "{n:>4} killed {name:<14} {}",
                line(&tally, traffic.under_way.load(Ordering::Relaxed))
            );
        }
        if name == "supervisor" {
            // What a person would do; it clears what the killed one left.
            tokio::time::sleep(Duration::from_millis(random.below(1_000))).await;
            system.up().context("starting again after the supervisor was killed")?;
        }
    }
    Ok(killed)
}

/// The supervisor every twentieth time, otherwise any process.
fn choose(system: &System, n: u32, seed: u64) -> anyhow::Result<Option<(String, u32)>> {
    let pids = system.pids()?;
    let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(n)));
    if n % 20 == 10 {
        return Ok(pids.get_key_value("supervisor").map(|(name, pid)| (name.clone(), *pid)));
    }
    let others: Vec<_> = pids.into_iter().filter(|(name, _)| name != "supervisor").collect();
    Ok(random.pick(&others).cloned())
}

fn kill(pid: u32) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        // It went by itself in between.
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sagas that have not ended.
async fn unfinished(system: &System) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for state in ["running", "compensating", "parked", "stuck", "paused"] {
        let page = system.json(&["saga", "list", "--state", state, "-n", "100"])?;
        all.extend(
            page["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|saga| saga.to_string()),
        );
    }
    Ok(all)
}
