//! The PostgreSQL engine: the same logical schema as SQLite's, one writing connection, fenced by the store's epoch.
//!
//! - `server.rs` connects, refuses unsafe settings, makes the schema and raises the epoch (`v1.sql`).
//! - `session.rs` is one life of the writing connection; `writer.rs` drives it batch by batch and replaces it.
//! - `facts.rs` holds what a batch's decisions rest on, `batch.rs` turns accepted writes into columns; both are pure.
//! - `read.rs` and `events.rs` answer reads on a second connection; `fault.rs` sorts the server's errors.
//!
//! Why nothing is lost or doubled: positions are known only to the holder of the epoch; each transaction locks the meta
//! row FOR SHARE with its epoch and session, so a take-over (and a reconnect, which raises the session) waits for a
//! transaction in flight and shuts out one that has not begun.
//!
//! Not here: TLS to the server, take-over between controllers, a pool.

mod batch;
mod events;
mod facts;
mod fault;
mod read;
mod server;
mod session;
mod writer;

use crate::config::Config;
use crate::error::OpenError;
use crate::queue::{Health, Queue};
use ondol_core::BoxFuture;
use ondol_core::clock::SharedClock;
use ondol_core::engine::{
    Committed, Engine, KindInfo, Order, Row, RowFilter, StoreError, StoreSize, StoredEvent, StoredRecord, StreamInfo,
    Table, Wanted, Write,
};
use ondol_core::entropy::SharedEntropy;
use ondol_core::id::StreamName;
use ondol_core::task::{Kind, Tasks};
use read::Reader;
use server::Server;
use session::Session;
use std::sync::Arc;

/// An open PostgreSQL store.
///
/// # Drop
/// Takes no more writes; those queued are still written by the runtime's task, as long as the runtime lives.
pub(crate) struct PostgresEngine {
    queue: Queue,
    reader: Arc<Reader>,
    health: Health,
    epoch: u64,
}

impl PostgresEngine {
    /// Connects, creates or migrates the schema, raises the epoch and starts the writer.
    pub(crate) async fn open(
        url: &str,
        config: &Config,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, OpenError> {
        let tasks = Tasks::new();
        let server = Arc::new(Server::parse(url, tasks.clone())?);
        let client = server.connect().await?;
        server::refuse_unsafe(&client).await?;
        server::migrate(&client).await?;
        let epoch = server::raise_epoch(&client).await?;
        let session = Session::begin(client, epoch).await.map_err(|error| match error {
            session::BeginError::Server(error) => OpenError::Postgres(error),
            session::BeginError::Fenced(current) => {
                OpenError::Unsafe(format!("another controller took it over at once, with epoch {current}"))
            }
        })?;
        let (health, (queue, inbox)) = (Health::new(), Queue::new(config));
        let writer = writer::Writer {
            server: server.clone(),
            session: Some(session),
            epoch,
            health: health.clone(),
            clock,
            entropy,
            batch_wait: config.batch_wait,
        };
        tasks.spawn(Kind::Other, writer.serve(inbox, config.batch.max(1)));
        Ok(Self {
            queue,
            reader: Arc::new(Reader::new(server)),
            health,
            epoch,
        })
    }
}

impl Drop for PostgresEngine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Engine for PostgresEngine {
    fn commit(&self, write: Write) -> BoxFuture<Result<Committed, StoreError>> {
        self.queue.submit(write)
    }

    fn row(&self, table: Table, key: String) -> BoxFuture<Result<Option<Row>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.row(table, &key).await })
    }

    fn rows(
        &self,
        table: Table,
        filter: RowFilter,
        order: Order,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<Row>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.rows(table, &filter, order, after.as_deref(), limit).await })
    }

    fn records(&self, subject: String, after: u64, limit: u32) -> BoxFuture<Result<Vec<StoredRecord>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.records(&subject, after, limit).await })
    }

    fn stream(
        &self,
        stream: StreamName,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.stream(&stream, from, order, limit).await })
    }

    fn events(
        &self,
        wanted: Wanted,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.events(&wanted, from, order, limit).await })
    }

    fn streams(
        &self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StreamInfo>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.streams(&prefix, after.as_deref(), limit).await })
    }

    fn kinds(&self, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<KindInfo>, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.kinds(after.as_deref(), limit).await })
    }

    fn size(&self) -> BoxFuture<Result<StoreSize, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move { reader.size().await })
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn failed(&self) -> BoxFuture<StoreError> {
        self.health.failed()
    }
}
