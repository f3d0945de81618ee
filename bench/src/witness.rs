//! A service that sees whether events can be trusted, for `torture`: it writes through its outbox, hears itself, and notes
//! what must never be.
//!
//! `POST /witness/KEY` writes the key's next number and an event of it in one transaction. Of those transactions every third
//! is rolled back after the event's row was written. The service subscribes to its own events, one key at a time, takes each
//! once by its inbox, and answers one push in twenty with an error after the effect, as if the answer were lost.
//!
//! So, whatever is killed, each key's numbers must be heard as 1, 2, 3 …: one that is missing was lost, one that comes twice
//! was delivered past the inbox or was rolled back, one that comes too early was overtaken. What breaks this is a row of
//! `faults`; `GET /witness` says what was written, heard and wrong.
//!
//! Not here: deleting rows of the outbox that were relayed; a run writes a few thousand.

use crate::system::System;
use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ondol_sdk::{Event, inbox, outbox};
use serde_json::{Map, Value, json};
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Executor, Transaction};
use std::sync::Arc;
use tokio::net::TcpListener;

const SERVICE: &str = r#"service: witness
run: PROGRAM witness
database: "${env:WITNESS_DATABASE_URL:-sqlite:witness.db}"
outbox: true
events:
  publishes: [witness.wrote.v1]
  subscribes:
    - { name: itself, types: [witness.wrote.v1], push: /heard, timeout: 5s }
routes:
  - { name: witness, match: { prefix: /witness } }
"#;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS written (key TEXT PRIMARY KEY, n BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS heard (key TEXT PRIMARY KEY, n BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS faults (what TEXT NOT NULL)",
];

/// Faults that are told of.
const TOLD: &str = "SELECT what FROM faults LIMIT 20";

/// One in so many transactions is rolled back.
const ROLLED_BACK: u128 = 3;
/// One in so many pushes is taken and then answered with an error.
const UNHEARD: u128 = 20;

/// Adds the service to a system that has not been started yet.
pub(crate) fn join(system: &mut System) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    system.add("witness", &SERVICE.replace("PROGRAM", &program.to_string_lossy()))
}

pub(crate) fn run() -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let books = Arc::new(Books::open(&std::env::var("DATABASE_URL")?).await?);
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let books = books.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| answer(&books, request));
                // A connection that breaks is the proxy's to notice.
                drop(
                    Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await,
                );
            });
        }
    })
}

/// 503 for what the database does not do now: nothing has happened then.
async fn answer(books: &Books, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let done = match (&head.method, head.uri.path()) {
        (&Method::POST, "/heard") => {
            let body = body.collect().await?.to_bytes();
            books.hear(&head.headers, &body).await.map(|()| {
                // The effect is committed; its answer is lost.
                let lost = one_in(UNHEARD).then_some(StatusCode::INTERNAL_SERVER_ERROR);
                (lost.unwrap_or(StatusCode::NO_CONTENT), Value::Null)
            })
        }
        (&Method::POST, path) => {
            let key = path.trim_start_matches("/witness/");
            books.write(key).await.map(|said| (StatusCode::OK, said))
        }
        _ => books.totals().await.map(|said| (StatusCode::OK, said)),
    };
    let (status, said) = done.unwrap_or_else(|error| (StatusCode::SERVICE_UNAVAILABLE, json!(format!("{error:#}"))));
    let body = if said.is_null() {
        String::new()
    } else {
        said.to_string()
    };
    Ok(Response::builder().status(status).body(Full::from(body))?)
}

fn one_in(of: u128) -> bool {
    uuid::Uuid::new_v4().as_u128().is_multiple_of(of)
}

struct Books {
    pool: AnyPool,
    begin: &'static str,
}

impl Books {
    async fn open(url: &str) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let (url, connections, begin) = if url.starts_with("sqlite:") {
            // One writer at a time is SQLite's rule, so one connection is enough.
            (format!("{url}?mode=rwc"), 1, "BEGIN IMMEDIATE")
        } else {
            (url.to_owned(), 8, "BEGIN")
        };
        let pool = AnyPoolOptions::new().max_connections(connections).connect(&url).await?;
        let books = Self { pool, begin };
        if connections == 1 {
            books.pool.execute("PRAGMA journal_mode = WAL").await?;
            books.pool.execute("PRAGMA synchronous = FULL").await?;
        }
        let mut tx = books.begin().await?;
        for table in SCHEMA {
            tx.execute(table).await?;
        }
        outbox::create(&mut *tx).await?;
        inbox::create(&mut *tx).await?;
        tx.commit().await?;
        Ok(books)
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.pool.begin_with(self.begin).await
    }

    /// The key's next number, or none of it.
    async fn write(&self, key: &str) -> anyhow::Result<Value> {
        let mut tx = self.begin().await?;
        // The key's row is locked from here on, so its events are in the order of its numbers.
        let next =
            "INSERT INTO written (key, n) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = written.n + 1 RETURNING n";
        let next = sqlx::query_scalar::<_, i64>(next).bind(key.to_owned());
        let n = next.fetch_one(&mut *tx).await?;
        let event = Event::new("witness.wrote.v1", json!({ "n": n })).key(key);
        outbox::enqueue(&mut *tx, &event).await?;
        if one_in(ROLLED_BACK) {
            tx.rollback().await?;
            return Ok(json!({ "rolled_back": n }));
        }
        tx.commit().await?;
        Ok(json!({ "written": n }))
    }

    async fn hear(&self, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<()> {
        let field = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value
                .map(str::to_owned)
                .with_context(|| format!("a push without {name}"))
        };
        let (subscription, id, key) = (field("ondol-subscription")?, field("ce-id")?, field("ce-partitionkey")?);
        let data: Value = serde_json::from_slice(body)?;
        let n = data["n"].as_i64().context("an event without n")?;
        let mut tx = self.begin().await?;
        if inbox::once(&mut *tx, &subscription, &id).await? {
            let before = sqlx::query_scalar::<_, i64>("SELECT n FROM heard WHERE key = $1").bind(key.clone());
            let before = before.fetch_optional(&mut *tx).await?.unwrap_or(0);
            if n != before + 1 {
                let what = format!("key {key}: {n} was heard after {before} (event {id})");
                let note = sqlx::query("INSERT INTO faults (what) VALUES ($1)").bind(what);
                note.execute(&mut *tx).await?;
            }
            let hear = "INSERT INTO heard (key, n) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET n = excluded.n";
            let hear = sqlx::query(hear).bind(key).bind(n);
            hear.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn totals(&self) -> anyhow::Result<Value> {
        let mut tx = self.begin().await?;
        let mut numbers = Map::new();
        for (name, all) in [
            ("written", "SELECT key, n FROM written"),
            ("heard", "SELECT key, n FROM heard"),
        ] {
            let rows: Vec<(String, i64)> = sqlx::query_as(all).fetch_all(&mut *tx).await?;
            let by_key: Map<_, _> = rows.into_iter().map(|(key, n)| (key, n.into())).collect();
            numbers.insert(name.to_owned(), by_key.into());
        }
        let faults: Vec<String> = sqlx::query_scalar(TOLD).fetch_all(&mut *tx).await?;
        numbers.insert("faults".to_owned(), faults.into());
        Ok(numbers.into())
    }
}
