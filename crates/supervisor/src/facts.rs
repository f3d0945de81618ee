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
    version: u64,
    closed: bool,
}

/// What a look at the board shows.
pub(crate) struct Look {
    pub facts: Arc<Facts>,
    /// Rises with every change.
    pub version: u64,
    /// Nothing will change any more.
    pub closed: bool,
}

impl Board {
    /// Puts up new facts and wakes those who watch; the same facts are no news.
    pub(crate) fn publish(&self, facts: Facts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.facts.as_deref() != Some(&facts) {
            state.facts = Some(Arc::new(facts));
            state.version += 1;
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
            version: state.version,
            closed: state.closed,
        })
    }

    pub(crate) fn listen(&self) -> io::Result<Arc<Wake>> {
        self.bell.listen()
    }
}
