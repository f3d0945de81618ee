//! From a request that may go to its answer: attempts at instances, again only where that is certain to do no harm.
//!
//! Invariants
//! - A permit is held for as long as its instance works on the request, its answer's body included.
//! - A body that was read and not kept is never sent again; one that fits [`REPLAY`] is kept where another try may help.
//! - Callers that retry by themselves (`ondol`), starts and waits get one try.
//!
//! The controller is not a cluster: `controller.rs`.

mod controller;
mod outgoing;

pub use controller::to_controller;

use crate::answer::{Answer, is_grpc};
use crate::cluster::{Endpoint, Outcome, Permit, Unavailable, Way};
use crate::exchange::{Reply, Response};
use crate::limits::Activity;
use crate::message::{Body, BodyError, Frame, RequestHead, ResponseHead};
use crate::pool::Pool;
use crate::race::{Raced, race, race_idle};
use crate::refusal;
use crate::upstream::{self, Failure, Place};
use bytes::BytesMut;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use ondol_resilience::deadline::{self, Deadline};
use ondol_resilience::retry::{self, Attempt, Ended, Repeat};
use outgoing::Outgoing;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// A body up to this size is kept for another try, bytes.
pub const REPLAY: u64 = 64 << 10;
/// Streams have no deadline; for so long nothing may move.
pub const IDLE: Duration = Duration::from_secs(60);

/// What is decided of a request before its first attempt.
pub struct Plan {
    /// When its answer is due; `None`: a stream.
    pub deadline: Option<Deadline>,
    /// Attempts beyond the first.
    pub extra: u32,
    /// Its duration says nothing of the instance: a stream, or a wait for something else.
    pub waits: bool,
    /// It lasts as its caller wishes, so its duration goes into no quantile; a start does not, it has work to do.
    pub lasts: bool,
    /// The client asks for a WebSocket.
    pub websocket: bool,
}

/// Means that one worker lends to each request.
pub struct Means<'w> {
    /// Kept connections.
    pub pool: &'w Pool,
    /// Time.
    pub clock: &'w SharedClock,
    /// Jitter and balancing.
    pub entropy: &'w SharedEntropy,
}

/// An answer of an upstream.
pub struct Answered<'b> {
    /// The answer.
    pub response: Response<'b>,
    /// Counts at its instance until dropped; `None` for the controller.
    pub permit: Option<Permit>,
}

/// There is no answer of an upstream.
#[derive(Debug)]
pub enum Lost {
    /// The client went away meanwhile.
    Gone,
    /// The answer to give instead.
    Own(Answer),
}

/// What became of the attempts.
pub struct Tried<'b> {
    /// The answer, or why there is none.
    pub result: Result<Answered<'b>, Lost>,
    /// Attempts at an instance; a look that found none is no attempt.
    pub made: u32,
    /// The instance of the last one.
    pub endpoint: Option<Arc<Endpoint>>,
}

impl Tried<'_> {
    /// Nothing was tried.
    pub fn refused(answer: Answer) -> Self {
        Self {
            result: Err(Lost::Own(answer)),
            made: 0,
            endpoint: None,
        }
    }
}

/// How one attempt ended without an answer.
enum Ending {
    Failed(Failure),
    TimedOut,
    Gone,
}

/// Sends a request to a service, as often as its plan and the policies allow.
pub async fn to_service<'b, R: Reply>(
    means: &Means<'_>,
    way: &Way,
    plan: &Plan,
    head: &mut RequestHead,
    body: Body<'b>,
    activity: &Activity,
    reply: &mut R,
) -> Tried<'b> {
    let mut tries = Tries {
        means,
        way,
        plan,
        head,
        activity,
        tried: SmallVec::new(),
        last: None,
        made: 0,
        looks: 0,
    };
    let result = tries.run(body, reply).await;
    Tried {
        result,
        made: tries.made,
        endpoint: tries.last,
    }
}

struct Tries<'a, 'w> {
    means: &'a Means<'w>,
    way: &'a Way,
    plan: &'a Plan,
    head: &'a mut RequestHead,
    activity: &'a Activity,
    tried: SmallVec<[Arc<Endpoint>; 3]>,
    last: Option<Arc<Endpoint>>,
    /// Attempts at an instance.
    made: u32,
    /// Looks for one, those included that found none; the policy bounds them.
    looks: u32,
}

impl Tries<'_, '_> {
    async fn run<'b, R: Reply>(&mut self, body: Body<'b>, reply: &mut R) -> Result<Answered<'b>, Lost> {
        let keyed = self.head.fields.contains("idempotency-key");
        let repeat = Repeat::of(self.head.method.as_str(), keyed);
        let body = self.keep_if_useful(body, repeat, reply).await?;
        let mut outgoing = Outgoing::new(body);
        let mut last: Option<Result<Answered<'b>, Lost>> = None;
        loop {
            let now = self.means.clock.mono();
            let left = self
                .plan
                .deadline
                .map_or(Some(Duration::MAX), |deadline| deadline.left(now));
            let Some(left) = left else {
                return last.unwrap_or_else(|| Err(Lost::Own(refusal::too_late(self.way.cluster().service()))));
            };
            let picked = self.way.pick(now, &**self.means.entropy, &self.tried);
            self.looks += 1;
            let found = picked.is_ok();
            let ended = match picked {
                Err(unavailable @ Unavailable::NoInstance(_)) => {
                    last.get_or_insert(Err(Lost::Own(refusal::unavailable(&unavailable))));
                    Ended::NotSent
                }
                Err(unavailable) => return last.unwrap_or_else(|| Err(Lost::Own(refusal::unavailable(&unavailable)))),
                Ok(permit) => {
                    if self.made == 0 {
                        self.way.count_first(now);
                    }
                    self.made += 1;
                    drop(last.take()); // Gives the former instance back before the next one works.
                    let (result, ended) = self.once(permit, &mut outgoing, repeat, reply).await;
                    let Some(ended) = ended else { return result };
                    last = Some(result);
                    ended
                }
            };
            let attempt = Attempt {
                repeat,
                ended,
                made: self.looks,
                extra: self.plan.extra,
                replayable: outgoing.is_replayable(),
                left,
            };
            let again = retry::decide(&attempt, self.means.entropy.next_u64());
            // Looking again costs no instance anything, so only an attempt draws from the budget.
            let (Ok(pause), true) = (again, again.is_ok() && (!found || self.way.may_retry(now))) else {
                return last.unwrap_or(Err(Lost::Gone));
            };
            if let Err(Raced::Gone) = race(reply, Some(pause), std::future::pending::<()>()).await {
                return Err(Lost::Gone);
            }
        }
    }

    /// Reads a small body whole where another try may need it.
    async fn keep_if_useful<'b, R: Reply>(
        &mut self,
        body: Body<'b>,
        repeat: Repeat,
        reply: &mut R,
    ) -> Result<Body<'b>, Lost> {
        if !is_small(&body) || self.plan.extra == 0 || repeat == Repeat::Harmful {
            return Ok(body);
        }
        let limit = self
            .plan
            .deadline
            .and_then(|deadline| deadline.left(self.means.clock.mono()));
        match race(reply, limit, whole(body)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(refusal::request_body(&error).map_or(Lost::Gone, Lost::Own)),
            Err(Raced::Gone) => Err(Lost::Gone),
            Err(Raced::TimedOut) => Err(Lost::Own(refusal::slow_request())),
        }
    }

    /// One attempt; `None` for an end after which there is no other.
    async fn once<'b, R: Reply>(
        &mut self,
        mut permit: Permit,
        outgoing: &mut Outgoing<'b>,
        repeat: Repeat,
        reply: &mut R,
    ) -> (Result<Answered<'b>, Lost>, Option<Ended>) {
        let (clock, begun) = (self.means.clock, self.means.clock.mono());
        let endpoint = permit.endpoint().clone();
        self.last = Some(endpoint.clone());
        if !self.tried.iter().any(|other| Arc::ptr_eq(other, &endpoint)) {
            self.tried.push(endpoint.clone());
        }
        let another = self.looks <= self.plan.extra && repeat != Repeat::Harmful;
        let limit = self.plan.deadline.and_then(|deadline| deadline.per_try(begun, another));
        announce(self.head, limit);
        let protocol = self.way.cluster().view().protocol;
        let place = Place::Instance(endpoint.address, endpoint.id, protocol);
        let may_refresh = repeat != Repeat::Harmful && self.plan.extra > 0;
        let result = self.exchange(&place, outgoing, limit, may_refresh, reply).await;
        let now = clock.mono();
        let took = now.saturating_sub(begun);
        match result {
            Ok(response) => {
                let (status, retry_after) = (effective_status(&response.head), retry_after(&response.head));
                let slow = !self.plan.waits && limit.is_some_and(|limit| took > limit.mul_f64(0.9));
                let took = (!self.plan.waits).then_some(took);
                let asked = retry_after.filter(|_| matches!(status, 429 | 503));
                permit.report(
                    Outcome::Answered {
                        status,
                        took,
                        slow,
                        retry_after: asked,
                    },
                    now,
                    &**self.means.entropy,
                );
                let retried = response.head.fields.contains("ondol-retried");
                let ended = Ended::Answered {
                    status,
                    retry_after,
                    retried,
                };
                let worth = !response.head.status.is_success() || status != response.head.status.as_u16();
                (
                    Ok(Answered {
                        response,
                        permit: Some(permit),
                    }),
                    worth.then_some(ended),
                )
            }
            Err(Ending::Gone) => (Err(Lost::Gone), None),
            Err(Ending::TimedOut) => {
                permit.report(Outcome::Broken, now, &**self.means.entropy);
                (Err(Lost::Own(refusal::no_answer(&endpoint))), Some(Ended::Unknown))
            }
            Err(Ending::Failed(Failure::Request(error))) => {
                (Err(refusal::request_body(&error).map_or(Lost::Gone, Lost::Own)), None)
            }
            Err(Ending::Failed(failure)) => {
                let (outcome, ended) = match failure.is_not_sent() {
                    true => (Outcome::NotSent, Ended::NotSent),
                    false => (Outcome::Broken, Ended::Unknown),
                };
                permit.report(outcome, now, &**self.means.entropy);
                (Err(Lost::Own(refusal::failed(&endpoint, &failure))), Some(ended))
            }
        }
    }

    /// Connects and exchanges; a kept connection that had just been closed is replaced by a new one, once.
    async fn exchange<'b, R: Reply>(
        &mut self,
        place: &Place<'_>,
        outgoing: &mut Outgoing<'b>,
        limit: Option<Duration>,
        may_refresh: bool,
        reply: &mut R,
    ) -> Result<Response<'b>, Ending> {
        let (head, websocket, pool) = (&*self.head, self.plan.websocket, self.means.pool);
        let whole = async {
            let mut fresh = false;
            loop {
                let ready = upstream::connect(pool, place, fresh).await?;
                match ready.exchange(head, outgoing.take(), websocket).await {
                    Err(failure) if failure.is_stale() && may_refresh && outgoing.is_replayable() => fresh = true,
                    result => return result,
                }
            }
        };
        let raced = match limit {
            Some(_) => race(reply, limit, whole).await,
            None => race_idle(reply, self.activity, whole).await,
        };
        match raced {
            Ok(result) => result.map_err(Ending::Failed),
            Err(Raced::Gone) => Err(Ending::Gone),
            Err(Raced::TimedOut) => Err(Ending::TimedOut),
        }
    }
}

/// Whether a body that comes in pieces is small enough to be kept for another try.
fn is_small(body: &Body<'_>) -> bool {
    matches!(
        body,
        Body::Stream {
            length: Some(1..=REPLAY),
            ..
        }
    )
}

/// Reads all of it.
async fn whole<'b>(mut body: Body<'_>) -> Result<Body<'b>, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Frame::Data(data) = frame? {
            whole.extend_from_slice(&data);
        }
    }
    Ok(Body::Full(whole.freeze()))
}

/// Tells the next hop what is left of the deadline.
fn announce(head: &mut RequestHead, limit: Option<Duration>) {
    let Some(limit) = limit else { return };
    let span = deadline::announced(limit);
    head.fields
        .set("ondol-deadline-ms", deadline::to_millis(span).to_string());
    if is_grpc(head) {
        head.fields.set("grpc-timeout", deadline::to_grpc(span));
    }
}

/// The status that counts for breakers and retries: gRPC's `UNAVAILABLE` in a trailers-only answer is a 503.
fn effective_status(head: &ResponseHead) -> u16 {
    match head.fields.get("grpc-status") {
        Some(b"14") => 503,
        _ => head.status.as_u16(),
    }
}

fn retry_after(head: &ResponseHead) -> Option<Duration> {
    head.fields
        .get_str("retry-after")?
        .parse()
        .ok()
        .map(Duration::from_secs)
}
