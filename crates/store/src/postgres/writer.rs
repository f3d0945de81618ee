//! Drives the session batch by batch, and begins another when one has ended.
//!
//! A batch that fails is answered and never sent again by itself: only its callers know whether a repeat has the same
//! effect. The next batch finds a new session, or tells its callers that the server does not answer.

use super::server::Server;
use super::session::{BatchError, Session};
use crate::queue::{Health, Job, tell_if_slow};
use ondol_core::clock::SharedClock;
use ondol_core::engine::{Committed, StoreError, Write};
use ondol_core::entropy::SharedEntropy;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

/// First pause between two attempts to connect; doubled each time up to [`LONGEST_PAUSE`], with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The one task that writes.
pub(super) struct Writer {
    pub(super) server: Arc<Server>,
    pub(super) session: Option<Session>,
    pub(super) epoch: u64,
    pub(super) health: Health,
    pub(super) clock: SharedClock,
    pub(super) entropy: SharedEntropy,
    pub(super) batch_wait: Duration,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(super) async fn serve(mut self, mut inbox: UnboundedReceiver<Job>, batch: usize) {
        let mut jobs = Vec::with_capacity(batch);
        while inbox.recv_many(&mut jobs, batch).await > 0 {
            let begun = self.clock.mono();
            let outcome = match self.health.error() {
                Some(error) => Err(error),
                None => self.write(&jobs).await,
            };
            tell_if_slow(&*self.clock, begun, jobs.len());
            match outcome {
                Ok(outcomes) => jobs
                    .drain(..)
                    .zip(outcomes)
                    .for_each(|(job, outcome)| job.answer(outcome)),
                Err(error) => jobs.drain(..).for_each(|job| job.answer(Err(error.clone()))),
            }
        }
    }

    async fn write(&mut self, jobs: &[Job]) -> Result<Vec<Result<Committed, StoreError>>, StoreError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.begin().await?,
        };
        let writes: Vec<&Write> = jobs.iter().map(|job| &job.write).collect();
        let error = match timeout(self.batch_wait, session.write(&writes)).await {
            Ok(Ok(outcomes)) => {
                self.session = Some(session);
                return Ok(outcomes);
            }
            Ok(Err(BatchError::Fenced(_))) => {
                let current = timeout(self.batch_wait, session.current_epoch()).await;
                self.fenced(current.ok().and_then(Result::ok))
            }
            Ok(Err(BatchError::Store(error))) => error,
            Err(_) => StoreError::Unavailable("PostgreSQL took too long for a batch".into()),
        };
        if matches!(error, StoreError::Broken(_) | StoreError::Fenced { .. }) {
            self.health.fail(&error);
        }
        Err(error)
    }

    /// Connects again, trying for as long as one batch may take.
    async fn begin(&mut self) -> Result<Session, StoreError> {
        let mut last = StoreError::Unavailable("PostgreSQL did not answer in time".into());
        let (server, epoch) = (self.server.clone(), self.epoch);
        let mut pause = FIRST_PAUSE;
        let tries = async {
            loop {
                match Session::again(&server, epoch).await {
                    Err(BatchError::Store(error @ StoreError::Unavailable(_))) => last = error,
                    outcome => return outcome,
                }
                sleep(self.entropy.jitter(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let error = match timeout(self.batch_wait, tries).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(BatchError::Fenced(current))) => self.fenced(current),
            Ok(Err(BatchError::Store(error))) => error,
            Err(_) => return Err(last),
        };
        self.health.fail(&error);
        Err(error)
    }

    /// Where the server could not be asked any more, the least that the other's epoch can be.
    fn fenced(&self, current: Option<u64>) -> StoreError {
        StoreError::Fenced {
            mine: self.epoch,
            current: current.unwrap_or(self.epoch + 1),
        }
    }
}
