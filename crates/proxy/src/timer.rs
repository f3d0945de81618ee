//! A timer that is cheap to move: a connection moves it several times per request and hardly ever waits for it.
//!
//! Moving it later only writes a number; the runtime's own timer stays where it is and, when it fires too early, is set
//! again. Moving it earlier sets a new one. What it is armed for is mostly there at once: the clock is not asked before
//! somebody has to wait.

use ondol_core::clock::SharedClock;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A movable timer. Not armed at first.
pub struct Timer {
    clock: SharedClock,
    /// From the first time that somebody waits.
    span: Option<Duration>,
    at: Option<Duration>,
    sleep: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Timer {
    /// One that is not armed.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            span: None,
            at: None,
            sleep: None,
        }
    }

    /// Fires `span` after the next poll.
    pub fn arm(&mut self, span: Duration) {
        (self.span, self.at) = (Some(span), None);
    }

    /// Fires at this reading of the clock's monotonic time.
    pub fn arm_at(&mut self, at: Duration) {
        (self.span, self.at) = (None, Some(at));
        if self.sleep.as_ref().is_some_and(|(until, _)| *until > at) {
            self.sleep = None;
        }
    }

    /// Does not fire.
    pub fn disarm(&mut self) {
        (self.span, self.at) = (None, None);
    }

    /// Ready once, when it fires.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(span) = self.span {
            self.arm_at(self.clock.mono().saturating_add(span));
        }
        let Some(at) = self.at else { return Poll::Pending };
        loop {
            if let Some((_, sleep)) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            let now = self.clock.mono();
            if now >= at {
                self.at = None;
                return Poll::Ready(());
            }
            self.sleep = Some((at, Box::pin(sleep(at - now))));
        }
    }

    /// Resolves when it fires.
    pub async fn fired(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    /// Runs `future`, which its caller pins; `None` when this fires first.
    pub async fn limit<F: Future + Unpin>(&mut self, mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::SystemClock;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_moved_timer_fires_at_its_last_place() {
        let clock: SharedClock = Arc::new(SystemClock);
        let mut timer = Timer::new(clock.clone());
        for (first, then) in [(3_600_000, 5), (1, 8), (5, 5)] {
            let start = clock.mono();
            timer.arm(Duration::from_millis(first));
            assert!(timer.limit(std::future::ready(())).await.is_some());
            timer.arm(Duration::from_millis(then));
            timer.fired().await; // Would hang at its first place.
            assert!(
                clock.mono() - start >= Duration::from_millis(then),
                "{first} then {then}"
            );
        }
    }
}
