//! What the decisions of one batch rest on: fetched for the whole batch at once, then kept in step as writes are
//! accepted. Pure.

use crate::decide::{Facts, Place};
use ondol_core::engine::{Committed, Guard, Row, RowOp, Table, Write};
use ondol_core::id::StreamName;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

/// What to ask the server for.
#[derive(Default)]
pub(super) struct Wanted<'w> {
    pub(super) tab: Vec<i16>,
    pub(super) key: Vec<&'w str>,
    pub(super) streams: Vec<&'w str>,
    pub(super) ids: Vec<&'w str>,
}

impl<'w> Wanted<'w> {
    pub(super) fn of(writes: impl IntoIterator<Item = &'w Write>) -> Self {
        let mut wanted = Self::default();
        let mut streams = HashSet::new();
        for write in writes {
            for guard in &write.guards {
                if let Guard::Absent(table, key) = guard {
                    wanted.tab.push(table.number());
                    wanted.key.push(key);
                }
            }
            for append in &write.appends {
                if streams.insert(append.stream.as_str()) {
                    wanted.streams.push(append.stream.as_str());
                }
                wanted.ids.extend(append.events.iter().map(|event| event.id.as_str()));
            }
        }
        wanted
    }

    /// True when no decision needs to know anything.
    pub(super) fn is_empty(&self) -> bool {
        self.key.is_empty() && self.streams.is_empty()
    }
}

/// The store as the batch has left it so far, as far as this batch asks.
#[derive(Default)]
pub(super) struct Known {
    /// `None`: asked for, and not there. Keys that no guard names are not kept.
    pub(super) rows: HashMap<(i16, String), Option<Row>>,
    pub(super) revisions: HashMap<StreamName, u64>,
    pub(super) places: HashMap<String, Place>,
}

impl Known {
    /// Takes an accepted write in, for the decisions after it.
    pub(super) fn accept(&mut self, write: &Write, committed: &Committed) {
        for op in &write.rows {
            let (table, key, row) = match op {
                RowOp::Put(table, row) => (table, &row.key, Some(row)),
                RowOp::Delete(table, key) => (table, key, None),
            };
            if self.rows.is_empty() {
                continue;
            }
            if let Some(known) = self.rows.get_mut(&(table.number(), key.clone())) {
                *known = row.cloned();
            }
        }
        for (append, places) in write
            .appends
            .iter()
            .zip(&committed.appended)
            .filter(|(_, places)| !places.duplicate)
        {
            self.revisions.insert(append.stream.clone(), places.last_revision);
            for (event, after) in append.events.iter().zip(0..) {
                let place = Place {
                    stream: append.stream.clone(),
                    revision: places.first_revision + after,
                    position: places.first_position + after,
                    rest: places.last_position - places.first_position - after,
                };
                self.places.insert(event.id.clone(), place);
            }
        }
    }
}

impl Facts for Known {
    type Error = Infallible;

    fn row(&mut self, table: Table, key: &str) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(&(table.number(), key.to_owned())).cloned().flatten())
    }

    fn last_revision(&mut self, stream: &StreamName) -> Result<Option<u64>, Infallible> {
        Ok(self.revisions.get(stream).copied())
    }

    fn place(&mut self, id: &str) -> Result<Option<Place>, Infallible> {
        Ok(self.places.get(id).cloned())
    }
}
