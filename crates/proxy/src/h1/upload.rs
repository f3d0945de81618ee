//! A request on its way to an upstream: its head and first piece leave in one write, the rest as it comes, without trailers.

use super::write;
use crate::io::Io;
use crate::message::{Body, BodyError, Frame, Source};
use bytes::{Buf, Bytes};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

/// Why it never will be whole.
pub(super) enum Stopped {
    /// The upstream does not take any more.
    Io,
    /// The client's body broke off.
    Body(BodyError),
}

/// What of it is written and what is not.
pub(super) struct Upload<'b> {
    lead: Vec<u8>,
    written: usize,
    data: Bytes,
    tail: &'static [u8],
    /// A piece stands in `lead` already.
    joined: bool,
    body: Body<'b>,
    chunked: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// More of the body may come.
    Open,
    /// The last bytes are being written.
    Last,
    Done,
    /// It never will be whole.
    Failed,
}

impl<'b> Upload<'b> {
    pub(super) fn new(lead: Vec<u8>, body: Body<'b>, chunked: bool) -> Self {
        let phase = if body.is_empty() { Phase::Last } else { Phase::Open };
        Self {
            lead,
            written: 0,
            data: Bytes::new(),
            tail: b"",
            joined: false,
            body,
            chunked,
            phase,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.chunked
    }

    pub(super) fn give_up(&mut self) {
        self.phase = Phase::Failed;
        self.body = Body::Empty;
    }

    pub(super) fn take_lead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lead)
    }

    fn is_written(&self) -> bool {
        self.written == self.lead.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Goes on as far as both sides let it; ready once it is whole or never will be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<Result<(), Stopped>> {
        loop {
            match self.phase {
                Phase::Done | Phase::Failed => return Poll::Ready(Ok(())),
                // A piece is wanted when all is written, or none is yet: head and first piece travel together.
                Phase::Open if self.is_written() || (self.written == 0 && self.data.is_empty() && !self.joined) => {
                    match self.body.poll_frame(cx) {
                        Poll::Ready(frame) => self.take(frame)?,
                        Poll::Pending if self.is_written() => return Poll::Pending,
                        Poll::Pending => {}
                    }
                }
                Phase::Last if self.is_written() => {
                    if ready!(io.poll_flush(cx)).is_err() {
                        self.give_up();
                        return Poll::Ready(Err(Stopped::Io));
                    }
                    self.phase = Phase::Done;
                    continue;
                }
                _ => {}
            }
            if !self.is_written() && ready!(self.poll_write(cx, io)).is_err() {
                self.give_up();
                return Poll::Ready(Err(Stopped::Io));
            }
        }
    }

    fn take(&mut self, frame: Option<Result<Frame, BodyError>>) -> Result<(), Stopped> {
        if self.is_written() {
            self.lead.clear();
            (self.written, self.joined) = (0, false);
        }
        match frame {
            Some(Ok(Frame::Data(data))) => {
                if self.chunked && !data.is_empty() {
                    write::chunk_size(data.len(), &mut self.lead);
                    self.tail = write::CHUNK_END;
                }
                self.data = data;
                if self.data.len() <= write::JOINED {
                    self.joined = true;
                    self.lead.extend_from_slice(&std::mem::take(&mut self.data));
                    self.lead.extend_from_slice(std::mem::take(&mut self.tail));
                }
            }
            // Some servers never read a request's trailers and take them for the next request: CherryPy's cheroot 11 serves
            // the trailer `!: /x HTTP/1.1`. RFC 9110, 6.5.1, lets an intermediary drop them; over HTTP/2 they are frames.
            Some(Ok(Frame::Trailers(_))) | None => self.finish(),
            Some(Err(error)) => {
                self.give_up();
                return Err(Stopped::Body(error));
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        if self.chunked {
            write::last_chunk(None, &mut self.lead);
        }
        self.phase = Phase::Last;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<io::Result<()>> {
        let slices = [
            IoSlice::new(&self.lead[self.written..]),
            IoSlice::new(&self.data),
            IoSlice::new(self.tail),
        ];
        let mut n = match ready!(io.poll_write_slices(cx, &slices))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => n,
        };
        let lead = n.min(self.lead.len() - self.written);
        self.written += lead;
        n -= lead;
        let data = n.min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[n - data..];
        Poll::Ready(Ok(()))
    }
}
