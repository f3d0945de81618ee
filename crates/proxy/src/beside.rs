//! Calls that no client waits for: copies of requests, and answers that are fetched anew.

use crate::attempt::{self, Means, Plan, Tried};
use crate::cluster::Way;
use crate::exchange::{End, Reply, Response, Sent};
use crate::limits::Activity;
use crate::message::{Body, BodyError, Frame, RequestHead};
use crate::pool::Pool;
use crate::state::Worker;
use crate::timer::Timer;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::SharedEntropy;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Of an answer no more than this is read, bytes; then its connection is closed.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What such a call needs of its worker, which it may not borrow.
pub struct Beside {
    pool: Rc<Pool>,
    /// Time.
    pub clock: SharedClock,
    /// Jitter and balancing.
    pub entropy: SharedEntropy,
}

impl Beside {
    /// Of this worker.
    pub fn of(worker: &Worker) -> Self {
        Self {
            pool: worker.pool.clone(),
            clock: worker.shared().clock.clone(),
            entropy: worker.shared_entropy(),
        }
    }

    /// Sends a request to a service.
    pub async fn call(&self, way: &Way, plan: &Plan, head: &mut RequestHead, body: Body<'static>) -> Tried<'static> {
        let means = Means {
            pool: &self.pool,
            clock: &self.clock,
            entropy: &self.entropy,
        };
        let (activity, mut nobody) = (Activity::default(), self.nobody());
        attempt::to_service(&means, way, plan, head, body, &activity, &mut nobody).await
    }

    /// Takes what comes of it.
    pub fn nobody(&self) -> Nobody {
        Nobody(Timer::new(self.clock.clone()))
    }
}

/// Takes an answer that nobody waits for.
pub struct Nobody(Timer);

impl Reply for Nobody {
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.0
    }

    async fn send(&mut self, mut response: Response<'_>) -> Sent {
        let (mut bytes, mut end) = (0, End::Complete);
        self.0.arm(attempt::IDLE);
        while bytes < LONGEST_ANSWER {
            match self.0.limit(response.body.frame()).await {
                Some(Some(Ok(Frame::Data(data)))) => bytes += data.len() as u64,
                Some(Some(Ok(Frame::Trailers(_))) | None) => break,
                Some(Some(Err(error))) => {
                    end = End::Broken(error);
                    break;
                }
                None => {
                    end = End::Broken(BodyError::TimedOut);
                    break;
                }
            }
        }
        Sent { bytes, end }
    }
}
