//! An answer that is kept while its client reads it.
//!
//! A task of its own reads the service's answer, as fast as the service sends and no longer than the request's deadline, so that
//! those who wait for it do not wait for a client that reads slowly. The client reads the same pieces as they come. An answer
//! that turns out to be larger than [`LARGEST`] goes on to its client alone, at its client's pace.
//!
//! Bounds: [`MOST`] at a time for each worker; of each at most [`LARGEST`] twice, as it is kept and as its client has not read it yet.

use super::{Fault, Known, Lead, Stored};
use crate::cluster::Permit;
use crate::exchange::Response;
use crate::message::{Body, BodyError, Fields, Frame, ResponseHead, Source};
use crate::state::Worker;
use bytes::{Bytes, BytesMut};
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use ondol_core::task::Kind;
use ondol_resilience::cache::Terms;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A larger body is not kept, bytes.
pub(crate) const LARGEST: usize = 1 << 20;
/// Answers that are recorded or fetched beside requests, for each worker.
const MOST: u32 = 128;

/// How many answers a worker is recording or fetching.
#[derive(Clone, Default)]
pub struct Records(Rc<Cell<u32>>);

/// One of them, until it is dropped.
pub(crate) struct Counted(Records);

impl Records {
    /// `None`: there are enough.
    pub(crate) fn enter(&self) -> Option<Counted> {
        let count = self.0.get();
        (count < MOST).then(|| {
            self.0.set(count + 1);
            Counted(self.clone())
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// What the task and the client share.
struct Relay {
    frames: VecDeque<Frame>,
    then: Then,
    waker: Option<Waker>,
    _counted: Counted,
}

/// What follows the frames.
enum Then {
    /// More of them.
    More,
    End,
    Broken(BodyError),
    /// The rest as it comes from the service, which works on it for so long.
    Rest {
        body: Body<'static>,
        _permit: Option<Permit>,
    },
    /// Nothing: the last word was said.
    Said,
}

impl Relay {
    fn push(relay: &RefCell<Self>, frame: Frame) {
        let mut relay = relay.borrow_mut();
        relay.frames.push_back(frame);
        relay.waker.take().into_iter().for_each(Waker::wake);
    }

    fn end(relay: &RefCell<Self>, then: Then) {
        let mut relay = relay.borrow_mut();
        relay.then = then;
        relay.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// The client's side.
struct Reading(Rc<RefCell<Relay>>);

impl Source for Reading {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut relay = self.0.borrow_mut();
        if let Some(frame) = relay.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut relay.then {
            Then::More => {
                relay.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Then::Rest { body, .. } => body.poll_frame(cx),
            Then::End | Then::Said => Poll::Ready(None),
            Then::Broken(_) => match std::mem::replace(&mut relay.then, Then::Said) {
                Then::Broken(error) => Poll::Ready(Some(Err(error))),
                _ => Poll::Ready(None),
            },
        }
    }
}

/// What is to be kept once it is whole.
pub(crate) struct Keeping {
    lead: Lead,
    terms: Terms,
    head: ResponseHead,
    /// When its head came: it has been ageing since (RFC 9111, section 4.2.3).
    heard: Duration,
    known: Known,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Keeping {
    fn keep(self, body: Bytes) {
        let (stored, now) = (Stored::new(&self.head, body), self.clock.mono());
        let terms = aged(self.terms, now.saturating_sub(self.heard));
        self.lead.keep(now, terms, stored, self.known);
    }

    fn fail(self, error: &BodyError) {
        let (now, random) = (self.clock.mono(), self.entropy.next_u64());
        self.lead.fail(now, random, fault(error));
    }

    fn pass(self) {
        self.lead.pass(self.clock.mono());
    }
}

/// Whose fault it is that a body broke off.
pub(crate) fn fault(error: &BodyError) -> Fault {
    match error {
        BodyError::TimedOut => Fault::Late,
        BodyError::TooLarge(_) | BodyError::Malformed(_) | BodyError::Cut(_) => Fault::Origin,
    }
}

/// The terms of an answer that is older by so much.
pub(crate) fn aged(terms: Terms, by: Duration) -> Terms {
    Terms {
        age: terms.age.saturating_add(by),
        ..terms
    }
}

/// Keeps an answer, once it is whole. `request`: the fields that it was asked with. What is returned is to be sent; its permit
/// has gone where the body is read.
pub(crate) fn record<'b>(
    worker: &Worker,
    (lead, terms): (Lead, Terms),
    request: &Fields,
    mut response: Response<'static>,
    permit: &mut Option<Permit>,
) -> (Response<'b>, bool) {
    let heard = worker.shared().clock.mono();
    let keeping = Keeping {
        lead: lead.heard(heard, &terms),
        terms,
        known: Known::of(&response.head.fields, request),
        head: response.head.clone(),
        heard,
        clock: worker.shared().clock.clone(),
        entropy: worker.shared_entropy(),
    };
    let too_large = response.body.most().is_some_and(|most| most > LARGEST as u64);
    match &response.body {
        _ if too_large => keeping.pass(),
        Body::Empty => keeping.keep(Bytes::new()),
        // A copy: what it is part of may be much larger.
        Body::Full(bytes) => keeping.keep(Bytes::copy_from_slice(bytes)),
        Body::Stream { length, .. } => {
            let Some(counted) = worker.records.enter() else {
                drop(keeping); // There is nothing wrong with the answer, nor with what is kept.
                return (response, false);
            };
            let (length, body) = (*length, std::mem::take(&mut response.body));
            let relay = Rc::new(RefCell::new(Relay {
                frames: VecDeque::new(),
                then: Then::More,
                waker: None,
                _counted: counted,
            }));
            response.body = Body::stream(Reading(relay.clone()), length);
            let reading = read(body, permit.take(), keeping, relay);
            worker.tasks().spawn_local(Kind::Upstream, reading);
        }
    }
    (response, !too_large)
}

/// Reads an answer to its end, for its client and to be kept.
async fn read(mut body: Body<'static>, permit: Option<Permit>, keeping: Keeping, relay: Rc<RefCell<Relay>>) {
    let mut whole = BytesMut::new();
    loop {
        match body.frame().await {
            Some(Ok(Frame::Data(data))) => {
                let fits = whole.len() + data.len() <= LARGEST;
                if fits {
                    whole.extend_from_slice(&data);
                }
                // Whose client has gone has only those who wait.
                if Rc::strong_count(&relay) > 1 {
                    Relay::push(&relay, Frame::Data(data));
                }
                if !fits {
                    keeping.pass();
                    return Relay::end(&relay, Then::Rest { body, _permit: permit });
                }
            }
            // They are of this exchange, and HTTP/1 would not have them.
            Some(Ok(Frame::Trailers(fields))) => {
                keeping.pass();
                Relay::push(&relay, Frame::Trailers(fields));
                return Relay::end(&relay, Then::End);
            }
            None => {
                keeping.keep(Bytes::copy_from_slice(&whole));
                return Relay::end(&relay, Then::End);
            }
            Some(Err(error)) => {
                keeping.fail(&error);
                return Relay::end(&relay, Then::Broken(error));
            }
        }
    }
}

/// Reads a body that nobody else reads; `None`: it is too large to be kept, or has trailers.
///
/// # Errors
/// When it is not whole.
pub(crate) async fn whole(mut body: Body<'_>) -> Result<Option<Bytes>, BodyError> {
    if body.most().is_some_and(|most| most > LARGEST as u64) {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame? {
            Frame::Data(data) if whole.len() + data.len() <= LARGEST => whole.extend_from_slice(&data),
            Frame::Data(_) | Frame::Trailers(_) => return Ok(None),
        }
    }
    Ok(Some(Bytes::copy_from_slice(&whole)))
}
