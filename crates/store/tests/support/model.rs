//! What a store is, in its plainest words: the reference for random writes. Shares no code with the engines.

use ondol_core::engine::{
    Appended, Committed, Expected, Guard, Row, RowOp, StoreError, StoredEvent, StoredRecord, Table, Write,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Model {
    pub records: Vec<StoredRecord>,
    pub rows: BTreeMap<(i16, String), Row>,
    pub events: Vec<StoredEvent>,
    /// For each event, the last event of its batch, as an index into `events`.
    last_of_batch: Vec<usize>,
}

impl Model {
    /// Does what `write` says, or refuses it and changes nothing.
    pub fn commit(&mut self, write: &Write) -> Result<Committed, StoreError> {
        for guard in &write.guards {
            if let Guard::Absent(table, key) = guard
                && let Some(row) = self.row(*table, key)
            {
                return Err(StoreError::Exists(Box::new(row.clone())));
            }
        }
        let new_ids = write.guards.contains(&Guard::NewIds);
        let (events, batches) = (self.events.clone(), self.last_of_batch.clone());
        let mut committed = Committed::default();
        for append in &write.appends {
            match self.append(append, new_ids) {
                Ok(appended) => committed.appended.push(appended),
                Err(refusal) => {
                    (self.events, self.last_of_batch) = (events, batches);
                    return Err(refusal);
                }
            }
        }
        for record in &write.records {
            let position = self.records.len() as u64 + 1;
            if committed.first_record == 0 {
                committed.first_record = position;
            }
            self.records.push(StoredRecord {
                position,
                record: record.clone(),
            });
        }
        for op in &write.rows {
            match op {
                RowOp::Put(table, row) => self.rows.insert((table.number(), row.key.clone()), row.clone()),
                RowOp::Delete(table, key) => self.rows.remove(&(table.number(), key.clone())),
            };
        }
        Ok(committed)
    }

    fn row(&self, table: Table, key: &str) -> Option<&Row> {
        self.rows.get(&(table.number(), key.to_owned()))
    }

    fn append(&mut self, append: &ondol_core::engine::Append, new_ids: bool) -> Result<Appended, StoreError> {
        let at = |id: &str| self.events.iter().position(|stored| stored.event.id == id);
        if let Some(first) = at(&append.events[0].id).filter(|at| !new_ids && self.events[*at].stream == append.stream)
        {
            let last = self.last_of_batch[first];
            let (first, last) = (&self.events[first], &self.events[last]);
            return Ok(Appended {
                first_revision: first.revision,
                last_revision: last.revision,
                first_position: first.position,
                last_position: last.position,
                duplicate: true,
            });
        }
        if let Some(event) = append.events.iter().find(|event| at(&event.id).is_some()) {
            return Err(StoreError::IdInUse { id: event.id.clone() });
        }
        let actual = self
            .events
            .iter()
            .rev()
            .find(|stored| stored.stream == append.stream)
            .map(|last| last.revision);
        let met = match append.expected {
            Expected::Any => true,
            Expected::NoStream => actual.is_none(),
            Expected::Exists => actual.is_some(),
            Expected::Revision(wanted) => actual == Some(wanted),
        };
        if !met {
            let (stream, expected) = (append.stream.clone(), append.expected);
            return Err(StoreError::WrongRevision {
                stream,
                expected,
                actual,
            });
        }
        let (first, last) = (self.events.len(), self.events.len() + append.events.len() - 1);
        let first_revision = actual.map_or(0, |revision| revision + 1);
        for (after, event) in append.events.iter().enumerate() {
            let (position, revision) = ((first + after) as u64 + 1, first_revision + after as u64);
            self.events.push(StoredEvent {
                position,
                stream: append.stream.clone(),
                revision,
                event: event.clone(),
            });
            self.last_of_batch.push(last);
        }
        Ok(Appended {
            first_revision,
            last_revision: first_revision + (last - first) as u64,
            first_position: first as u64 + 1,
            last_position: last as u64 + 1,
            duplicate: false,
        })
    }
}
