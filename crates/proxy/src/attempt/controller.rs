//! A request for the controller: one try, and its absence is a 503 that says when to ask again.

use super::outgoing::Outgoing;
use super::{Answered, Lost, Means, Plan, Tried, announce};
use crate::answer::{Answer, Word};
use crate::exchange::Reply;
use crate::limits::Activity;
use crate::message::{Body, RequestHead};
use crate::race::{Raced, race, race_idle};
use crate::refusal;
use crate::upstream::{self, Failure, Place};
use http::StatusCode;
use ondol_core::error::ErrorCode;
use ondol_resilience::retry::Repeat;
use std::path::Path;

/// Sends a request to the controller: one try.
pub async fn to_controller<'b, R: Reply>(
    means: &Means<'_>,
    socket: &Path,
    plan: &Plan,
    head: &mut RequestHead,
    body: Body<'b>,
    activity: &Activity,
    reply: &mut R,
) -> Tried<'b> {
    let limit = plan.deadline.and_then(|deadline| deadline.left(means.clock.mono()));
    announce(head, limit);
    let place = Place::Controller(socket);
    let keyed = head.fields.contains("idempotency-key");
    let harmless = Repeat::of(head.method.as_str(), keyed) != Repeat::Harmful;
    let (head, mut outgoing) = (&*head, Outgoing::new(body));
    let whole = async {
        // A kept connection may just have been closed; what can be harmful gets a new one.
        let mut fresh = !harmless || !outgoing.is_whole();
        loop {
            let ready = upstream::connect(means.pool, &place, fresh).await?;
            match ready.exchange(head, outgoing.take(), plan.websocket).await {
                Err(failure) if failure.is_stale() => fresh = true,
                result => return result,
            }
        }
    };
    let raced = match limit {
        Some(_) => race(reply, limit, whole).await,
        None => race_idle(reply, activity, whole).await,
    };
    let result = match raced {
        Ok(Ok(response)) => Ok(Answered { response, permit: None }),
        Ok(Err(Failure::Request(error))) => Err(refusal::request_body(&error).map_or(Lost::Gone, Lost::Own)),
        Ok(Err(failure)) => Err(Lost::Own(refusal::controller_away(&failure))),
        Err(Raced::Gone) => Err(Lost::Gone),
        Err(Raced::TimedOut) => {
            let detail = "the controller did not answer in time";
            let code = ErrorCode::new("GW-025");
            Err(Lost::Own(Answer::new(
                StatusCode::GATEWAY_TIMEOUT,
                code,
                Word::HttpResponseTimeout,
                detail,
            )))
        }
    };
    Tried {
        result,
        made: 1,
        endpoint: None,
    }
}
