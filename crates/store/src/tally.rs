//! How many events of each type the accepted writes of one batch append: added to the store's table of types in the same
//! transaction, so that a list of types counts nothing. Pure.

use ondol_core::clock::Timestamp;
use ondol_core::engine::{Append, Appended, Committed, Write};
use std::collections::HashMap;

/// What a batch adds to one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Added {
    pub(crate) events: u64,
    pub(crate) last_position: u64,
    pub(crate) last_at: Timestamp,
}

/// What a batch adds, by type. As many types as its events have.
#[derive(Default)]
pub(crate) struct Tally<'w>(HashMap<&'w str, Added>);

impl<'w> Tally<'w> {
    /// Takes the new events of an accepted write in; writes come in their order.
    pub(crate) fn add(&mut self, write: &'w Write, committed: &Committed) {
        for (append, places) in write.appends.iter().zip(&committed.appended) {
            if !places.duplicate {
                self.add_append(append, places);
            }
        }
    }

    fn add_append(&mut self, append: &'w Append, places: &Appended) {
        for (event, position) in append.events.iter().zip(places.first_position..) {
            let added = self.0.entry(&event.kind).or_insert(Added {
                events: 0,
                last_position: 0,
                last_at: event.at,
            });
            *added = Added {
                events: added.events + 1,
                last_position: position,
                last_at: event.at,
            };
        }
    }

    /// Every type with what is added to it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'w str, Added)> {
        self.0.iter().map(|(kind, added)| (*kind, *added))
    }
}
