//! The events of one key that are not done, and the counts of all that have rows.

use super::phase::KeyState;
use ondol_core::clock::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One key.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Lane {
    pub(crate) state: KeyState,
    /// Positions in the order of the log; the first is next, or in flight.
    pub(crate) queue: VecDeque<u64>,
    /// The flight of the first.
    pub(crate) flight: Option<u64>,
    /// Attempts of the first that counted.
    pub(crate) attempts: u32,
    /// What the last attempt came to.
    pub(crate) error: Option<String>,
    /// Since when it has been in this state.
    pub(crate) since: Timestamp,
    /// Not before.
    pub(crate) wake_at: Option<Timestamp>,
    /// The last position that its row has taken in; 0: it has none in the store. A row whose events are all done stays
    /// until the subscription's position has passed this, so that nothing of it is taken from the log a second time.
    pub(crate) known: u64,
    /// Data that an operator put in an event's place, as JSON.
    pub(crate) edits: BTreeMap<u64, Arc<str>>,
    /// Stands among those that may be sent.
    pub(crate) is_ready: bool,
}

impl Lane {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self {
            state: KeyState::Flowing,
            queue: VecDeque::new(),
            flight: None,
            attempts: 0,
            error: None,
            since,
            wake_at: None,
            known: 0,
            edits: BTreeMap::new(),
            is_ready: false,
        }
    }

    /// It has a row in the store.
    pub(crate) fn is_stored(&self) -> bool {
        self.state.has_row() || self.known > 0
    }

    /// Takes its first event away.
    pub(crate) fn pop(&mut self) {
        if let Some(position) = self.queue.pop_front() {
            self.edits.remove(&position);
        }
        (self.attempts, self.error) = (0, None);
    }
}

/// Counts over every lane that has a row. A lane is taken out before it changes and put in afterwards.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) retrying: usize,
    pub(crate) parked: usize,
    pub(crate) delayed: usize,
    /// Events of parked keys.
    pub(crate) parked_events: usize,
    /// Events of every row.
    pub(crate) events: usize,
    /// Rows with at least [`Bounds::queue`](super::machine::Bounds) events.
    pub(crate) long: usize,
}

impl Tally {
    pub(crate) fn keys(&self) -> usize {
        self.retrying + self.parked + self.delayed
    }

    pub(crate) fn put(&mut self, lane: &Lane, long: usize) {
        self.change(lane, long, |count, by| *count += by);
    }

    pub(crate) fn take(&mut self, lane: &Lane, long: usize) {
        self.change(lane, long, |count, by| *count -= by);
    }

    fn change(&mut self, lane: &Lane, long: usize, by: impl Fn(&mut usize, usize)) {
        match lane.state {
            KeyState::Retrying => by(&mut self.retrying, 1),
            KeyState::Delayed => by(&mut self.delayed, 1),
            KeyState::Parked => {
                by(&mut self.parked, 1);
                by(&mut self.parked_events, lane.queue.len());
            }
            KeyState::Flowing | KeyState::Gone => return,
        }
        by(&mut self.events, lane.queue.len());
        by(&mut self.long, usize::from(lane.queue.len() >= long));
    }
}
