//! Rows of state: the closed set of tables, the row, and which rows a list wants.

use crate::clock::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    /// One per subscription: its position and what operators set.
    Subscription,
    /// One per subscription and key whose events wait: retrying, parked or delayed.
    Delivery,
    /// One per service whose outbox is relayed: how far.
    Relay,
    /// Which sagas belong to a flow that is not named after them.
    Correlation,
    /// One per reconciliation: its last run; and one per key of it that does not fit.
    Reconciliation,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 10] = [
        Self::Saga,
        Self::Definition,
        Self::StartKey,
        Self::Audit,
        Self::Setting,
        Self::Subscription,
        Self::Delivery,
        Self::Relay,
        Self::Correlation,
        Self::Reconciliation,
    ];

    /// The number under which an engine stores it; never reused.
    pub const fn number(self) -> i16 {
        match self {
            Self::Saga => 1,
            Self::Definition => 2,
            Self::StartKey => 3,
            Self::Audit => 4,
            Self::Setting => 5,
            Self::Subscription => 6,
            Self::Delivery => 7,
            Self::Relay => 8,
            Self::Correlation => 9,
            Self::Reconciliation => 10,
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
