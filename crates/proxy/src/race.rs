//! Waiting for something on behalf of a client: it ends early when the client goes away or the time is over.

use crate::attempt::IDLE;
use crate::exchange::Reply;
use crate::limits::Activity;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// What ended it early.
#[derive(Debug)]
pub enum Raced {
    /// The client went away.
    Gone,
    /// The time was over.
    TimedOut,
}

/// Runs `future` until it ends, the client goes away, or `limit` is over. Its caller pins it: by value it would be held twice,
/// by its caller's task and by this.
pub async fn race<R: Reply, F: Future + Unpin>(
    reply: &mut R,
    limit: Option<Duration>,
    mut future: F,
) -> Result<F::Output, Raced> {
    match limit {
        Some(limit) => reply.timer().arm(limit),
        None => reply.timer().disarm(),
    }
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if reply.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Raced::Gone));
        }
        reply.timer().poll(cx).map(|()| Err(Raced::TimedOut))
    })
    .await
}

/// Runs `future` until it ends, the client goes away, or nothing of the request has moved for [`attempt::IDLE`](crate::attempt::IDLE).
pub async fn race_idle<R: Reply, F: Future + Unpin>(
    reply: &mut R,
    activity: &Activity,
    mut future: F,
) -> Result<F::Output, Raced> {
    loop {
        let seen = activity.count();
        match race(reply, Some(IDLE), &mut future).await {
            Err(Raced::TimedOut) if activity.count() != seen => {}
            ended => return ended,
        }
    }
}
