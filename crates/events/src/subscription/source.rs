//! The log as subscriptions read it: its end from memory, once for all of them; what lies further back from the store,
//! only the types that are wanted.
//!
//! Whoever stands at the end takes events from a ring that the first to ask fills by one read. So a thousand events a
//! second cost a thousand small reads at most, however many subscriptions follow. One that is behind reads pages of its
//! own along the store's index by type, and never holds up those at the end.
//!
//! Bounds: [`RING`] events or [`RING_BYTES`] in the ring, [`PAGE`] events a read.

use super::filter::{Filter, Read};
use ondol_core::engine::{Order, SharedEngine, StoreError, StoredEvent, Wanted};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Events of one read. Small: a page is parsed in one go, and whoever publishes waits meanwhile.
pub(crate) const PAGE: u32 = 128;
const RING: usize = 4_096;
const RING_BYTES: usize = 8 << 20;

/// What a read gave.
#[derive(Debug)]
pub(crate) struct Found {
    /// Events that the filter wants.
    pub(crate) events: Vec<Arc<Read>>,
    /// Everything wanted up to here is among them; where the read began, when the log has no more.
    pub(crate) upto: u64,
    /// The log's end, as it was seen lately.
    pub(crate) end: u64,
}

/// The newest events, after `start` up to `end`.
struct Ring {
    start: u64,
    end: u64,
    events: VecDeque<Arc<StoredEvent>>,
    bytes: usize,
}

/// The log. All subscriptions share one.
pub(crate) struct Source {
    engine: SharedEngine,
    ring: Mutex<Option<Ring>>,
}

impl Source {
    pub(crate) fn new(engine: SharedEngine) -> Self {
        Self {
            engine,
            ring: Mutex::new(None),
        }
    }

    /// What `filter` wants of the events after `after`, at most `limit` of them.
    pub(crate) async fn after(&self, filter: &Filter, after: u64, limit: u32) -> Result<Found, StoreError> {
        let end = {
            let mut ring = self.ring.lock().await;
            let ring = match &mut *ring {
                Some(ring) => ring,
                none => none.insert(Ring::at(self.head().await?)),
            };
            if after >= ring.end {
                ring.fill(&self.engine).await?;
            }
            // Large events push each other out even while they are read.
            if after >= ring.start {
                return Ok(ring.after(filter, after, limit));
            }
            ring.end
        };
        let limit = limit.min(PAGE);
        let found = self
            .engine
            .events(filter.wanted(), after, Order::Ascending, limit)
            .await?;
        // Only an empty page says that there is no more; what it says holds up to the end that was seen before.
        let upto = found.last().map_or(end, |last| last.position);
        let events = found.into_iter().map(Arc::new);
        Ok(Found {
            events: events.filter_map(|stored| filter.read(&stored)).collect(),
            upto,
            end,
        })
    }

    /// Last position of the log, 0 when it is empty.
    pub(crate) async fn head(&self) -> Result<u64, StoreError> {
        let last = self.engine.events(Wanted::All, u64::MAX, Order::Descending, 1).await?;
        Ok(last.first().map_or(0, |last| last.position))
    }

    /// Events at these positions, at most 1,000, in the order of the log, and as many of them as one page of the store holds
    /// by its bytes; those that are not there are left out.
    pub(crate) async fn at(&self, positions: Vec<u64>) -> Result<Vec<StoredEvent>, StoreError> {
        self.at_after(positions, 0).await
    }

    async fn at_after(&self, positions: Vec<u64>, after: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = u32::try_from(positions.len()).unwrap_or(u32::MAX);
        self.engine
            .events(Wanted::Positions(positions), after, Order::Ascending, limit)
            .await
    }

    /// What `each` makes of every event at these positions, at most 1,000, however large they are: one page of the store is
    /// in memory at a time.
    pub(crate) async fn each_at<T>(
        &self,
        positions: Vec<u64>,
        each: impl Fn(StoredEvent) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let (mut made, mut after) = (Vec::with_capacity(positions.len()), 0);
        while made.len() < positions.len() {
            let page = self.at_after(positions.clone(), after).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            made.extend(page.into_iter().map(&each));
        }
        Ok(made)
    }

    /// The event at one position, wanted or not.
    pub(crate) async fn one(&self, position: u64) -> Result<Option<Arc<Read>>, StoreError> {
        let found = self.at(vec![position]).await?;
        let read = found
            .into_iter()
            .next()
            .map(|stored| Read::new(Arc::new(stored)))
            .transpose();
        let read = read.map_err(|error| StoreError::Broken(format!("the event at {position}: {error}")))?;
        Ok(read.map(Arc::new))
    }
}

impl Ring {
    fn at(head: u64) -> Self {
        Self {
            start: head,
            end: head,
            events: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Reads on from its end.
    async fn fill(&mut self, engine: &SharedEngine) -> Result<(), StoreError> {
        let more = engine.events(Wanted::All, self.end, Order::Ascending, PAGE).await?;
        for stored in more {
            (self.end, self.bytes) = (stored.position, self.bytes + stored.event.body.len());
            self.events.push_back(Arc::new(stored));
        }
        while self.events.len() > RING || self.bytes > RING_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            (self.start, self.bytes) = (oldest.position, self.bytes - oldest.event.body.len());
        }
        Ok(())
    }

    fn after(&self, filter: &Filter, after: u64, limit: u32) -> Found {
        // Positions are dense, so a place in the ring is a difference of positions.
        let skip = usize::try_from(after - self.start).unwrap_or(usize::MAX);
        let mut found = Found {
            events: Vec::new(),
            upto: after,
            end: self.end,
        };
        for stored in self.events.iter().skip(skip) {
            if found.events.len() >= limit as usize {
                break;
            }
            found.events.extend(filter.read(stored));
            found.upto = stored.position;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Subscription;
    use super::*;
    use bytes::Bytes;
    use ondol_core::clock::Timestamp;
    use ondol_core::engine::{Append, Expected, NewEvent, Write};
    use ondol_testkit::engine::MemoryEngine;

    async fn append(engine: &SharedEngine, count: u64, size: usize) {
        let first = Source::new(engine.clone()).head().await.expect("reads") + 1;
        for id in first..first + count {
            let kind = if id % 10 == 0 { "rare.v1" } else { "often.v1" };
            let pad = "x".repeat(size);
            let body = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"{kind}","data":"{pad}"}}"#);
            let event = NewEvent {
                id: id.to_string(),
                kind: kind.into(),
                at: Timestamp(0),
                correlation: None,
                body: Bytes::from(body),
            };
            let stream = "topic-x".parse().expect("valid");
            let append = Append {
                stream,
                expected: Expected::Any,
                events: vec![event],
            };
            engine
                .commit(Write {
                    appends: vec![append],
                    ..Write::default()
                })
                .await
                .expect("appended");
        }
    }

    /// Reads from `after` to the end; the positions seen.
    async fn read(source: &Source, filter: &Filter, after: u64) -> Vec<u64> {
        let (mut at, mut seen) = (after, Vec::new());
        loop {
            let found = source.after(filter, at, 7).await.expect("reads");
            if found.upto == at {
                return seen;
            }
            assert!(found.upto > at);
            at = found.upto;
            seen.extend(found.events.iter().map(|read| read.stored.position));
        }
    }

    fn filter(kind: &str) -> Filter {
        Filter::new(&Subscription::new(
            "points.orders".parse().expect("valid"),
            vec![kind.into()],
        ))
    }

    #[tokio::test]
    async fn what_is_read_is_the_same_from_the_ring_and_from_the_store() {
        let engine: SharedEngine = Arc::new(MemoryEngine::new());
        append(&engine, 40, 0).await;
        let source = Source::new(engine.clone());
        let every = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();
        assert_eq!(read(&source, &filter("*"), 40).await, [0; 0]);
        append(&engine, 20, 0).await;
        assert_eq!(read(&source, &filter("*"), 40).await, every(41, 60), "from the ring");
        assert_eq!(read(&source, &filter("*"), 0).await, every(1, 60), "over the border");
        assert_eq!(read(&source, &filter("rare.v1"), 0).await, [10, 20, 30, 40, 50, 60]);
        assert_eq!(read(&source, &filter("none.v1"), 0).await, [0; 0]);
        assert_eq!(source.one(10).await.expect("reads").expect("there").stored.position, 10);
        assert!(source.one(61).await.expect("reads").is_none());
    }

    #[tokio::test]
    async fn the_ring_forgets_what_is_too_much_and_nobody_misses_it() {
        let engine: SharedEngine = Arc::new(MemoryEngine::new());
        let source = Source::new(engine.clone());
        assert_eq!(read(&source, &filter("*"), 0).await, [0; 0]);
        append(&engine, 40, RING_BYTES / 20).await;
        assert_eq!(read(&source, &filter("*"), 20).await, (21..=40).collect::<Vec<_>>());
        let ring = source.ring.lock().await;
        let ring = ring.as_ref().expect("filled");
        assert!(
            ring.bytes <= RING_BYTES && ring.start > 20 && ring.end == 40,
            "{}",
            ring.start
        );
        assert_eq!(ring.events.len() as u64, ring.end - ring.start);
    }

    #[tokio::test]
    async fn large_events_at_named_places_are_all_found_though_a_page_ends_by_bytes() {
        let engine: SharedEngine = Arc::new(MemoryEngine::new());
        append(&engine, 40, 900_000).await;
        let source = Source::new(engine);
        let every: Vec<u64> = (1..=40).collect();
        let one_page = source.at(every.clone()).await.expect("reads");
        assert!(one_page.len() < 40 && one_page[0].position == 1, "{}", one_page.len());
        let asked = [every.clone(), vec![99]].concat();
        let all = source.each_at(asked, |stored| stored.position).await.expect("reads");
        assert_eq!(all, every);
    }
}
