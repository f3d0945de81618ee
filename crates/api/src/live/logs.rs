//! One reader's log lines: a thread follows the supervisor, or the proxy's access log, and waits while the reader is slow,
//! so that nothing is lost as long as it is kept there.
//!
//! Bounded: [`MAX_LINES`] lines and about [`MAX_BYTES`] bytes wait for a reader; one thread per reader.

use ondol_core::task::Tasks;
use ondol_core::wire::supervision::LogLine;
use ondol_core::wire::supervision_client::{Canceller, ClientError, LogQuery, SupervisorClient};
use ondol_proxy::report::access::reader::{Reader, service_of};
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

const MAX_LINES: usize = 2_000;
const MAX_BYTES: usize = 2 << 20;
/// Between two looks at the end of the access log.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which lines a reader wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As in `LogLine::source`, a service, or `access/SERVICE` for the requests that it answered.
    pub(super) source: String,
    /// So many kept lines first.
    pub(super) tail: u32,
    /// Of those only what came after the line with this number.
    pub(super) after: Option<u64>,
}

/// Why lines cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The supervisor's.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// The disk's.
    #[error("the access log cannot be read: {0}")]
    Access(#[source] io::Error),
    /// The operating system's.
    #[error("there is no thread to follow it: {0}")]
    Thread(#[source] io::Error),
}

/// Lines of a source as they come. Dropping it ends the thread.
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// Of the supervisor's answer.
    canceller: Option<Canceller>,
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
    /// A thread fills it; when it is done, there are no more lines.
    fn filled_by(fill: impl FnOnce(&Self) + Send + 'static) -> Result<Arc<Self>, FollowError> {
        let shared = Arc::new(Self::default());
        let to = shared.clone();
        Tasks::thread("live-logs", move || {
            fill(&to);
            to.lock().ended = true;
            to.news.notify_one();
        })
        .map_err(FollowError::Thread)?;
        Ok(shared)
    }

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

    /// Nothing comes for so long; false once nobody reads any more.
    fn rest(&self, pause: Duration) -> bool {
        let waits = |waiting: &mut Waiting| !waiting.ended;
        let rested = self.room.wait_timeout_while(self.lock(), pause, waits);
        !rested.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

impl Follower {
    /// Follows a source. Blocking, for the time of one answer of the supervisor or a look through the access log.
    ///
    /// # Errors
    /// When the supervisor cannot be asked, the access log not be read, or there is no thread left.
    pub(super) fn start(supervisor: &SupervisorClient, access: PathBuf, wanted: Wanted) -> Result<Self, FollowError> {
        match service_of(&wanted.source) {
            Some(service) => Self::requests(access, service, &wanted),
            None => Self::supervised(supervisor, wanted),
        }
    }

    fn supervised(supervisor: &SupervisorClient, wanted: Wanted) -> Result<Self, FollowError> {
        let mut lines = supervisor.logs(LogQuery {
            sources: vec![wanted.source],
            tail: wanted.tail,
            after: wanted.after,
            follow: true,
        })?;
        let canceller = Some(lines.canceller().map_err(ClientError::from)?);
        let shared = Shared::filled_by(move |to| {
            while let Some(Ok(line)) = lines.next()
                && to.push(line)
            {}
        })?;
        Ok(Self { shared, canceller })
    }

    fn requests(access: PathBuf, service: &str, wanted: &Wanted) -> Result<Self, FollowError> {
        let (services, tail) = ([service.to_owned()], wanted.tail as usize);
        let reader = match wanted.after {
            Some(after) => Reader::after(access, &services, after, tail),
            None => Reader::at_latest(access, &services, tail),
        };
        let mut reader = reader.map_err(FollowError::Access)?;
        let shared = Shared::filled_by(move |to| {
            let mut goes_on = true;
            while goes_on {
                goes_on = match reader.next_line() {
                    Ok(Some(line)) => to.push(line),
                    Ok(None) => to.rest(LOOK_EVERY),
                    Err(error) => {
                        tracing::warn!(%error, "the access log cannot be read; whoever follows it asks again");
                        false
                    }
                }
            }
        })?;
        Ok(Self {
            shared,
            canceller: None,
        })
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
        self.canceller.iter().for_each(Canceller::cancel);
    }
}
