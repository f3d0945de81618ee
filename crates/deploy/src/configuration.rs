//! Where configurations come from, and what becomes of one that is taken: the port of the loop in `service.rs`.
//!
//! The loop says *when* a configuration is taken, between two runs of the builds; whoever implements this reads the files, keeps
//! what was taken, and tells the other rooms. The watcher's change, `ondol apply` and `ondol rollback` all go this one way.

use crate::config::SystemPlan;
use ondol_core::error::ErrorCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// What the files say, because they changed.
    Changed,
    /// What the files say, because somebody asked for it.
    Apply,
    /// What ran in an earlier revision; `None`: in the one before. The files stay as they are.
    Rollback(Option<u64>),
}

/// A configuration that runs from now on.
#[derive(Debug)]
pub struct Taken {
    /// The system.
    pub plan: SystemPlan,
    /// Which, and how it came.
    pub running: Running,
    /// What changed, for whoever asked: `{"changes": […]}`.
    pub answer: Value,
}

/// Which configuration runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Running {
    /// Its number; rises with every configuration that was taken, across lives of the system. 0: not known.
    pub revision: u64,
    /// The revision that a rollback took back, so that the files say something else. `None`: it came from the files.
    pub rolled_back_to: Option<u64>,
}

/// Why no other configuration runs; nothing has changed.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum NotTaken {
    /// The manifests are broken.
    #[error("{words}")]
    Broken {
        /// Every error, as `ondol check` shows it.
        words: String,
        /// The same for tools.
        findings: Value,
    },
    /// There is no such revision.
    #[error("there is no revision {asked} to go back to; {known}")]
    Unknown {
        /// Which was asked for.
        asked: u64,
        /// Which there are, in words.
        known: String,
    },
    /// Nothing ran before.
    #[error("there is no revision before {0}; `ondol rollback --list` shows those that are kept")]
    First(u64),
    /// It ran with other services.
    #[error(
        "revision {asked} ran {then}, and this system was started for {now}; `ondol down` and `ondol up` start it for others"
    )]
    Others {
        /// Which was asked for.
        asked: u64,
        /// What it ran, in words.
        then: String,
        /// What is run, in words.
        now: String,
    },
    /// An address that it wants to listen at cannot be had.
    #[error("the configuration needs a socket that cannot be bound: {0}")]
    Unbound(String),
    /// It could not be written down, or another room refused it.
    #[error("the configuration cannot be kept: {0}")]
    Unkept(String),
}

impl NotTaken {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Broken { .. } => ErrorCode::new("DP-016"),
            Self::Unknown { .. } | Self::First(_) | Self::Others { .. } => ErrorCode::new("DP-017"),
            Self::Unkept(_) => ErrorCode::new("DP-018"),
            Self::Unbound(_) => ErrorCode::new("DP-021"),
        }
    }
}

/// Whether a plan can run here.
pub type Admit<'a> = &'a mut dyn FnMut(&SystemPlan) -> Result<(), NotTaken>;

/// Reads, keeps and tells configurations. Every call blocks: on files, and on the store.
pub trait Configurations: Send + Sync {
    /// Which runs.
    fn running(&self) -> Running;

    /// Whether the files say something else than when they were looked at last.
    fn changed(&self) -> bool;

    /// What taking `order` would change: `{"changes": […]}`. Nothing is taken.
    ///
    /// # Errors
    /// [`NotTaken`], as [`Self::take`] would say.
    fn propose(&self, order: Order) -> Result<Value, NotTaken>;

    /// Takes a configuration: when this returns it is durable and the other rooms have it; the loop has only to run it. `admit` is asked
    /// before anything is told or written, and may refuse it.
    ///
    /// # Errors
    /// [`NotTaken`]; what ran before runs on, and nothing of the new one is kept.
    fn take(&self, order: Order, admit: Admit<'_>) -> Result<Taken, NotTaken>;

    /// The revisions that are kept, newest first, as JSON objects.
    fn revisions(&self) -> Vec<Value>;
}
