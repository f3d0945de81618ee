//! Who drives which saga in this process, and who waits for its end.
//!
//! Invariants
//! - A saga has at most one driver: the one that holds its [`Claim`].
//! - An entry lives as long as its driver or somebody who waits; nothing else grows.
//! - The lock is held for a look-up, never across an await.
//!
//! Tests: beside it.

use crate::error::SagaError;
use crate::operator::Action;
use crate::phase::Phase;
use crate::record::FinalAnswer;
use ondol_core::id::SagaId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait for one driver.
const COMMANDS: usize = 8;

/// How far a saga is, for those who wait.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Nothing is known, or what `Location` names does not exist yet.
    Begun,
    /// `waiting` may be answered.
    Visible,
    /// It has ended.
    Ended(Arc<FinalAnswer>),
}

/// An operator's action on its way to the driver. Boxed there: a channel reserves room for 32 at its making, and nearly no
/// saga ever sees one.
pub(crate) struct Command {
    pub(crate) action: Action,
    pub(crate) who: String,
    pub(crate) reply: oneshot::Sender<Result<Phase, SagaError>>,
}

struct Entry {
    progress: watch::Sender<Progress>,
    driver: Option<mpsc::Sender<Box<Command>>>,
}

/// The register.
#[derive(Default)]
pub(crate) struct Hub {
    entries: Mutex<HashMap<SagaId, Entry>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<SagaId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(entries: &mut HashMap<SagaId, Entry>, id: SagaId) -> &mut Entry {
        entries.entry(id).or_insert_with(|| Entry {
            progress: watch::channel(Progress::Begun).0,
            driver: None,
        })
    }

    /// Makes the caller the saga's driver. `None`: it has one.
    pub(crate) fn claim(self: &Arc<Self>, id: SagaId) -> Option<Claim> {
        let mut entries = self.lock();
        let entry = Self::entry(&mut entries, id);
        if entry.driver.is_some() {
            return None;
        }
        let (sender, commands) = mpsc::channel(COMMANDS);
        entry.driver = Some(sender);
        Some(Claim {
            hub: self.clone(),
            id,
            progress: entry.progress.clone(),
            commands,
        })
    }

    /// Waits with others for the saga's end.
    pub(crate) fn watch(self: &Arc<Self>, id: SagaId) -> Watcher {
        let progress = Self::entry(&mut self.lock(), id).progress.subscribe();
        Watcher {
            hub: self.clone(),
            id,
            progress: Some(progress),
        }
    }

    /// The way to the saga's driver, when it has one.
    pub(crate) fn driver(&self, id: SagaId) -> Option<mpsc::Sender<Box<Command>>> {
        self.lock().get(&id)?.driver.clone()
    }

    /// True while somebody drives it.
    pub(crate) fn is_driven(&self, id: SagaId) -> bool {
        self.lock().get(&id).is_some_and(|entry| entry.driver.is_some())
    }

    fn sweep(entries: &mut HashMap<SagaId, Entry>, id: SagaId) {
        if entries
            .get(&id)
            .is_some_and(|entry| entry.driver.is_none() && entry.progress.receiver_count() == 0)
        {
            entries.remove(&id);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().len()
    }
}

/// The right to drive one saga, given back when dropped.
pub(crate) struct Claim {
    hub: Arc<Hub>,
    pub(crate) id: SagaId,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) commands: mpsc::Receiver<Box<Command>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut entries = self.hub.lock();
        if let Some(entry) = entries.get_mut(&self.id) {
            entry.driver = None;
        }
        Hub::sweep(&mut entries, self.id);
    }
}

/// Somebody who waits.
pub(crate) struct Watcher {
    hub: Arc<Hub>,
    id: SagaId,
    progress: Option<watch::Receiver<Progress>>,
}

impl Watcher {
    /// The present progress.
    pub(crate) fn now(&self) -> Progress {
        self.progress
            .as_ref()
            .map_or(Progress::Begun, |progress| progress.borrow().clone())
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&mut self) {
        let Some(progress) = &mut self.progress else {
            return std::future::pending().await;
        };
        if progress.changed().await.is_err() {
            // Cannot be: the sender lives in the entry, which lives as long as this watcher.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut entries = self.hub.lock();
        self.progress = None;
        Hub::sweep(&mut entries, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_has_one_driver_and_its_entry_goes_with_the_last_who_cares() {
        let hub = Arc::new(Hub::default());
        let id = SagaId(uuid::Uuid::from_u128(1));
        let claim = hub.claim(id).expect("nobody drives it");
        assert!(hub.claim(id).is_none() && hub.is_driven(id));
        let watcher = hub.watch(id);
        drop(claim);
        assert!(!hub.is_driven(id) && hub.driver(id).is_none());
        let again = hub.claim(id).expect("it was given back");
        again.progress.send_replace(Progress::Visible);
        assert!(
            matches!(watcher.now(), Progress::Visible),
            "who waits outlives the driver"
        );
        drop(watcher);
        assert_eq!(hub.len(), 1);
        drop(again);
        assert_eq!(hub.len(), 0);
    }
}
