//! A clock on tokio's virtual time: in a paused runtime time passes only when every task waits, at once and in order.

use ondol_core::clock::{Clock, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Virtual time. Make it inside a runtime; with `start_paused` a run of hours takes no time.
#[derive(Debug)]
pub struct SimClock {
    began: Instant,
    wall: AtomicI64,
}

impl SimClock {
    /// A clock whose wall time begins at `wall`.
    pub fn new(wall: Timestamp) -> Self {
        Self {
            began: Instant::now(),
            wall: AtomicI64::new(wall.0),
        }
    }

    /// Moves the wall clock by `ms`, forward or back, as an administrator would. The monotonic reading does not move.
    pub fn jump(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::Relaxed)).plus(self.mono())
    }

    fn mono(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_jumps_and_monotonic_time_does_not() {
        let clock = SimClock::new(Timestamp(1_000));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!((clock.wall().0, clock.mono().as_secs()), (3_601_000, 3_600));
        clock.jump(-600_000);
        assert_eq!((clock.wall().0, clock.mono().as_secs()), (3_001_000, 3_600));
    }
}
