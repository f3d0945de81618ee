//! How long a service with so many workers takes: each works on one request for a fixed time, the others wait in order. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The workers of an instance.
pub(super) struct Workers {
    /// When each is free again, the next one first.
    free_at: BinaryHeap<Reverse<Duration>>,
    takes: Duration,
}

impl Workers {
    /// So many that are free.
    pub(super) fn new(count: usize, takes: Duration) -> Self {
        Self {
            free_at: vec![Reverse(Duration::ZERO); count.max(1)].into(),
            takes,
        }
    }

    /// When a request that comes now is done. It is worked on, whether or not somebody still waits for it then.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        let free_at = self.free_at.pop().map_or(Duration::ZERO, |Reverse(at)| at);
        let done = free_at.max(now) + self.takes;
        self.free_at.push(Reverse(done));
        done
    }

    /// All are free.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.free_at.len(), self.takes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn as_many_as_there_are_at_once_and_the_others_in_order() {
        let mut workers = Workers::new(2, 20 * MS);
        let done: Vec<_> = (0..5).map(|n| workers.take(n * MS)).collect();
        assert_eq!(done, [20 * MS, 21 * MS, 40 * MS, 41 * MS, 60 * MS]);
        assert_eq!(workers.take(500 * MS), 520 * MS, "who was idle has lost the time");
    }

    #[test]
    fn what_is_forgotten_is_waited_for_no_more() {
        let mut workers = Workers::new(2, 20 * MS);
        for _ in 0..100 {
            workers.take(MS);
        }
        workers.forget();
        assert_eq!([0; 3].map(|_| workers.take(MS)), [21 * MS, 21 * MS, 41 * MS]);
    }
}
