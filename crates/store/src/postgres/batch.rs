//! The accepted writes of a batch as columns, one array for each, ready for UNNEST. Pure.
//!
//! Two changes of one row in one batch would make an upsert fail ("cannot affect row a second time"), so only the last
//! of them is kept; the log keeps every record.

use crate::tally::Tally;
use ondol_core::engine::{Append, Appended, Committed, RowOp, Table, Write};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Columns of `ondol.record`.
#[derive(Default)]
pub(super) struct Records<'w> {
    pub(super) position: Vec<i64>,
    pub(super) subject: Vec<&'w str>,
    pub(super) kind: Vec<&'w str>,
    pub(super) at: Vec<i64>,
    pub(super) body: Vec<&'w [u8]>,
}

/// Columns of `ondol.state_row`.
#[derive(Default)]
pub(super) struct Puts<'w> {
    pub(super) tab: Vec<i16>,
    pub(super) key: Vec<&'w str>,
    pub(super) state: Vec<&'w str>,
    pub(super) name: Vec<&'w str>,
    pub(super) detail: Vec<&'w str>,
    pub(super) wake_at: Vec<Option<i64>>,
    pub(super) updated_at: Vec<i64>,
    pub(super) body: Vec<&'w [u8]>,
}

/// Keys to take away.
#[derive(Default)]
pub(super) struct Deletes<'w> {
    pub(super) tab: Vec<i16>,
    pub(super) key: Vec<&'w str>,
}

/// Columns of `ondol.event`.
#[derive(Default)]
pub(super) struct Events<'w> {
    pub(super) position: Vec<i64>,
    pub(super) stream: Vec<&'w str>,
    pub(super) revision: Vec<i64>,
    pub(super) rest: Vec<i64>,
    pub(super) family: Vec<&'w str>,
    pub(super) id: Vec<&'w str>,
    pub(super) kind: Vec<&'w str>,
    pub(super) at: Vec<i64>,
    pub(super) body: Vec<&'w [u8]>,
    pub(super) correlation: Vec<Option<&'w str>>,
}

/// Columns of `ondol.kind`.
#[derive(Default)]
pub(super) struct Kinds<'w> {
    pub(super) kind: Vec<&'w str>,
    pub(super) events: Vec<i64>,
    pub(super) last_position: Vec<i64>,
    pub(super) last_at: Vec<i64>,
}

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Batch<'w> {
    pub(super) records: Records<'w>,
    pub(super) puts: Puts<'w>,
    pub(super) deletes: Deletes<'w>,
    pub(super) events: Events<'w>,
    pub(super) kinds: Kinds<'w>,
}

/// Positions and revisions stay below 2^63: the store counts them from 0.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

impl<'w> Batch<'w> {
    /// The columns of all accepted writes, in their order.
    pub(super) fn of(accepted: impl IntoIterator<Item = (&'w Write, &'w Committed)>) -> Self {
        let mut batch = Self::default();
        let mut ops: Vec<&RowOp> = Vec::new();
        let mut last: HashMap<(Table, &str), usize> = HashMap::new();
        let mut tally = Tally::default();
        for (write, committed) in accepted {
            tally.add(write, committed);
            batch.add_records(write, committed);
            for op in &write.rows {
                match last.entry(key_of(op)) {
                    Entry::Occupied(at) => ops[*at.get()] = op,
                    Entry::Vacant(at) => {
                        at.insert(ops.len());
                        ops.push(op);
                    }
                }
            }
            for (append, places) in write
                .appends
                .iter()
                .zip(&committed.appended)
                .filter(|(_, at)| !at.duplicate)
            {
                batch.add_events(append, places);
            }
        }
        for op in ops {
            batch.add_row(op);
        }
        batch.add_kinds(&tally);
        batch
    }

    /// True when there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.records.position.is_empty()
            && self.puts.key.is_empty()
            && self.deletes.key.is_empty()
            && self.events.position.is_empty()
    }

    fn add_records(&mut self, write: &'w Write, committed: &Committed) {
        for (record, position) in write.records.iter().zip(committed.first_record..) {
            self.records.position.push(signed(position));
            self.records.subject.push(&record.subject);
            self.records.kind.push(&record.kind);
            self.records.at.push(record.at.0);
            self.records.body.push(&record.body);
        }
    }

    fn add_row(&mut self, op: &'w RowOp) {
        match op {
            RowOp::Put(table, row) => {
                self.puts.tab.push(table.number());
                self.puts.key.push(&row.key);
                self.puts.state.push(&row.state);
                self.puts.name.push(&row.name);
                self.puts.detail.push(&row.detail);
                self.puts.wake_at.push(row.wake_at.map(|at| at.0));
                self.puts.updated_at.push(row.updated_at.0);
                self.puts.body.push(&row.body);
            }
            RowOp::Delete(table, key) => {
                self.deletes.tab.push(table.number());
                self.deletes.key.push(key);
            }
        }
    }

    fn add_events(&mut self, append: &'w Append, places: &Appended) {
        for (event, after) in append.events.iter().zip(0..) {
            self.events.position.push(signed(places.first_position + after));
            self.events.stream.push(append.stream.as_str());
            self.events.revision.push(signed(places.first_revision + after));
            self.events
                .rest
                .push(signed(places.last_position - places.first_position - after));
            self.events.family.push(append.stream.family());
            self.events.id.push(&event.id);
            self.events.kind.push(&event.kind);
            self.events.at.push(event.at.0);
            self.events.body.push(&event.body);
            self.events.correlation.push(event.correlation.as_deref());
        }
    }

    fn add_kinds(&mut self, tally: &Tally<'w>) {
        for (kind, added) in tally.iter() {
            self.kinds.kind.push(kind);
            self.kinds.events.push(signed(added.events));
            self.kinds.last_position.push(signed(added.last_position));
            self.kinds.last_at.push(added.last_at.0);
        }
    }
}

fn key_of(op: &RowOp) -> (Table, &str) {
    match op {
        RowOp::Put(table, row) => (*table, &row.key),
        RowOp::Delete(table, key) => (*table, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ondol_core::clock::Timestamp;
    use ondol_core::engine::{Record, Row};

    /// `+k1` puts key `k` with state `1`, `-k` takes it away; the claim is what is left, in the same words.
    fn check(ops: &str, claim: &str) {
        let op = |text: &str| match text.split_at(1) {
            ("-", key) => RowOp::Delete(Table::Saga, key.into()),
            (_, put) => RowOp::Put(Table::Saga, row(&put[..1], &put[1..])),
        };
        let writes: Vec<Write> = ops
            .split(' ')
            .map(|text| Write {
                rows: vec![op(text)],
                ..Write::default()
            })
            .collect();
        let committed = Committed::default();
        let batch = Batch::of(writes.iter().map(|write| (write, &committed)));
        let puts = batch
            .puts
            .key
            .iter()
            .zip(&batch.puts.state)
            .map(|(key, state)| format!("+{key}{state}"));
        let deletes = batch.deletes.key.iter().map(|key| format!("-{key}"));
        assert_eq!(puts.chain(deletes).collect::<Vec<_>>().join(" "), claim, "{ops}");
    }

    fn row(key: &str, state: &str) -> Row {
        let (name, detail, body) = (String::new(), String::new(), Bytes::new());
        let (key, state) = (key.to_owned(), state.to_owned());
        Row {
            key,
            state,
            name,
            detail,
            wake_at: None,
            updated_at: Timestamp(0),
            body,
        }
    }

    #[test]
    fn only_the_last_change_of_a_row_is_written() {
        check("+a1", "+a1");
        check("+a1 +a2 +b1 +a3", "+a3 +b1");
        check("+a1 -a", "-a");
        check("-a +a1", "+a1");
        check("+a1 -a +b1 -b +b2", "+b2 -a");
    }

    #[test]
    fn every_record_is_written_with_its_position() {
        let record = |subject: &str| Record {
            subject: subject.into(),
            kind: "k".into(),
            at: Timestamp(0),
            body: Bytes::new(),
        };
        let write = Write {
            records: vec![record("a"), record("a")],
            ..Write::default()
        };
        let committed = Committed {
            first_record: 7,
            appended: vec![],
        };
        let batch = Batch::of([(&write, &committed)]);
        assert_eq!(
            (batch.records.position, batch.records.subject),
            (vec![7, 8], vec!["a", "a"])
        );
    }
}
