//! The state that everyone may read: written by the loop, watched by clients.

use crate::wake::{Bell, Wake};
use ondol_core::wire::supervision::Facts;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest facts.
#[derive(Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Default)]
struct State {
    facts: Option<Arc<Facts>>,
    closed: bool,
}

/// What a look at the board shows.
pub(crate) struct Look {
    pub facts: Arc<Facts>,
    /// Nothing will change any more.
    pub closed: bool,
}

impl Board {
    /// Puts up new facts, counts them and wakes those who watch; the same facts are no news.
    pub(crate) fn publish(&self, mut facts: Facts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        facts.version = state.facts.as_ref().map_or(0, |before| before.version);
        if state.facts.as_deref() != Some(&facts) {
            facts.version += 1;
            state.facts = Some(Arc::new(facts));
            drop(state);
            self.bell.ring();
        }
    }

    /// The loop has ended.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.bell.ring();
    }

    /// None before the loop has begun.
    pub(crate) fn look(&self) -> Option<Look> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Look {
            facts: state.facts.clone()?,
            closed: state.closed,
        })
    }

    pub(crate) fn listen(&self) -> io::Result<Arc<Wake>> {
        self.bell.listen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::id::BootId;

    fn facts(jobs: &[&str]) -> Facts {
        let (system, boot) = ("s".into(), "b".into());
        Facts {
            boot: BootId { system, boot },
            version: 0,
            pid: 1,
            roles: vec![],
            instances: vec![],
            jobs: jobs.iter().map(ToString::to_string).collect(),
            stopping: false,
        }
    }

    #[test]
    fn every_change_comes_after_what_was_before_and_no_change_is_none() {
        let board = Board::default();
        let publish = |facts| {
            board.publish(facts);
            board.look().expect("published").facts
        };
        let first = publish(facts(&[]));
        assert_eq!(publish(facts(&[])), first, "no news");
        let second = publish(facts(&["made"]));
        assert!(first.is_before(&second) && !second.is_before(&first) && !first.is_before(&first));
        assert!(
            second.is_before(&publish(facts(&[]))),
            "back to what was is a change too"
        );
        let mut other_life = facts(&[]);
        other_life.boot.boot = "another".into();
        assert!(!other_life.is_before(&second), "another life is not compared");
    }
}
