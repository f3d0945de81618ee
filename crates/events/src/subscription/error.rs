//! What can go wrong when a subscription is asked for something.

use super::operate::Refused;
use ondol_core::engine::StoreError;
use ondol_core::error::{ErrorCode, Retry};

/// Why a subscription did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// There is none of this name.
    #[error("there is no subscription {0}")]
    NotFound(String),
    /// An operator's action that may not happen here.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A pull of a subscription that pushes.
    #[error("subscription {0} pushes its events; without `push:` it could be pulled")]
    Pushes(String),
    /// Something in the request is not as it should be.
    #[error("{what}: {rule}")]
    Invalid {
        /// What.
        what: &'static str,
        /// What it should be.
        rule: &'static str,
    },
    /// Too many ask at once, or it is being changed or ended.
    #[error("subscription {0} is busy or ending")]
    Busy(String),
    /// The database of an outbox did not do what was to come first; nothing was done.
    #[error("the database of {name}: {why}")]
    Outbox {
        /// As dead letters name it: `orders.outbox`.
        name: String,
        /// In the database's words.
        why: String,
    },
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubscriptionError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::new("EV-020"),
            Self::Refused(refused) => refused.code(),
            Self::Pushes(_) => ErrorCode::new("EV-024"),
            Self::Invalid { .. } => ErrorCode::new("EV-025"),
            Self::Busy(_) => ErrorCode::new("EV-026"),
            Self::Outbox { .. } => ErrorCode::new("EV-030"),
            Self::Store(error) => error.code(),
        }
    }

    /// The HTTP status that says the same.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Refused(Refused::NoKey(_) | Refused::NoEvent(_)) => 404,
            Self::Refused(Refused::TooLarge(_) | Refused::Beyond(..)) => 422,
            Self::Refused(Refused::InFlight(_) | Refused::Busy(_)) | Self::Pushes(_) => 409,
            Self::Invalid { .. } => 400,
            Self::Busy(_) | Self::Outbox { .. } | Self::Store(_) => 503,
        }
    }

    /// Whether the same may be asked again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Busy(_) | Self::Outbox { .. } => Retry::Safe,
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
