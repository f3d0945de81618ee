//! What is compared. Made from the files that `reconcile:` of a service names.

use super::rule::Plan;
use ondol_core::id::{SagaName, ServiceName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sources of one reconciliation: each holds a page in memory, and a connection.
pub const MAX_SOURCES: usize = 8;
/// Rules of one reconciliation.
pub const MAX_RULES: usize = 32;
/// Reconciliations of one system: each is a loop of its own.
pub const MAX_RECONCILIATIONS: usize = 100;

/// One declared comparison between services.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// A DNS label, unique in the system.
    pub name: String,
    /// Who declares it.
    pub service: ServiceName,
    /// What it says, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// From the end of a run to the next one.
    pub every: Duration,
    /// What changed within this time before a run is left out of it.
    pub settle: Duration,
    /// What is compared, by name.
    pub sources: BTreeMap<String, Source>,
    /// What must hold, key by key.
    pub rules: Vec<Rule>,
}

impl Reconciliation {
    /// Sees that it can be run.
    ///
    /// # Errors
    /// Words about a template or a source that is none.
    pub fn check(&self) -> Result<(), String> {
        Plan::compile(self).map(drop)
    }
}

/// Items by rising key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A service gives them.
    Path {
        /// Which.
        service: ServiceName,
        /// Where, without a query.
        path: String,
    },
    /// Every saga of a definition: `key` is its id, `at` its last change, `state` where it stands.
    Sagas(SagaName),
}

/// One rule: where all of `when` hold, all of `expect` must.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Whom it concerns; empty: every key.
    pub when: Vec<Condition>,
    /// What must hold for those.
    pub expect: Vec<Condition>,
    /// What is started where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// Something that an item is or is not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Of which source.
    pub source: String,
    /// A member of its item; `None`: the item itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What it should be.
    pub wanted: Wanted,
}

/// What an item or a member of it should be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// There is such an item.
    Present,
    /// There is none.
    Absent,
    /// The member is equal to one of these: text (with templates), numbers, `true` and `false`.
    OneOf(Vec<Value>),
}

/// A saga that mends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Repair {
    /// Which.
    pub saga: SagaName,
    /// What it starts with; texts in it may hold templates.
    pub input: Value,
}
