//! What the tests of several files share.

mod escape;

pub(crate) use escape::unescape;

use ondol_core::clock::{Clock, Timestamp};
use std::time::Duration;

/// A clock that goes with tokio's: in a test whose time is paused it jumps to the next timer whenever nothing else is to do.
pub(crate) struct TokioClock(tokio::time::Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TokioClock {
    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn mono(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets everybody else do what there is to do. Paused time jumps as soon as all tasks wait, though bytes may be on their way
/// between them (of Unix sockets: TCP's may be longer); whoever writes and then sleeps calls this in between.
pub(crate) async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}
