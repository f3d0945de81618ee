//! The one spawner of tasks and threads: each has a kind, is counted, and ends when its [`Tasks`] is stopped.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a task is for; running tasks are counted by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Kind {
    /// Accepts connections.
    Listener,
    /// Serves one client connection.
    Connection,
    /// Drives one upstream connection.
    Upstream,
    /// Asks instances whether they are well.
    Health,
    /// Drives sagas.
    Saga,
    /// Carries events.
    Events,
    /// Builds, starts and replaces.
    Deploy,
    /// Sends or takes snapshots and telemetry.
    Control,
    /// Serves the admin and service APIs.
    Api,
    /// Anything else.
    Other,
}

const KINDS: usize = Kind::Other as usize + 1;

#[derive(Default)]
struct Counts([AtomicUsize; KINDS]);

struct Counted(Arc<Counts>, Kind);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0[self.1 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A family of tasks with one end. A clone is the same family.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    counts: Arc<Counts>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
impl Tasks {
    /// An empty family.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            counts: Arc::default(),
        }
    }

    /// A family that stops with this one and can be stopped alone.
    pub fn child(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            stop: self.stop.child_token(),
            counts: self.counts.clone(),
        }
    }

    fn count(&self, kind: Kind) -> Counted {
        self.counts.0[kind as usize].fetch_add(1, Ordering::Relaxed);
        Counted(self.counts.clone(), kind)
    }

    /// A task's own future. What it runs is boxed: an async block holds what it awaits once per layer, so by value a task
    /// would be three times as large as what it runs.
    fn counted<F: Future>(&self, kind: Kind, future: Pin<Box<F>>) -> impl Future<Output = Option<F::Output>> + use<F> {
        let (stop, counted) = (self.stop.clone(), self.count(kind));
        async move {
            let _counted = counted;
            stop.run_until_cancelled(future).await
        }
    }

    /// Runs `future` on the current runtime until it ends or the family stops; stopping drops it at its next await.
    pub fn spawn<F>(&self, kind: Kind, future: F) -> tokio::task::JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(self.counted(kind, Box::pin(future)))
    }

    /// Like [`Tasks::spawn`] for a future that stays on this thread; needs a `LocalSet` or a local runtime.
    pub fn spawn_local<F>(&self, kind: Kind, future: F) -> tokio::task::JoinHandle<Option<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.tracker.spawn_local(self.counted(kind, Box::pin(future)))
    }

    /// A named thread. It must watch [`Tasks::stopping`] itself.
    ///
    /// # Errors
    /// When the operating system refuses another thread.
    pub fn thread<T: Send + 'static>(
        name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<T>> {
        crate::thread::spawn(name, body)
    }

    /// How many tasks of this kind run.
    pub fn running(&self, kind: Kind) -> usize {
        self.counts.0[kind as usize].load(Ordering::Relaxed)
    }

    /// True once the family has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the family is told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Tells the family to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until all tasks of this family and its relatives have ended. Call after [`Tasks::stop`].
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_ends_and_counts_down_every_task() {
        let tasks = Tasks::new();
        tasks.spawn(Kind::Saga, std::future::pending::<()>());
        tasks.child().spawn(Kind::Saga, std::future::pending::<()>());
        assert_eq!(tasks.running(Kind::Saga), 2);
        tasks.stop();
        tasks.ended().await;
        assert_eq!(tasks.running(Kind::Saga), 0);
    }
}
