//! Copies of requests for a service that is tried out: it sees what came, its answers are thrown away.
//!
//! After the filter RequestMirror of the Gateway API. A copy costs the client nothing: it is sent beside the request, by a
//! task of its own, and its body is what the service itself has read so far. A copy that falls [`AHEAD`] pieces behind is
//! given up, and beyond [`MOST`] at a time none is begun; both are counted.

use crate::attempt::Plan;
use crate::beside::Beside;
use crate::cluster::Way;
use crate::exchange::{End, Reply};
use crate::filter::priority;
use crate::message::{Body, BodyError, Frame, RequestHead, Source};
use crate::report::Line;
use crate::state::Worker;
use ondol_core::task::Kind;
use ondol_resilience::bulkhead::Priority;
use smallvec::SmallVec;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces of a body that wait for a copy; each is at most 128 KiB.
const AHEAD: usize = 4;
/// Copies under way at a time, per worker.
const MOST: u32 = 128;
/// Nobody misses a copy.
const COPIES: Priority = Priority::BestEffort;

/// Who gets copies of a route's requests.
#[derive(Debug)]
pub struct Mirror {
    /// The service.
    pub way: Way,
    /// Share of the requests, in 2^32ths.
    pub share: u64,
}

/// How many copies a worker has under way.
#[derive(Clone, Default)]
pub struct Copies(Rc<Cell<u32>>);

struct Counted(Copies);

impl Copies {
    fn enter(&self) -> Option<Counted> {
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

/// Begins the copies of a request that are due; what is returned is to be sent in place of `body`.
pub fn copy<'b>(
    worker: &Worker,
    mirrors: &[Mirror],
    line: &Arc<Line>,
    head: &RequestHead,
    body: Body<'b>,
    plan: &Plan,
) -> Body<'b> {
    let (mut body, mut followers) = (body, SmallVec::new());
    for mirror in mirrors {
        if worker.entropy().below(1 << 32) >= mirror.share {
            continue;
        }
        let Some(counted) = worker.copies.enter() else {
            line.count_copy(false);
            continue;
        };
        let copied = match &body {
            Body::Empty => Body::Empty,
            Body::Full(bytes) => Body::Full(bytes.clone()),
            Body::Stream { length, .. } => {
                let (follower, pieces) = mpsc::channel(AHEAD);
                followers.push(follower);
                Body::stream(Following { pieces, left: *length }, *length)
            }
        };
        let mut head = head.clone();
        head.fields.set("ondol-mirrored", "true");
        priority::write(COPIES, &mut head.fields);
        let (line, copying) = (line.clone(), Copying::new(worker, mirror.way.clone(), plan));
        worker.tasks().spawn_local(Kind::Upstream, async move {
            let whole = copying.send(head, copied).await;
            line.count_copy(whole);
            drop(counted);
        });
    }
    if !followers.is_empty() {
        let length = body.length();
        body = Body::stream(Led { body, followers }, length);
    }
    body
}

/// A copy on its way.
struct Copying {
    beside: Beside,
    way: Way,
    plan: Plan,
}

impl Copying {
    fn new(worker: &Worker, way: Way, plan: &Plan) -> Self {
        Self {
            beside: Beside::of(worker),
            way,
            plan: Plan {
                deadline: plan.deadline,
                waits: plan.waits,
                lasts: plan.lasts,
                priority: COPIES,
                ..Plan::default()
            },
        }
    }

    /// Whether an answer came.
    async fn send(&self, mut head: RequestHead, body: Body<'static>) -> bool {
        let tried = self.beside.call(&self.way, &self.plan, &mut head, body).await;
        let Ok(answered) = tried.result else { return false };
        self.beside.nobody().send(answered.response).await.end == End::Complete
    }
}

/// A body whose pieces go to copies too.
struct Led<'b> {
    body: Body<'b>,
    followers: SmallVec<[mpsc::Sender<Piece>; 1]>,
}

enum Piece {
    Frame(Frame),
    /// The body is whole; without this word it was cut.
    End,
}

impl Source for Led<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.body.poll_frame(cx);
        let piece = || match &polled {
            Poll::Ready(Some(Ok(frame))) => Some(Piece::Frame(frame.clone())),
            Poll::Ready(None) => Some(Piece::End),
            Poll::Ready(Some(Err(_))) | Poll::Pending => None,
        };
        // Who has no room is too slow, and hears of it by the end of the pieces.
        self.followers
            .retain(|follower| piece().is_none_or(|piece| follower.try_send(piece).is_ok()));
        polled
    }

    fn most(&self) -> Option<u64> {
        self.body.most()
    }
}

/// The copy's side.
struct Following {
    pieces: mpsc::Receiver<Piece>,
    /// Where the length is known, the end is too: whoever reads the original may not ask for it.
    left: Option<u64>,
}

impl Source for Following {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Frame(frame)) => {
                if let (Frame::Data(data), Some(left)) = (&frame, &mut self.left) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Some(Ok(frame))
            }
            Some(Piece::End) => None,
            None => Some(Err(BodyError::Cut(
                "the copy fell behind or its original was cut".into(),
            ))),
        })
    }
}
