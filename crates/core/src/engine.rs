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

use crate::BoxFuture;
use crate::clock::Timestamp;
use crate::error::{ErrorCode, Retry};
use crate::id::StreamName;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A family of rows. The set is closed, so that nothing user-given names a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// One per saga.
    Saga,
    /// Saga definitions by hash.
    Definition,
    /// Start keys of sagas: scope and key → saga and body hash.
    StartKey,
    /// What operators did.
    Audit,
    /// Operators' settings, such as the scale of a service.
    Setting,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] = [Self::Saga, Self::Definition, Self::StartKey, Self::Audit, Self::Setting];

    /// The number under which an engine stores it; never reused.
    pub const fn number(self) -> i16 {
        match self {
            Self::Saga => 1,
            Self::Definition => 2,
            Self::StartKey => 3,
            Self::Audit => 4,
            Self::Setting => 5,
        }
    }
}

/// One row of state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Unique in its table; at most 512 bytes.
    pub key: String,
    /// The machine's state, for lists: `running`, `stuck`. At most 64 bytes.
    pub state: String,
    /// What kind of thing, for lists: a saga's definition. At most 128 bytes.
    pub name: String,
    /// A third label for lists: the step a saga is at. At most 128 bytes.
    pub detail: String,
    /// When somebody must look at it again; `None`: nothing is due.
    pub wake_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The whole state, in a form its room versions. At most 4 MiB.
    pub body: Bytes,
}

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
}

/// A change to one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowOp {
    /// Insert, or replace the row with this key.
    Put(Table, Row),
    /// Take away; nothing happens when it is not there.
    Delete(Table, String),
}

/// The revision that a stream must have for an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Whatever it has.
    Any,
    /// It must not exist.
    NoStream,
    /// It must exist.
    Exists,
    /// Its last event's revision; the first event has revision 0.
    Revision(u64),
}

impl fmt::Display for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("any revision"),
            Self::NoStream => out.write_str("that it does not exist"),
            Self::Exists => out.write_str("that it exists"),
            Self::Revision(revision) => write!(out, "revision {revision}"),
        }
    }
}

/// An event to append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEvent {
    /// Unique in the whole store; an append whose first id is known is a duplicate.
    pub id: String,
    /// Such as `order.placed`.
    pub kind: String,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// The CloudEvent's data and extensions, in a form `ondol-events` versions. At most 1 MiB.
    pub body: Bytes,
}

/// Events for one stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Which stream.
    pub stream: StreamName,
    /// What revision it must have. Looked at only when the batch is no duplicate.
    pub expected: Expected,
    /// From 1 to 1,000 events.
    pub events: Vec<NewEvent>,
}

/// Where an append went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Appended {
    /// Of the first event.
    pub first_revision: u64,
    /// Of the last event.
    pub last_revision: u64,
    /// Position of the first event in the one event log.
    pub first_position: u64,
    /// Position of the last event.
    pub last_position: u64,
    /// The first id was known: nothing was written, the places are those of the first time.
    pub duplicate: bool,
}

/// A stored event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Its place in the one event log, dense, from 1.
    pub position: u64,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// What was appended.
    pub event: NewEvent,
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

/// Which rows a list wants. All set fields must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowFilter {
    /// Rows in this state.
    pub state: Option<String>,
    /// Rows of this name.
    pub name: Option<String>,
    /// Rows with this detail.
    pub detail: Option<String>,
    /// Only rows with a `wake_at`.
    pub awake: bool,
    /// Only rows whose `wake_at` is this moment or an earlier one. Still by key, so that a list can be paged.
    pub due_by: Option<Timestamp>,
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

/// Why the store refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold; the row that is there.
    #[error("a row with key {} exists already", .0.key)]
    Exists(Box<Row>),
    /// The stream has another revision.
    #[error("stream {stream} {}, but the append expects {expected}", at(*actual))]
    WrongRevision {
        /// Which stream.
        stream: StreamName,
        /// What was asked.
        expected: Expected,
        /// What it has; `None`: it does not exist.
        actual: Option<u64>,
    },
    /// An event id is known, but the batch's first is not, or the streams differ.
    #[error("event id {id} is in use")]
    IdInUse {
        /// The id.
        id: String,
    },
    /// A bound of this module was passed.
    #[error("{what} has {size} bytes; at most {limit} fit")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// Something in the write is of a shape that no engine keeps, such as a text with a NUL character.
    #[error("{what}: {rule}")]
    Malformed {
        /// What.
        what: &'static str,
        /// What it should be.
        rule: &'static str,
    },
    /// The disk is full. Nothing was written; the store goes on when there is space.
    #[error("the store's disk is full")]
    Full,
    /// Too many writes wait.
    #[error("the store's queue is full")]
    Busy,
    /// Another controller has taken over the store.
    #[error("another controller owns the store since epoch {current}; this one has {mine}")]
    Fenced {
        /// This process's epoch.
        mine: u64,
        /// The store's.
        current: u64,
    },
    /// The engine cannot be reached now, or was closed; whether the write happened is unknown.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The engine answered with something that must not be, such as a failed fsync or a torn row.
    #[error("the store is broken: {0}")]
    Broken(String),
}

fn at(revision: Option<u64>) -> String {
    revision.map_or_else(
        || "does not exist".to_owned(),
        |revision| format!("is at revision {revision}"),
    )
}

impl StoreError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Exists(_) => ErrorCode::new("ST-001"),
            Self::WrongRevision { .. } => ErrorCode::new("ST-002"),
            Self::IdInUse { .. } => ErrorCode::new("ST-003"),
            Self::TooLarge { .. } => ErrorCode::new("ST-004"),
            Self::Full => ErrorCode::new("ST-005"),
            Self::Busy => ErrorCode::new("ST-006"),
            Self::Fenced { .. } => ErrorCode::new("ST-007"),
            Self::Unavailable(_) => ErrorCode::new("ST-008"),
            Self::Broken(_) => ErrorCode::new("ST-009"),
            Self::Malformed { .. } => ErrorCode::new("ST-010"),
        }
    }

    /// Whether the same write may be sent again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Full | Self::Busy => Retry::Safe,
            Self::Unavailable(_) => Retry::IfIdempotent,
            _ => Retry::Never,
        }
    }
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

    /// A stream's events from revision `from`, at most `limit`. Empty when the stream does not exist.
    fn stream(&self, stream: StreamName, from: u64, limit: u32) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>>;

    /// All events after position `after`, at most `limit`. With `families` only of streams whose family is named.
    fn all(
        &self,
        after: u64,
        families: Option<Vec<String>>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>>;

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
