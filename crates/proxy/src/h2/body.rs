//! HTTP/2 bodies: one coming in, one going out.

use super::convert;
use super::room::Room;
use crate::message::{Body, BodyError, Frame, PIECE, Source};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body that comes in; its window opens as its pieces are taken.
pub struct Incoming {
    stream: RecvStream,
    /// Bytes handed out whose window is not open again yet.
    taken: usize,
    /// The rest of a frame that was larger than a piece.
    rest: Bytes,
    ended: bool,
}

impl Incoming {
    /// Of a stream.
    pub fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            taken: 0,
            rest: Bytes::new(),
            ended: false,
        }
    }

    /// Whether nothing comes any more, not even trailers.
    pub fn is_ended(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn piece(&mut self) -> Poll<Option<Result<Frame, BodyError>>> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.taken = piece.len();
        Poll::Ready(Some(Ok(Frame::Data(piece))))
    }
}

impl Source for Incoming {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Asking for the next piece means that the last one is gone.
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 && self.stream.flow_control().release_capacity(taken).is_err() {
            self.ended = true;
            return Poll::Ready(Some(Err(BodyError::Cut("the stream is gone".into()))));
        }
        if !self.rest.is_empty() {
            return self.piece();
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                self.rest = data;
                self.piece()
            }
            Some(Err(error)) => {
                self.ended = true;
                Poll::Ready(Some(Err(BodyError::Cut(error.to_string()))))
            }
            None => {
                let trailers = ready!(self.stream.poll_trailers(cx));
                self.ended = true;
                match trailers {
                    Ok(Some(map)) => Poll::Ready(Some(Ok(Frame::Trailers(convert::trailers(&map))))),
                    Ok(None) => Poll::Ready(None),
                    Err(error) => Poll::Ready(Some(Err(BodyError::Cut(error.to_string())))),
                }
            }
        }
    }
}

/// Why a body could not be sent whole.
#[derive(Debug)]
pub enum Stopped {
    /// The other side reset the stream or the connection ended.
    Reset,
    /// The body itself broke off.
    Body(BodyError),
}

/// A body that goes out.
pub struct Outgoing<'b> {
    stream: SendStream<Bytes>,
    body: Body<'b>,
    data: Bytes,
    /// Where its pieces are counted.
    room: Option<Arc<Room>>,
    /// Bytes that the stream took.
    pub sent: u64,
    done: bool,
}

impl<'b> Outgoing<'b> {
    /// Goes out by `stream`; shares `room` with others, if there is one.
    pub fn new(stream: SendStream<Bytes>, body: Body<'b>, room: Option<Arc<Room>>) -> Self {
        let done = body.is_empty();
        Self {
            stream,
            body,
            data: Bytes::new(),
            room,
            sent: 0,
            done,
        }
    }

    /// The body's next piece, once there is room for it.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(room) = &self.room {
            ready!(room.poll(cx));
        }
        let frame = ready!(self.body.poll_frame(cx));
        Poll::Ready(match (&self.room, frame) {
            (Some(room), Some(Ok(Frame::Data(data)))) => Some(Ok(Frame::Data(room.hold(data)))),
            (_, frame) => frame,
        })
    }

    /// Whether the end was sent.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the other side is what holds it up.
    pub fn is_stalled(&self) -> bool {
        !self.data.is_empty()
    }

    /// Resets the stream.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
        self.done = true;
    }

    /// Goes on as far as both sides let it; ready at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        while !self.done {
            while !self.data.is_empty() {
                self.stream.reserve_capacity(self.data.len());
                if self.stream.capacity() == 0 {
                    match ready!(self.stream.poll_capacity(cx)) {
                        Some(Ok(_)) => continue,
                        _ => return Poll::Ready(Err(self.stop(Stopped::Reset))),
                    }
                }
                let piece = self.data.split_to(self.data.len().min(self.stream.capacity()));
                self.sent += piece.len() as u64;
                // A whole body ends with its last piece; a stream says so later.
                let end = self.data.is_empty() && self.body.is_empty();
                if self.stream.send_data(piece, end).is_err() {
                    return Poll::Ready(Err(self.stop(Stopped::Reset)));
                }
                self.done = end;
            }
            if self.done {
                break;
            }
            let frame = match self.next(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    return match self.stream.poll_reset(cx) {
                        Poll::Ready(_) => Poll::Ready(Err(self.stop(Stopped::Reset))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            };
            let ended = match frame {
                Some(Ok(Frame::Data(data))) => {
                    self.data = data;
                    continue;
                }
                Some(Ok(Frame::Trailers(fields))) => self.stream.send_trailers(convert::headers(&fields)),
                None => self.stream.send_data(Bytes::new(), true),
                Some(Err(error)) => return Poll::Ready(Err(self.stop(Stopped::Body(error)))),
            };
            self.done = true;
            if ended.is_err() {
                return Poll::Ready(Err(Stopped::Reset));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn stop(&mut self, why: Stopped) -> Stopped {
        self.done = true;
        self.body = Body::Empty;
        if matches!(why, Stopped::Body(_)) {
            self.stream.send_reset(Reason::CANCEL);
        }
        why
    }
}
