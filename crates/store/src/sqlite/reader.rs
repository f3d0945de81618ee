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
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// At most so many reads wait; more callers wait for a place.
const WAITING: usize = 1_024;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The threads' queue.
pub(super) struct Readers {
    reads: Option<Sender<Read>>,
}

impl Readers {
    pub(super) fn start(path: &Path, config: &Config) -> Result<Self, OpenError> {
        let (reads, inbox) = channel::<Read>(WAITING);
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..config.readers.max(1) {
            let (connection, inbox) = (schema::open_reader(path, config)?, inbox.clone());
            let spawned = Tasks::thread("store-reader", move || serve(&connection, &inbox));
            spawned.map_err(|source| OpenError::File {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(Self { reads: Some(reads) })
    }

    /// Runs `read` on the next free thread. A read whose caller has gone is not run.
    pub(super) fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<Result<T, StoreError>> {
        let reads = self.reads.as_ref().map(Sender::downgrade);
        Box::pin(async move {
            let closed = || StoreError::Unavailable("it was closed".into());
            let (answer, outcome) = oneshot::channel();
            let job: Read = Box::new(move |connection| {
                if !answer.is_closed() {
                    let _ = answer.send(read(connection).map_err(|error| fault::sort(&error)));
                }
            });
            let reads = reads.as_ref().and_then(|reads| reads.upgrade()).ok_or_else(closed)?;
            reads.send(job).await.map_err(|_| closed())?;
            drop(reads);
            outcome.await.map_err(|_| closed())?
        })
    }

    pub(super) fn close(&mut self) {
        self.reads = None;
    }
}

fn serve(connection: &Connection, inbox: &Mutex<Receiver<Read>>) {
    loop {
        // The lock is given up before the read runs: the next thread then waits in its place.
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(read) = next else { return };
        read(connection);
    }
}
