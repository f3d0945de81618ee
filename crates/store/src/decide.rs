//! Whether a write may happen, and which places it gets. Pure: facts come in, a decision goes out.
//!
//! Both engines call [`decide`] for one write after the other of a batch, in the writer, with facts that include the
//! batch's earlier accepted writes; a refused write leaves no trace.
//!
//! Order of the checks: guards, then for each append first whether it is a duplicate, then its ids, then its revision.
//! That no id stands twice in one write is `bounds.rs`'s to see.
//! Tests: `tests/conformance` on both engines, with random writes against a model that shares no code with this.

use ondol_core::engine::{Append, Appended, Committed, Expected, Guard, Row, StoreError, Table, Write};
use ondol_core::id::StreamName;

/// Where a stored event is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) stream: StreamName,
    pub(crate) revision: u64,
    pub(crate) position: u64,
    /// How many events follow it that were appended with it.
    pub(crate) rest: u64,
}

/// Looks facts up in the store as the batch has left it so far.
pub(crate) trait Facts {
    /// Why a look-up may fail.
    type Error;
    /// The row with this key.
    fn row(&mut self, table: Table, key: &str) -> Result<Option<Row>, Self::Error>;
    /// The stream's last revision; `None`: it does not exist.
    fn last_revision(&mut self, stream: &StreamName) -> Result<Option<u64>, Self::Error>;
    /// The event with this id.
    fn place(&mut self, id: &str) -> Result<Option<Place>, Self::Error>;
}

/// The last position of each log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Heads {
    pub(crate) record: u64,
    pub(crate) event: u64,
}

/// Decides on one write; moves `heads` only when it is accepted.
///
/// # Errors
/// The outer error is a failed look-up, the inner one the refusal of this write.
pub(crate) fn decide<F: Facts>(
    write: &Write,
    heads: &mut Heads,
    facts: &mut F,
) -> Result<Result<Committed, StoreError>, F::Error> {
    let mut new_ids = false;
    for guard in &write.guards {
        match guard {
            Guard::Absent(table, key) => {
                if let Some(row) = facts.row(*table, key)? {
                    return Ok(Err(StoreError::Exists(Box::new(row))));
                }
            }
            Guard::NewIds => new_ids = true,
        }
    }
    let mut after = *heads;
    let mut committed = Committed {
        first_record: 0,
        appended: Vec::with_capacity(write.appends.len()),
    };
    if !write.records.is_empty() {
        committed.first_record = after.record + 1;
        after.record += write.records.len() as u64;
    }
    for (index, append) in write.appends.iter().enumerate() {
        let beside = Beside {
            appends: &write.appends[..index],
            appended: &committed.appended,
            new_ids,
        };
        match place_append(append, &beside, &mut after.event, facts)? {
            Ok(appended) => committed.appended.push(appended),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    *heads = after;
    Ok(Ok(committed))
}

/// What this write says beside the append: its earlier appends, as they were decided, and its guard on ids.
struct Beside<'a> {
    appends: &'a [Append],
    appended: &'a [Appended],
    /// [`Guard::NewIds`]: a known first id is no duplicate but a refusal.
    new_ids: bool,
}

impl Beside<'_> {
    fn last_revision(&self, stream: &StreamName) -> Option<u64> {
        let mut pairs = self.appends.iter().zip(self.appended).rev();
        pairs
            .find(|(append, place)| append.stream == *stream && !place.duplicate)
            .map(|(_, place)| place.last_revision)
    }
}

fn place_append<F: Facts>(
    append: &Append,
    beside: &Beside<'_>,
    head: &mut u64,
    facts: &mut F,
) -> Result<Result<Appended, StoreError>, F::Error> {
    let in_use = |id: &str| Ok(Err(StoreError::IdInUse { id: id.to_owned() }));
    for (index, event) in append.events.iter().enumerate() {
        match facts.place(&event.id)? {
            Some(place) if index == 0 && !beside.new_ids && place.stream == append.stream => {
                return Ok(Ok(duplicate(&place)));
            }
            Some(_) => return in_use(&event.id),
            None => {}
        }
    }
    let actual = match beside.last_revision(&append.stream) {
        Some(revision) => Some(revision),
        None => facts.last_revision(&append.stream)?,
    };
    let met = match append.expected {
        Expected::Any => true,
        Expected::NoStream => actual.is_none(),
        Expected::Exists => actual.is_some(),
        Expected::Revision(revision) => actual == Some(revision),
    };
    if !met {
        let (stream, expected) = (append.stream.clone(), append.expected);
        return Ok(Err(StoreError::WrongRevision {
            stream,
            expected,
            actual,
        }));
    }
    let more = append.events.len() as u64 - 1;
    let first_revision = actual.map_or(0, |revision| revision + 1);
    let first_position = *head + 1;
    *head = first_position + more;
    Ok(Ok(Appended {
        first_revision,
        last_revision: first_revision + more,
        first_position,
        last_position: *head,
        duplicate: false,
    }))
}

fn duplicate(place: &Place) -> Appended {
    Appended {
        first_revision: place.revision,
        last_revision: place.revision + place.rest,
        first_position: place.position,
        last_position: place.position + place.rest,
        duplicate: true,
    }
}
