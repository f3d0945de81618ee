//! The queries of reads of events, streams and types.
//!
//! A read that merges several walks first asks how far the log goes, and looks no further in any of them: each statement
//! sees a newer file than the one before, and an event that a later walk alone could see must not make a follower jump
//! over an earlier one that the first walk was too early for.

use super::apply::stream_at;
use super::read::{body_at, bounded, page};
use crate::bounds::{LISTED, PAGE_BYTES, PAGE_ITEMS};
use ondol_core::clock::Timestamp;
use ondol_core::engine::{KindInfo, NewEvent, Order, Pattern, Selector, StoredEvent, StreamInfo, Wanted};
use ondol_core::id::StreamName;
use rusqlite::{Connection, OptionalExtension, Result, ToSql, params};

const EVENT: &str = "position, stream, revision, id, kind, at, body, correlation";

fn event_from(row: &rusqlite::Row<'_>) -> Result<StoredEvent> {
    let event = NewEvent {
        id: row.get(3)?,
        kind: row.get(4)?,
        at: Timestamp(row.get(5)?),
        body: body_at(row, 6)?,
        correlation: row.get(7)?,
    };
    Ok(StoredEvent {
        position: row.get(0)?,
        stream: stream_at(row, 1)?,
        revision: row.get(2)?,
        event,
    })
}

fn weigh(stored: &StoredEvent) -> usize {
    stored.event.body.len()
}

pub(super) fn stream(
    connection: &Connection,
    stream: &StreamName,
    from: u64,
    order: Order,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let way = match order {
        Order::Ascending => "revision >= ?2 ORDER BY revision",
        Order::Descending => "revision <= ?2 ORDER BY revision DESC",
    };
    let sql = format!("SELECT {EVENT} FROM event WHERE stream = ?1 AND {way} LIMIT ?3");
    let params = params![stream.as_str(), bounded(from), limit.min(PAGE_ITEMS)];
    page(connection, &sql, params, event_from, weigh)
}

pub(super) fn events(
    connection: &Connection,
    wanted: Wanted,
    from: u64,
    order: Order,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let range = Range::new(connection, from, order)?;
    let limit = limit.min(PAGE_ITEMS);
    match wanted {
        Wanted::All => {
            let sql = format!("SELECT {EVENT} FROM event WHERE {}", range.sql());
            page(
                connection,
                &sql,
                params![range.from, range.edge, limit],
                event_from,
                weigh,
            )
        }
        Wanted::Correlation(id) => {
            let sql = format!("SELECT {EVENT} FROM event WHERE correlation = ?4 AND {}", range.sql());
            page(
                connection,
                &sql,
                params![range.from, range.edge, limit, id],
                event_from,
                weigh,
            )
        }
        Wanted::Any(selectors) => at(connection, &merged(connection, selectors, range, limit)?),
        Wanted::Ids(ids) => {
            let mut find = connection.prepare_cached("SELECT position FROM event WHERE id = ?1")?;
            let found = ids
                .iter()
                .take(LISTED)
                .map(|id| find.query_row([id], |row| row.get(0)).optional());
            let positions = found.filter_map(Result::transpose).collect::<Result<_>>()?;
            at(connection, &range.cut(positions, limit))
        }
        Wanted::Positions(positions) => {
            let positions = positions
                .iter()
                .take(LISTED)
                .map(|position| bounded(*position))
                .collect();
            at(connection, &range.cut(positions, limit))
        }
    }
}

/// The events at these positions, in this order; places without an event are passed over.
fn at(connection: &Connection, positions: &[i64]) -> Result<Vec<StoredEvent>> {
    let mut find = connection.prepare_cached(&format!("SELECT {EVENT} FROM event WHERE position = ?1"))?;
    let (mut events, mut bytes) = (Vec::with_capacity(positions.len()), 0);
    for position in positions {
        if bytes >= PAGE_BYTES {
            break;
        }
        if let Some(event) = find.query_row([position], event_from).optional()? {
            bytes += weigh(&event);
            events.push(event);
        }
    }
    Ok(events)
}

/// From where a read of the log goes, which way, and the last position it looks at.
#[derive(Clone, Copy)]
struct Range {
    from: i64,
    edge: i64,
    order: Order,
}

impl Range {
    fn new(connection: &Connection, from: u64, order: Order) -> Result<Self> {
        let edge = match order {
            Order::Ascending => connection
                .prepare_cached("SELECT coalesce(max(position), 0) FROM event")?
                .query_row([], |row| row.get(0))?,
            Order::Descending => 1,
        };
        let from = bounded(from);
        Ok(Self { from, edge, order })
    }

    /// The end of a query: parameters 1 and 2 are the range, 3 is the limit.
    const fn sql(self) -> &'static str {
        match self.order {
            Order::Ascending => "position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3",
            Order::Descending => "position < ?1 AND position >= ?2 ORDER BY position DESC LIMIT ?3",
        }
    }

    /// The first `limit` of these positions that lie in the range, each once.
    fn cut(self, mut positions: Vec<i64>, limit: u32) -> Vec<i64> {
        match self.order {
            Order::Ascending => {
                positions.retain(|position| self.from < *position && *position <= self.edge);
                positions.sort_unstable();
            }
            Order::Descending => {
                positions.retain(|position| (self.edge..self.from).contains(position));
                positions.sort_unstable_by(|a, b| b.cmp(a));
            }
        }
        positions.dedup();
        positions.truncate(limit as usize);
        positions
    }
}

/// The first positions that any selector wants: one walk along an index for each, in which the next looks no further
/// than what is already enough.
fn merged(connection: &Connection, selectors: Vec<Selector>, mut range: Range, limit: u32) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    for walk in walks(connection, selectors)? {
        let sql = walk.sql(range);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut params: Vec<&dyn ToSql> = vec![&range.from, &range.edge, &limit];
        params.extend(walk.kind.iter().chain(&walk.family).map(|text| text as &dyn ToSql));
        let positions = statement.query_map(&params[..], |row| row.get(0))?;
        found = range.cut(
            positions.chain(found.into_iter().map(Ok)).collect::<Result<_>>()?,
            limit,
        );
        if found.len() == limit as usize {
            range.edge = found.last().copied().unwrap_or(range.edge);
        }
    }
    Ok(found)
}

/// One way along an index: events of this type, or of this family, or both; with neither the whole log.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Walk {
    kind: Option<String>,
    family: Option<String>,
}

impl Walk {
    fn sql(&self, range: Range) -> String {
        let only = match (&self.kind, &self.family) {
            (Some(_), Some(_)) => "kind = ?4 AND family = ?5 AND",
            (Some(_), None) => "kind = ?4 AND",
            (None, Some(_)) => "family = ?4 AND",
            (None, None) => "",
        };
        let index = match (&self.kind, &self.family) {
            (Some(_), _) => "INDEXED BY event_kind",
            (None, Some(_)) => "INDEXED BY event_family",
            (None, None) => "",
        };
        format!("SELECT position FROM event {index} WHERE {only} {}", range.sql())
    }
}

/// The walks that find what the selectors want, each once: a prefix stands for the types that there are.
fn walks(connection: &Connection, selectors: Vec<Selector>) -> Result<Vec<Walk>> {
    let mut walks = Vec::new();
    for Selector { family, kind } in selectors.into_iter().take(LISTED) {
        match kind {
            None => walks.push(Walk { kind: None, family }),
            Some(Pattern::Exact(kind)) => walks.push(Walk {
                kind: Some(kind),
                family,
            }),
            // Every type begins with nothing.
            Some(Pattern::Prefix(prefix)) if prefix.is_empty() => walks.push(Walk { kind: None, family }),
            Some(Pattern::Prefix(prefix)) => {
                let mut kinds = connection.prepare_cached("SELECT kind FROM kind WHERE kind >= ?1 ORDER BY kind")?;
                let mut rows = kinds.query([&prefix])?;
                while let Some(row) = rows.next()? {
                    let kind: String = row.get(0)?;
                    if !kind.starts_with(&prefix) {
                        break;
                    }
                    let (kind, family) = (Some(kind), family.clone());
                    walks.push(Walk { kind, family });
                }
            }
        }
    }
    walks.sort_unstable();
    walks.dedup();
    Ok(walks)
}

pub(super) fn streams(
    connection: &Connection,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<StreamInfo>> {
    let mut first = connection.prepare_cached("SELECT stream FROM event WHERE stream >= ?1 ORDER BY stream LIMIT 1")?;
    let mut next = connection.prepare_cached("SELECT stream FROM event WHERE stream > ?1 ORDER BY stream LIMIT 1")?;
    let mut last =
        connection.prepare_cached("SELECT revision, at FROM event WHERE stream = ?1 ORDER BY revision DESC LIMIT 1")?;
    let name = |row: &rusqlite::Row<'_>| stream_at(row, 0);
    let mut found = match after.filter(|after| *after >= prefix) {
        Some(after) => next.query_row([after], name).optional()?,
        None => first.query_row([prefix], name).optional()?,
    };
    let mut streams: Vec<StreamInfo> = Vec::new();
    while streams.len() < limit.min(PAGE_ITEMS) as usize {
        let Some(stream) = found.filter(|stream| stream.as_str().starts_with(prefix)) else {
            break;
        };
        let (revision, at): (u64, i64) = last.query_row([stream.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found = next.query_row([stream.as_str()], name).optional()?;
        streams.push(StreamInfo {
            stream,
            events: revision + 1,
            last_at: Timestamp(at),
        });
    }
    Ok(streams)
}

pub(super) fn kinds(connection: &Connection, after: Option<&str>, limit: u32) -> Result<Vec<KindInfo>> {
    let sql = "SELECT kind, events, last_position, last_at FROM kind WHERE kind > ?1 ORDER BY kind LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after.unwrap_or_default(), limit.min(PAGE_ITEMS)], |row| {
        Ok(KindInfo {
            kind: row.get(0)?,
            events: row.get(1)?,
            last_position: row.get(2)?,
            last_at: Timestamp(row.get(3)?),
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_walk_goes_along_an_index_without_a_sort() {
        let connection = Connection::open_in_memory().expect("memory");
        for schema in crate::sqlite::schema::MIGRATIONS {
            connection.execute_batch(schema).expect("schema");
        }
        let some = || Some("x".to_owned());
        for order in [Order::Ascending, Order::Descending] {
            let range = Range {
                from: 1,
                edge: 9,
                order,
            };
            for (kind, family, index) in [
                (some(), some(), "event_kind (kind=? AND position>? AND position<?)"),
                (
                    some(),
                    None,
                    "COVERING INDEX event_kind (kind=? AND position>? AND position<?)",
                ),
                (
                    None,
                    some(),
                    "COVERING INDEX event_family (family=? AND position>? AND position<?)",
                ),
                (None, None, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            ] {
                let sql = format!("EXPLAIN QUERY PLAN {}", Walk { kind, family }.sql(range));
                let mut statement = connection.prepare(&sql).expect("valid");
                let params = vec!["1"; statement.parameter_count()];
                let plan = statement.query_map(rusqlite::params_from_iter(params), |row| row.get(3));
                let plan: Vec<String> = plan.expect("runs").collect::<Result<_>>().expect("texts");
                assert!(matches!(&plan[..], [one] if one.ends_with(index)), "{sql}: {plan:?}");
            }
        }
    }
}
