//! The system that is measured: one service that publishes, one that takes what is pushed, and two whose outboxes are relayed.

use crate::http::{Ask, Client};
use crate::postgres::Postgres;
use crate::publisher::Task;
use crate::report::{Latency, Published};
use crate::subscriber::Seen;
use crate::system::{System, eventually};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nobody subscribes to the first; the second is pushed.
pub(crate) const STORED: &str = "bench.stored.v1";
pub(crate) const PUSHED: &str = "bench.pushed.v1";
/// Of a request that ends with a number of events.
const LONG: Duration = Duration::from_secs(600);

const SYSTEM: &str = "system: bench
services: [services/*]
gateway: { listeners: { web: { bind: 127.0.0.1:8080 } } }
console: { bind: 127.0.0.1:7070 }
store: STORE
";

const PUBLISHER: &str = "service: publisher
run: PROGRAM publisher
routes: [{ name: publish, match: { path: / }, timeout: 10m }]
events: { publishes: [bench.stored.v1, bench.pushed.v1] }
";

const SUBSCRIBER: &str = "service: subscriber
run: PROGRAM subscriber
routes: [{ name: seen, match: { prefix: /subscriber/ } }]
events: { subscribes: [{ name: all, types: [bench.pushed.v1], push: /pushed, parallel: PARALLEL }] }
";

/// A service with an outbox; of the participant's program only that it runs is needed.
const RELAYED: &str = "service: NAME
run: PROGRAM participant
database: DATABASE
outbox: true
events: { publishes: [bench.NAME.v1] }
";

/// The outbox of a service: its name and its database.
pub(crate) struct Outbox {
    pub(crate) service: &'static str,
    pub(crate) database: String,
}

pub(crate) struct Ondol {
    pub(crate) system: System,
    client: Client,
    admin: Client,
    token: String,
    /// So that no two tasks publish the same ids.
    runs: Cell<u32>,
}

impl Ondol {
    /// Starts it on an empty store, with so many pushes at once and these outboxes.
    pub(crate) fn start(name: &str, store: &str, parallel: usize, outboxes: &[Outbox]) -> anyhow::Result<Self> {
        let system = System::write(name, &SYSTEM.replace("STORE", store), Default::default())?;
        let program = std::env::current_exe()?;
        let mut services = vec![
            ("publisher", PUBLISHER.to_owned()),
            ("subscriber", SUBSCRIBER.replace("PARALLEL", &parallel.to_string())),
        ];
        services.extend(outboxes.iter().map(|Outbox { service, database }| {
            let text = RELAYED.replace("NAME", service).replace("DATABASE", database);
            (*service, text)
        }));
        for (service, text) in services {
            let folder = system.folder.join("services").join(service);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(
                folder.join("service.yaml"),
                text.replace("PROGRAM", &program.to_string_lossy()),
            )?;
        }
        system.up()?;
        let token = std::fs::read_to_string(system.folder.join(".ondol/token"))?;
        Ok(Self {
            client: system.client(),
            admin: Client::new(&system.console),
            token: token.trim().to_owned(),
            system,
            runs: Cell::new(0),
        })
    }

    /// A task with ids of its own.
    pub(crate) fn task(&self, kind: &str, in_flight: usize, bytes: usize) -> Task {
        self.runs.set(self.runs.get() + 1);
        Task {
            run: format!("r{}", self.runs.get()),
            kind: kind.to_owned(),
            in_flight,
            batch: 1,
            bytes,
            millis: LONG.as_millis() as u64,
            events: u64::MAX,
            rate: None,
        }
    }

    pub(crate) async fn publish(&self, task: &Task) -> anyhow::Result<Published> {
        let ask = Ask::post("/", serde_json::to_value(task)?);
        let answer = self.client.ask(ask, LONG + Duration::from_secs(10)).await?;
        ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
        Ok(serde_json::from_value(answer.body)?)
    }

    /// Publishes `events` in large batches.
    pub(crate) async fn fill(&self, kind: &str, events: u64, bytes: usize) -> anyhow::Result<()> {
        let task = Task {
            batch: 500,
            events,
            ..self.task(kind, 8, bytes)
        };
        self.publish(&task).await.map(drop)
    }

    /// What the subscriber has got since the last reset.
    pub(crate) async fn seen(&self) -> anyhow::Result<Seen> {
        let answer = self
            .client
            .ask(Ask::get("/subscriber/seen"), Duration::from_secs(10))
            .await?;
        ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
        Ok(serde_json::from_value(answer.body)?)
    }

    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        let ask = Ask::post("/subscriber/reset", Value::Null);
        self.client.ask(ask, Duration::from_secs(10)).await.map(drop)
    }

    /// Waits until the subscriber has got so many.
    pub(crate) async fn delivered(&self, events: u64) -> anyhow::Result<Seen> {
        let enough = || async { Ok(Some(self.seen().await?).filter(|seen| seen.events >= events)) };
        eventually("everything delivered", LONG, enough).await
    }

    /// `pause` or `resume` of the subscription.
    pub(crate) async fn act(&self, action: &str) -> anyhow::Result<()> {
        let words = json!({ "action": action, "reason": "a measurement" });
        let answer = self
            .ask(Ask::post("/v1/subscriptions/subscriber.all/actions", words))
            .await?;
        ensure!(answer["state"] != Value::Null, "{action}: {answer}");
        Ok(())
    }

    /// Pushed events per second: `events` lie ready when the subscription begins.
    pub(crate) async fn deliver(&self, events: u64, bytes: usize) -> anyhow::Result<f64> {
        self.act("pause").await?;
        self.reset().await?;
        self.fill(PUSHED, events, bytes).await?;
        self.act("resume").await?;
        let seen = self.delivered(events).await?;
        Ok((seen.events - 1) as f64 / seen.seconds)
    }

    /// From the moment an event is due to be published until its subscriber has it, at a steady rate.
    pub(crate) async fn latency(&self, rate: u32, bytes: usize, time: Duration) -> anyhow::Result<Latency> {
        self.reset().await?;
        let task = Task {
            rate: Some(f64::from(rate)),
            events: (f64::from(rate) * time.as_secs_f64()) as u64,
            ..self.task(PUSHED, 64, bytes)
        };
        let published = self.publish(&task).await?;
        Ok(self.delivered(published.events).await?.age)
    }

    /// Rows of an outbox that are relayed in one second: until there are `rows` events more than `before`.
    pub(crate) async fn relayed(&self, service: &str, before: u64, rows: u64, began: Instant) -> anyhow::Result<f64> {
        let end = began + LONG;
        loop {
            let topics = self.ask(Ask::get("/v1/topics")).await?;
            let mut topics = topics["topics"].as_array().into_iter().flatten();
            let kind = format!("bench.{service}.v1");
            let events = topics
                .find(|topic| topic["type"] == kind)
                .and_then(|topic| topic["events"].as_u64());
            if events >= Some(before + rows) {
                return Ok(rows as f64 / began.elapsed().as_secs_f64());
            }
            ensure!(
                Instant::now() < end,
                "{events:?} of {rows} rows of {service} within {LONG:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the controller; seconds until a service can publish again.
    pub(crate) async fn restart(&self) -> anyhow::Result<Duration> {
        let pids = self.system.pids()?;
        let pid = pids.get("controller").context("there is no controller")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid)?).context("pid 0")?;
        let (task, killed) = (self.task(STORED, 1, 300), Instant::now());
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        loop {
            match self
                .publish(&Task {
                    events: 1,
                    ..task.clone()
                })
                .await
            {
                Ok(_) => return Ok(killed.elapsed()),
                Err(error) => ensure!(killed.elapsed() < Duration::from_secs(60), "{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Events in the log.
    pub(crate) async fn stored(&self) -> anyhow::Result<u64> {
        let topics = self.ask(Ask::get("/v1/topics")).await?;
        let topics = topics["topics"].as_array().into_iter().flatten();
        Ok(topics.filter_map(|topic| topic["events"].as_u64()).sum())
    }

    /// Bytes of the store's files.
    pub(crate) fn size(&self) -> anyhow::Result<u64> {
        let file = |name: &str| std::fs::metadata(self.store().with_file_name(name)).map_or(0, |meta| meta.len());
        let bytes = file("ondol.db") + file("ondol.db-wal");
        ensure!(bytes > 0, "the store's file is not where it was looked for");
        Ok(bytes)
    }

    fn store(&self) -> PathBuf {
        let beside = self.system.folder.join("ondol.db");
        if beside.is_file() {
            beside
        } else {
            self.system.folder.join(".ondol/ondol.db")
        }
    }

    async fn ask(&self, ask: Ask<'_>) -> anyhow::Result<Value> {
        let answer = self.admin.ask(ask.token(&self.token), Duration::from_secs(30)).await?;
        ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
        Ok(answer.body)
    }
}

/// Writes `rows` into the outbox of a service, in one transaction.
pub(crate) fn enqueue(
    outbox: &Outbox,
    folder: &std::path::Path,
    postgres: Option<&Postgres>,
    rows: u64,
    bytes: usize,
) -> anyhow::Result<()> {
    let kind = format!("bench.{}.v1", outbox.service);
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes.saturating_sub(11)));
    if let Some(postgres) = postgres {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS ondol_outbox (seq bigserial PRIMARY KEY, id text NOT NULL UNIQUE, type text NOT NULL, key text,
               source text, subject text, data text NOT NULL, headers text NOT NULL DEFAULT '{{}}', created timestamptz NOT NULL DEFAULT now());
             INSERT INTO ondol_outbox (id, type, key, data)
               SELECT gen_random_uuid()::text, '{kind}', 'k' || n % 64, '{data}' FROM generate_series(1, {rows}) AS n"
        );
        return postgres.run(outbox.service, &sql);
    }
    let file = folder.join(".ondol/data").join(outbox.service).join("outbox.db");
    let connection = rusqlite::Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS ondol_outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
           key TEXT, source TEXT, subject TEXT, data TEXT NOT NULL, headers TEXT NOT NULL DEFAULT '{}',
           created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))",
    )?;
    connection.execute(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
         INSERT INTO ondol_outbox (id, type, key, data) SELECT lower(hex(randomblob(16))), ?2, 'k' || (n % 64), ?3 FROM n",
        (rows.cast_signed(), &kind, &data),
    )?;
    Ok(())
}
