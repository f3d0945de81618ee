//! The reading threads: each has a connection, all take from one bounded queue.
//!
//! A read sees every write acknowledged before it began: its snapshot starts when it runs.

use super::{fault, schema};
use crate::config::Config;
use crate::error::OpenError;
use ondol_core::BoxFuture;
use ondol_core::engine::StoreError;
use ondol_core::task::Tasks;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// At most so many reads wait; more callers wait for a place.
const WAITING: usize = 1_024;

/// A read and its place in the queue's bound, given back once it has run.
type Read = (Box<dyn FnOnce(&Connection) + Send>, OwnedSemaphorePermit);

/// The threads and their queue.
pub(super) struct Readers {
    /// Held here only: when it is dropped, the threads end, whatever futures wait for a place.
    reads: Option<UnboundedSender<Read>>,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Without threads yet.
    pub(super) fn new() -> Self {
        Self {
            reads: None,
            places: Arc::new(Semaphore::new(WAITING)),
            threads: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, path: &Path, config: &Config) -> Result<(), OpenError> {
        let (reads, inbox) = unbounded_channel::<Read>();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..config.readers.max(1) {
            let (connection, inbox) = (schema::open_reader(path, config)?, inbox.clone());
            let thread = Tasks::thread("store-reader", move || serve(&connection, &inbox));
            self.threads.push(thread.map_err(|source| OpenError::File {
                path: path.to_owned(),
                source,
            })?);
        }
        self.reads = Some(reads);
        Ok(())
    }

    /// Runs `read` on the next free thread. A read whose caller has gone is not run.
    pub(super) fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<Result<T, StoreError>> {
        let reads = self.reads.as_ref().map(UnboundedSender::downgrade);
        let places = self.places.clone();
        Box::pin(async move {
            let closed = || StoreError::Unavailable("it was closed".into());
            let place = places.acquire_owned().await.map_err(|_| closed())?;
            let (answer, outcome) = oneshot::channel();
            let job = Box::new(move |connection: &Connection| {
                if !answer.is_closed() {
                    let _ = answer.send(read(connection).map_err(|error| fault::sort(&error)));
                }
            });
            let reads = reads.as_ref().and_then(|reads| reads.upgrade()).ok_or_else(closed)?;
            reads.send((job, place)).map_err(|_| closed())?;
            drop(reads);
            outcome.await.map_err(|_| closed())?
        })
    }

    /// Takes no more reads, and waits for those under way.
    pub(super) fn close(&mut self) {
        self.places.close();
        self.reads = None;
        for thread in self.threads.drain(..) {
            // A panic of a reader was reported where it happened.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, inbox: &Mutex<UnboundedReceiver<Read>>) {
    loop {
        // The lock is given up before the read runs: the next thread then waits in its place.
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some((read, _place)) = next else { return };
        read(connection);
    }
}
