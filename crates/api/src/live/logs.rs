//! One reader's log lines: a thread follows the supervisor and waits while the reader is slow, so that nothing is lost
//! as long as the supervisor keeps it.
//!
//! Bounded: [`MAX_LINES`] lines and about [`MAX_BYTES`] bytes wait for a reader; one thread per reader.

use ondol_core::task::Tasks;
use ondol_core::wire::supervision::LogLine;
use ondol_core::wire::supervision_client::{Canceller, ClientError, LogQuery, SupervisorClient};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

const MAX_LINES: usize = 2_000;
const MAX_BYTES: usize = 2 << 20;

/// Lines of some sources as they come. Dropping it ends the thread.
pub(super) struct Follower {
    shared: Arc<Shared>,
    canceller: Canceller,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    room: Condvar,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The supervisor, or the reader, is gone.
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False once nobody reads any more.
    fn push(&self, line: LogLine) -> bool {
        let mut waiting = self.lock();
        while !waiting.ended && (waiting.lines.len() >= MAX_LINES || waiting.bytes >= MAX_BYTES) {
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes += line.text.len();
        waiting.lines.push_back(line);
        self.news.notify_one();
        !waiting.ended
    }
}

impl Follower {
    /// Follows a source, from its last `tail` kept lines, or those of them that came after the number `after`. Blocking,
    /// for the time of one answer of the supervisor.
    ///
    /// # Errors
    /// When the supervisor cannot be asked, or there is no thread left.
    pub(super) fn start(
        supervisor: &SupervisorClient,
        source: String,
        tail: u32,
        after: Option<u64>,
    ) -> Result<Self, ClientError> {
        let query = LogQuery {
            sources: vec![source],
            tail,
            after,
            follow: true,
        };
        let lines = supervisor.logs(query)?;
        let canceller = lines.canceller()?;
        let shared = Arc::new(Shared::default());
        let to = shared.clone();
        Tasks::thread("live-logs", move || {
            let mut lines = lines;
            while let Some(Ok(line)) = lines.next()
                && to.push(line)
            {}
            to.lock().ended = true;
            to.news.notify_one();
        })?;
        Ok(Self { shared, canceller })
    }

    /// Waits for lines, or the end.
    pub(super) async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// What waits; `None`: it ended and nothing waits.
    pub(super) fn take(&self) -> Option<Vec<Value>> {
        let mut waiting = self.shared.lock();
        if waiting.lines.is_empty() && waiting.ended {
            return None;
        }
        waiting.bytes = 0;
        let lines = std::mem::take(&mut waiting.lines);
        drop(waiting);
        self.shared.room.notify_one();
        // A line is plain data.
        Some(
            lines
                .iter()
                .map(|line| serde_json::to_value(line).unwrap_or_default())
                .collect(),
        )
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.room.notify_one();
        self.canceller.cancel();
    }
}
