//! Publishing: events of declared types, each into its topic's stream, all or none in one commit; and what a service
//! appends to streams of its own, whose declared types are checked likewise.
//!
//! Every event is idempotent by itself, by its id. The first try says that all ids are new, so that the usual case costs
//! no look-up; when the store knows one of them, the stored event is compared: the same type and data make it done, and
//! the rest is tried again without it; anything else refuses the whole batch, and nothing of it was written.
//!
//! Not here: HTTP (`ondol-api`), the outbox. Tests: `tests/publish.rs`.

use crate::context::Context;
use crate::envelope::{CloudEvent, check_all, check_at};
use crate::error::EventsError;
use crate::hops;
use crate::streams::{Receipt, Streams};
use crate::topics::Topics;
use ondol_core::engine::{Append, Committed, Expected, Guard, NewEvent, Order, StoreError, StoredEvent, Wanted, Write};
use ondol_core::id::{ServiceName, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

/// Events of one batch.
const MAX_EVENTS: usize = 1_000;

/// Where a published event is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// Its place in the log.
    pub position: u64,
    /// It was published before; this is the place of that first time.
    pub duplicate: bool,
}

/// Publishes for the services of a system. A clone is the same.
#[derive(Clone)]
pub struct Publisher {
    streams: Streams,
    topics: Arc<RwLock<Arc<Topics>>>,
}

impl Publisher {
    /// No types yet: see [`Publisher::set`].
    pub fn new(streams: Streams) -> Self {
        Self {
            streams,
            topics: Arc::default(),
        }
    }

    /// Replaces the types that may be published.
    pub fn set(&self, topics: Topics) {
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(topics);
    }

    /// The types that may be published.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes `events` of `service`, all or none; durable when this returns. What the producer left out is taken from
    /// `context` and the clock.
    ///
    /// # Errors
    /// [`EventsError::Count`], [`EventsError::Invalid`], [`EventsError::NotPublished`], [`EventsError::Schema`],
    /// [`EventsError::Conflict`], [`EventsError::TooDeep`]; the store's. After [`StoreError::Unavailable`] publish the
    /// same again.
    ///
    /// # Cancellation
    /// Dropping the future may or may not take the events back; publishing them again is safe.
    pub async fn publish(
        &self,
        service: &ServiceName,
        context: &Context,
        mut events: Vec<CloudEvent>,
    ) -> Result<Vec<Published>, EventsError> {
        if !(1..=MAX_EVENTS).contains(&events.len()) {
            return Err(EventsError::Count(events.len()));
        }
        context.fill(&mut events);
        check_all(&events)?;
        check_ids(&events)?;
        let topics = self.topics();
        let admitted = events
            .iter()
            .enumerate()
            .map(|(index, event)| topics.admit(service, index, event));
        let to = admitted
            .map(|topic| Ok(topic?.stream.clone()))
            .collect::<Result<Vec<StreamName>, EventsError>>()?;
        hops::set(&self.streams, &mut events).await?;
        let events = self.streams.stamp(events)?;
        self.commit(to.into_iter().zip(events).collect()).await
    }

    /// Every event that [`Publisher::publish`] would refuse, each with its reason: all that can be said in one look, so that a
    /// batch with many of them is not tried once for each. Nothing is published.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn refusals(
        &self,
        service: &ServiceName,
        events: Vec<CloudEvent>,
    ) -> Result<Vec<EventsError>, EventsError> {
        let topics = self.topics();
        // Counting writes into the events what no producer may.
        let mut counted = events.clone();
        let (mut refused, mut ids) = (hops::count(&self.streams, &mut counted).await?, HashSet::new());
        let mut admitted = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let to = check_at(index, &event).and_then(|()| topics.admit(service, index, &event));
            match to.map(|topic| topic.stream.clone()) {
                Err(error) => refused.push(error),
                Ok(_) if !ids.insert(event.id.clone()) => refused.push(twice(index, &event.id)),
                Ok(stream) => admitted.push((index, stream, event)),
            }
        }
        let mut places = Vec::with_capacity(admitted.len());
        let mut looked_for = Vec::with_capacity(admitted.len());
        for (index, stream, event) in admitted {
            places.push(index);
            looked_for.extend(
                self.streams
                    .stamp(vec![event])?
                    .into_iter()
                    .map(|event| (stream.clone(), event)),
            );
        }
        for mut conflict in self.known(&looked_for).await?.1 {
            if let EventsError::Conflict { index, .. } = &mut conflict {
                *index = places[*index];
            }
            refused.push(conflict);
        }
        Ok(refused)
    }

    /// Appends `events` of `service` to a stream of its own, as [`Streams::append`] does. One of a declared type must be
    /// the service's to publish and follow the type's schema.
    ///
    /// # Errors
    /// As [`Streams::append`], [`EventsError::NotPublished`] and [`EventsError::Schema`].
    ///
    /// # Cancellation
    /// As [`Streams::append`].
    pub async fn append(
        &self,
        service: &ServiceName,
        context: &Context,
        stream: &StreamName,
        expected: Expected,
        mut events: Vec<CloudEvent>,
    ) -> Result<Receipt, EventsError> {
        context.fill(&mut events);
        check_all(&events)?;
        let topics = self.topics();
        for (index, event) in events.iter().enumerate() {
            topics.admit_private(service, index, event)?;
        }
        self.streams.append(stream, expected, events).await
    }

    async fn commit(&self, events: Vec<(StreamName, NewEvent)>) -> Result<Vec<Published>, EventsError> {
        let mut known: HashMap<String, u64> = HashMap::new();
        loop {
            let new = events.iter().filter(|(_, event)| !known.contains_key(&event.id));
            let write = write(new);
            if write.appends.is_empty() {
                return Ok(places(&events, &known, &Committed::default()));
            }
            let before = known.len();
            match self.streams.write(write).await {
                Ok(committed) => return Ok(places(&events, &known, &committed)),
                Err(EventsError::Store(StoreError::IdInUse { id })) => {
                    let (found, conflicts) = self.known(&events).await?;
                    if let Some(conflict) = conflicts.into_iter().next() {
                        return Err(conflict);
                    }
                    known = found;
                    // Each round knows more than the one before, so the loop ends; otherwise the store contradicts itself.
                    if known.len() == before {
                        return Err(StoreError::IdInUse { id }.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Which of the events are stored already, and where; and those whose id is another's.
    async fn known(
        &self,
        events: &[(StreamName, NewEvent)],
    ) -> Result<(HashMap<String, u64>, Vec<EventsError>), EventsError> {
        let by_id: HashMap<&str, usize> = events
            .iter()
            .enumerate()
            .map(|(n, (_, event))| (&*event.id, n))
            .collect();
        let (mut known, mut conflicts, mut after) = (HashMap::new(), Vec::new(), 0);
        loop {
            let ids = events.iter().map(|(_, event)| event.id.clone()).collect();
            let page = self
                .streams
                .log(Wanted::Ids(ids), after, Order::Ascending, MAX_EVENTS as u32)
                .await?;
            let Some(last) = page.last_position() else {
                return Ok((known, conflicts));
            };
            after = last;
            for stored in page.events {
                let Some(index) = by_id.get(&*stored.event.id).copied() else {
                    continue;
                };
                let (stream, event) = &events[index];
                if same(stream, event, &stored) {
                    known.insert(stored.event.id, stored.position);
                } else {
                    let rule = "is that of a stored event of another type or with other data";
                    let id = stored.event.id;
                    conflicts.push(EventsError::Conflict { index, id, rule });
                }
            }
        }
    }
}

fn check_ids(events: &[CloudEvent]) -> Result<(), EventsError> {
    let mut ids = HashSet::with_capacity(events.len());
    match events.iter().position(|event| !ids.insert(event.id.as_str())) {
        None => Ok(()),
        Some(index) => Err(twice(index, &events[index].id)),
    }
}

fn twice(index: usize, id: &str) -> EventsError {
    let (id, rule) = (id.to_owned(), "stands twice in the batch");
    EventsError::Conflict { index, id, rule }
}

/// One append for each run of events of one type, so that the log keeps the batch's order.
fn write<'e>(events: impl Iterator<Item = &'e (StreamName, NewEvent)>) -> Write {
    let mut write = Write {
        guards: vec![Guard::NewIds],
        ..Write::default()
    };
    for (stream, event) in events {
        match write
            .appends
            .last_mut()
            .filter(|run: &&mut Append| run.stream == *stream)
        {
            Some(run) => run.events.push(event.clone()),
            None => write.appends.push(Append {
                stream: stream.clone(),
                expected: Expected::Any,
                events: vec![event.clone()],
            }),
        }
    }
    write
}

/// A write's events lie one behind the other, whatever their streams: from the first's place on.
fn places(events: &[(StreamName, NewEvent)], known: &HashMap<String, u64>, committed: &Committed) -> Vec<Published> {
    let mut next = committed.appended.first().map_or(0, |first| first.first_position);
    let mut place = |event: &NewEvent| match known.get(&event.id) {
        Some(position) => (*position, true),
        None => {
            next += 1;
            (next - 1, false)
        }
    };
    let published = events.iter().map(|(_, event)| {
        let (position, duplicate) = place(event);
        Published {
            id: event.id.clone(),
            position,
            duplicate,
        }
    });
    published.collect()
}

/// What an event says, for comparing.
#[derive(Deserialize)]
struct Said {
    data: Option<Box<RawValue>>,
    data_base64: Option<String>,
}

/// Whether the stored event says the same. What the platform filled in may differ from one try to the next.
fn same(stream: &StreamName, event: &NewEvent, stored: &StoredEvent) -> bool {
    let said = |body: &[u8]| serde_json::from_slice::<Said>(body).ok();
    let alike = |new: Said, old: Said| new.data_base64 == old.data_base64 && same_data(new.data, old.data);
    *stream == stored.stream
        && event.kind == stored.event.kind
        && said(&event.body)
            .zip(said(&stored.event.body))
            .is_some_and(|(new, old)| alike(new, old))
}

/// By their text, or else by what it says: some JSON can be written and not be read as a value, such as a number that is
/// too large or an array in an array a thousand times.
fn same_data(new: Option<Box<RawValue>>, old: Option<Box<RawValue>>) -> bool {
    let value = |data: &RawValue| serde_json::from_str::<Value>(data.get()).ok();
    match (new, old) {
        (None, None) => true,
        (Some(new), Some(old)) => new.get() == old.get() || value(&new).is_some_and(|new| value(&old) == Some(new)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublishedType;
    use ondol_core::clock::SystemClock;
    use ondol_core::task::Tasks;
    use ondol_testkit::engine::MemoryEngine;
    use serde_json::json;

    fn event(id: &str, kind: &str, source: &str, data: u32) -> CloudEvent {
        let event = json!({"specversion": "1.0", "id": id, "source": source, "type": kind, "data": data});
        serde_json::from_value(event).expect("an event")
    }

    #[tokio::test]
    async fn every_event_that_cannot_be_published_is_told_in_one_look() {
        let engine = Arc::new(MemoryEngine::new());
        let publisher = Publisher::new(Streams::new(engine, Arc::new(SystemClock), &Tasks::new()));
        let service: ServiceName = "one".parse().expect("a name");
        let published = PublishedType {
            kind: "a.v1".into(),
            publisher: service.clone(),
            schema: None,
        };
        publisher.set(Topics::new(&[published]).expect("compiles"));
        let own = "/services/one";
        let context = Context::default();
        let known = vec![event("known", "a.v1", own, 1)];
        publisher.publish(&service, &context, known).await.expect("published");
        let batch = vec![
            event("good", "a.v1", own, 1),
            event("type", "b.v1", own, 1),
            event("", "a.v1", own, 1),
            event("known", "a.v1", own, 2),
            event("good", "a.v1", own, 1),
            event("source", "a.v1", "/services/two", 1),
        ];
        let told = publisher.refusals(&service, batch).await.expect("looked at");
        let mut told: Vec<_> = told
            .iter()
            .map(|error| (error.index(), error.code().to_string()))
            .collect();
        told.sort();
        let claim = [
            (1, "EV-005"),
            (2, "EV-002"),
            (3, "EV-007"),
            (4, "EV-007"),
            (5, "EV-002"),
        ];
        assert_eq!(told, claim.map(|(index, code)| (Some(index), code.to_owned())));
        let well = vec![event("known", "a.v1", own, 1), event("new", "a.v1", own, 1)];
        assert!(publisher.refusals(&service, well).await.expect("looked at").is_empty());
    }
}
