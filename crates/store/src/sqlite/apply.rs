//! The writer's statements, prepared once: facts for the decision, and the changes of an accepted write.

use super::read::{columns_of_row, row_from};
use crate::decide::{Facts, Heads, Place};
use crate::tally::Tally;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Append, Appended, Committed, Row, RowOp, Table, Write};
use ondol_core::id::StreamName;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

/// Prepared statements of the one writing connection.
pub(super) struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    record: Statement<'c>,
    put: Statement<'c>,
    delete: Statement<'c>,
    event: Statement<'c>,
    kind: Statement<'c>,
    row: Statement<'c>,
    last_revision: Statement<'c>,
    place: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            record: connection
                .prepare("INSERT INTO record (position, subject, kind, at, body) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            put: connection.prepare(
                "INSERT INTO state_row (tab, key, state, name, detail, wake_at, updated_at, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (tab, key) DO UPDATE SET state = excluded.state, name = excluded.name,
                 detail = excluded.detail, wake_at = excluded.wake_at, updated_at = excluded.updated_at,
                 body = excluded.body",
            )?,
            delete: connection.prepare("DELETE FROM state_row WHERE tab = ?1 AND key = ?2")?,
            event: connection.prepare(
                "INSERT INTO event (position, stream, revision, rest, family, id, kind, at, body, correlation)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            kind: connection.prepare(
                "INSERT INTO kind (kind, events, last_position, last_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind) DO UPDATE SET events = events + excluded.events,
                 last_position = excluded.last_position, last_at = excluded.last_at",
            )?,
            row: connection.prepare(&format!(
                "SELECT {} FROM state_row WHERE tab = ?1 AND key = ?2",
                columns_of_row()
            ))?,
            last_revision: connection
                .prepare("SELECT revision FROM event WHERE stream = ?1 ORDER BY revision DESC LIMIT 1")?,
            place: connection.prepare("SELECT stream, revision, position, rest FROM event WHERE id = ?1")?,
        })
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.begin.execute([]).map(drop)
    }

    /// Durable when this returns: `synchronous=FULL` syncs the write-ahead log at each commit.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.commit.execute([]).map(drop)
    }

    pub(super) fn rollback(&mut self) -> Result<()> {
        self.rollback.execute([]).map(drop)
    }

    /// Writes down what was decided: the places in `committed` are this write's.
    pub(super) fn apply(&mut self, write: &Write, committed: &Committed) -> Result<()> {
        for (record, position) in write.records.iter().zip(committed.first_record..) {
            let Timestamp(at) = record.at;
            self.record
                .execute(params![position, record.subject, record.kind, at, &record.body[..]])?;
        }
        for row in &write.rows {
            match row {
                RowOp::Put(table, row) => {
                    let (wake_at, updated_at) = (row.wake_at.map(|at| at.0), row.updated_at.0);
                    self.put.execute(params![
                        table.number(),
                        row.key,
                        row.state,
                        row.name,
                        row.detail,
                        wake_at,
                        updated_at,
                        &row.body[..]
                    ])?;
                }
                RowOp::Delete(table, key) => {
                    self.delete.execute(params![table.number(), key])?;
                }
            }
        }
        for (append, places) in write
            .appends
            .iter()
            .zip(&committed.appended)
            .filter(|(_, places)| !places.duplicate)
        {
            self.append(append, places)?;
        }
        Ok(())
    }

    fn append(&mut self, append: &Append, places: &Appended) -> Result<()> {
        for (event, after) in append.events.iter().zip(0..) {
            self.event.execute(params![
                places.first_position + after,
                append.stream.as_str(),
                places.first_revision + after,
                places.last_position - places.first_position - after,
                append.stream.family(),
                event.id,
                event.kind,
                event.at.0,
                &event.body[..],
                event.correlation
            ])?;
        }
        Ok(())
    }

    /// Adds a batch's new events to the counts by type.
    pub(super) fn count(&mut self, tally: &Tally<'_>) -> Result<()> {
        for (kind, added) in tally.iter() {
            self.kind
                .execute(params![kind, added.events, added.last_position, added.last_at.0])?;
        }
        Ok(())
    }
}

impl Facts for Statements<'_> {
    type Error = rusqlite::Error;

    fn row(&mut self, table: Table, key: &str) -> Result<Option<Row>> {
        self.row.query_row(params![table.number(), key], row_from).optional()
    }

    fn last_revision(&mut self, stream: &StreamName) -> Result<Option<u64>> {
        self.last_revision
            .query_row([stream.as_str()], |row| row.get(0))
            .optional()
    }

    fn place(&mut self, id: &str) -> Result<Option<Place>> {
        let place = |row: &rusqlite::Row<'_>| {
            let (revision, position, rest) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Place {
                stream: stream_at(row, 0)?,
                revision,
                position,
                rest,
            })
        };
        self.place.query_row([id], place).optional()
    }
}

/// Reads a stream's name, which was valid when it was written.
pub(super) fn stream_at(row: &rusqlite::Row<'_>, column: usize) -> Result<StreamName> {
    let text = row.get_ref(column)?.as_str()?;
    StreamName::new(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// The logs' last positions in the file.
pub(super) fn heads(connection: &Connection) -> Result<Heads> {
    let head = |table: &str| {
        let sql = format!("SELECT coalesce(max(position), 0) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    Ok(Heads {
        record: head("record")?,
        event: head("event")?,
    })
}
