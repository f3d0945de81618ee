//! When the loop of a subscription writes down where it stands, and what it does while that fails.

use super::checkpoint::Checkpoint;
use super::phase::Mode;
use super::record::Saved;
use super::service::{Runner, STORE_PAUSE};
use ondol_core::engine::StoreError;
use std::time::Duration;

/// Between two writes of what was delivered.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// Between two writes of a position alone, which only saves reading.
const WRITE_POSITION_EVERY: Duration = Duration::from_secs(1);

impl Runner {
    /// The subscription as it would be written now.
    pub(crate) fn present(&self) -> Saved {
        Saved {
            position: self.machine.position(),
            delivered: self.machine.delivered,
            paused: self.machine.mode == Mode::Paused,
            ..self.saved.clone()
        }
    }

    /// Whether there is anything to write, and how soon.
    pub(super) fn write_every(&self) -> Option<Duration> {
        let present = self.present();
        let only_read = present
            == Saved {
                position: present.position,
                ..self.saved.clone()
            };
        if self.machine.has_changed() || !self.audits.is_empty() || !only_read {
            return Some(WRITE_EVERY);
        }
        (present != self.saved).then_some(WRITE_POSITION_EVERY)
    }

    pub(super) fn begin_write(&mut self) {
        let Some(every) = self.write_every().filter(|_| self.writing.is_none()) else {
            return;
        };
        let mono = self.ports.clock.mono();
        // A write of the position alone may be far off; what was delivered since does not wait for it.
        if !self.is_stalled {
            self.write_at = self.write_at.min(mono + every);
        }
        if mono < self.write_at {
            return;
        }
        match Checkpoint::of(self) {
            Ok(checkpoint) => self.writing = Some(checkpoint.write(self.ports.engine.clone())),
            Err(error) => self.stall(&error),
        }
    }

    /// Writes everything at once, for an operator who waits.
    pub(crate) async fn write_now(&mut self) -> Result<(), StoreError> {
        if let Some(writing) = self.writing.take() {
            let (checkpoint, written) = writing.await;
            self.wrote(checkpoint, written)?;
        }
        let checkpoint = Checkpoint::of(self)?;
        let (checkpoint, written) = checkpoint.write(self.ports.engine.clone()).await;
        self.wrote(checkpoint, written)
    }

    pub(super) fn wrote(&mut self, checkpoint: Checkpoint, written: Result<(), StoreError>) -> Result<(), StoreError> {
        let Err(error) = written else {
            self.is_stalled = false;
            self.machine.written(checkpoint.saved.position);
            self.saved = checkpoint.saved;
            let every = self.write_every().unwrap_or(WRITE_POSITION_EVERY);
            self.write_at = self.ports.clock.mono() + every;
            return Ok(());
        };
        self.machine.not_written(checkpoint.keys);
        self.audits.splice(0..0, checkpoint.audits);
        self.stall(&error);
        Err(error)
    }

    fn stall(&mut self, error: &StoreError) {
        if !self.is_stalled {
            let code = error.code();
            tracing::warn!(subscription = self.name, %code, %error, "where the subscription stands cannot be written; nothing is sent until it can");
        }
        self.is_stalled = true;
        self.write_at = self.ports.clock.mono() + STORE_PAUSE;
    }
}
