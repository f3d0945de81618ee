//! A request's body over several attempts.

use crate::message::Body;
use bytes::Bytes;

/// The request's body over several attempts.
pub(super) enum Outgoing<'b> {
    /// Empty or whole: as often as needed.
    Whole(Bytes),
    /// Once.
    Stream(Option<Body<'b>>),
}

impl<'b> Outgoing<'b> {
    pub(super) fn new(body: Body<'b>) -> Self {
        match body {
            Body::Empty => Self::Whole(Bytes::new()),
            Body::Full(bytes) => Self::Whole(bytes),
            stream => Self::Stream(Some(stream)),
        }
    }

    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Stream(Some(_)))
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// The same once more; `None` for a stream.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Stream(_) => None,
        }
    }

    pub(super) fn take(&mut self) -> Body<'b> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Body::Empty,
            Self::Whole(bytes) => Body::Full(bytes.clone()),
            Self::Stream(stream) => stream.take().unwrap_or_default(),
        }
    }
}
