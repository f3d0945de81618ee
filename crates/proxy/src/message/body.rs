//! Bodies, piece by piece, and how they may end.

use super::Fields;
use bytes::Bytes;
use std::fmt;
use std::task::{Context, Poll};

/// The largest piece of a body in memory, bytes.
pub const PIECE: usize = 128 << 10;

/// Why a body ended before its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the policy allows.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The sender broke the framing.
    #[error("the body's framing is broken: {0}")]
    Malformed(&'static str),
    /// The sender went away or reset the stream.
    #[error("the body was cut short: {0}")]
    Cut(String),
    /// The sender was too slow.
    #[error("no body bytes in time")]
    TimedOut,
}

/// One piece of a body.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Bytes, at most [`PIECE`].
    Data(Bytes),
    /// The trailers; the last frame.
    Trailers(Fields),
}

/// Where a body's pieces come from.
///
/// # Drop
/// Dropping it before its end gives the rest up: the connection or stream below is reset or drained, not reused blindly.
pub trait Source {
    /// The next piece; `None` at the end, and an error at most once, as the last word.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;

    /// A number of bytes, no more than which come in all; `None`: not known. For bodies whose exact length nobody knows before
    /// they are read, but which are certainly small.
    fn most(&self) -> Option<u64> {
        None
    }
}

/// A body.
#[derive(Default)]
pub enum Body<'a> {
    /// None at all.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// As it comes.
    Stream {
        /// Its pieces.
        source: Box<dyn Source + 'a>,
        /// Its exact length, where it is known: then the sum of the pieces, and there are no trailers over HTTP/1.
        length: Option<u64>,
    },
}

impl<'a> Body<'a> {
    /// A body that comes piece by piece.
    pub fn stream(source: impl Source + 'a, length: Option<u64>) -> Self {
        Self::Stream {
            source: Box::new(source),
            length,
        }
    }

    /// The exact length where it is known, bytes.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream { length, .. } => *length,
        }
    }

    /// No more bytes than this are in it, where that is known.
    pub fn most(&self) -> Option<u64> {
        match self {
            Self::Stream { source, length: None } => source.most(),
            known => known.length(),
        }
    }

    /// Whether nothing at all is left.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The next piece.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub fn frame(&mut self) -> impl Future<Output = Option<Result<Frame, BodyError>>> + Unpin {
        std::future::poll_fn(|cx| self.poll_frame(cx))
    }
}

impl Source for Body<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(self) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream { source, .. } => source.poll_frame(cx),
        }
    }

    fn most(&self) -> Option<u64> {
        Body::most(self)
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length:?})"),
        }
    }
}
