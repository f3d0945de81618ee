//! One attempt of which there may be two: a second one at another instance, once the first takes longer than nearly all do.
//!
//! The first good answer counts. The other attempt is cancelled and counts as neither success nor failure, unless it had ended
//! badly before: its permit is given back unused. The second one needs a place of its own at the service, a share of the traffic that is left, and the caller's
//! retry budget; without them, or without another instance, the first is waited for.

use super::{Ending, Tries, announce, effective_status, outgoing::Outgoing, send};
use crate::cluster::{Admission, Outcome, Permit};
use crate::exchange::{Reply, Response};
use crate::race::{Raced, race};
use crate::upstream::Failure;
use ondol_resilience::retry::Repeat;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How it ended, for the instance whose end it was.
pub(super) struct Ended<'b> {
    pub(super) result: Result<Response<'b>, Ending>,
    pub(super) permit: Permit,
    /// When that one began.
    pub(super) begun: Duration,
}

type Exchanged<'b> = Result<Response<'b>, Failure>;

impl Tries<'_, '_> {
    /// After which time a second attempt may begin; `None`: there is none.
    pub(super) fn hedges_after(&self, repeat: Repeat, outgoing: &Outgoing<'_>, now: Duration) -> Option<Duration> {
        let may = self.may_hedge(repeat) && outgoing.is_whole();
        may.then(|| self.way.cluster().hedges().begin(now)).flatten()
    }

    /// Whether its like is hedged, so that what it takes is to be known. A session is with one instance: what another one
    /// answers may be wrong.
    pub(super) fn may_hedge(&self, repeat: Repeat) -> bool {
        self.plan.hedge_share > 0.0 && repeat == Repeat::Safe && !self.plan.waits && self.plan.wish.session.is_none()
    }

    /// One attempt with a permit, or two.
    pub(super) async fn hedged<'b, R: Reply>(
        &mut self,
        after: Duration,
        mut first: Permit,
        outgoing: &mut Outgoing<'b>,
        limit: Option<Duration>,
        reply: &mut R,
    ) -> Ended<'b> {
        let (clock, pool, websocket) = (self.means.clock, self.means.pool, self.plan.websocket);
        let (begun, way) = (clock.mono(), self.way);
        let mut again = outgoing.again().unwrap_or_else(|| Outgoing::new(Default::default()));
        let second = RefCell::new(None::<(Permit, Duration)>);
        // How the first of the two to end did, where that was no good answer.
        let failed = Cell::new(None::<Outcome>);
        let (head, this) = (&*self.head, &*self);
        let both = async {
            let place = way.place(first.endpoint());
            let mut one = pin!(send(pool, &place, head, outgoing, websocket, true));
            tokio::select! {
                biased;
                result = &mut one => return (false, result),
                () = tokio::time::sleep(after) => {}
            }
            let now = clock.mono();
            let Some((permit, _admission)) = this.second(&first, now) else {
                return (false, one.await);
            };
            let place = way.place(permit.endpoint());
            let mut head = head.clone();
            announce(
                &mut head,
                limit.map(|limit| limit.saturating_sub(now.saturating_sub(begun))),
            );
            *second.borrow_mut() = Some((permit, now));
            let mut two = pin!(send(pool, &place, &head, &mut again, websocket, true));
            tokio::select! {
                biased;
                result = &mut one => match is_good(&result) {
                    true => (false, result),
                    false => {
                        failed.set(outcome_of(&result));
                        better((false, result), (true, two.await))
                    }
                },
                result = &mut two => match is_good(&result) {
                    true => (true, result),
                    false => {
                        failed.set(outcome_of(&result));
                        better((true, result), (false, one.await))
                    }
                },
            }
        };
        let raced = race(reply, limit, pin!(both)).await;
        let (from_second, result) = match raced {
            Ok((from_second, result)) => (from_second, result.map_err(Ending::Failed)),
            Err(Raced::Gone) => (false, Err(Ending::Gone)),
            Err(Raced::TimedOut) => (false, Err(Ending::TimedOut)),
        };
        let (now, entropy) = (clock.mono(), &**self.means.entropy);
        let is_rescue = result
            .as_ref()
            .is_ok_and(|response| effective_status(&response.head) < 500);
        let failed = failed.take().filter(|_| is_rescue);
        match second.into_inner() {
            Some((permit, begun)) if from_second => {
                failed
                    .into_iter()
                    .for_each(|outcome| first.report(outcome, now, entropy));
                self.way.cluster().hedges().won();
                self.tried.push(permit.endpoint().clone());
                Ended { result, permit, begun }
            }
            second => {
                if let (Some((mut permit, _)), Some(outcome)) = (second, failed) {
                    permit.report(outcome, now, entropy);
                }
                Ended {
                    result,
                    permit: first,
                    begun,
                }
            }
        }
    }

    /// Leave for a second attempt, at another instance than the first.
    fn second(&self, first: &Permit, now: Duration) -> Option<(Permit, Admission)> {
        let (cluster, entropy) = (self.way.cluster(), &**self.means.entropy);
        let permit = self.way.pick(now, entropy, &self.tried, self.plan.wish).ok()?;
        if Arc::ptr_eq(permit.endpoint(), first.endpoint()) {
            return None;
        }
        let admission = cluster.gate().try_enter(now, self.plan.priority)?;
        let budget = || self.way.may_retry(now);
        if !cluster.hedges().admit(now, self.plan.hedge_share, budget) {
            return None;
        }
        cluster.hedges().sent();
        Some((permit, admission))
    }
}

/// What it says of its instance; `None`: nothing.
fn outcome_of(result: &Exchanged<'_>) -> Option<Outcome> {
    match result {
        Ok(response) => Some(Outcome::Answered {
            status: effective_status(&response.head),
            took: None,
            slow: false,
            retry_after: None,
        }),
        Err(Failure::Request(_)) => None,
        Err(failure) if failure.is_not_sent() => Some(Outcome::NotSent),
        Err(_) => Some(Outcome::Broken),
    }
}

fn is_good(result: &Exchanged<'_>) -> bool {
    result
        .as_ref()
        .is_ok_and(|response| effective_status(&response.head) < 500)
}

/// The later one if that is good, else what came first.
fn better<'b>(earlier: (bool, Exchanged<'b>), later: (bool, Exchanged<'b>)) -> (bool, Exchanged<'b>) {
    if is_good(&later.1) { later } else { earlier }
}
