//! Reads, on a connection of their own that many reads share in a pipeline. Every page is bounded in items and bytes.
//! Reads of events are in `events.rs`.
//!
//! A read is tried once more on a new connection when the first is found dead: reading twice is harmless.

use super::fault;
use super::server::Server;
use crate::bounds::{PAGE_BYTES, PAGE_ITEMS};
use crate::decide::Place;
use bytes::Bytes;
use futures_util::TryStreamExt;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Order, Record, Row, RowFilter, StoreError, StoreSize, StoredRecord, Table};
use ondol_core::id::StreamName;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// At most so many reads at once; more callers wait.
const AT_ONCE: usize = 64;
const ROW: &str = "key, state, name, detail, wake_at, updated_at, body";
const RECORD: &str = "position, subject, kind, at, body";

pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Reads the columns of [`ROW`].
pub(super) fn row_from(row: &tokio_postgres::Row) -> Result<Row, Error> {
    Ok(Row {
        key: row.try_get(0)?,
        state: row.try_get(1)?,
        name: row.try_get(2)?,
        detail: row.try_get(3)?,
        wake_at: row.try_get::<_, Option<i64>>(4)?.map(Timestamp),
        updated_at: Timestamp(row.try_get(5)?),
        body: Bytes::copy_from_slice(row.try_get(6)?),
    })
}

/// Reads id, stream, revision, position and rest.
pub(super) fn event_place_from(row: &tokio_postgres::Row) -> Result<(String, Place), StoreError> {
    let number = |column| {
        row.try_get::<_, i64>(column)
            .map(i64::cast_unsigned)
            .map_err(|error| fault::sort(&error))
    };
    let text = |column| row.try_get::<_, &str>(column).map_err(|error| fault::sort(&error));
    let place = Place {
        stream: stream(text(1)?)?,
        revision: number(2)?,
        position: number(3)?,
        rest: number(4)?,
    };
    Ok((text(0)?.to_owned(), place))
}

pub(super) fn stream(text: &str) -> Result<StreamName, StoreError> {
    StreamName::new(text).map_err(|error| StoreError::Broken(error.to_string()))
}

fn record_from(row: &tokio_postgres::Row) -> Result<StoredRecord, StoreError> {
    let read = || {
        let body = Bytes::copy_from_slice(row.try_get(4)?);
        let record = Record {
            subject: row.try_get(1)?,
            kind: row.try_get(2)?,
            at: Timestamp(row.try_get(3)?),
            body,
        };
        Ok(StoredRecord {
            position: row.try_get::<_, i64>(0)?.cast_unsigned(),
            record,
        })
    };
    read().map_err(|error| fault::sort(&error))
}

/// The reading connection.
pub(super) struct Reader {
    server: Arc<Server>,
    client: Mutex<Option<Arc<Client>>>,
    places: Semaphore,
}

impl Reader {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            client: Mutex::new(None),
            places: Semaphore::new(AT_ONCE),
        }
    }

    async fn client(&self) -> Result<Arc<Client>, StoreError> {
        let mut held = self.client.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = self
            .server
            .connect()
            .await
            .map_err(|error| StoreError::Unavailable(fault::text(&error)))?;
        Ok(held.insert(Arc::new(client)).clone())
    }

    pub(super) async fn page<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: fn(&tokio_postgres::Row) -> Result<T, StoreError>,
        weigh: fn(&T) -> usize,
    ) -> Result<Vec<T>, StoreError> {
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|_| StoreError::Unavailable("it was closed".into()))?;
        match page(&*self.client().await?, sql, params, read, weigh).await {
            Err(StoreError::Unavailable(_)) => page(&*self.client().await?, sql, params, read, weigh).await,
            outcome => outcome,
        }
    }

    pub(super) async fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        let sql = format!("SELECT {ROW} FROM ondol.state_row WHERE tab = $1 AND key = $2");
        let rows = self
            .page(
                &sql,
                &[(&table.number(), Type::INT2), (&key, Type::TEXT)],
                read_row,
                weigh_row,
            )
            .await?;
        Ok(rows.into_iter().next())
    }

    pub(super) async fn rows(
        &self,
        table: Table,
        filter: &RowFilter,
        order: Order,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        // The table's number stands in the text: only so may the server use the partial indexes.
        let mut sql = format!("SELECT {ROW} FROM ondol.state_row WHERE tab = {}", table.number());
        let mut params: Vec<Param<'_>> = Vec::with_capacity(6);
        for (column, value) in [
            ("state", &filter.state),
            ("name", &filter.name),
            ("detail", &filter.detail),
        ] {
            if let Some(value) = value {
                params.push((value, Type::TEXT));
                let _ = write!(sql, " AND {column} = ${}", params.len());
            }
        }
        if filter.awake || filter.due_by.is_some() {
            sql.push_str(" AND wake_at IS NOT NULL");
        }
        let due_by = filter.due_by.map(|at| at.0);
        if let Some(due_by) = &due_by {
            params.push((due_by, Type::INT8));
            let _ = write!(sql, " AND wake_at <= ${}", params.len());
        }
        let (beyond, direction) = match order {
            Order::Ascending => (">", "ASC"),
            Order::Descending => ("<", "DESC"),
        };
        if let Some(after) = &after {
            params.push((after, Type::TEXT));
            let _ = write!(sql, " AND key {beyond} ${}", params.len());
        }
        let _ = write!(sql, " ORDER BY key {direction} LIMIT {}", limit.min(PAGE_ITEMS));
        self.page(&sql, &params, read_row, weigh_row).await
    }

    pub(super) async fn records(&self, subject: &str, after: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        let limit = limit.min(PAGE_ITEMS);
        let sql = format!(
            "SELECT {RECORD} FROM ondol.record WHERE subject = $1 AND position > $2 ORDER BY position LIMIT {limit}"
        );
        let params: [Param<'_>; 2] = [(&subject, Type::TEXT), (&bounded(after), Type::INT8)];
        self.page(&sql, &params, record_from, |stored| stored.record.body.len())
            .await
    }

    /// Cost: a few rows, whatever the store holds; the counts are kept by triggers (`v2.sql`).
    pub(super) async fn size(&self) -> Result<StoreSize, StoreError> {
        let sql = "SELECT (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
                WHERE relnamespace = 'ondol'::regnamespace AND relkind = 'r'),
            (SELECT coalesce(max(position), 0) FROM ondol.record), (SELECT coalesce(max(position), 0) FROM ondol.event)";
        let figure = |row: &tokio_postgres::Row, column| {
            row.try_get::<_, i64>(column)
                .map(i64::cast_unsigned)
                .map_err(|error| fault::sort(&error))
        };
        let heads = self.page(sql, &[], |row| Ok(row.clone()), |_| 0).await?;
        let head = heads
            .first()
            .ok_or_else(|| StoreError::Broken("the server gave no row".into()))?;
        let counted = "SELECT tab::bigint, n FROM ondol.row_count";
        let counted = self.page(counted, &[], |row| Ok(row.clone()), |_| 0).await?;
        let mut rows = vec![0; Table::ALL.len()];
        for row in &counted {
            let tab = figure(row, 0)?;
            if let Some(at) = Table::ALL
                .iter()
                .position(|table| i64::from(table.number()).cast_unsigned() == tab)
            {
                rows[at] = figure(row, 1)?;
            }
        }
        Ok(StoreSize {
            bytes: figure(head, 0)?,
            records: figure(head, 1)?,
            events: figure(head, 2)?,
            rows,
        })
    }
}

/// Rows come as a stream and are taken only up to the bound; the rest is thrown away as it arrives.
async fn page<T>(
    client: &Client,
    sql: &str,
    params: &[Param<'_>],
    read: fn(&tokio_postgres::Row) -> Result<T, StoreError>,
    weigh: fn(&T) -> usize,
) -> Result<Vec<T>, StoreError> {
    let sorted = |error| fault::sort(&error);
    let rows = client.query_typed_raw(sql, params.iter().map(|(value, kind)| (*value, kind.clone())));
    let mut rows = std::pin::pin!(rows.await.map_err(sorted)?);
    let (mut items, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES {
        let Some(row) = rows.try_next().await.map_err(sorted)? else {
            break;
        };
        let item = read(&row)?;
        bytes += weigh(&item);
        items.push(item);
    }
    Ok(items)
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    row_from(row).map_err(|error| fault::sort(&error))
}

fn weigh_row(row: &Row) -> usize {
    row.body.len() + row.key.len()
}

/// Positions are stored as signed numbers; a greater one is beyond every event.
pub(super) fn bounded(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
