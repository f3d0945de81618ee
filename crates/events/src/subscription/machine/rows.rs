//! Keys whose events left the window: into their rows, through them and out again, and what the store must be told.

use super::Machine;
use crate::subscription::phase::{KeyMove, KeyState};
use ondol_core::clock::Timestamp;
use std::sync::Arc;

impl<B: Clone> Machine<B> {
    /// The first event of a key is done with.
    pub(crate) fn pass(&mut self, key: &Arc<str>, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let (had_row, long) = (lane.state.has_row(), self.bounds.queue);
        self.tally.take(lane, long);
        if let Some(held) = lane.queue.front().and_then(|first| self.window.remove(first)) {
            self.window_bytes -= held.bytes;
        }
        lane.pop();
        let by = if lane.queue.is_empty() {
            KeyMove::Emptied
        } else {
            KeyMove::Passed
        };
        let state = lane.state.next(by).unwrap_or(lane.state);
        if state != lane.state {
            (lane.state, lane.since) = (state, now);
        }
        let known = lane.known;
        if state == KeyState::Gone {
            // Later events of the key flow again.
            lane.state = KeyState::Flowing;
            if known == 0 {
                self.lanes.remove(key);
                return;
            }
        }
        self.tally.put(lane, long);
        if had_row {
            let more = state != KeyState::Gone;
            self.changed.insert(key.clone());
            self.wake_lane_at(key, more.then_some(now));
            if !more {
                self.finished.insert((known, key.clone()));
            }
        }
        self.make_ready(key);
    }

    /// Gives up the rows that nothing needs any more: the log will not be read again as far back as they reach.
    fn bury(&mut self) {
        while self.finished.first().is_some_and(|(known, _)| *known <= self.written) {
            let Some((_, key)) = self.finished.pop_first() else {
                return;
            };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.known = 0;
                if lane.queue.is_empty() {
                    self.lanes.remove(&key);
                }
            }
            self.changed.insert(key);
        }
    }

    /// Takes the keys whose rows are to be written before [`Machine::position`] may be.
    pub(crate) fn take_changed(&mut self) -> Vec<Arc<str>> {
        self.bury();
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// The store has this position, and every row that was to be written before it.
    pub(crate) fn written(&mut self, position: u64) {
        self.written = position;
    }

    /// The row of a key is not as the store has it.
    pub(crate) fn touch(&mut self, key: Arc<str>) {
        self.changed.insert(key);
    }

    /// Rows are to be written, or finished ones taken away.
    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.finished.first().is_some_and(|(known, _)| *known <= self.written)
    }

    /// They were not written after all.
    pub(crate) fn not_written(&mut self, keys: Vec<Arc<str>>) {
        self.changed.extend(keys);
    }

    /// Moves a key into its row, or to another state of it.
    pub(crate) fn put_in_row(
        &mut self,
        key: &Arc<str>,
        by: KeyMove,
        wake_at: Option<Timestamp>,
        why: Option<String>,
        now: Timestamp,
    ) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let Some(state) = lane.state.next(by) else { return };
        self.tally.take(lane, self.bounds.queue);
        if !lane.state.has_row() {
            for position in &lane.queue {
                if let Some(held) = self.window.remove(position) {
                    self.window_bytes -= held.bytes;
                }
            }
        }
        if state != lane.state {
            (lane.state, lane.since) = (state, now);
        }
        lane.error = why.or(lane.error.take());
        self.finished.remove(&(lane.known, key.clone()));
        lane.known = lane.known.max(lane.queue.back().copied().unwrap_or(0));
        self.tally.put(lane, self.bounds.queue);
        self.changed.insert(key.clone());
        self.wake_lane_at(key, wake_at);
    }

    pub(crate) fn wake_lane_at(&mut self, key: &Arc<str>, at: Option<Timestamp>) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if let Some(earlier) = lane.wake_at {
            self.due.remove(&(earlier, key.clone()));
        }
        lane.wake_at = at;
        self.due.extend(at.map(|at| (at, key.clone())));
    }

    /// Forgets the window and everyone who stands in line; for a reset.
    pub(crate) fn clear(&mut self, position: u64) {
        self.window.clear();
        (self.window_bytes, self.read) = (0, position);
        self.fresh.clear();
        self.again.clear();
        self.lanes.retain(|_, lane| lane.is_stored());
        self.finished.clear();
        for (key, lane) in &mut self.lanes {
            (lane.is_ready, lane.known) = (false, lane.known.min(position));
            self.due.extend(lane.wake_at.map(|at| (at, key.clone())));
            if !lane.state.has_row() {
                lane.queue.clear();
                self.finished.insert((lane.known, key.clone()));
            }
        }
    }
}
