//! `kill -9` of the writing process, again and again: what it was told is durable is there, whole, and nothing twice.
//!
//! The process is this very test program, started again with `writes_until_killed` as its only test. It prints each number
//! once it is acknowledged; whatever it printed must be in the store afterwards.

mod support;

use ondol_core::engine::{Expected, Guard, Order, RowOp, Table};
use ondol_core::entropy::{Entropy, SeededEntropy};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use support::{Bench, append, record, row, stream};

const WRITERS: usize = 4;
const ROUNDS: usize = 12;

#[tokio::test]
#[ignore = "not a test: the process that the tests below start and kill"]
async fn writes_until_killed() {
    let bench = Bench::at(std::env::var("STORE_KILL_URL").expect("started by the tests below"));
    let engine = bench.open().await;
    let writer = async |writer: usize| {
        let last = engine
            .stream(stream(&format!("w{writer}-x")), 0, Order::Ascending, 10_000)
            .await
            .expect("reads")
            .len() as u64;
        for number in last.. {
            let mut write = append(&format!("w{writer}-x"), Expected::Any, &[&format!("{writer}.{number}")]);
            // The guard makes a number that comes twice an error.
            write.guards = vec![Guard::Absent(Table::Saga, format!("{writer}.{number}"))];
            write.rows = vec![RowOp::Put(
                Table::Saga,
                row(&format!("{writer}.{number}"), "s", None, "x"),
            )];
            write.records = vec![record(&format!("w{writer}"), &number.to_string())];
            engine.commit(write).await.expect("nobody hinders it");
            writeln!(std::io::stdout(), "acknowledged {writer} {number}").expect("the parent listens");
        }
    };
    futures_util::future::join_all((0..WRITERS).map(writer)).await;
}

async fn kill_again_and_again(bench: Bench) {
    let dice = SeededEntropy::new(9);
    let mut acknowledged = [0_u64; WRITERS];
    for round in 0..ROUNDS {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args([
                "writes_until_killed",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("STORE_KILL_URL", &bench.url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut left = dice.below(120);
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            // The test runner's own words may stand before the first.
            let told = line
                .split_once("acknowledged ")
                .and_then(|(_, rest)| rest.split_once(' '));
            let Some((writer, number)) = told else { continue };
            acknowledged[writer.parse::<usize>().expect("a writer")] = number.parse::<u64>().expect("a number") + 1;
            if left == 0 {
                // The loop goes on to the pipe's end: what it still said before it died counts.
                child.kill().expect("is there to kill");
            }
            left = left.saturating_sub(1);
        }
        child.wait().expect("ended");
        check(&bench, &mut acknowledged)
            .await
            .unwrap_or_else(|wrong| panic!("kill {round}: {wrong}"));
    }
    assert!(
        acknowledged.iter().sum::<u64>() >= ROUNDS as u64,
        "it wrote something each time: {acknowledged:?}"
    );
}

async fn check(bench: &Bench, acknowledged: &mut [u64; WRITERS]) -> Result<(), String> {
    let engine = bench.open().await;
    let mut sum = 0;
    for (writer, acknowledged) in acknowledged.iter_mut().enumerate() {
        let events = engine
            .stream(stream(&format!("w{writer}-x")), 0, Order::Ascending, 10_000)
            .await
            .expect("reads");
        let records = engine.records(format!("w{writer}"), 0, 10_000).await.expect("reads");
        let there = events.len() as u64;
        if there < *acknowledged || there > *acknowledged + 1 {
            return Err(format!("writer {writer}: {acknowledged} acknowledged, {there} there"));
        }
        let numbers: Vec<_> = records
            .iter()
            .map(|stored| String::from_utf8_lossy(&stored.record.body))
            .collect();
        if numbers != (0..there).map(|n| n.to_string()).collect::<Vec<_>>() {
            return Err(format!("writer {writer}: {there} events, but records {numbers:?}"));
        }
        *acknowledged = there;
        sum += there;
    }
    let size = engine.size().await.expect("reads");
    if (size.records, size.events, size.rows[0]) == (sum, sum, sum) {
        Ok(())
    } else {
        Err(format!("{sum}: {size:?}"))
    }
}

#[tokio::test]
async fn sqlite_keeps_every_acknowledged_write_through_kills() {
    kill_again_and_again(Bench::sqlite().await.expect("always there")).await;
}

#[tokio::test]
async fn postgres_keeps_every_acknowledged_write_through_kills() {
    if let Some(bench) = Bench::postgres().await {
        kill_again_and_again(bench).await;
    }
}
