//! The handle: append to a stream, read it, follow everything.

use crate::envelope::{CloudEvent, check_all};
use crate::error::EventsError;
use crate::hops;
use crate::page::Page;
use bytes::Bytes;
use ondol_core::clock::SharedClock;
use ondol_core::engine::{
    Append, Appended, Committed, Expected, KindInfo, NewEvent, Order, SharedEngine, StoreError, StoredEvent,
    StreamInfo, Wanted, Write,
};
use ondol_core::id::StreamName;
use ondol_core::task::{Kind, Tasks};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::watch;

/// A follower waits at most so long for news; it then gets an empty page and asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After an append a follower at the end of the log waits so long for more of them before it reads: 100 reads a second at
/// most, however many appends there are.
const GATHER: Duration = Duration::from_millis(10);

/// Where an append went: the answer to its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Revision of the batch's last event: what the next append expects.
    pub revision: u64,
    /// Position of the batch's last event: a read model that has reached it knows the whole batch.
    pub position: u64,
    /// Revision of the batch's first event.
    pub first_revision: u64,
    /// Position of the batch's first event.
    pub first_position: u64,
    /// It had been appended before; these are the places of that first time.
    pub duplicate: bool,
}

impl From<Appended> for Receipt {
    fn from(places: Appended) -> Self {
        Self {
            revision: places.last_revision,
            position: places.last_position,
            first_revision: places.first_revision,
            first_position: places.first_position,
            duplicate: places.duplicate,
        }
    }
}

/// Reads the condition of an append: absent: any; `*`: the stream exists; `"no-stream"`; `"7"`: its last revision.
///
/// # Errors
/// [`EventsError::Condition`] when it is none of these. Weak tags name no revision.
pub fn expected_from_if_match(header: Option<&str>) -> Result<Expected, EventsError> {
    let Some(text) = header.map(str::trim) else {
        return Ok(Expected::Any);
    };
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    match bare {
        "*" => Some(Expected::Exists),
        "no-stream" => Some(Expected::NoStream),
        // `u64` would also read a leading plus.
        _ if bare.bytes().all(|b| b.is_ascii_digit()) => bare.parse().map(Expected::Revision).ok(),
        _ => None,
    }
    .ok_or_else(|| EventsError::Condition(text.chars().take(80).collect()))
}

/// Event streams over a store. A clone is the same handle.
#[derive(Clone)]
pub struct Streams {
    engine: SharedEngine,
    clock: SharedClock,
    tasks: Tasks,
    /// Highest position that this process has appended: wakes those who follow.
    head: watch::Sender<u64>,
}

impl Streams {
    /// A handle; all followers that an append shall wake must use it or its clones.
    pub fn new(engine: SharedEngine, clock: SharedClock, tasks: &Tasks) -> Self {
        Self {
            engine,
            clock,
            tasks: tasks.clone(),
            head: watch::Sender::new(0),
        }
    }

    /// Appends `events` to `stream`, all or none; durable when this returns. Idempotent by the first event's id.
    ///
    /// # Errors
    /// [`EventsError::Invalid`]; [`StoreError::WrongRevision`] and [`StoreError::IdInUse`] when the stream or an id is
    /// not as expected; the store's other errors. After [`StoreError::Unavailable`] append the same again.
    ///
    /// # Cancellation
    /// Dropping the future does not take the append back: it goes on, and its followers are woken.
    pub async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<CloudEvent>,
    ) -> Result<Receipt, EventsError> {
        let mut events = events;
        check_all(&events)?;
        hops::set(self, &mut events).await?;
        let append = Append {
            stream: stream.clone(),
            expected,
            events: self.stamp(events)?,
        };
        let committed = self.write(Write {
            appends: vec![append],
            ..Write::default()
        });
        let places = committed.await?.appended.first().copied();
        let places = places.ok_or_else(|| StoreError::Broken("an append has no place".into()))?;
        Ok(places.into())
    }

    /// The stored form of new events, with the clock's time where the producer named none.
    pub(crate) fn stamp(&self, events: Vec<CloudEvent>) -> Result<Vec<NewEvent>, EventsError> {
        let at = self.clock.wall();
        let stored = events.into_iter().map(|mut event| {
            event.time.get_or_insert_with(|| at.to_string());
            let body = serde_json::to_vec(&event).map_err(|error| EventsError::Unreadable(error.to_string()))?;
            Ok(NewEvent {
                id: event.id,
                kind: event.kind,
                at,
                correlation: event.correlationid,
                body: Bytes::from(body),
            })
        });
        stored.collect()
    }

    /// Makes events durable and wakes those who follow.
    ///
    /// A task of its own: a caller that goes away while the store syncs must not leave the followers asleep.
    pub(crate) async fn write(&self, write: Write) -> Result<Committed, EventsError> {
        let (commit, head) = (self.engine.commit(write), self.head.clone());
        let written = self.tasks.spawn(Kind::Events, async move {
            let committed = commit.await?;
            let last = committed.appended.iter().map(|places| places.last_position).max();
            head.send_if_modified(|head| last.is_some_and(|last| std::mem::replace(head, last.max(*head)) < last));
            Ok::<_, StoreError>(committed)
        });
        match written.await {
            Ok(Some(outcome)) => Ok(outcome?),
            _ => Err(StoreError::Unavailable("this process is stopping".into()).into()),
        }
    }

    /// The events of one stream from revision `from` on or back, at most `limit` (at most 10,000). Empty when it does not
    /// exist.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, stream: &StreamName, from: u64, order: Order, limit: u32) -> Result<Page, EventsError> {
        Ok(Page {
            events: self.engine.stream(stream.clone(), from, order, limit).await?,
        })
    }

    /// The log after or before position `from`, at most `limit` events (at most 10,000).
    ///
    /// # Errors
    /// The store's.
    pub async fn log(&self, wanted: Wanted, from: u64, order: Order, limit: u32) -> Result<Page, EventsError> {
        Ok(Page {
            events: self.engine.events(wanted, from, order, limit).await?,
        })
    }

    /// The event with this id.
    ///
    /// # Errors
    /// The store's.
    pub async fn event(&self, id: &str) -> Result<Option<StoredEvent>, EventsError> {
        let found = self
            .log(Wanted::Ids(vec![id.to_owned()]), 0, Order::Ascending, 1)
            .await?;
        Ok(found.events.into_iter().next())
    }

    /// Streams whose name begins with `prefix`, by name after `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn streams(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<StreamInfo>, EventsError> {
        Ok(self.engine.streams(prefix.to_owned(), after, limit).await?)
    }

    /// Types of events that the log holds, by name after `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn kinds(&self, after: Option<String>, limit: u32) -> Result<Vec<KindInfo>, EventsError> {
        Ok(self.engine.kinds(after, limit).await?)
    }

    /// Highest position that this process has appended, 0 before the first: changes at every append, so that whoever
    /// follows need not ask the store again and again.
    pub fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Events after position `after`. Where there are none yet it waits up to `wait` (at most 30 s) for an append through
    /// this handle, and then gives what there is, which may be nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn follow(&self, wanted: &Wanted, after: u64, limit: u32, wait: Duration) -> Result<Page, EventsError> {
        // Subscribed before the first look, so that an append in between wakes.
        let mut head = self.head.subscribe();
        let mut end = std::pin::pin!(tokio::time::sleep(wait.min(LONGEST_WAIT)));
        let behind = head.borrow().saturating_sub(after);
        if !wait.is_zero() && (1..u64::from(limit)).contains(&behind) {
            tokio::time::sleep(GATHER).await;
        }
        loop {
            let last = *head.borrow_and_update();
            // Who has seen the last of this process's appends, and so of all, finds nothing in the store.
            if last == 0 || after < last {
                let events = self.log(wanted.clone(), after, Order::Ascending, limit).await?;
                if !events.events.is_empty() {
                    return Ok(events);
                }
            }
            if wait.is_zero() {
                return Ok(Page::default());
            }
            let news = async {
                // The sending half lives in `self`, so this is news.
                let _always = head.changed().await;
                tokio::time::sleep(GATHER).await;
            };
            tokio::select! {
                () = &mut end => return Ok(Page::default()),
                () = news => {}
            }
        }
    }
}
