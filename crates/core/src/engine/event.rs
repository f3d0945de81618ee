//! Events: what is appended, where it went, and which events a read of the log wants.

use crate::clock::Timestamp;
use crate::id::StreamName;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// The flow that it belongs to, for [`Wanted::Correlation`]. At most 512 bytes.
    pub correlation: Option<String>,
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

/// A text, or every text that begins with one; written `order.placed.v1` and `order.*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pattern {
    /// This text.
    Exact(String),
    /// Every text that begins so.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern: one trailing `*` stands for any rest; a star elsewhere stands for itself.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Whether `text` is one of its texts.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }

    /// The texts that are both in this pattern and in `other`; `None`: there are none.
    pub fn both(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Exact(text), pattern) | (pattern, Self::Exact(text)) => {
                pattern.matches(text).then(|| Self::Exact(text.clone()))
            }
            (Self::Prefix(a), Self::Prefix(b)) if a.starts_with(b.as_str()) => Some(self.clone()),
            (Self::Prefix(a), Self::Prefix(b)) => b.starts_with(a.as_str()).then(|| other.clone()),
        }
    }
}

/// One reason for which an event is wanted: everything that is set must fit, so an empty selector wants every event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Selector {
    /// Events of streams of this family.
    pub family: Option<String>,
    /// Events of these types.
    pub kind: Option<Pattern>,
}

impl Selector {
    /// Events of streams of one family.
    pub fn family(name: impl Into<String>) -> Self {
        Self {
            family: Some(name.into()),
            kind: None,
        }
    }

    /// Events of these types, in whatever stream.
    pub fn kind(pattern: Pattern) -> Self {
        Self {
            family: None,
            kind: Some(pattern),
        }
    }

    /// Whether it wants this event.
    pub fn matches(&self, stored: &StoredEvent) -> bool {
        self.family
            .as_ref()
            .is_none_or(|family| family == stored.stream.family())
            && self.kind.as_ref().is_none_or(|kind| kind.matches(&stored.event.kind))
    }
}

/// Which events of the log a read wants. Lists hold at most 1,000 entries; what stands beyond is not looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Every event.
    All,
    /// Those that at least one selector wants; an empty list wants none.
    Any(Vec<Selector>),
    /// Those of one flow.
    Correlation(String),
    /// Those with these ids.
    Ids(Vec<String>),
    /// Those at these places of the log.
    Positions(Vec<u64>),
}

impl Wanted {
    /// Whether it wants this event.
    pub fn matches(&self, stored: &StoredEvent) -> bool {
        match self {
            Self::All => true,
            Self::Any(selectors) => selectors.iter().any(|selector| selector.matches(stored)),
            Self::Correlation(id) => stored.event.correlation.as_ref() == Some(id),
            Self::Ids(ids) => ids.contains(&stored.event.id),
            Self::Positions(positions) => positions.contains(&stored.position),
        }
    }
}

/// A stream in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamName,
    /// How many events it has.
    pub events: u64,
    /// When the last of them was appended, by the writer's clock.
    pub last_at: Timestamp,
}

/// A type of events, with what the store keeps count of at every append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindInfo {
    /// The type.
    pub kind: String,
    /// How many events have it.
    pub events: u64,
    /// Position of the last of them.
    pub last_position: u64,
    /// When that was appended, by the writer's clock.
    pub last_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_patterns_have_in_common() {
        let check = |a: &str, b: &str, claim: Option<&str>| {
            let (a, b, claim) = (Pattern::new(a), Pattern::new(b), claim.map(Pattern::new));
            assert_eq!((a.both(&b), b.both(&a)), (claim.clone(), claim), "{a:?} {b:?}");
        };
        check("order.placed.v1", "order.placed.v1", Some("order.placed.v1"));
        check("order.placed.v1", "order.*", Some("order.placed.v1"));
        check("order.*", "*", Some("order.*"));
        check("order.*", "order.placed.*", Some("order.placed.*"));
        check("order.*", "user.*", None);
        check("order", "orders", None);
        check("a*b", "a*b", Some("a*b"));
    }
}
