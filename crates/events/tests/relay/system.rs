//! A store, a service's database with its outbox, and lives of the relay over both.

use crate::postgres;
use ondol_core::clock::SystemClock;
use ondol_core::engine::{Order, SharedEngine, StoredEvent, Wanted};
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::ServiceName;
use ondol_core::task::Tasks;
use ondol_events::config::PublishedType;
use ondol_events::relay::config::Outbox;
use ondol_events::relay::{Ports, Relays, View};
use ondol_events::subscription::Act;
use ondol_events::{Publisher, Streams, Topics};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A busy machine may need much of it.
const PATIENCE: Duration = Duration::from_secs(60);

pub const SQLITE: &str = "CREATE TABLE ondol_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, key TEXT, source TEXT, subject TEXT,
  data TEXT NOT NULL, headers TEXT NOT NULL DEFAULT '{}',
  created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))";
const POSTGRES: &str = "CREATE TABLE ondol_outbox (
  seq bigserial PRIMARY KEY, id text NOT NULL UNIQUE, type text NOT NULL, key text, source text, subject text,
  data text NOT NULL, headers text NOT NULL DEFAULT '{}', created timestamptz NOT NULL DEFAULT now())";

/// What outlives a life.
pub struct System {
    folder: tempfile::TempDir,
    pub database: String,
}

/// One life of the controller's part. Dropping it is a crash.
pub struct Life {
    pub engine: SharedEngine,
    pub publisher: Publisher,
    pub relays: Relays,
    tasks: Tasks,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl System {
    /// A service with an outbox in SQLite, WAL as services use it.
    pub fn sqlite() -> Self {
        let system = Self::without_database();
        system.open().execute_batch(SQLITE).expect("created");
        system
    }

    pub fn without_database() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite://{}", folder.path().join("one.db").display());
        Self { folder, database }
    }

    /// `None`, with a line that says why, where there is no PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let database = postgres::shared()?.new_database();
        let system = Self { folder, database };
        system.client().await.batch_execute(POSTGRES).await.expect("created");
        Some(system)
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("one.db")
    }

    /// The service's own connection.
    pub fn open(&self) -> Connection {
        let connection = Connection::open(self.file()).expect("opens");
        connection.busy_timeout(PATIENCE).expect("set");
        connection.pragma_update(None, "journal_mode", "wal").expect("WAL");
        connection
    }

    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.database, tokio_postgres::NoTls)
            .await
            .expect("connects");
        Tasks::new().spawn(ondol_core::task::Kind::Other, async move { drop(connection.await) });
        client
    }

    /// Opens the store, as soon as the life before has let it go, and relays.
    pub async fn life(&self) -> Life {
        let url = format!("sqlite:{}", self.folder.path().join("store.db").display());
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let engine = until("the store", || async {
            ondol_store::open(&url, clock.clone(), entropy.clone()).await.ok()
        })
        .await;
        let tasks = Tasks::new();
        let publisher = Publisher::new(Streams::new(engine.clone(), clock.clone(), &tasks));
        let relays = Relays::new(Ports {
            engine: engine.clone(),
            publisher: publisher.clone(),
            clock,
            entropy,
            tasks: tasks.clone(),
        });
        let life = Life {
            engine,
            publisher,
            relays,
            tasks,
        };
        life.publishes(&["a.v1"]);
        life.relays.set(vec![self.outbox()]).await;
        life
    }

    pub fn outbox(&self) -> Outbox {
        let (service, database) = (one(), self.database.clone());
        Outbox { service, database }
    }
}

impl Life {
    /// The types that the service publishes from now on.
    pub fn publishes(&self, kinds: &[&str]) {
        let published = kinds.iter().map(|kind| PublishedType {
            kind: (*kind).into(),
            publisher: one(),
            schema: None,
        });
        let topics = Topics::new(&published.collect::<Vec<_>>()).expect("compiles");
        self.publisher.set(topics);
    }

    pub async fn crash(self) {
        self.tasks.stop();
        self.tasks.ended().await;
    }

    pub async fn view(&self) -> View {
        self.relays.list().await.remove(0)
    }

    /// Waits until the outbox is so.
    pub async fn sees(&self, what: &str, is: impl Fn(&View) -> bool) -> View {
        until(what, || async { Some(self.view().await).filter(&is) }).await
    }

    /// Waits until nothing is left to relay.
    pub async fn relayed(&self) -> View {
        self.sees("everything relayed", |view| view.pending == Some(0)).await
    }

    pub async fn events(&self) -> Vec<StoredEvent> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.engine.events(Wanted::All, after, Order::Ascending, 10_000);
            let page = page.await.expect("read");
            let Some(last) = page.last() else { return events };
            after = last.position;
            events.extend(page);
        }
    }

    /// Ids in the order of the log.
    pub async fn ids(&self) -> Vec<String> {
        self.events().await.into_iter().map(|stored| stored.event.id).collect()
    }
}

pub fn one() -> ServiceName {
    "one".parse().expect("a name")
}

pub fn act() -> Act {
    let (who, reason) = ("operator".into(), "a test".into());
    Act { who, reason }
}

/// Writes a row as a service does.
pub fn row(connection: &Connection, id: &str, key: Option<&str>, data: &str) {
    let insert = "INSERT INTO ondol_outbox (id, type, key, data) VALUES (?1, 'a.v1', ?2, ?3)";
    connection.execute(insert, (id, key, data)).expect("inserted");
}

/// Asks again and again until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| panic!("no sign of {what}"))
}
