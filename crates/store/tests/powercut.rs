//! Power cuts: the store on a disk that forgets what was not synced, cut at random points, again and again.
//!
//! Writers commit records, rows and events until the power goes; after it the store must hold every acknowledged write,
//! whole, dense and unharmed, and go on. With syncs that lie the same check must find a loss: `syncs_that_lie_are_caught`.
//!
//! `POWERCUT_ROUNDS` (default 100) and `POWERCUT_SEED` choose how many cuts and which dice; `POWERCUT_WITHOUT_SYNC=1` takes
//! the fsync out, so that the run must fail. Which thread comes first is not the seed's to say.

mod support;

use ondol_core::clock::SystemClock;
use ondol_core::engine::{Expected, Order, RowFilter, RowOp, SharedEngine, StoreError, Table, Wanted};
use ondol_core::entropy::{Entropy, SeededEntropy};
use ondol_store::Config;
use ondol_testkit::disk::Disk;
use std::sync::Arc;
use std::time::Duration;
use support::{append, record, row, stream};

const WRITERS: usize = 6;
/// Cuts of one disk, then another begins: every check reads all that was ever written to it, at most a page of the store.
const CUTS_OF_A_DISK: u64 = 500;

struct Bench {
    disk: Disk,
    vfs: String,
    /// For the empty files that carry the locks.
    folder: tempfile::TempDir,
    dice: Arc<SeededEntropy>,
}

impl Bench {
    fn new(name: &str, seed: u64) -> Self {
        let dice = Arc::new(SeededEntropy::new(seed));
        let disk = Disk::new(dice.clone());
        disk.register(name);
        Self {
            disk,
            vfs: name.into(),
            folder: tempfile::tempdir().expect("a folder"),
            dice,
        }
    }

    async fn open(&self) -> Result<SharedEngine, ondol_store::OpenError> {
        let url = format!("sqlite:{}", self.folder.path().join("store.db").display());
        // A short log: checkpoints are cut too.
        let config = Config {
            vfs: Some(self.vfs.clone()),
            checkpoint_pages: 20,
            ..Config::default()
        };
        ondol_store::open_with(&url, config, Arc::new(SystemClock), self.dice.clone()).await
    }

    /// Opens after a cut; the power may go again while it recovers.
    async fn recover(&self) -> Result<SharedEngine, String> {
        loop {
            self.disk.power_on();
            if self.dice.below(3) == 0 {
                self.disk.cut_after(Some(1 + self.dice.below(12)));
            }
            let opened = self.open().await;
            self.disk.cut_after(None);
            match opened {
                Ok(engine) if !self.disk.is_cut() => return Ok(engine),
                Err(error) if !self.disk.is_cut() => return Err(format!("it does not open after a cut: {error:?}")),
                _ => {}
            }
        }
    }
}

/// The numbers that one writer has tried and got acknowledged, both from 1.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    tried: u64,
    acknowledged: u64,
}

/// Each write holds its number thrice: in the log, in a row and in an event.
async fn write_until_dark(engine: SharedEngine, writer: usize, mut progress: Progress) -> Progress {
    loop {
        progress.tried += 1;
        let number = progress.tried;
        let mut write = append(&format!("w{writer}-x"), Expected::Any, &[&format!("{writer}.{number}")]);
        write.records = vec![record(&format!("w{writer}"), &number.to_string())];
        // From a few bytes to some pages.
        let body = format!("{number} {}", "x".repeat((number as usize * 37) % 9_000));
        write.rows = vec![RowOp::Put(Table::Saga, row(&format!("w{writer}"), "s", Some(1), &body))];
        match engine.commit(write).await {
            Ok(_) => progress.acknowledged = number,
            Err(StoreError::Broken(_)) => return progress,
            Err(error) => panic!("only a broken disk may refuse: {error:?}"),
        }
    }
}

/// What is wrong, if anything. Gives each writer's last number.
async fn check(engine: &SharedEngine, progress: &[Progress]) -> Result<Vec<u64>, String> {
    let text = |error: StoreError| error.to_string();
    let mut last = Vec::new();
    for (writer, progress) in progress.iter().enumerate() {
        let records = engine.records(format!("w{writer}"), 0, 10_000).await.map_err(text)?;
        let numbers: Vec<u64> = records.iter().map(|r| number(&r.record.body)).collect();
        let found = numbers.last().copied().unwrap_or(0);
        if found < progress.acknowledged {
            return Err(format!(
                "writer {writer}: {} was acknowledged, {found} is the last there",
                progress.acknowledged
            ));
        }
        if numbers != (1..=found).collect::<Vec<_>>() || found > progress.tried {
            return Err(format!("writer {writer}: its records are {numbers:?}"));
        }
        let events = engine
            .stream(stream(&format!("w{writer}-x")), 0, Order::Ascending, 10_000)
            .await
            .map_err(text)?;
        let row = engine
            .row(Table::Saga, format!("w{writer}"))
            .await
            .map_err(text)?
            .map_or(0, |row| number(&row.body));
        if (events.len() as u64, row) != (found, found) {
            return Err(format!(
                "writer {writer}: {found} records, {} events, row {row}: half a write",
                events.len()
            ));
        }
        last.push(found);
    }
    let size = engine.size().await.map_err(text)?;
    let sum: u64 = last.iter().sum();
    let rows = engine.rows(
        Table::Saga,
        RowFilter {
            awake: true,
            ..RowFilter::default()
        },
        Order::Ascending,
        None,
        100,
    );
    let rows = rows.await.map_err(text)?.len();
    if (size.records, size.events, rows) != (sum, sum, last.iter().filter(|n| **n > 0).count()) {
        return Err(format!("positions are not dense: {size:?}, {sum} writes, {rows} rows"));
    }
    Ok(last)
}

fn number(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).expect("text");
    text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// What SQLite itself says of the file.
fn integrity(bench: &Bench) -> Result<String, rusqlite::Error> {
    let path = bench.folder.path().join("store.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = rusqlite::Connection::open_with_flags_and_vfs(path, flags, bench.vfs.as_str())?;
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))
}

/// Runs `rounds` cuts on one disk; the first thing found wrong.
async fn run(bench: &Bench, rounds: u64) -> Result<(u64, u64), String> {
    let mut progress = [Progress::default(); WRITERS];
    let mut acknowledged = 0;
    // Syncs may lie from here on only: without tables there is nothing to lose.
    let mut engine = bench.open().await.map_err(|error| error.to_string())?;
    for round in 1..=rounds {
        bench.disk.cut_after(Some(1 + bench.dice.below(600)));
        let before: u64 = progress.iter().map(|p| p.acknowledged).sum();
        let writers = progress
            .iter()
            .enumerate()
            .map(|(n, progress)| write_until_dark(engine.clone(), n, *progress));
        let done = futures_util::future::join_all(writers).await;
        acknowledged += done.iter().map(|p| p.acknowledged).sum::<u64>() - before;
        drop(engine);
        engine = bench.recover().await.map_err(|wrong| format!("cut {round}: {wrong}"))?;
        let last = check(&engine, &done)
            .await
            .map_err(|wrong| format!("cut {round}: {wrong}"))?;
        match integrity(bench) {
            Ok(sound) if sound == "ok" => {}
            wrong => return Err(format!("cut {round}: {wrong:?}")),
        }
        for (progress, last) in progress.iter_mut().zip(last) {
            *progress = Progress {
                tried: last,
                acknowledged: last,
            };
        }
    }
    Ok((rounds, acknowledged))
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_in_a_power_cut() {
    let (rounds, first_seed) = (env("POWERCUT_ROUNDS", 100), env("POWERCUT_SEED", 20_261_121));
    let (mut cuts, mut writes) = (0, 0);
    while cuts < rounds {
        let seed = first_seed + cuts / CUTS_OF_A_DISK;
        let bench = Bench::new(&format!("powercut-{seed}"), seed);
        bench.disk.let_syncs_lie(env("POWERCUT_WITHOUT_SYNC", 0) == 1);
        match run(&bench, CUTS_OF_A_DISK.min(rounds - cuts)).await {
            Ok((made, acknowledged)) => (cuts, writes) = (cuts + made, writes + acknowledged),
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
        println!("{cuts} power cuts, {writes} acknowledged writes, none lost (seeds {first_seed} to {seed})");
    }
}

#[tokio::test]
async fn syncs_that_lie_are_caught() {
    let mut found = Vec::new();
    for seed in 0..10 {
        let bench = Bench::new(&format!("lies-{seed}"), seed);
        drop(bench.open().await.expect("opens"));
        bench.disk.let_syncs_lie(true);
        found.push(run(&bench, 20).await.is_err());
    }
    assert!(
        found.iter().all(|found| *found),
        "without syncs 20 cuts must lose something, whatever the seed: {found:?}"
    );
}

#[tokio::test]
async fn a_failed_sync_ends_all_acknowledgements_and_loses_none() {
    let bench = Bench::new("failing-sync", 3);
    let engine = bench.open().await.expect("opens");
    let (mut progress, failed) = (Progress::default(), engine.failed());
    bench.disk.let_syncs_fail(true);
    progress = write_until_dark(engine.clone(), 0, progress).await;
    assert_eq!(progress.acknowledged, 0);
    // The next sync would say yes, after the kernel dropped what it could not write: the store must not believe it.
    bench.disk.let_syncs_fail(false);
    let again = engine.commit(append("order-1", Expected::Any, &["a"])).await;
    assert!(matches!(again, Err(StoreError::Broken(_))), "{again:?}");
    let error = tokio::time::timeout(Duration::from_secs(60), failed)
        .await
        .expect("whoever waits is told");
    assert_eq!(error.code().as_str(), "ST-009");
    bench.disk.cut();
    drop(engine);
    let engine = bench.recover().await.expect("opens");
    check(&engine, &[progress]).await.expect("sound");
    engine
        .commit(append("order-1", Expected::Any, &["a"]))
        .await
        .expect("a new life writes again");
}

#[tokio::test]
async fn a_full_disk_refuses_cleanly_and_the_store_goes_on_when_space_returns() {
    let bench = Bench::new("full-disk", 4);
    let engine = bench.open().await.expect("opens");
    bench.disk.limit(Some(bench.disk.used() + 400_000));
    let mut acknowledged = Vec::new();
    let fill = |n: usize| append("order-1", Expected::Any, &[&format!("{n}-{}", "x".repeat(400))]);
    let mut refused = 0;
    for n in 0.. {
        match engine.commit(fill(n)).await {
            Ok(_) => acknowledged.push(n),
            Err(StoreError::Full) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(
        acknowledged.len() > 20,
        "it took some before it was full: {}",
        acknowledged.len()
    );
    let held = engine
        .events(Wanted::All, 0, Order::Ascending, 10_000)
        .await
        .expect("reads go on while it is full");
    assert_eq!(held.len(), acknowledged.len());
    bench.disk.limit(None);
    engine
        .commit(append("order-1", Expected::Any, &["after"]))
        .await
        .expect("it goes on");
    drop(engine);
    let engine = bench.open().await.expect("opens");
    assert_eq!(
        engine
            .events(Wanted::All, 0, Order::Ascending, 10_000)
            .await
            .expect("reads")
            .len(),
        acknowledged.len() + 1
    );
}
