//! Reads of events, streams and types: each is one statement, so that it sees the log at one moment.

use super::fault;
use super::read::{Param, Reader, bounded, stream};
use crate::bounds::{LISTED, PAGE_ITEMS};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{KindInfo, NewEvent, Order, Pattern, Selector, StoreError, StoredEvent, StreamInfo, Wanted};
use ondol_core::id::StreamName;
use tokio_postgres::types::Type;

const EVENT: &str = "position, stream, revision, id, kind, at, body, correlation";

fn event_from(row: &tokio_postgres::Row) -> Result<StoredEvent, StoreError> {
    let read = || {
        let body = Bytes::copy_from_slice(row.try_get(6)?);
        let event = NewEvent {
            id: row.try_get(3)?,
            kind: row.try_get(4)?,
            at: Timestamp(row.try_get(5)?),
            body,
            correlation: row.try_get(7)?,
        };
        let (position, revision): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
        Ok((position.cast_unsigned(), revision.cast_unsigned(), event))
    };
    let (position, revision, event) = read().map_err(|error| fault::sort(&error))?;
    let text: &str = row.try_get(1).map_err(|error| fault::sort(&error))?;
    Ok(StoredEvent {
        position,
        stream: stream(text)?,
        revision,
        event,
    })
}

fn weigh(stored: &StoredEvent) -> usize {
    stored.event.body.len()
}

/// Which way a read of the log goes: the condition on the position against `$1`, and the order.
struct Way {
    beyond: &'static str,
    by: &'static str,
}

impl Way {
    const fn new(order: Order) -> Self {
        match order {
            Order::Ascending => Self {
                beyond: "position > $1",
                by: "position",
            },
            Order::Descending => Self {
                beyond: "position < $1",
                by: "position DESC",
            },
        }
    }
}

impl Reader {
    pub(super) async fn stream(
        &self,
        stream: &StreamName,
        from: u64,
        order: Order,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let way = match order {
            Order::Ascending => "revision >= $2 ORDER BY revision",
            Order::Descending => "revision <= $2 ORDER BY revision DESC",
        };
        let limit = limit.min(PAGE_ITEMS);
        let sql = format!("SELECT {EVENT} FROM ondol.event WHERE stream = $1 AND {way} LIMIT {limit}");
        let params: [Param<'_>; 2] = [(&stream.as_str(), Type::TEXT), (&bounded(from), Type::INT8)];
        self.page(&sql, &params, event_from, weigh).await
    }

    pub(super) async fn events(
        &self,
        wanted: &Wanted,
        from: u64,
        order: Order,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (Way { beyond, by }, limit, from) = (Way::new(order), limit.min(PAGE_ITEMS), bounded(from));
        let from: Param<'_> = (&from, Type::INT8);
        let select =
            |only: &str| format!("SELECT {EVENT} FROM ondol.event WHERE {only} {beyond} ORDER BY {by} LIMIT {limit}");
        match wanted {
            Wanted::All => self.page(&select(""), &[from], event_from, weigh).await,
            Wanted::Correlation(id) => {
                let sql = select("correlation = $2 AND");
                self.page(&sql, &[from, (id, Type::TEXT)], event_from, weigh).await
            }
            Wanted::Ids(ids) => {
                let ids = &ids[..ids.len().min(LISTED)];
                let sql = select("id = ANY ($2) AND");
                self.page(&sql, &[from, (&ids, Type::TEXT_ARRAY)], event_from, weigh)
                    .await
            }
            Wanted::Positions(positions) => {
                let positions: Vec<i64> = positions.iter().take(LISTED).map(|at| bounded(*at)).collect();
                let sql = select("position = ANY ($2) AND");
                self.page(&sql, &[from, (&positions, Type::INT8_ARRAY)], event_from, weigh)
                    .await
            }
            Wanted::Any(selectors) => {
                let columns = Columns::of(selectors);
                let params = [
                    from,
                    (&columns.family, Type::TEXT_ARRAY),
                    (&columns.kind, Type::TEXT_ARRAY),
                    (&columns.prefix, Type::TEXT_ARRAY),
                ];
                self.page(&any_sql(beyond, by, limit), &params, event_from, weigh).await
            }
        }
    }

    pub(super) async fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamInfo>, StoreError> {
        let (beyond, from) = match after.filter(|after| *after >= prefix) {
            Some(after) => (">", after),
            None => (">=", prefix),
        };
        // From one name to the next along the index, never past every event of a stream.
        let sql = format!(
            "WITH RECURSIVE walk (stream, nth) AS (
               (SELECT stream, 1 FROM ondol.event WHERE stream {beyond} $2 ORDER BY stream LIMIT 1)
               UNION ALL
               SELECT next.stream, nth + 1 FROM walk, LATERAL
                 (SELECT stream FROM ondol.event WHERE event.stream > walk.stream ORDER BY stream LIMIT 1) AS next
               WHERE nth < {limit} AND starts_with(walk.stream, $1))
             SELECT walk.stream, last.revision, last.at FROM walk, LATERAL
               (SELECT revision, at FROM ondol.event WHERE event.stream = walk.stream ORDER BY revision DESC LIMIT 1)
               AS last
             WHERE starts_with(walk.stream, $1) AND nth <= {limit} ORDER BY nth",
            limit = limit.min(PAGE_ITEMS)
        );
        let read = |row: &tokio_postgres::Row| {
            let figure = |column| row.try_get::<_, i64>(column).map_err(|error| fault::sort(&error));
            let name: &str = row.try_get(0).map_err(|error| fault::sort(&error))?;
            Ok(StreamInfo {
                stream: stream(name)?,
                events: figure(1)?.cast_unsigned() + 1,
                last_at: Timestamp(figure(2)?),
            })
        };
        self.page(&sql, &[(&prefix, Type::TEXT), (&from, Type::TEXT)], read, |_| 0)
            .await
    }

    pub(super) async fn kinds(&self, after: Option<&str>, limit: u32) -> Result<Vec<KindInfo>, StoreError> {
        let sql = format!(
            "SELECT kind, events, last_position, last_at FROM ondol.kind WHERE kind > $1 ORDER BY kind LIMIT {}",
            limit.min(PAGE_ITEMS)
        );
        let read = |row: &tokio_postgres::Row| {
            let figure = |column| row.try_get::<_, i64>(column).map_err(|error| fault::sort(&error));
            Ok(KindInfo {
                kind: row.try_get(0).map_err(|error| fault::sort(&error))?,
                events: figure(1)?.cast_unsigned(),
                last_position: figure(2)?.cast_unsigned(),
                last_at: Timestamp(figure(3)?),
            })
        };
        self.page(&sql, &[(&after.unwrap_or_default(), Type::TEXT)], read, |_| 0)
            .await
    }
}

/// Selectors as columns, one array for each, ready for UNNEST; a missing part is NULL.
#[derive(Default)]
struct Columns<'s> {
    family: Vec<Option<&'s str>>,
    kind: Vec<Option<&'s str>>,
    prefix: Vec<Option<&'s str>>,
}

impl<'s> Columns<'s> {
    fn of(selectors: &'s [Selector]) -> Self {
        let mut columns = Self::default();
        for selector in selectors.iter().take(LISTED) {
            let (kind, prefix) = match &selector.kind {
                None => (None, None),
                Some(Pattern::Exact(kind)) => (Some(kind.as_str()), None),
                // Every type begins with nothing.
                Some(Pattern::Prefix(prefix)) if prefix.is_empty() => (None, None),
                Some(Pattern::Prefix(prefix)) => (None, Some(prefix.as_str())),
            };
            columns.family.push(selector.family.as_deref());
            columns.kind.push(kind);
            columns.prefix.push(prefix);
        }
        columns
    }
}

/// One walk along an index for each type (a prefix stands for the types that there are) and for each family, merged; a
/// selector without either walks the log.
fn any_sql(beyond: &str, by: &str, limit: u32) -> String {
    let walk = |only: &str| {
        format!("LATERAL (SELECT position FROM ondol.event WHERE {only} {beyond} ORDER BY {by} LIMIT {limit}) AS walk")
    };
    format!(
        "WITH asked AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]) AS asked (family, kind, prefix)),
         types AS (
           SELECT family, kind FROM asked WHERE kind IS NOT NULL
           UNION SELECT asked.family, kind.kind FROM asked JOIN ondol.kind ON starts_with(kind.kind, asked.prefix)),
         families AS (SELECT DISTINCT family FROM asked WHERE kind IS NULL AND prefix IS NULL),
         found AS (
           SELECT walk.position FROM types, {}
           UNION SELECT walk.position FROM types, {}
           UNION SELECT walk.position FROM families, {}
           UNION SELECT walk.position FROM families, {})
         SELECT {EVENT} FROM (SELECT position FROM found ORDER BY {by} LIMIT {limit}) AS first
           JOIN ondol.event USING (position) ORDER BY {by}",
        walk("types.family IS NULL AND event.kind = types.kind AND"),
        walk("event.kind = types.kind AND event.family = types.family AND"),
        walk("event.family = families.family AND"),
        walk("families.family IS NULL AND"),
    )
}
