//! The event log against its goals, and beside other systems that keep events: durable publishes one by one and in batches,
//! deliveries, the time from publish to delivery at a steady rate, rows relayed from outboxes, and what a million stored events
//! cost on disk and at a restart.
//!
//! Rounds are interleaved (ours, a peer's, ours, the next peer's, …) on one machine, with the same size of messages and the
//! same number under way, and everything that is confirmed is synced. A ratio is that of neighbouring rounds.

pub(crate) mod ondol;

use self::ondol::{Ondol, Outbox, STORED, enqueue};
use crate::peer::{self, Kind, Peer};
use crate::postgres::Postgres;
use crate::publisher::Task;
use crate::report::Report;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Rounds of ours beside each peer.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Each round is measured for so long.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Requests under way; with a peer, as many messages without a confirmation.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Bytes of an event's data.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// Events of one batch.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Events of one round of deliveries.
    #[arg(long, default_value_t = 20_000)]
    deliveries: u64,
    /// Events per second of the steady rate.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Rows of one round of the relay.
    #[arg(long, default_value_t = 50_000)]
    rows: u64,
    /// Events in the store when the controller is killed.
    #[arg(long, default_value_t = 1_000_000)]
    stored: u64,
    /// No peers.
    #[arg(long)]
    alone: bool,
    /// Ondol's store: a file, or `postgres` for a server of its own.
    #[arg(long, default_value = "sqlite:ondol.db")]
    store: String,
    /// JSON with every round instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Part {
    Publish,
    Deliver,
    Relay,
    Stored,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }
}

/// The parts of one run.
struct Run {
    args: Args,
    ondol: Ondol,
    peers: Vec<Peer>,
    report: Report,
    queues: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let postgres = match Postgres::start(&["ondol", "rows"]) {
        Ok(postgres) => Some(postgres),
        Err(error) => {
            eprintln!("skipped: an outbox in PostgreSQL: {error:#}");
            None
        }
    };
    let mut outboxes = vec![Outbox {
        service: "till",
        database: "sqlite:outbox.db".into(),
    }];
    outboxes.extend(postgres.as_ref().map(|postgres| Outbox {
        service: "rows",
        database: postgres.url("rows"),
    }));
    let store = match (&*args.store, &postgres) {
        ("postgres", Some(postgres)) => postgres.url("ondol"),
        (store, _) => store.to_owned(),
    };
    let ondol = Ondol::start("bench-events", &store, args.in_flight, &outboxes)?;
    let peers = if args.alone { Vec::new() } else { peers()? };
    let mut run = Run {
        args,
        ondol,
        peers,
        report: Report::default(),
        queues: 0,
    };
    if run.args.wants(Part::Publish) {
        run.publish(1).await?;
        run.publish(run.args.batch).await?;
    }
    if run.args.wants(Part::Deliver) {
        run.deliver().await?;
        run.latency().await?;
    }
    if run.args.wants(Part::Relay) {
        for outbox in &outboxes {
            run.relay(outbox, postgres.as_ref().filter(|_| outbox.service == "rows"))
                .await?;
        }
    }
    if run.args.wants(Part::Stored) {
        run.stored().await?;
    }
    let Run { args, report, .. } = &run;
    match args.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.table()),
    }
    Ok(())
}

/// Those that are installed, one after the other.
fn peers() -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for kind in Kind::ALL {
        match tokio::task::block_in_place(|| Peer::start(kind))? {
            Some(peer) => peers.push(peer),
            None => eprintln!("skipped: {} is not installed", kind.name()),
        }
    }
    Ok(peers)
}

impl Run {
    /// Runs ours and each peer's in turns. Each gives values in the order of `measures`: names and units.
    async fn interleave(
        &mut self,
        measures: &[(String, &'static str)],
        ours: impl AsyncFn(&Args, &Ondol) -> anyhow::Result<Vec<f64>>,
        theirs: impl Fn(&Args, &Peer, &str) -> anyhow::Result<Vec<f64>>,
    ) -> anyhow::Result<()> {
        for _ in 0..self.args.rounds {
            for turn in 0..self.peers.len().max(1) {
                let values = ours(&self.args, &self.ondol).await?;
                for ((name, unit), value) in measures.iter().zip(values) {
                    self.report.ours(name, unit, value);
                }
                let Some(peer) = self.peers.get(turn) else { continue };
                self.queues += 1;
                let queue = format!("bench-{}", self.queues);
                let values = tokio::task::block_in_place(|| theirs(&self.args, peer, &queue))?;
                for ((name, unit), value) in measures.iter().zip(values) {
                    self.report.peer(name, unit, peer.kind.name(), value);
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, batch: usize) -> anyhow::Result<()> {
        let how = match batch {
            1 => "published one by one".to_owned(),
            batch => format!("published in batches of {batch}"),
        };
        let measures = [(how.clone(), "events/s"), (format!("{how}: p99 of a request"), "ms")];
        let ours = async |args: &Args, ondol: &Ondol| {
            let mut task = Task {
                batch,
                millis: 1_000,
                ..ondol.task(STORED, args.in_flight, args.bytes)
            };
            ondol.publish(&task).await?;
            (task.run, task.millis) = (format!("{}-measured", task.run), args.seconds * 1_000);
            let published = ondol.publish(&task).await?;
            Ok(vec![published.rate(), published.latency.p99])
        };
        // A peer's messages go one by one, in whatever pieces the connection makes of them: the window is the batches'.
        let theirs = |args: &Args, peer: &Peer, queue: &str| {
            let window = (args.in_flight * batch) as u64;
            peer.publish(queue, window, args.bytes, Duration::from_secs(1))?;
            let published = peer.publish(queue, window, args.bytes, Duration::from_secs(args.seconds))?;
            Ok(vec![published.rate(), published.latency.p99])
        };
        self.interleave(&measures, ours, theirs).await
    }

    async fn deliver(&mut self) -> anyhow::Result<()> {
        let measures = [(format!("delivered, {} at once", self.args.in_flight), "events/s")];
        let ours = async |args: &Args, ondol: &Ondol| Ok(vec![ondol.deliver(args.deliveries, args.bytes).await?]);
        let theirs = |args: &Args, peer: &Peer, queue: &str| {
            peer.fill(queue, args.deliveries, args.bytes)?;
            Ok(vec![peer.deliver(queue, args.deliveries, args.in_flight as u16)?])
        };
        self.interleave(&measures, ours, theirs).await
    }

    async fn latency(&mut self) -> anyhow::Result<()> {
        let how = format!("publish to delivery at {}/s", self.args.rate);
        let measures = ["p50", "p99", "longest"].map(|what| (format!("{how}: {what}"), "ms"));
        let ours = async |args: &Args, ondol: &Ondol| {
            let age = ondol
                .latency(args.rate, args.bytes, Duration::from_secs(args.seconds))
                .await?;
            Ok(vec![age.p50, age.p99, age.max])
        };
        let theirs = |args: &Args, peer: &Peer, queue: &str| {
            let age = peer.latency(queue, args.rate, args.bytes, Duration::from_secs(args.seconds))?;
            Ok(vec![age.p50, age.p99, age.max])
        };
        self.interleave(&measures, ours, theirs).await
    }

    async fn relay(&mut self, outbox: &Outbox, postgres: Option<&Postgres>) -> anyhow::Result<()> {
        let database = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
        for round in 1..=self.args.rounds {
            let (rows, bytes) = (self.args.rows, self.args.bytes);
            tokio::task::block_in_place(|| enqueue(outbox, &self.ondol.system.folder, postgres, rows, bytes))?;
            let began = Instant::now();
            let before = u64::from(round - 1) * rows;
            let rate = self.ondol.relayed(outbox.service, before, rows, began).await?;
            self.report
                .ours(&format!("relayed from an outbox in {database}"), "rows/s", rate);
        }
        Ok(())
    }

    /// Everything holds as many events; then its size, and how long it takes from the kill to the next confirmed event.
    async fn stored(&mut self) -> anyhow::Result<()> {
        let (stored, bytes) = (self.args.stored, self.args.bytes);
        let missing = stored.saturating_sub(self.ondol.stored().await?);
        if missing > 0 {
            self.ondol.fill(STORED, missing, bytes).await?;
        }
        let size = self.ondol.size()? as f64 / self.ondol.stored().await? as f64;
        let (of_event, of_start) = (
            format!("on disk, of {stored} events"),
            format!("restart with {stored} events"),
        );
        self.report.ours(&of_event, "B each", size);
        for _ in 0..3 {
            let took = self.ondol.restart().await?;
            self.report.ours(&of_start, "s", took.as_secs_f64());
        }
        for peer in &mut self.peers {
            tokio::task::block_in_place(|| {
                peer.relax()?;
                let before = peer::size(&peer.folder)?;
                peer.fill("stored", stored, bytes)?;
                let size = (peer::size(&peer.folder)? - before) as f64 / stored as f64;
                self.report.peer(&of_event, "B each", peer.kind.name(), size);
                let took = peer.restart("stored")?;
                self.report.peer(&of_start, "s", peer.kind.name(), took.as_secs_f64());
                anyhow::Ok(())
            })?;
        }
        Ok(())
    }
}
