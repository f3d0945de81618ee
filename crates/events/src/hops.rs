//! How long a chain of causes is: an event has one hop more than the event that caused it, and a chain that grows beyond
//! the bound is refused. So two services that answer each other's events for ever are found out, by an error that the
//! second of them sees, instead of filling the log.
//!
//! A cause is known by `causationid`. Only causes that are events count: a saga's call begins a chain anew, since a saga
//! has an end of its own. Counted from the log and never from what a producer claims.

use crate::envelope::{CloudEvent, HOPS};
use crate::error::EventsError;
use crate::streams::Streams;
use ondol_core::engine::{Order, Wanted};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// Longest chain. Chains that are meant have rarely ten links; 64 leaves room and still ends a loop within a moment.
const MAX_HOPS: u32 = 64;

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    ondolhops: u32,
}

/// Sets the hops of each event: those of its cause and one more. Costs one read where any event names a cause.
///
/// # Errors
/// [`EventsError::TooDeep`] of the first event that is; the store's.
pub(crate) async fn set(streams: &Streams, events: &mut [CloudEvent]) -> Result<(), EventsError> {
    count(streams, events).await?.into_iter().next().map_or(Ok(()), Err)
}

/// The same, and gives every event that is too deep.
pub(crate) async fn count(streams: &Streams, events: &mut [CloudEvent]) -> Result<Vec<EventsError>, EventsError> {
    let mut refused = Vec::new();
    let foreign = |event: &CloudEvent| event.causationid.clone().filter(|cause| *cause != event.id);
    let causes: BTreeSet<String> = events.iter().filter_map(foreign).collect();
    if causes.is_empty() {
        return Ok(refused);
    }
    let limit = u32::try_from(causes.len()).unwrap_or(u32::MAX);
    let causes: Vec<String> = causes.into_iter().collect();
    let (mut known, mut after) = (HashMap::<String, u32>::with_capacity(events.len()), 0);
    // A page of the store ends by its bytes too: large causes come in several.
    while known.len() < causes.len() {
        let wanted = Wanted::Ids(causes.clone());
        let found = streams.log(wanted, after, Order::Ascending, limit).await?;
        let Some(last) = found.last_position() else { break };
        after = last;
        for stored in found.events {
            let hops = serde_json::from_slice(&stored.event.body).map_or(0, |Stored { ondolhops }| ondolhops);
            known.insert(stored.event.id, hops);
        }
    }
    for (index, event) in events.iter_mut().enumerate() {
        // An earlier event of the batch may be the cause of a later one.
        let before = foreign(event)
            .and_then(|cause| known.get(&cause))
            .map_or(0, |hops| hops + 1);
        if before > MAX_HOPS {
            let (hops, limit) = (before, MAX_HOPS);
            refused.push(EventsError::TooDeep { index, hops, limit });
        } else if before > 0 {
            event.extensions.insert(HOPS.to_owned(), before.into());
        }
        known.insert(event.id.clone(), before);
    }
    Ok(refused)
}
