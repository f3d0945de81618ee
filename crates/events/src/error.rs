//! What an append or a read may be refused for.

use ondol_core::engine::StoreError;
use ondol_core::error::{ErrorCode, Retry};
use ondol_core::id::ServiceName;

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
    /// A service publishes a type that its manifest does not name.
    #[error("event {index}: {service} does not publish {kind}; {}", whose(.publisher.as_ref()))]
    NotPublished {
        /// Which event of the batch, from 0.
        index: usize,
        /// Who tried.
        service: ServiceName,
        /// Which type.
        kind: String,
        /// Who does.
        publisher: Option<ServiceName>,
    },
    /// `data` does not follow the type's schema.
    #[error("event {index}: the data of {kind} do not follow its schema: {rule}")]
    Schema {
        /// Which event of the batch, from 0.
        index: usize,
        /// Which type.
        kind: String,
        /// Where and how.
        rule: String,
    },
    /// An id cannot be this event's.
    #[error("event {index}: the id {id} {rule}")]
    Conflict {
        /// Which event of the batch, from 0.
        index: usize,
        /// The id.
        id: String,
        /// Whose it is.
        rule: &'static str,
    },
    /// A chain of causes does not end: most often two services that answer each other's events.
    #[error("event {index}: {hops} events stand before it in its chain of causes; at most {limit} may")]
    TooDeep {
        /// Which event of the batch, from 0.
        index: usize,
        /// How many.
        hops: u32,
        /// The bound.
        limit: u32,
    },
    /// A type in a manifest cannot be published so.
    #[error("type {kind}: {rule}")]
    Topic {
        /// Which type.
        kind: String,
        /// What is wrong.
        rule: String,
    },
    /// Nothing to publish, or too much.
    #[error("a batch has 1 to 1,000 events, not {0}")]
    Count(usize),
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
            Self::NotPublished { .. } => ErrorCode::new("EV-005"),
            Self::Schema { .. } => ErrorCode::new("EV-006"),
            Self::Conflict { .. } => ErrorCode::new("EV-007"),
            Self::TooDeep { .. } => ErrorCode::new("EV-008"),
            Self::Topic { .. } => ErrorCode::new("EV-009"),
            Self::Count(_) => ErrorCode::new("EV-010"),
            Self::Store(error) => error.code(),
        }
    }

    /// The one event that is to blame, of a batch that would go without it.
    pub(crate) const fn index(&self) -> Option<usize> {
        match self {
            Self::Invalid { index, .. }
            | Self::NotPublished { index, .. }
            | Self::Schema { index, .. }
            | Self::Conflict { index, .. }
            | Self::TooDeep { index, .. } => Some(*index),
            _ => None,
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

fn whose(publisher: Option<&ServiceName>) -> String {
    match publisher {
        Some(service) => format!("service {service} publishes it"),
        None => "no service publishes it; `events.publishes` of its service.yaml names the types".into(),
    }
}
