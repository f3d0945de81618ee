//! The bounded queue before the writer, alike for every engine.
//!
//! The bound is on bytes, held as permits of a semaphore until the write is answered. Only the engine holds the sending
//! end: when it is dropped, the writer finishes what is queued and ends, whatever futures are still held somewhere.

use crate::bounds::weigh;
use crate::config::Config;
use ondol_core::BoxFuture;
use ondol_core::clock::Clock;
use ondol_core::engine::{Committed, StoreError, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// One write on its way.
pub(crate) struct Job {
    pub(crate) write: Write,
    answer: oneshot::Sender<Result<Committed, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl Job {
    /// Answers the caller; it may have gone.
    pub(crate) fn answer(self, outcome: Result<Committed, StoreError>) {
        let _ = self.answer.send(outcome);
    }
}

/// The end into which rooms put writes.
pub(crate) struct Queue {
    /// `None` only while the engine is dropped.
    jobs: Option<UnboundedSender<Job>>,
    places: Arc<Semaphore>,
    wait: Duration,
}

impl Queue {
    pub(crate) fn new(config: &Config) -> (Self, UnboundedReceiver<Job>) {
        let (jobs, inbox) = unbounded_channel();
        let places = Arc::new(Semaphore::new(config.queue_kib as usize));
        (
            Self {
                jobs: Some(jobs),
                places,
                wait: config.queue_wait,
            },
            inbox,
        )
    }

    /// Puts `write` into the queue, waiting for a place, and gives its outcome.
    pub(crate) fn submit(&self, write: Write) -> BoxFuture<Result<Committed, StoreError>> {
        let (places, wait) = (self.places.clone(), self.wait);
        let jobs = self.jobs.as_ref().map(UnboundedSender::downgrade);
        Box::pin(async move {
            let closed = || StoreError::Unavailable("it was closed".into());
            let permits = (weigh(&write)? / 1024 + 1) as u32;
            let place = match places.clone().try_acquire_many_owned(permits) {
                Ok(place) => place,
                Err(_) => match tokio::time::timeout(wait, places.acquire_many_owned(permits)).await {
                    Ok(place) => place.map_err(|_| closed())?,
                    Err(_) => return Err(StoreError::Busy),
                },
            };
            let (answer, outcome) = oneshot::channel();
            let jobs = jobs.as_ref().and_then(|jobs| jobs.upgrade()).ok_or_else(closed)?;
            jobs.send(Job {
                write,
                answer,
                _place: place,
            })
            .map_err(|_| closed())?;
            drop(jobs);
            outcome
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("its writer ended".into())))
        })
    }

    /// Takes no more; what is queued is still written.
    pub(crate) fn close(&mut self) {
        self.places.close();
        self.jobs = None;
    }
}

/// A batch that takes longer than this is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

/// Tells of a batch that began at `begun` on the clock's monotonic reading and took long.
pub(crate) fn tell_if_slow(clock: &dyn Clock, begun: Duration, writes: usize) {
    let took = clock.mono().saturating_sub(begun);
    if took > SLOW {
        tracing::warn!(
            milliseconds = took.as_millis(),
            writes,
            "the store took long to make a batch durable"
        );
    }
}

/// Whether the engine has failed for good, and why.
#[derive(Clone)]
pub(crate) struct Health(watch::Sender<Option<StoreError>>);

impl Health {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn error(&self) -> Option<StoreError> {
        self.0.borrow().clone()
    }

    /// The first failure stays.
    pub(crate) fn fail(&self, error: &StoreError) {
        self.0.send_if_modified(|held| {
            let first = held.is_none();
            if first {
                tracing::error!(code = error.code().as_str(), %error, "the store acknowledges nothing any more");
                *held = Some(error.clone());
            }
            first
        });
    }

    /// Resolves with the failure, when there is one.
    pub(crate) fn failed(&self) -> BoxFuture<StoreError> {
        let mut watch = self.0.subscribe();
        Box::pin(async move {
            match watch.wait_for(Option::is_some).await.map(|held| held.clone()) {
                Ok(Some(error)) => error,
                // Closed in good order: it has not failed and never will.
                _ => std::future::pending().await,
            }
        })
    }
}
