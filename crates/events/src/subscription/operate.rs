//! What an operator may do to a subscription and to its dead letters. Pure; audit and durability are the service's.
//!
//! Invariants
//! - Redrive never moves the position, and the events of a key stay in their order.
//! - An event in flight is neither edited nor skipped.
//! - After a reset to `p`, what is delivered is every wanted event after `p`, and of the rows what is at `p` or before.

use super::machine::Machine;
use super::phase::{KeyMove, KeyState, Mode, Move};
use ondol_core::clock::Timestamp;
use ondol_core::error::ErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of edited data in one row: beside the queue they must fit into a row's body.
const EDITS: usize = 2 << 20;

/// An action that may not happen here. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The key has no row.
    #[error("key {0:?} has no dead letter, retry or delayed event here")]
    NoKey(String),
    /// The row has no such event.
    #[error("position {0} is not among the events that wait under this key")]
    NoEvent(u64),
    /// An attempt is under way.
    #[error("position {0} is being delivered at this moment; try again after that")]
    InFlight(u64),
    /// The edits of one key are too large.
    #[error("the edited events of one key have {0} bytes together; at most 2 MiB fit")]
    TooLarge(usize),
    /// The position is not in the log.
    #[error("position {0} is beyond the log, which ends at {1}")]
    Beyond(u64, u64),
    /// A reset while events are under way.
    #[error("a reset needs a paused subscription with nothing in flight; {0} events are")]
    Busy(usize),
}

impl Refused {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoKey(_) | Self::NoEvent(_) => ErrorCode::new("EV-021"),
            Self::InFlight(_) | Self::Busy(_) => ErrorCode::new("EV-022"),
            Self::TooLarge(_) | Self::Beyond(..) => ErrorCode::new("EV-023"),
        }
    }
}

/// What a redrive reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Redriven {
    pub(crate) keys: u64,
    pub(crate) events: u64,
}

impl<B: Clone> Machine<B> {
    /// Sends nothing more until [`Machine::resume`].
    pub(crate) fn pause(&mut self) {
        self.go(Move::Pause);
    }

    /// Goes on, at once also where it waited for the service.
    pub(crate) fn resume(&mut self) {
        self.go(Move::Resume);
    }

    /// Goes on reading after `position` instead; `head` is the log's end.
    pub(crate) fn reset(&mut self, position: u64, head: u64) -> Result<(), Refused> {
        if position > head {
            return Err(Refused::Beyond(position, head));
        }
        if self.mode != Mode::Paused || self.in_flight() > 0 {
            return Err(Refused::Busy(self.in_flight()));
        }
        self.clear(position);
        let later = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.queue.back().is_some_and(|last| *last > position));
        for key in later.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.cut(&key, position);
        }
        Ok(())
    }

    /// Takes out of a row what will be read again: positions rise along the queue, so either its first stays or nothing.
    fn cut(&mut self, key: &Arc<str>, position: u64) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        self.tally.take(lane, self.bounds.queue);
        lane.queue.retain(|one| *one <= position);
        lane.edits.retain(|one, _| *one <= position);
        if lane.queue.is_empty() {
            self.wake_lane_at(key, None);
            self.lanes.remove(key);
        } else {
            self.tally.put(lane, self.bounds.queue);
        }
        self.touch(key.clone());
    }

    /// Parked keys in the order of their names.
    pub(crate) fn parked(&self) -> Vec<Arc<str>> {
        let parked = self.lanes.iter().filter(|(_, lane)| lane.state == KeyState::Parked);
        let mut keys: Vec<_> = parked.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Tries these parked keys anew, so many events a second on average: a key of n events holds the next one up for n
    /// shares of a second. With `dry_run` nothing changes. Keys that are not parked are passed over.
    pub(crate) fn redrive(&mut self, keys: &[Arc<str>], rate: f64, dry_run: bool, now: Timestamp) -> Redriven {
        let mut reached = Redriven::default();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.state == KeyState::Parked) else {
                continue;
            };
            // Over 31 years where the rate is absurdly low; no panic.
            let after = Duration::try_from_secs_f64(reached.events as f64 / rate).unwrap_or(Duration::MAX);
            (reached.keys, reached.events) = (reached.keys + 1, reached.events + lane.queue.len() as u64);
            if !dry_run {
                lane.attempts = 0;
                self.put_in_row(key, KeyMove::Redriven, Some(now.plus(after)), None, now);
            }
        }
        reached
    }

    /// Puts other data in an event's place. The key stays where it stands.
    pub(crate) fn edit(&mut self, key: &str, position: u64, data: Arc<str>) -> Result<(), Refused> {
        let (key, _) = self.find(key, position)?;
        if let Some(lane) = self.lanes.get_mut(&key) {
            let others = lane.edits.iter().filter(|(one, _)| **one != position);
            let size = others.map(|(_, data)| data.len()).sum::<usize>() + data.len();
            if size > EDITS {
                return Err(Refused::TooLarge(size));
            }
            lane.edits.insert(position, data);
        }
        self.touch(key);
        Ok(())
    }

    /// Passes an event over for good. When it was the one that parked the key, the others go on.
    pub(crate) fn skip(&mut self, key: &str, position: u64, now: Timestamp) -> Result<(), Refused> {
        let (key, is_first) = self.find(key, position)?;
        if is_first {
            self.pass(&key, now);
        } else if let Some(lane) = self.lanes.get_mut(&key) {
            self.tally.take(lane, self.bounds.queue);
            lane.queue.retain(|one| *one != position);
            lane.edits.remove(&position);
            self.tally.put(lane, self.bounds.queue);
            self.touch(key);
        }
        Ok(())
    }

    /// A key's row and whether `position` is the first of it.
    fn find(&self, key: &str, position: u64) -> Result<(Arc<str>, bool), Refused> {
        let found = self.lanes.get_key_value(key).filter(|(_, lane)| lane.state.has_row());
        let (key, lane) = found.ok_or_else(|| Refused::NoKey(key.to_owned()))?;
        // Positions rise along the queue.
        let place = lane
            .queue
            .binary_search(&position)
            .map_err(|_| Refused::NoEvent(position))?;
        if place == 0 && lane.flight.is_some() {
            return Err(Refused::InFlight(position));
        }
        Ok((key.clone(), place == 0))
    }

    /// Where an event that the filter wants stands.
    pub(crate) fn standing(&self, key: &str, position: u64) -> &'static str {
        let lane = self
            .lanes
            .get(key)
            .filter(|lane| lane.queue.binary_search(&position).is_ok());
        match lane {
            Some(lane) if lane.flight.is_some() && lane.queue.front() == Some(&position) => "in-flight",
            Some(lane) if lane.state.has_row() => lane.state.as_str(),
            Some(_) => "pending",
            None if position > self.read => "pending",
            None => "delivered",
        }
    }
}
