//! `GET /v1/live`: one stream of server-sent events that tells what is and what changes.
//!
//! - `frame.rs`: what is told of a topic, as the difference to what was told before
//! - `ring.rs`: the last frames, for readers that come back
//! - `changes.rs`: what changed lately
//! - `sources.rs`: looks at the rooms, at most ten times a second, and only at what somebody follows
//! - `hub.rs`: the loop between sources, ring and readers
//! - `logs.rs`: one reader's log lines, from the supervisor
//! - `stream.rs`: one reader's stream
//!
//! An event's `id` is `LIFE-SEQ`: this controller's life and the last frame that the reader has. `Last-Event-ID` goes on
//! there while the ring holds it; otherwise every topic begins with a snapshot. A reader that is slower than the ring,
//! or whose socket takes nothing for half a minute, is cut, and comes back to a snapshot.
//!
//! Bounds: [`MAX_READERS`] streams; per topic one frame per tick of 100 ms; the rest beside each file.
//!
//! Not here: history, which the other paths of the admin API give.

pub(crate) mod changes;
mod frame;
mod hub;
mod logs;
mod ring;
mod sources;
pub(crate) mod stream;

use serde::Deserialize;

pub use hub::{Live, Ports};

/// Streams at once.
const MAX_READERS: usize = 64;

/// What can be followed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topic {
    /// The whole: its name, gateways, problem, generation.
    System,
    /// Each service's status, by name.
    Services,
    /// The last minute of each service, route and edge.
    Traffic,
    /// How many sagas stand where; items: sagas that changed.
    Sagas,
    /// The end of the event log; items: events that came.
    Events,
    /// Where each subscription stands, by name.
    Subscriptions,
    /// How far each outbox is relayed, by service.
    Outboxes,
    /// Items: changes.
    Changes,
}

impl Topic {
    pub(crate) const ALL: [Self; 8] = [
        Self::System,
        Self::Services,
        Self::Traffic,
        Self::Sagas,
        Self::Events,
        Self::Subscriptions,
        Self::Outboxes,
        Self::Changes,
    ];

    /// As in the query and in `event:`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Services => "services",
            Self::Traffic => "traffic",
            Self::Sagas => "sagas",
            Self::Events => "events",
            Self::Subscriptions => "subscriptions",
            Self::Outboxes => "outboxes",
            Self::Changes => "changes",
        }
    }

    /// It is looked at once in so many ticks.
    const fn every(self) -> u64 {
        match self {
            Self::System | Self::Services | Self::Sagas | Self::Changes => 1,
            Self::Events | Self::Subscriptions => 5,
            // Proxies report once a second; each outbox counts its rows in its own database.
            Self::Traffic | Self::Outboxes => 10,
        }
    }
}
