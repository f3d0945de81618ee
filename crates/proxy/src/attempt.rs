//! From a request that may go to its answer: attempts at instances, again only where that is certain to do no harm.
//!
//! Invariants
//! - Nothing is sent without a place at the service (`cluster/gate.rs`), but for what lasts as its client wishes.
//! - A permit is held for as long as its instance works on the request, its answer's body included.
//! - A body that was read and not kept is never sent again; one that fits [`REPLAY`] is kept where another try may help.
//! - Callers that retry by themselves (`ondol`), starts and waits get one try.
//!
//! The controller is not a cluster: `controller.rs`.

mod controller;
mod hedged;
mod outgoing;

pub use controller::to_controller;

use crate::answer::{Answer, is_grpc};
use crate::cluster::{Admission, Endpoint, Outcome, Overloaded, Permit, Unavailable, Way, Wish};
use crate::digits::push_decimal;
use crate::exchange::{Reply, Response};
use crate::limits::Activity;
use crate::message::{Body, BodyError, Frame, RequestHead, ResponseHead};
use crate::pool::Pool;
use crate::race::{Raced, race, race_idle};
use crate::refusal;
use crate::upstream::{self, Failure, Place, Use};
use bytes::BytesMut;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use ondol_core::http_date;
use ondol_core::wire::proxy::CacheResult;
use ondol_resilience::bulkhead::Priority;
use ondol_resilience::deadline::{self, Deadline};
use ondol_resilience::retry::{self, Attempt, Ended, Repeat};
use outgoing::Outgoing;
use smallvec::SmallVec;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A body up to this size is kept for another try, bytes.
pub const REPLAY: u64 = 64 << 10;
/// Streams have no deadline; for so long nothing may move.
pub const IDLE: Duration = Duration::from_secs(60);

/// What is decided of a request before its first attempt.
#[derive(Default)]
pub struct Plan {
    /// When its answer is due; `None`: a stream.
    pub deadline: Option<Deadline>,
    /// Attempts beyond the first.
    pub extra: u32,
    /// Its duration says nothing of the instance: a stream, or a wait for something else.
    pub waits: bool,
    /// A stranger gives it less than half of the time that the policy does: that no answer came by then says nothing of the instance,
    /// and nobody outside may open a breaker by impatience.
    pub hurried: bool,
    /// It lasts as its caller wishes, so its duration goes into no quantile; a start does not, it has work to do.
    pub lasts: bool,
    /// The client asks for a WebSocket.
    pub websocket: bool,
    /// What it wishes of its instance.
    pub wish: Wish,
    /// How much it matters.
    pub priority: Priority,
    /// The share of its like that may be sent to a second instance too, 0 to 1.
    pub hedge_share: f64,
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
    /// How kept answers served it; `None`: its route or edge keeps none.
    pub kept: Option<CacheResult>,
}

impl Tried<'_> {
    /// Nothing was tried: there is an answer without.
    pub fn answered(response: Response<'static>) -> Self {
        Self {
            result: Ok(Answered { response, permit: None }),
            made: 0,
            endpoint: None,
            kept: None,
        }
    }

    /// Nothing was tried, and nobody waits any more.
    pub fn gone() -> Self {
        Self {
            result: Err(Lost::Gone),
            made: 0,
            endpoint: None,
            kept: None,
        }
    }

    /// Nothing was tried.
    pub fn refused(answer: Answer) -> Self {
        Self {
            result: Err(Lost::Own(answer)),
            made: 0,
            endpoint: None,
            kept: None,
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
        admission: None,
    };
    let result = tries.run(body, reply).await;
    Tried {
        result,
        made: tries.made,
        endpoint: tries.last,
        kept: None,
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
    /// To be worked on; given back between attempts, and with the answer's head: who reads slowly keeps it from nobody.
    admission: Option<Admission>,
}

impl Tries<'_, '_> {
    async fn run<'b, R: Reply>(&mut self, body: Body<'b>, reply: &mut R) -> Result<Answered<'b>, Lost> {
        let keyed = self.head.fields.contains("idempotency-key");
        let repeat = Repeat::of(self.head.method.as_str(), keyed);
        let body = match is_small(&body) && self.plan.deadline.is_some() {
            // Boxed, as below.
            true => Box::pin(self.read_whole(body, reply)).await?,
            false => body,
        };
        let mut outgoing = Outgoing::new(body);
        // What still comes from its client has no place: who sends slowly would keep it from others.
        let gated = !self.plan.waits && outgoing.is_whole();
        let mut now = self.means.clock.mono();
        if gated {
            self.admission = Some(match self.way.cluster().gate().try_enter(now, self.plan.priority) {
                Some(admission) => admission,
                None => {
                    // Boxed: it is rare, and every request would have room for it.
                    let admission = Box::pin(self.line_up(now, reply)).await?;
                    now = self.means.clock.mono();
                    admission
                }
            });
        }
        let mut last: Option<Result<Answered<'b>, Lost>> = None;
        loop {
            let left = self
                .plan
                .deadline
                .map_or(Some(Duration::MAX), |deadline| deadline.left(now));
            let Some(left) = left else {
                return last.unwrap_or_else(|| Err(Lost::Own(refusal::too_late(self.way.cluster().service()))));
            };
            let picked = self.way.pick(now, &**self.means.entropy, &self.tried, self.plan.wish);
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
                    let (result, ended) = self.once(permit, &mut outgoing, repeat, now, reply).await;
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
            self.admission = None; // It may be a long pause, in which nobody works on it.
            if let Err(Raced::Gone) = race(reply, Some(pause), std::future::pending::<()>()).await {
                return Err(Lost::Gone);
            }
            now = self.means.clock.mono();
            if gated {
                let gate = self.way.cluster().gate();
                self.admission = gate.try_enter(now, self.plan.priority);
                if self.admission.is_none() {
                    return last.unwrap_or(Err(Lost::Gone)); // Others wait for their first attempt.
                }
            }
        }
    }

    /// Waits for a place at the service.
    async fn line_up<R: Reply>(&self, now: Duration, reply: &mut R) -> Result<Admission, Lost> {
        let (gate, priority) = (self.way.cluster().gate(), self.plan.priority);
        let overloaded = |_: Overloaded| Lost::Own(refusal::overloaded(self.way.cluster().service()));
        let deadline = self.plan.deadline.map(|deadline| deadline.0);
        let in_line = gate.line_up(now, priority, deadline.unwrap_or(Duration::MAX));
        let left = deadline.map(|deadline| deadline.saturating_sub(now));
        match race(reply, left, pin!(in_line.map_err(overloaded)?)).await {
            Ok(called) => called.map_err(overloaded),
            Err(Raced::TimedOut) => Err(overloaded(Overloaded)),
            Err(Raced::Gone) => Err(Lost::Gone),
        }
    }

    /// Reads a small body whole: another try may need it, and no instance waits for a slow client.
    async fn read_whole<'b, R: Reply>(&self, body: Body<'b>, reply: &mut R) -> Result<Body<'b>, Lost> {
        let limit = self
            .plan
            .deadline
            .and_then(|deadline| deadline.left(self.means.clock.mono()));
        match race(reply, limit, pin!(whole(body))).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(refusal::request_body(&error).map_or(Lost::Gone, Lost::Own)),
            Err(Raced::Gone) => Err(Lost::Gone),
            Err(Raced::TimedOut) => Err(Lost::Own(refusal::slow_request())),
        }
    }

    /// One attempt, begun now; `None` for an end after which there is no other.
    async fn once<'b, R: Reply>(
        &mut self,
        mut permit: Permit,
        outgoing: &mut Outgoing<'b>,
        repeat: Repeat,
        begun: Duration,
        reply: &mut R,
    ) -> (Result<Answered<'b>, Lost>, Option<Ended>) {
        let endpoint = permit.endpoint().clone();
        self.last = Some(endpoint.clone());
        if !self.tried.iter().any(|other| Arc::ptr_eq(other, &endpoint)) {
            self.tried.push(endpoint.clone());
        }
        let another = self.looks <= self.plan.extra && repeat != Repeat::Harmful;
        let limit = self.plan.deadline.and_then(|deadline| deadline.per_try(begun, another));
        announce(self.head, limit);
        let way = self.way;
        let place = way.place(&endpoint);
        let may_refresh = repeat != Repeat::Harmful && self.plan.extra > 0;
        let after = self.hedges_after(repeat, outgoing, begun);
        let (result, of_answer) = match after {
            None => {
                let result = self.exchange(&place, outgoing, limit, may_refresh, reply).await;
                (result, begun)
            }
            Some(after) => {
                // Boxed: it is large and rare, and every request would have room for it.
                let ended = Box::pin(self.hedged(after, permit, outgoing, limit, reply)).await;
                permit = ended.permit;
                (ended.result, ended.begun)
            }
        };
        let (now, endpoint) = (self.means.clock.mono(), permit.endpoint().clone());
        let took = now.saturating_sub(of_answer);
        if self.may_hedge(repeat) && result.is_ok() {
            let hedges = self.way.cluster().hedges();
            hedges.observe(now, now.saturating_sub(begun)); // From its first attempt on, whichever answered.
        }
        self.last = Some(endpoint.clone());
        match result {
            Ok(response) => {
                let (status, retry_after) = (
                    effective_status(&response.head),
                    retry_after(&response.head, self.means.clock),
                );
                let slow = !self.plan.waits && limit.is_some_and(|limit| took > limit.mul_f64(0.9));
                // A quick error is no sign of room.
                if let Some(admission) = self.admission.as_ref().filter(|_| status < 500) {
                    admission.observe(now, took);
                }
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
                if !self.plan.hurried {
                    self.admission.iter().for_each(|admission| admission.observe(now, took));
                    permit.report(Outcome::Broken, now, &**self.means.entropy);
                }
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

    /// Sends it to one instance.
    async fn exchange<'b, R: Reply>(
        &mut self,
        place: &Place<'_>,
        outgoing: &mut Outgoing<'b>,
        limit: Option<Duration>,
        may_refresh: bool,
        reply: &mut R,
    ) -> Result<Response<'b>, Ending> {
        let (head, websocket, pool) = (&*self.head, self.plan.websocket, self.means.pool);
        let whole = pin!(send(pool, place, head, outgoing, websocket, may_refresh));
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

/// Connects and exchanges; a kept connection that had just been closed is replaced by a new one, once.
async fn send<'b>(
    pool: &Pool,
    place: &Place<'_>,
    head: &RequestHead,
    outgoing: &mut Outgoing<'b>,
    websocket: bool,
    may_refresh: bool,
) -> Result<Response<'b>, Failure> {
    let mut purpose = if websocket { Use::Tunnel } else { Use::Exchange };
    loop {
        let ready = upstream::connect(pool, place, purpose).await?;
        match ready.exchange(head, outgoing.take(), websocket).await {
            Err(failure) if failure.is_stale() && may_refresh && outgoing.is_replayable() => purpose = Use::First,
            result => return result,
        }
    }
}

/// Whether a body that comes in pieces is small enough to be kept for another try.
fn is_small(body: &Body<'_>) -> bool {
    matches!(body, Body::Stream { .. }) && matches!(body.most(), Some(1..=REPLAY))
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
    head.fields.remove("ondol-deadline-ms");
    head.fields.push_with("ondol-deadline-ms", |text| {
        push_decimal(deadline::to_millis(span), text)
    });
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

fn retry_after(head: &ResponseHead, clock: &SharedClock) -> Option<Duration> {
    http_date::retry_after(head.fields.get_str("retry-after")?, clock.wall())
}
