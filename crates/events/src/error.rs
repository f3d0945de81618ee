//! What an append or a read may be refused for.

use ondol_core::engine::StoreError;
use ondol_core::error::{ErrorCode, Retry};

/// Why events were not taken or not given.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The body is not JSON of the shape that its media type says.
    #[error("the body is not a CloudEvent in JSON: {0}")]
    Unreadable(String),
    /// An event breaks a rule of CloudEvents 1.0 or of this platform.
    #[error("event {index}: attribute {attribute} {rule}")]
    Invalid {
        /// Which event of the batch, from 0.
        index: usize,
        /// Which attribute.
        attribute: String,
        /// What it should be.
        rule: &'static str,
    },
    /// The body's media type is none of CloudEvents'.
    #[error("media type {0:?} is neither application/cloudevents+json nor application/cloudevents-batch+json")]
    MediaType(String),
    /// `If-Match` names no revision.
    #[error("If-Match {0:?} is none of \"no-stream\", *, and a revision such as \"7\"")]
    Condition(String),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EventsError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreadable(_) => ErrorCode::new("EV-001"),
            Self::Invalid { .. } => ErrorCode::new("EV-002"),
            Self::MediaType(_) => ErrorCode::new("EV-003"),
            Self::Condition(_) => ErrorCode::new("EV-004"),
            Self::Store(error) => error.code(),
        }
    }

    /// Whether the same call may be made again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
