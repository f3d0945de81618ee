//! A request's body on its way to the service.

use super::messages::Messages;
use super::text::Decoder;
use crate::message::{Body, BodyError, Frame, Source};
use bytes::Bytes;
use std::task::{Context, Poll, ready};

/// Makes gRPC's messages of what a client sends, piece by piece.
#[derive(Default, Debug)]
pub struct Reader {
    /// `None`: they come as they are.
    text: Option<Decoder>,
    messages: Messages,
}

impl Reader {
    /// For base64, or for bytes as they are.
    pub fn new(text: bool) -> Self {
        Self {
            text: text.then(Decoder::default),
            messages: Messages::default(),
        }
    }

    /// What the service gets of this piece; may be empty.
    ///
    /// # Errors
    /// Why it is no gRPC-Web. The reader is spent then.
    pub fn read(&mut self, piece: Bytes) -> Result<Bytes, &'static str> {
        let bytes = match &mut self.text {
            None => piece,
            Some(decoder) => {
                let mut bytes = Vec::with_capacity(piece.len() / 4 * 3 + 3);
                decoder.read(&piece, &mut bytes)?;
                bytes.into()
            }
        };
        self.messages.read(&bytes)?;
        Ok(bytes)
    }

    /// Whether the body may end here.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn finish(&self) -> Result<(), &'static str> {
        self.text.as_ref().map_or(Ok(()), Decoder::finish)?;
        self.messages.finish()
    }
}

struct Upload<'b> {
    body: Body<'b>,
    reader: Reader,
    most: Option<u64>,
}

/// The body that the service gets.
pub(super) fn upload(body: Body<'_>, text: bool) -> Body<'_> {
    if body.is_empty() {
        return body;
    }
    let length = body.length().filter(|_| !text);
    let most = body.most();
    let reader = Reader::new(text);
    Body::stream(Upload { body, reader, most }, length)
}

impl Upload<'_> {
    /// The next of it; `None`: its end, before which trailers may stand that gRPC has no use for.
    fn read(&mut self, frame: Option<Result<Frame, BodyError>>) -> Result<Option<Bytes>, BodyError> {
        let read = match frame.transpose()? {
            Some(Frame::Data(piece)) => self.reader.read(piece).map(Some),
            Some(Frame::Trailers(_)) | None => self.reader.finish().map(|()| None),
        };
        read.map_err(BodyError::Malformed)
    }
}

impl Source for Upload<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let frame = ready!(self.body.poll_frame(cx));
            match self.read(frame) {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::Data(bytes)))),
                ended => {
                    (self.body, self.reader) = (Body::Empty, Reader::default());
                    return Poll::Ready(ended.err().map(Err));
                }
            }
        }
    }

    fn most(&self) -> Option<u64> {
        self.most
    }
}
