//! What the loop of a subscription reads of the log, one page at a time while the window has room.

use super::machine::Seen;
use super::service::{LOOK_EVERY, Runner, STORE_PAUSE};
use super::source::{Found, PAGE};
use ondol_core::engine::StoreError;
use std::time::Duration;

impl Runner {
    pub(super) fn begin_read(&mut self) {
        let mono = self.ports.clock.mono();
        if self.reading.is_some() || mono < self.read_at {
            return;
        }
        let room = self.machine.room();
        self.has_room = room.is_some();
        let Some(room) = room else { return };
        let (source, filter, after) = (self.source.clone(), self.filter.clone(), self.machine.read);
        // Seen before the read, so that an append meanwhile wakes.
        self.head.borrow_and_update();
        let limit = u32::try_from(room).unwrap_or(PAGE).min(PAGE);
        self.reading = Some(Box::pin(async move { source.after(&filter, after, limit).await }));
    }

    /// What a read that is under way gives is not wanted.
    pub(crate) fn forget_read(&mut self) {
        (self.reading, self.read_at) = (None, Duration::ZERO);
    }

    pub(super) fn took(&mut self, found: Result<Found, StoreError>) {
        let mono = self.ports.clock.mono();
        match found {
            Ok(found) => {
                self.at_end = found.upto <= self.machine.read;
                // What was seen of the end in the store or told by this process, whichever is newer.
                let end = found.end.max(*self.head.borrow());
                self.pace.read(end.saturating_sub(found.upto), mono);
                self.read_at = if self.at_end { mono + LOOK_EVERY } else { Duration::ZERO };
                let seen = found.events.into_iter().map(|read| Seen {
                    position: read.stored.position,
                    key: read.key(),
                    deliver_at: read.deliver_at(),
                    bytes: read.stored.event.body.len(),
                    body: read,
                });
                self.machine.take(seen.collect(), found.upto, self.ports.clock.wall());
            }
            Err(error) => {
                self.read_at = mono + STORE_PAUSE;
                tracing::warn!(subscription = self.name, code = %error.code(), %error, "the log cannot be read; trying on");
            }
        }
    }
}
