//! What a write may hold: checked before it enters the queue, alike for every engine.

use ondol_core::engine::{Guard, NewEvent, Record, Row, RowOp, StoreError, Write};
use std::collections::HashSet;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// At most so many rows, records or events in one page of a read.
pub(crate) const PAGE_ITEMS: u32 = 10_000;
/// A page of a read ends once it holds so many bytes.
pub(crate) const PAGE_BYTES: usize = 16 * MIB;
/// At most so many entries of a list in a read are looked at: ids, positions, selectors.
pub(crate) const LISTED: usize = 1_000;
/// One write as a whole, in bytes.
const WRITE: usize = 16 * MIB;
const EVENTS_PER_APPEND: usize = 1_000;
/// What an item costs beside its texts and body: its columns, index entries and allocation.
const ITEM: usize = 128;

/// The bytes that `write` weighs in the queue. Also sees that no event id stands twice in it.
///
/// # Errors
/// [`StoreError::TooLarge`], [`StoreError::Malformed`] or [`StoreError::IdInUse`] with the first bound it breaks.
pub(crate) fn weigh(write: &Write) -> Result<usize, StoreError> {
    let mut total = 0;
    for guard in &write.guards {
        if let Guard::Absent(_, key) = guard {
            total += text("a row's key", key, 512)?;
        }
    }
    for record in &write.records {
        total += weigh_record(record)?;
    }
    for row in &write.rows {
        total += match row {
            RowOp::Put(_, row) => weigh_row(row)?,
            RowOp::Delete(_, key) => text("a row's key", key, 512)?,
        };
    }
    for append in &write.appends {
        if append.events.is_empty() {
            return Err(StoreError::Malformed {
                what: "an append",
                rule: "it needs at least one event",
            });
        }
        if append.events.len() > EVENTS_PER_APPEND {
            return Err(StoreError::Malformed {
                what: "an append",
                rule: "it takes at most 1,000 events",
            });
        }
        for event in &append.events {
            total += weigh_event(event)?;
        }
    }
    let mut ids = HashSet::new();
    let mut events = write.appends.iter().flat_map(|append| &append.events);
    if let Some(twice) = events.find(|event| !ids.insert(event.id.as_str())) {
        return Err(StoreError::IdInUse { id: twice.id.clone() });
    }
    fits("a write", total, WRITE)
}

fn weigh_record(record: &Record) -> Result<usize, StoreError> {
    Ok(ITEM
        + text("a record's subject", &record.subject, 512)?
        + text("a record's kind", &record.kind, 64)?
        + fits("a record's body", record.body.len(), 4 * MIB)?)
}

fn weigh_row(row: &Row) -> Result<usize, StoreError> {
    Ok(ITEM
        + text("a row's key", &row.key, 512)?
        + text("a row's state", &row.state, 64)?
        + text("a row's name", &row.name, 128)?
        + text("a row's detail", &row.detail, 128)?
        + fits("a row's body", row.body.len(), 4 * MIB)?)
}

fn weigh_event(event: &NewEvent) -> Result<usize, StoreError> {
    if event.id.is_empty() {
        return Err(StoreError::Malformed {
            what: "an event's id",
            rule: "it must not be empty",
        });
    }
    Ok(ITEM
        + text("an event's id", &event.id, 512)?
        + text("an event's kind", &event.kind, 256)?
        + text(
            "an event's correlation",
            event.correlation.as_deref().unwrap_or_default(),
            512,
        )?
        + fits("an event's body", event.body.len(), MIB)?)
}

/// PostgreSQL keeps no NUL in a text, so no engine does.
fn text(what: &'static str, text: &str, limit: usize) -> Result<usize, StoreError> {
    if text.as_bytes().contains(&0) {
        return Err(StoreError::Malformed {
            what,
            rule: "it must not hold a NUL character",
        });
    }
    fits(what, text.len(), limit)
}

fn fits(what: &'static str, size: usize, limit: usize) -> Result<usize, StoreError> {
    if size > limit {
        Err(StoreError::TooLarge { what, size, limit })
    } else {
        Ok(size)
    }
}
