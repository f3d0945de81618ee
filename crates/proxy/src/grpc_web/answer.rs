//! An answer's body on its way to the client.

use super::messages::PREFIX;
use super::text;
use crate::message::{Body, BodyError, Fields, Frame, PIECE, Source};
use bytes::Bytes;
use std::task::{Context, Poll, ready};

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;
/// Bytes that make a piece of text: whole groups, so that only what the service cut is padded.
const TEXT_PIECE: usize = PIECE / 4 * 3;

struct Download<'b> {
    body: Body<'b>,
    text: bool,
    /// Came and did not go yet.
    rest: Bytes,
}

/// The body that the client gets. What the service gave in one piece is written at once, padded if it is text: nothing of a
/// message waits for the next one.
pub(super) fn download(body: Body<'_>, text: bool) -> Body<'_> {
    match body {
        Body::Empty => Body::Empty, // A status in the head alone.
        body => Body::stream(
            Download {
                body,
                text,
                rest: Bytes::new(),
            },
            None,
        ),
    }
}

impl Source for Download<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        while self.rest.is_empty() {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) => self.rest = data,
                Some(Ok(Frame::Trailers(fields))) => {
                    self.body = Body::Empty;
                    self.rest = trailers(&fields);
                }
                ended => return Poll::Ready(ended),
            }
        }
        let piece = match self.text {
            true => text::encode(&self.rest.split_to(self.rest.len().min(TEXT_PIECE))).into(),
            false => self.rest.split_to(self.rest.len().min(PIECE)),
        };
        Poll::Ready(Some(Ok(Frame::Data(piece))))
    }
}

/// The frame of these trailers; none for none, which clients would take for an answer without a status.
fn trailers(fields: &Fields) -> Bytes {
    let length: usize = fields.lines().map(<[u8]>::len).sum();
    let Some(length @ 1..) = u32::try_from(length).ok() else {
        return Bytes::new();
    };
    let mut frame = Vec::with_capacity(PREFIX + length as usize);
    frame.push(TRAILERS);
    frame.extend(length.to_be_bytes());
    fields.lines().for_each(|lines| frame.extend_from_slice(lines));
    frame.into()
}
