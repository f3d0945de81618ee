//! What can go wrong when the engine is asked for something.

use crate::operator::Refused;
use crate::plan::PlanError;
use ondol_core::engine::StoreError;
use ondol_core::error::{ErrorCode, Retry};

/// Why the saga engine did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SagaError {
    /// A definition that cannot run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no saga with this id.
    #[error("there is no saga {0}")]
    NotFound(String),
    /// An operator's action that may not happen here.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A stored form cannot be read or written.
    #[error("the stored {what} cannot be used: {why}")]
    Stored {
        /// Which form.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine is ending, or the saga's driver was changed meanwhile; nothing was done.
    #[error("the saga engine is busy or ending")]
    Busy,
}

impl SagaError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Plan(error) => error.code(),
            Self::NotFound(_) => ErrorCode::new("SG-012"),
            Self::Refused(refused) => refused.code(),
            Self::Stored { .. } => ErrorCode::new("SG-014"),
            Self::Store(error) => error.code(),
            Self::Busy => ErrorCode::new("SG-009"),
        }
    }

    /// The HTTP status that says the same.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Refused(_) => 409,
            Self::Plan(_) => 422,
            Self::Stored { .. } => 500,
            Self::Store(_) | Self::Busy => 503,
        }
    }

    /// Whether the same may be asked again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Busy => Retry::Safe,
            Self::Plan(_) | Self::NotFound(_) | Self::Refused(_) | Self::Stored { .. } => Retry::Never,
        }
    }
}
