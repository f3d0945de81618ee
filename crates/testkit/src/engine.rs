//! The store in memory: ordered maps behind the port, with a crash that forgets what was not durable.
//!
//! A write takes a drawn time to become durable and another to be acknowledged. [`MemoryEngine::crash`] ends the life
//! of a handle between any two of these: a write is then lost, or durable without anybody having been told. The next
//! life has the next epoch; the earlier one is fenced.
//!
//! Of the port's bounds only two are kept here, because rooms must live with them: the size of a row's body and that of a
//! page. The others are the real engines' (their conformance suite asks). Tests: beside it.

use ondol_core::BoxFuture;
use ondol_core::engine::{
    Append, Appended, Committed, Engine, Expected, Guard, KindInfo, Order, Row, RowFilter, RowOp, StoreError,
    StoreSize, StoredEvent, StoredRecord, StreamInfo, Table, Wanted, Write,
};
use ondol_core::entropy::SharedEntropy;
use ondol_core::id::StreamName;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Largest body of a row, in bytes.
const ROW_BODY: usize = 4 * 1024 * 1024;
/// A page of a read ends once it holds so many bytes.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

fn weigh(stored: &StoredEvent) -> usize {
    stored.event.body.len()
}

/// The head of `found`, up to `limit` items or [`PAGE_BYTES`].
fn page<'d, T: Clone + 'd>(found: impl Iterator<Item = &'d T>, limit: u32, body: fn(&T) -> usize) -> Vec<T> {
    let mut bytes = 0;
    let fits = |item: &&T| {
        let room = bytes < PAGE_BYTES;
        bytes += body(item);
        room
    };
    found.take(limit as usize).take_while(fits).cloned().collect()
}

#[derive(Default)]
struct Data {
    rows: HashMap<Table, BTreeMap<String, Row>>,
    records: Vec<StoredRecord>,
    events: Vec<StoredEvent>,
    places: HashMap<String, Appended>,
    revisions: HashMap<StreamName, u64>,
    epoch: u64,
    full: bool,
}

/// One life of a store in memory. A clone is the same life.
#[derive(Clone)]
pub struct MemoryEngine {
    data: Arc<Mutex<Data>>,
    epoch: u64,
    delay: Option<(SharedEntropy, Duration)>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEngine {
    /// An empty store whose writes are durable at once.
    pub fn new() -> Self {
        let data = Data {
            epoch: 1,
            ..Data::default()
        };
        Self {
            data: Arc::new(Mutex::new(data)),
            epoch: 1,
            delay: None,
        }
    }

    /// An empty store whose writes take up to `delay` to become durable, and as long again to be acknowledged.
    pub fn with_delay(entropy: SharedEntropy, delay: Duration) -> Self {
        Self {
            delay: Some((entropy, delay)),
            ..Self::new()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends this life and begins the next over what is durable. Every use of the earlier life fails from now on.
    pub fn crash(&self) -> Self {
        let mut data = self.lock();
        data.epoch += 1;
        Self {
            data: self.data.clone(),
            epoch: data.epoch,
            delay: self.delay.clone(),
        }
    }

    /// Lets the disk be full, or have space again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// All rows of a table as they are now, by key.
    pub fn table(&self, table: Table) -> Vec<Row> {
        self.lock()
            .rows
            .get(&table)
            .map(|rows| rows.values().cloned().collect())
            .unwrap_or_default()
    }

    fn live(&self) -> Result<MutexGuard<'_, Data>, StoreError> {
        let data = self.lock();
        if data.epoch == self.epoch {
            Ok(data)
        } else {
            Err(StoreError::Fenced {
                mine: self.epoch,
                current: data.epoch,
            })
        }
    }

    async fn pause(&self) {
        if let Some((entropy, delay)) = &self.delay {
            tokio::time::sleep(entropy.jitter(*delay)).await;
        }
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Data) -> T + Send + 'static,
    ) -> BoxFuture<Result<T, StoreError>> {
        let this = self.clone();
        Box::pin(async move { this.live().map(|data| read(&data)) })
    }
}

impl Data {
    fn apply(&mut self, write: Write) -> Result<Committed, StoreError> {
        if self.full {
            return Err(StoreError::Full);
        }
        let mut new_ids = false;
        for guard in &write.guards {
            match guard {
                Guard::Absent(table, key) => {
                    if let Some(row) = self.rows.get(table).and_then(|rows| rows.get(key)) {
                        return Err(StoreError::Exists(Box::new(row.clone())));
                    }
                }
                Guard::NewIds => new_ids = true,
            }
        }
        for op in &write.rows {
            if let RowOp::Put(_, row) = op
                && row.body.len() > ROW_BODY
            {
                return Err(StoreError::TooLarge {
                    what: "a row's body",
                    size: row.body.len(),
                    limit: ROW_BODY,
                });
            }
        }
        let mut committed = Committed::default();
        // All or nothing: appends are the last thing that can be refused, so they are placed before anything is kept.
        let (mut revisions, mut events, mut places) = (self.revisions.clone(), Vec::new(), HashMap::new());
        for append in write.appends {
            let placed = self.place(&append, new_ids, &mut revisions, &mut events)?;
            if !placed.duplicate {
                // A repeat that begins in the middle of a batch has the place of its own first event, as in the real engines.
                places.extend(append.events.iter().zip(0..).map(|(event, after)| {
                    let (first_revision, first_position) =
                        (placed.first_revision + after, placed.first_position + after);
                    let place = Appended {
                        first_revision,
                        first_position,
                        ..placed
                    };
                    (event.id.clone(), place)
                }));
            }
            committed.appended.push(placed);
        }
        self.revisions = revisions;
        self.events.extend(events);
        self.places.extend(places);
        if !write.records.is_empty() {
            committed.first_record = self.records.len() as u64 + 1;
        }
        for record in write.records {
            self.records.push(StoredRecord {
                position: self.records.len() as u64 + 1,
                record,
            });
        }
        for op in write.rows {
            match op {
                RowOp::Put(table, row) => drop(self.rows.entry(table).or_default().insert(row.key.clone(), row)),
                RowOp::Delete(table, key) => drop(self.rows.entry(table).or_default().remove(&key)),
            }
        }
        Ok(committed)
    }

    fn place(
        &self,
        append: &Append,
        new_ids: bool,
        revisions: &mut HashMap<StreamName, u64>,
        events: &mut Vec<StoredEvent>,
    ) -> Result<Appended, StoreError> {
        for (n, event) in append.events.iter().enumerate() {
            let known = self.places.get(&event.id);
            match known.filter(|_| n == 0 && !new_ids) {
                Some(place) if self.events[place.first_position as usize - 1].stream == append.stream => {
                    return Ok(Appended {
                        duplicate: true,
                        ..*place
                    });
                }
                _ if known.is_some() => return Err(StoreError::IdInUse { id: event.id.clone() }),
                _ => {}
            }
        }
        let actual = revisions.get(&append.stream).copied();
        let met = match append.expected {
            Expected::Any => true,
            Expected::NoStream => actual.is_none(),
            Expected::Exists => actual.is_some(),
            Expected::Revision(revision) => actual == Some(revision),
        };
        if !met {
            return Err(StoreError::WrongRevision {
                stream: append.stream.clone(),
                expected: append.expected,
                actual,
            });
        }
        let first_revision = actual.map_or(0, |last| last + 1);
        let first_position = (self.events.len() + events.len()) as u64 + 1;
        let (mut revision, mut position) = (first_revision, first_position);
        for event in &append.events {
            events.push(StoredEvent {
                position,
                stream: append.stream.clone(),
                revision,
                event: event.clone(),
            });
            (revision, position) = (revision + 1, position + 1);
        }
        let (last_revision, last_position) = (revision.saturating_sub(1), position - 1);
        revisions.insert(append.stream.clone(), last_revision);
        Ok(Appended {
            first_revision,
            last_revision,
            first_position,
            last_position,
            duplicate: false,
        })
    }
}

fn fits(row: &Row, filter: &RowFilter) -> bool {
    filter.state.as_ref().is_none_or(|state| *state == row.state)
        && filter.name.as_ref().is_none_or(|name| *name == row.name)
        && filter.detail.as_ref().is_none_or(|detail| *detail == row.detail)
        && (!filter.awake || row.wake_at.is_some())
        && filter.due_by.is_none_or(|by| row.wake_at.is_some_and(|at| at <= by))
}

impl Engine for MemoryEngine {
    fn commit(&self, write: Write) -> BoxFuture<Result<Committed, StoreError>> {
        let this = self.clone();
        Box::pin(async move {
            this.pause().await;
            let committed = this.live()?.apply(write);
            this.pause().await;
            this.live().map(drop)?;
            committed
        })
    }

    fn row(&self, table: Table, key: String) -> BoxFuture<Result<Option<Row>, StoreError>> {
        self.read(move |data| data.rows.get(&table)?.get(&key).cloned())
    }

    fn rows(
        &self,
        table: Table,
        filter: RowFilter,
        order: Order,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<Row>, StoreError>> {
        self.read(move |data| {
            let rows = data
                .rows
                .get(&table)
                .into_iter()
                .flat_map(BTreeMap::values)
                .filter(|row| fits(row, &filter));
            let body = |row: &Row| row.body.len();
            match order {
                Order::Ascending => {
                    let beyond = rows.filter(|row| after.as_ref().is_none_or(|after| row.key > *after));
                    page(beyond, limit, body)
                }
                Order::Descending => {
                    let beyond = rows
                        .rev()
                        .filter(|row| after.as_ref().is_none_or(|after| row.key < *after));
                    page(beyond, limit, body)
                }
            }
        })
    }

    fn records(&self, subject: String, after: u64, limit: u32) -> BoxFuture<Result<Vec<StoredRecord>, StoreError>> {
        self.read(move |data| {
            let found = data
                .records
                .iter()
                .filter(|stored| stored.position > after && stored.record.subject == subject);
            page(found, limit, |stored| stored.record.body.len())
        })
    }

    fn stream(
        &self,
        stream: StreamName,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        self.read(move |data| {
            let events = data.events.iter().filter(|event| event.stream == stream);
            match order {
                Order::Ascending => page(events.filter(|event| event.revision >= from), limit, weigh),
                Order::Descending => page(events.rev().filter(|event| event.revision <= from), limit, weigh),
            }
        })
    }

    fn events(
        &self,
        wanted: Wanted,
        from: u64,
        order: Order,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StoredEvent>, StoreError>> {
        self.read(move |data| {
            // Positions are dense, so the place in the list is known.
            let at = usize::try_from(from).unwrap_or(usize::MAX).min(data.events.len());
            match order {
                Order::Ascending => page(
                    data.events[at..].iter().filter(|event| wanted.matches(event)),
                    limit,
                    weigh,
                ),
                Order::Descending => {
                    let before = data.events[..at].iter().rev().filter(|event| event.position < from);
                    page(before.filter(|event| wanted.matches(event)), limit, weigh)
                }
            }
        })
    }

    fn streams(
        &self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<Result<Vec<StreamInfo>, StoreError>> {
        self.read(move |data| {
            let mut streams: BTreeMap<&str, StreamInfo> = BTreeMap::new();
            for stored in &data.events {
                let info = StreamInfo {
                    stream: stored.stream.clone(),
                    events: stored.revision + 1,
                    last_at: stored.event.at,
                };
                streams.insert(stored.stream.as_str(), info);
            }
            let beyond = |name: &str| after.as_ref().is_none_or(|after| name > after.as_str());
            let found = streams
                .values()
                .filter(|info| info.stream.as_str().starts_with(&prefix) && beyond(info.stream.as_str()));
            page(found, limit, |_| 0)
        })
    }

    fn kinds(&self, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<KindInfo>, StoreError>> {
        self.read(move |data| {
            let mut kinds: BTreeMap<&str, KindInfo> = BTreeMap::new();
            for stored in &data.events {
                let kind = kinds.entry(&stored.event.kind).or_insert_with(|| KindInfo {
                    kind: stored.event.kind.clone(),
                    events: 0,
                    last_position: 0,
                    last_at: stored.event.at,
                });
                (kind.events, kind.last_position) = (kind.events + 1, stored.position);
                kind.last_at = stored.event.at;
            }
            let beyond = |info: &&KindInfo| after.as_ref().is_none_or(|after| info.kind > *after);
            page(kinds.values().filter(beyond), limit, |_| 0)
        })
    }

    fn size(&self) -> BoxFuture<Result<StoreSize, StoreError>> {
        self.read(|data| StoreSize {
            bytes: 0,
            records: data.records.len() as u64,
            events: data.events.len() as u64,
            rows: Table::ALL
                .iter()
                .map(|table| data.rows.get(table).map_or(0, |rows| rows.len() as u64))
                .collect(),
        })
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;
    use ondol_core::engine::NewEvent;
    use ondol_core::entropy::SeededEntropy;

    fn put(key: &str) -> Write {
        let (key, none) = (key.to_owned(), String::new());
        let row = Row {
            key,
            state: none.clone(),
            name: none.clone(),
            detail: none,
            wake_at: None,
            updated_at: Timestamp(0),
            body: "".into(),
        };
        Write {
            guards: vec![Guard::Absent(Table::Saga, row.key.clone())],
            rows: vec![RowOp::Put(Table::Saga, row)],
            ..Write::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_keeps_what_was_acknowledged_and_fences_the_earlier_life() {
        let engine = MemoryEngine::with_delay(Arc::new(SeededEntropy::new(1)), Duration::from_millis(10));
        engine.commit(put("a")).await.expect("acknowledged");
        assert!(matches!(engine.commit(put("a")).await, Err(StoreError::Exists(_))));
        let next = engine.crash();
        assert!(matches!(
            engine.commit(put("b")).await,
            Err(StoreError::Fenced { mine: 1, current: 2 })
        ));
        assert_eq!(next.table(Table::Saga).len(), 1);
        next.commit(put("b")).await.expect("the next life goes on");
    }

    #[tokio::test]
    async fn a_repeat_of_the_end_of_a_batch_has_the_end_s_places() {
        let engine = MemoryEngine::new();
        let append = |ids: &[&str]| {
            let event = |id: &&str| NewEvent {
                id: (*id).to_owned(),
                kind: "k".into(),
                at: Timestamp(0),
                correlation: None,
                body: "{}".into(),
            };
            let (stream, expected) = ("s-1".parse().expect("a name"), Expected::Any);
            let events = ids.iter().map(event).collect();
            Write {
                appends: vec![Append {
                    stream,
                    expected,
                    events,
                }],
                ..Write::default()
            }
        };
        let first = engine.commit(append(&["a", "b"])).await.expect("new").appended[0];
        let again = engine.commit(append(&["b"])).await.expect("known").appended[0];
        assert_eq!(
            (first.first_revision, first.last_revision, first.duplicate),
            (0, 1, false)
        );
        assert_eq!(
            (again.first_revision, again.last_revision, again.duplicate),
            (1, 1, true)
        );
        assert_eq!((again.first_position, again.last_position), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unacknowledged_write_is_sometimes_lost_and_sometimes_durable() {
        let mut kept = 0;
        for seed in 0..40 {
            let engine = MemoryEngine::with_delay(Arc::new(SeededEntropy::new(seed)), Duration::from_millis(10));
            // The sender is cut off somewhere on the way; whether the write was durable by then is the seed's to say.
            let _cut = tokio::time::timeout(Duration::from_millis(5), engine.commit(put("a"))).await;
            kept += engine.crash().table(Table::Saga).len();
        }
        assert!((1..40).contains(&kept), "{kept} of 40");
    }
}
