//! The durable store as the rooms see it: an append-only log, rows of state and event streams, changed together.
//!
//! A [`Write`] is all or nothing. An engine joins whatever queued during its last fsync into one commit, so many writes
//! share it; none is acknowledged before it is durable. Engines: SQLite and PostgreSQL in `ondol-store`; one conformance
//! suite holds for both.
//!
//! Invariants
//! - Log and event positions are dense, rise by one, and are visible in order.
//! - Due work is a row's `wake_at`; there is no second queue.
//! - An unmet [`Guard`] or [`Expected`] refuses its own write only, never its neighbours in the batch.

mod error;
mod event;
mod row;

pub use error::StoreError;
pub use event::{Append, Appended, Expected, KindInfo, NewEvent, Pattern, Selector, StoredEvent, StreamInfo, Wanted};
pub use row::{Row, RowFilter, Table};

use crate::BoxFuture;
use crate::clock::Timestamp;
use crate::id::StreamName;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A record of the append-only log: what happened to `subject`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The saga, stream or service it is about; at most 512 bytes.
    pub subject: String,
    /// What happened, such as `step-done`; at most 64 bytes.
    pub kind: String,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// Details, in a form its room versions. At most 4 MiB.
    pub body: Bytes,
}

/// A record and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// Its position in the log, from 1.
    pub position: u64,
    /// The record.
    pub record: Record,
}

/// What must hold for a write to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Guard {
    /// The table has no such key; else [`StoreError::Exists`] gives the row that is there.
    Absent(Table, String),
    /// No event id of this write is known, not even the first of an append; else [`StoreError::IdInUse`].
    NewIds,
}

/// A change to one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowOp {
    /// Insert, or replace the row with this key.
    Put(Table, Row),
    /// Take away; nothing happens when it is not there.
    Delete(Table, String),
}

/// One atomic change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Write {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Appended to the log, in this order.
    pub records: Vec<Record>,
    /// Changes to rows, in this order.
    pub rows: Vec<RowOp>,
    /// Appends to event streams, in this order.
    pub appends: Vec<Append>,
}

/// What a write came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// Position of the first record; 0 when there was none.
    pub first_record: u64,
    /// One for each append.
    pub appended: Vec<Appended>,
}

/// In which order a list goes by key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Smallest key first.
    #[default]
    Ascending,
    /// Greatest key first.
    Descending,
}

/// What the store holds, for metrics and for people.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StoreSize {
    /// Bytes on disk, where the engine can say.
    pub bytes: u64,
    /// Last position of the log.
    pub records: u64,
    /// Last position of the event log.
    pub events: u64,
    /// Rows by table, in the order of [`Table::ALL`].
    pub rows: Vec<u64>,
}

/// The durable store. Reads see every write that was acknowledged before they began.
///
/// A page of a read ends at `limit` (never above 10,000) or once it holds 16 MiB, whichever comes first: only an empty
/// page says that there is no more.
pub trait Engine: Send + Sync + 'static {
    /// Makes `write` durable, all or nothing. Waits for a place in the queue's bound no longer than the engine's limit.
    ///
    /// # Cancellation
    /// Dropping the future does not take the write back: it may still commit.
    fn commit(&self, write: Write) -> BoxFuture<Result<Committed, StoreError>>;

    /// One row.
    fn row(&self, table: Table, key: String) -> BoxFuture<Result<Option<Row>, StoreError>>;

    /// Rows that match, by key, after (or in descending order before) `after`, at most `limit` (at most 10,000).
    fn rows(
        &self,
        table: Table,
        filter: RowFilter,
        order: Order,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<Row>, StoreError>>;

    /// The log of one subject after `after`, at most `limit` records.
    fn records(&self, subject: String, after: u64, limit: u32) -> BoxFuture<Result<Vec<StoredRecord>, StoreError>>;

    /// A stream's events, at most `limit`: ascending from revision `from` on, descending from it back, itself included.
    /// Empty when the stream does not exist.
    fn stream(
        &self,
        stream: StreamName,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>>;

    /// The event log, at most `limit` events: ascending after position `from`, descending before it, itself excluded
    /// (so descending from `u64::MAX` begins with the newest). Goes along an index whatever is wanted: the cost does not
    /// grow with the events that are not; a selector with both parts goes along its type.
    fn events(
        &self,
        wanted: Wanted,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>>;

    /// Streams whose name begins with `prefix`, by name in bytes after `after`, at most `limit`.
    fn streams(
        &self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StreamInfo>, StoreError>>;

    /// Types of events, by name in bytes after `after`, at most `limit`.
    fn kinds(&self, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<KindInfo>, StoreError>>;

    /// What it holds. Cost: the same whatever that is; nothing is counted row by row.
    fn size(&self) -> BoxFuture<Result<StoreSize, StoreError>>;

    /// This process's epoch: raised at every opening, part of `Ondol-Attempt`.
    fn epoch(&self) -> u64;

    /// Resolves when the store will never acknowledge a write again: broken, or fenced by another controller. The
    /// process should then end and be started anew. Never resolves for an engine that cannot fail so.
    fn failed(&self) -> BoxFuture<StoreError> {
        Box::pin(std::future::pending())
    }
}

/// An engine that can be handed round.
pub type SharedEngine = Arc<dyn Engine>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_revision_is_told_in_words() {
        for (expected, actual, told) in [
            (
                Expected::Revision(2),
                Some(4),
                "stream order-1 is at revision 4, but the append expects revision 2",
            ),
            (
                Expected::NoStream,
                Some(0),
                "stream order-1 is at revision 0, but the append expects that it does not exist",
            ),
            (
                Expected::Exists,
                None,
                "stream order-1 does not exist, but the append expects that it exists",
            ),
        ] {
            let stream = "order-1".parse().expect("a name");
            let error = StoreError::WrongRevision {
                stream,
                expected,
                actual,
            };
            assert_eq!(error.to_string(), told);
        }
    }
}
