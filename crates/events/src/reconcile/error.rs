//! What can go wrong when a reconciliation is asked for something.

use ondol_core::error::{ErrorCode, Retry};

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReconcileError {
    /// There is none of this name.
    #[error("there is no reconciliation {0}")]
    NotFound(String),
    /// Too many ask at once, or it is being changed or ended.
    #[error("reconciliation {0} is busy or ending")]
    Busy(String),
}

impl ReconcileError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::new("EV-040"),
            Self::Busy(_) => ErrorCode::new("EV-041"),
        }
    }

    /// The HTTP status that says the same.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Busy(_) => 503,
        }
    }

    /// Whether the same may be asked again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::NotFound(_) => Retry::Never,
            Self::Busy(_) => Retry::Safe,
        }
    }
}
