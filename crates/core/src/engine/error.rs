//! Why the store refused or failed.

use super::event::Expected;
use super::row::Row;
use crate::error::{ErrorCode, Retry};
use crate::id::StreamName;

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
