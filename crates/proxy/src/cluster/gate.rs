//! A service's bulkhead: so many requests of this proxy at once, the others in line or refused.
//!
//! Decisions are `ondol_resilience::bulkhead`'s; this holds them for all workers under one short lock, wakes who is called,
//! and gives places back on drop. A request has one place while it is tried, until its answer's head has come. What goes at its
//! client's pace has none (streams, WebSockets, a body that is still coming or going): a few slow clients would take every place.
//!
//! Invariants
//! - A place is given back once, whatever became of the request: also one that was given to somebody who had just left.
//! - Nothing is woken, sent or dropped under the lock.
//!
//! The time of what happens on a drop is the last that anybody told: who waits has a timer of its own.

use super::endpoint::lock;
use ondol_core::wire::proxy as wire;
use ondol_resilience::bulkhead::{Bulkhead, Next, Priority};
use ondol_resilience::gradient::Bounds;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Where requests to one service are let in.
#[derive(Debug)]
pub struct Gate(Mutex<State>);

#[derive(Debug)]
struct State {
    bulkhead: Bulkhead<oneshot::Sender<Admission>>,
    bounds: Bounds,
    /// Refused or let go, by class.
    shed: [u64; 4],
    /// The last that anybody told.
    now: Duration,
}

/// As many requests are under way as the service can take, and the line is no way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overloaded;

impl Gate {
    pub(super) fn new(spec: wire::Concurrency) -> Arc<Self> {
        let bounds = bounds(spec);
        Arc::new(Self(Mutex::new(State {
            bulkhead: Bulkhead::new(bounds),
            bounds,
            shed: [0; 4],
            now: Duration::ZERO,
        })))
    }

    /// Takes other bounds; who was let in or waits stays.
    pub(super) fn apply(self: &Arc<Self>, spec: wire::Concurrency) {
        let bounds = bounds(spec);
        {
            let mut state = lock(&self.0);
            if state.bounds == bounds {
                return;
            }
            state.bounds = bounds;
            state.bulkhead.set_bounds(bounds);
        }
        self.call();
    }

    /// Takes a place if one is free. One short lock.
    pub fn try_enter(self: &Arc<Self>, now: Duration, class: Priority) -> Option<Admission> {
        let mut state = lock(&self.0);
        state.now = state.now.max(now);
        state.bulkhead.try_enter(now, class).then(|| Admission(self.clone()))
    }

    /// Stands in line for a place; until `deadline` the answer must be there.
    ///
    /// # Errors
    /// [`Overloaded`]: it would come too late, or those in line matter more.
    pub fn line_up(self: &Arc<Self>, now: Duration, class: Priority, deadline: Duration) -> Result<InLine, Overloaded> {
        let (called, receiver) = oneshot::channel();
        let waits = {
            let mut state = lock(&self.0);
            state.now = state.now.max(now);
            let waits = state.bulkhead.wait(now, class, deadline, called);
            let shed = match &waits {
                Ok(waits) => waits.shed.as_ref().map(|(_, class)| *class),
                Err(_) => Some(class),
            };
            shed.into_iter().for_each(|class| state.shed[class as usize] += 1);
            waits
        };
        let Ok(waits) = waits else { return Err(Overloaded) };
        // The last place may have become free since it was looked for; then nobody else would call.
        self.call();
        Ok(InLine {
            gate: self.clone(),
            class,
            number: waits.number,
            receiver,
        })
    }

    /// What there is to tell.
    pub(super) fn report(&self) -> (usize, usize, usize, [u64; 4]) {
        let state = lock(&self.0);
        let bulkhead = &state.bulkhead;
        (bulkhead.limit(), bulkhead.in_flight(), bulkhead.waiting(), state.shed)
    }

    /// Calls those in line for whom there is a place.
    fn call(self: &Arc<Self>) {
        while let Some(next) = self.next() {
            if let Next::Admitted(called) = next {
                let _ = called.send(Admission(self.clone())); // Who has left gives it back by not taking it.
            }
        }
    }

    fn next(&self) -> Option<Next<oneshot::Sender<Admission>>> {
        let mut state = lock(&self.0);
        let now = state.now;
        let next = state.bulkhead.next(now);
        if let Some(Next::Shed(_, class)) = &next {
            state.shed[*class as usize] += 1;
        }
        next
    }
}

fn bounds(spec: wire::Concurrency) -> Bounds {
    Bounds {
        min: spec.min as usize,
        max: spec.max as usize,
    }
}

/// Leave for one request to be worked on by the service, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Admission(Arc<Gate>);

impl Admission {
    /// Takes what an attempt took until the answer's head.
    pub fn observe(&self, now: Duration, took: Duration) {
        let mut state = lock(&self.0.0);
        state.now = state.now.max(now);
        state.bulkhead.observe(now, took);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        lock(&self.0.0).bulkhead.leave();
        self.0.call();
    }
}

/// One in line. Resolves when it is let in, or to [`Overloaded`] when it has to go.
///
/// # Cancellation
/// Leaves the line.
#[derive(Debug)]
#[must_use]
pub struct InLine {
    gate: Arc<Gate>,
    class: Priority,
    number: u64,
    receiver: oneshot::Receiver<Admission>,
}

impl Future for InLine {
    type Output = Result<Admission, Overloaded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(cx)
            .map(|called| called.map_err(|_| Overloaded))
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        // It has left if it was called; an admission that it did not take goes back with the receiver.
        let left = lock(&self.gate.0).bulkhead.cancel(self.class, self.number);
        drop(left);
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
