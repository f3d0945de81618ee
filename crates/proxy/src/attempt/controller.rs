//! A request for the controller: one try, and its absence is a 503 that says when to ask again.

use super::outgoing::Outgoing;
use super::{Answered, Lost, Means, Plan, Tried, announce, is_small, whole};
use crate::answer::{Answer, Word};
use crate::exchange::Reply;
use crate::limits::Activity;
use crate::message::{Body, RequestHead};
use crate::race::{Raced, race, race_idle};
use crate::refusal;
use crate::upstream::{self, Failure, Place, Use};
use http::StatusCode;
use ondol_core::error::ErrorCode;
use ondol_resilience::retry::Repeat;
use std::path::Path;
use std::pin::pin;

/// Whether a request may reach the controller twice. Whatever a service asks may: events, sagas and leases are known by
/// their ids. A start at the gateway is known by its key alone.
fn is_harmless(head: &RequestHead) -> bool {
    let keyed = head.fields.contains("idempotency-key") || !head.path().starts_with("/v1/starts/");
    Repeat::of(head.method.as_str(), keyed) != Repeat::Harmful
}

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
    let harmless = is_harmless(head);
    let head = &*head;
    let sending = pin!(async {
        // What can be sent twice may meet a kept connection that was closed just now; anything else gets a new one.
        let body = match harmless && is_small(&body) {
            true => whole(body).await.map_err(Failure::Request)?,
            false => body,
        };
        let mut purpose = if harmless { Use::Exchange } else { Use::First };
        let mut outgoing = Outgoing::new(body);
        loop {
            let ready = upstream::connect(means.pool, &place, purpose).await?;
            match ready.exchange(head, outgoing.take(), plan.websocket).await {
                Err(failure) if failure.is_stale() && outgoing.is_whole() => purpose = Use::First,
                result => return result,
            }
        }
    });
    let raced = match limit {
        Some(_) => race(reply, limit, sending).await,
        None => race_idle(reply, activity, sending).await,
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
        kept: None,
    }
}
