//! Pulled events: each is a lease, and is in flight until it is acknowledged, given back, or its time ends.
//!
//! A lease is written `EPOCH.FLIGHT`, and no two flights of a life of the controller have one number: a lease of an earlier
//! life, or of a subscription as it was before it was taken away, is unknown, and its event is given out again. Members of a group pull the same subscription; since one key flies once, its events go to one member at a time.

use super::filter::Read;
use super::machine::LONGEST_PAUSE;
use crate::page::write_event;
use ondol_core::engine::StoredEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Events of one pull, at most.
pub const MAX_PULL: usize = 1_000;
/// A lease where none is asked for, and at most.
const LEASE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));

/// An event that was pulled.
#[derive(Debug, Serialize)]
pub struct Leased {
    /// What `ack` and `nack` name.
    pub lease: String,
    /// The CloudEvent, with `stream`, `revision` and `position`.
    pub event: Box<RawValue>,
}

/// What a member of the group says of its leases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Not done.
    Nack {
        /// Not again before this; `None`: after the subscription's own pause.
        delay: Option<Duration>,
        /// Never again: a dead letter.
        reject: bool,
        /// Why, for whoever looks at it.
        reason: String,
    },
}

/// What became of leases.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Settled {
    /// So many were.
    pub settled: usize,
    /// These had ended or are of an earlier life: their events are given out again.
    pub unknown: Vec<String>,
}

/// Who waits for events.
pub(crate) struct Puller {
    pub(crate) limit: usize,
    pub(crate) lease: Duration,
    pub(crate) reply: oneshot::Sender<Vec<Leased>>,
}

impl Puller {
    pub(crate) fn new(limit: usize, lease: Option<Duration>, reply: oneshot::Sender<Vec<Leased>>) -> Self {
        let lease = lease.unwrap_or(LEASE.0).clamp(Duration::from_secs(1), LEASE.1);
        Self {
            limit: limit.clamp(1, MAX_PULL),
            lease,
            reply,
        }
    }
}

/// The flight of a lease of this life.
pub(crate) fn flight(lease: &str, epoch: u64) -> Option<u64> {
    let (of, flight) = lease.split_once('.')?;
    (of.parse() == Ok(epoch)).then(|| flight.parse().ok())?
}

/// The text of a lease.
pub(crate) fn lease(epoch: u64, flight: u64) -> String {
    format!("{epoch}.{flight}")
}

/// A `delay` as far as it is honoured.
pub(crate) fn bounded(delay: Option<Duration>) -> Option<Duration> {
    delay.map(|delay| delay.min(LONGEST_PAUSE))
}

/// The event's JSON with its places; with `edited` as its data.
///
/// # Errors
/// When what is stored or edited is no JSON.
pub(crate) fn render(read: &Read, edited: Option<&str>) -> Result<Box<RawValue>, serde_json::Error> {
    match edited {
        None => plain(&read.stored),
        Some(data) => {
            let mut event = read.event.clone();
            (event.data, event.data_base64) = (Some(RawValue::from_string(data.to_owned())?), None);
            let mut stored = StoredEvent::clone(&read.stored);
            stored.event.body = serde_json::to_vec(&event)?.into();
            plain(&stored)
        }
    }
}

/// A stored event's JSON with its places.
pub(crate) fn plain(stored: &StoredEvent) -> Result<Box<RawValue>, serde_json::Error> {
    let mut out = Vec::with_capacity(stored.event.body.len() + 128);
    write_event(&mut out, stored);
    RawValue::from_string(String::from_utf8_lossy(&out).into_owned())
}

/// An event of the window, or one that is to be read from the log, and the data that takes its place.
pub(crate) struct Taken {
    pub(crate) flight: u64,
    pub(crate) position: u64,
    pub(crate) body: Option<Arc<Read>>,
    pub(crate) edited: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_of_one_life() {
        assert_eq!(flight(&lease(7, 42), 7), Some(42));
        for foreign in [lease(6, 42), "42".into(), "7.".into(), "7.x".into(), String::new()] {
            assert_eq!(flight(&foreign, 7), None, "{foreign}");
        }
    }
}
