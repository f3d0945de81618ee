//! The SQLite engine: one file, one process, one writer thread, a few reading threads.
//!
//! - `lock.rs` keeps a second process out; `schema.rs` sets connections and migrates.
//! - `writer.rs` commits whatever queued during the last fsync, and checkpoints; `apply.rs` holds its statements.
//! - `reader.rs` runs reads on own connections; `read.rs` and `events.rs` hold their queries; `fault.rs` sorts SQLite's errors.

mod apply;
mod events;
mod fault;
mod lock;
mod read;
mod reader;
mod schema;
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
use ondol_core::id::StreamName;
use ondol_core::task::Tasks;
use reader::Readers;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How files of the store are made: for their owner only, wherever they lie. SQLite gives the log and its shared memory
/// the file's own mode.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// An open SQLite store.
///
/// # Drop
/// Takes no more writes, waits until those queued are durable and reads under way are answered, and gives the file free.
pub(crate) struct SqliteEngine {
    queue: Queue,
    readers: Readers,
    health: Health,
    epoch: u64,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

impl SqliteEngine {
    /// Opens or creates the file, raises its epoch and starts the threads.
    pub(crate) async fn open(path: PathBuf, config: &Config, clock: SharedClock) -> Result<Self, OpenError> {
        let (queue, inbox) = Queue::new(config);
        let (opened, epoch) = oneshot::channel();
        let health = Health::new();
        let start = writer::Start {
            path: path.clone(),
            config: config.clone(),
            health: health.clone(),
            clock,
            inbox,
            opened,
        };
        let writer = Tasks::thread("store-writer", move || start.run()).map_err(|source| OpenError::File {
            path: path.clone(),
            source,
        })?;
        // From here on dropping the engine waits for its threads, so that a failed opening leaves no lock behind.
        let mut engine = Self {
            queue,
            readers: Readers::new(),
            health,
            epoch: 0,
            path,
            writer: Some(writer),
        };
        let ended = || OpenError::Unsafe("its writer ended while opening".into());
        engine.epoch = epoch.await.unwrap_or_else(|_| Err(ended()))?;
        engine.readers.start(&engine.path, config)?;
        Ok(engine)
    }
}

impl Drop for SqliteEngine {
    fn drop(&mut self) {
        self.queue.close();
        // Readers first: the writer is then the last to close the file, and SQLite tidies its log away.
        self.readers.close();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported where it happened.
            let _ = writer.join();
        }
    }
}

impl Engine for SqliteEngine {
    fn commit(&self, write: Write) -> BoxFuture<Result<Committed, StoreError>> {
        self.queue.submit(write)
    }

    fn row(&self, table: Table, key: String) -> BoxFuture<Result<Option<Row>, StoreError>> {
        self.readers.run(move |connection| read::row(connection, table, &key))
    }

    fn rows(
        &self,
        table: Table,
        filter: RowFilter,
        order: Order,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<Row>, StoreError>> {
        self.readers
            .run(move |connection| read::rows(connection, table, &filter, order, after.as_deref(), limit))
    }

    fn records(&self, subject: String, after: u64, limit: u32) -> BoxFuture<Result<Vec<StoredRecord>, StoreError>> {
        self.readers
            .run(move |connection| read::records(connection, &subject, after, limit))
    }

    fn stream(
        &self,
        stream: StreamName,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        self.readers
            .run(move |connection| events::stream(connection, &stream, from, order, limit))
    }

    fn events(
        &self,
        wanted: Wanted,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        self.readers
            .run(move |connection| events::events(connection, wanted, from, order, limit))
    }

    fn streams(
        &self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StreamInfo>, StoreError>> {
        self.readers
            .run(move |connection| events::streams(connection, &prefix, after.as_deref(), limit))
    }

    fn kinds(&self, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<KindInfo>, StoreError>> {
        self.readers
            .run(move |connection| events::kinds(connection, after.as_deref(), limit))
    }

    fn size(&self) -> BoxFuture<Result<StoreSize, StoreError>> {
        let path = self.path.clone();
        self.readers.run(move |connection| read::size(connection, &path))
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn failed(&self) -> BoxFuture<StoreError> {
        self.health.failed()
    }
}
