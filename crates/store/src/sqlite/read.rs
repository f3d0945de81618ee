//! The queries of reads of rows and records. Every page is bounded in items and bytes. Events: `events.rs`.

use super::apply::heads;
use crate::bounds::{PAGE_BYTES, PAGE_ITEMS};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Order, Record, Row, RowFilter, StoreSize, StoredRecord, Table};
use rusqlite::{Connection, OptionalExtension, Params, Result, ToSql, params};
use std::fmt::Write as _;
use std::path::Path;

const RECORD: &str = "position, subject, kind, at, body";

/// The columns that [`row_from`] reads, in its order.
pub(super) const fn columns_of_row() -> &'static str {
    "key, state, name, detail, wake_at, updated_at, body"
}

/// Reads one row.
pub(super) fn row_from(row: &rusqlite::Row<'_>) -> Result<Row> {
    Ok(Row {
        key: row.get(0)?,
        state: row.get(1)?,
        name: row.get(2)?,
        detail: row.get(3)?,
        wake_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        updated_at: Timestamp(row.get(5)?),
        body: body_at(row, 6)?,
    })
}

pub(super) fn body_at(row: &rusqlite::Row<'_>, column: usize) -> Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

fn record_from(row: &rusqlite::Row<'_>) -> Result<StoredRecord> {
    let record = Record {
        subject: row.get(1)?,
        kind: row.get(2)?,
        at: Timestamp(row.get(3)?),
        body: body_at(row, 4)?,
    };
    Ok(StoredRecord {
        position: row.get(0)?,
        record,
    })
}

/// Positions are stored as signed numbers; a greater one is beyond every event.
pub(super) fn bounded(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// Collects a page: `limit` is in the query, the bound on bytes is kept here.
pub(super) fn page<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: fn(&rusqlite::Row<'_>) -> Result<T>,
    weigh: fn(&T) -> usize,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES {
        let Some(row) = rows.next()? else { break };
        let item = read(row)?;
        bytes += weigh(&item);
        items.push(item);
    }
    Ok(items)
}

pub(super) fn row(connection: &Connection, table: Table, key: &str) -> Result<Option<Row>> {
    let sql = format!("SELECT {} FROM state_row WHERE tab = ?1 AND key = ?2", columns_of_row());
    connection
        .prepare_cached(&sql)?
        .query_row(params![table.number(), key], row_from)
        .optional()
}

pub(super) fn rows(
    connection: &Connection,
    table: Table,
    filter: &RowFilter,
    order: Order,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Row>> {
    let sql = rows_sql(table, filter, order, after.is_some());
    let limit = limit.min(PAGE_ITEMS);
    let mut params: Vec<&dyn ToSql> = Vec::with_capacity(6);
    for text in [&filter.state, &filter.name, &filter.detail].into_iter().flatten() {
        params.push(text);
    }
    let due_by = filter.due_by.map(|at| at.0);
    if let Some(due_by) = &due_by {
        params.push(due_by);
    }
    if let Some(after) = &after {
        params.push(after);
    }
    params.push(&limit);
    page(connection, &sql, &params[..], row_from, |row| {
        row.body.len() + row.key.len()
    })
}

/// The table's number stands in the text, not in a parameter: only so may SQLite use the partial indexes.
fn rows_sql(table: Table, filter: &RowFilter, order: Order, after: bool) -> String {
    let awake = filter.awake || filter.due_by.is_some();
    // Named, because without statistics SQLite would walk the key's index past every row that does not match.
    let index = match table {
        _ if awake => "INDEXED BY state_row_awake",
        Table::Saga if filter.state.is_some() => "INDEXED BY state_row_state",
        Table::Saga if filter.name.is_some() => "INDEXED BY state_row_name",
        Table::Delivery if filter.name.is_some() && filter.state.is_some() => "INDEXED BY state_row_delivery",
        _ => "",
    };
    let mut sql = format!(
        "SELECT {} FROM state_row {index} WHERE tab = {}",
        columns_of_row(),
        table.number()
    );
    let wanted = [
        ("state", &filter.state),
        ("name", &filter.name),
        ("detail", &filter.detail),
    ];
    for (column, _) in wanted.iter().filter(|(_, value)| value.is_some()) {
        let _ = write!(sql, " AND {column} = ?");
    }
    if awake {
        sql.push_str(" AND wake_at IS NOT NULL");
    }
    if filter.due_by.is_some() {
        sql.push_str(" AND wake_at <= ?");
    }
    let (beyond, direction) = match order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    if after {
        let _ = write!(sql, " AND key {beyond} ?");
    }
    let _ = write!(sql, " ORDER BY key {direction} LIMIT ?");
    sql
}

pub(super) fn records(connection: &Connection, subject: &str, after: u64, limit: u32) -> Result<Vec<StoredRecord>> {
    let sql = format!("SELECT {RECORD} FROM record WHERE subject = ?1 AND position > ?2 ORDER BY position LIMIT ?3");
    let params = params![subject, bounded(after), limit.min(PAGE_ITEMS)];
    page(connection, &sql, params, record_from, |stored| stored.record.body.len())
}

/// Cost: a few rows, whatever the store holds; the counts are kept by triggers (`v2.sql`).
pub(super) fn size(connection: &Connection, path: &Path) -> Result<StoreSize> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut count = connection.prepare_cached("SELECT coalesce(max(n), 0) FROM row_count WHERE tab = ?1")?;
    let rows = Table::ALL
        .iter()
        .map(|table| count.query_row([table.number()], |row| row.get(0)));
    let heads = heads(connection)?;
    Ok(StoreSize {
        bytes: length(path) + length(Path::new(&log)),
        records: heads.record,
        events: heads.event,
        rows: rows.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite will go about a query.
    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid");
        let params = vec!["1"; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(params), |row| row.get(3));
        rows.expect("runs").collect::<Result<_>>().expect("texts")
    }

    /// Lists of sagas must stay quick with millions of rows: no query sorts or walks the whole table.
    #[test]
    fn every_list_of_rows_goes_along_an_index() {
        let connection = Connection::open_in_memory().expect("memory");
        for schema in crate::sqlite::schema::MIGRATIONS {
            connection.execute_batch(schema).expect("schema");
        }
        let some = || Some("x".to_owned());
        let awake = RowFilter {
            awake: true,
            ..RowFilter::default()
        };
        let due = RowFilter {
            due_by: Some(Timestamp(7)),
            ..RowFilter::default()
        };
        let state = RowFilter {
            state: some(),
            ..RowFilter::default()
        };
        let name = RowFilter {
            name: some(),
            ..RowFilter::default()
        };
        let every = RowFilter {
            state: some(),
            name: some(),
            detail: some(),
            awake: true,
            due_by: Some(Timestamp(7)),
        };
        let plan_of = |table, filter: &RowFilter, order| plan(&connection, &rows_sql(table, filter, order, true));
        for filter in [&RowFilter::default(), &awake, &due, &state, &name, &every] {
            for (table, order) in Table::ALL
                .iter()
                .flat_map(|t| [(*t, Order::Ascending), (*t, Order::Descending)])
            {
                let plan = plan_of(table, filter, order);
                assert!(
                    plan.iter().all(|line| line.starts_with("SEARCH")),
                    "{table:?} {filter:?}: {plan:?}"
                );
            }
        }
        let key = RowFilter {
            state: some(),
            ..name.clone()
        };
        let indexes = [
            (Table::Saga, &awake, "state_row_awake"),
            (Table::Saga, &due, "state_row_awake"),
            (Table::Saga, &state, "state_row_state"),
            (Table::Saga, &name, "state_row_name"),
            (Table::Delivery, &key, "state_row_delivery"),
        ];
        for (table, filter, index) in indexes {
            let plan = plan_of(table, filter, Order::Ascending);
            assert!(plan[0].contains(index), "{filter:?}: {plan:?}");
        }
    }
}
