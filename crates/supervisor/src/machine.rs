//! When an instance starts, ends and starts again, and nothing else.
//!
//! Why apart from `instance.rs`: that one forks, kills and listens; this one only decides, so every path is tested
//! without a process or a clock. Times are the monotonic clock's.
//!
//! Invariants
//! - `Effect::Spawn` only when the tree of the life before is gone.
//! - After `Stop` nothing is spawned before the next `Start` or `Restart`.
//! - An instance that was ready and is killed from outside starts again at once (then within 2 s), and this never counts
//!   towards a crash loop.
//!
//! Not here: what ready means (`probe.rs`), how a tree is killed (`contain.rs`). Tests: `machine_tests.rs` (every state with
//! every event, and all sequences of events up to a length against a model of a process).

use ondol_core::entropy::Entropy;
use ondol_core::wire::supervision::{Exit, Phase};
use std::time::Duration;

/// The first back-off; doubles with each failure.
pub(crate) const BACK_OFF: Duration = Duration::from_millis(250);
/// Of the back-off.
pub(crate) const CAP: Duration = Duration::from_secs(60);
/// Of the back-off after kills from outside.
pub(crate) const KILLED_CAP: Duration = Duration::from_secs(2);
/// So many crashes without a stable life between them are a crash loop.
pub(crate) const CRASH_LOOP: u32 = 5;
/// Ready for so long, or ten times as long as it took to start if that is more, and its failures are forgotten.
pub(crate) const STABLE: Duration = Duration::from_secs(30);
/// Between two looks at whether a killed tree is gone.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);
const KILL: i32 = 9;

/// How far an instance is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nothing runs and nothing is planned.
    Stopped,
    /// It could not be started; waits to be told.
    Failed,
    /// Runs since then, not ready yet.
    Starting { since: Duration },
    /// Ready since then; `startup` is how long that took.
    Ready { since: Duration, startup: Duration },
    /// Another process has taken over; ends at its own pace, and is terminated then.
    Retiring { until: Duration },
    /// Was sent SIGTERM; the tree is killed then.
    Ending { kill_at: Duration, then: Then },
    /// The tree was killed; not seen gone yet.
    Clearing { look_at: Duration, then: Then },
    /// Nothing runs; starts again then.
    Waiting { until: Duration, looping: bool },
}

/// What comes when the tree is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    Stop,
    Start,
    Wait { delay: Duration, looping: bool },
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A client asks for a start; only where nothing runs or waits.
    Start,
    /// A client asks for a new life.
    Restart,
    /// A client asks for the end.
    Stop,
    /// Another process has taken over; what this one has begun may go on for so long.
    Retire(Duration),
    /// `Effect::Spawn` failed, with the reason.
    CannotSpawn(String),
    /// It was seen ready.
    Ready,
    /// The leader of the tree ended.
    Exited(Exit),
    /// Nothing of the tree is left.
    Gone,
    /// Time passed.
    Tick,
}

/// What to do; answered by events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Start a new life; answered by `CannotSpawn` or in time by `Ready` or `Exited`.
    Spawn,
    /// SIGUSR1; answered some time by `Exited`.
    Retire,
    /// SIGTERM; answered in time by `Exited`.
    Terminate,
    /// SIGKILL to the whole tree; answered by `Gone` when none is left.
    Kill,
}

/// Limits of one instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Policy {
    /// Not ready for so long: killed. `None`: no limit.
    pub start_within: Option<Duration>,
    /// From SIGTERM to SIGKILL.
    pub stop_within: Duration,
    /// Of the back-off.
    pub cap: Duration,
    /// Services may end up in a crash loop or failed; roles are tried for ever.
    pub gives_up: bool,
}

/// One instance's restart decisions.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) state: State,
    policy: Policy,
    /// Deaths that grow the back-off.
    failures: u32,
    /// Deaths that count towards a crash loop.
    crashes: u32,
    /// Kills from outside while ready.
    kills: u32,
    pub(crate) last_exit: Option<Exit>,
}

impl Machine {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            state: State::Stopped,
            policy,
            failures: 0,
            crashes: 0,
            kills: 0,
            last_exit: None,
        }
    }

    /// Moves on `event` at `now`; draws at most one number from `entropy`.
    pub(crate) fn step(&mut self, event: &Event, now: Duration, entropy: &dyn Entropy) -> Option<Effect> {
        match event {
            Event::Start | Event::Restart => self.told_to_run(event == &Event::Restart, now),
            Event::Stop => self.told_to_stop(now),
            Event::Retire(within) => self.retire(*within, now),
            Event::CannotSpawn(reason) => self.cannot_spawn(reason, now, entropy),
            Event::Ready => self.ready(now),
            Event::Exited(exit) => self.exited(exit, now, entropy),
            Event::Gone => self.gone(now),
            Event::Tick => self.tick(now, entropy),
        }
    }

    /// From now on nothing is given time to end by itself.
    pub(crate) fn hurry(&mut self, now: Duration) {
        self.policy.stop_within = Duration::ZERO;
        if let State::Ending { kill_at: due, .. } | State::Retiring { until: due } = &mut self.state {
            *due = now;
        }
    }

    /// When `Event::Tick` is due; `None` while only an event can move it.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.state {
            State::Stopped | State::Failed | State::Ready { .. } => None,
            State::Starting { since } => self.policy.start_within.map(|limit| since + limit),
            State::Ending { kill_at: due, .. } | State::Retiring { until: due } => Some(due),
            State::Clearing { look_at, .. } => Some(look_at),
            State::Waiting { until, .. } => Some(until),
        }
    }

    /// When it starts again, if it waits for that.
    pub(crate) fn starts_at(&self) -> Option<Duration> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            State::Stopped
            | State::Failed
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Retiring { .. }
            | State::Ending { .. }
            | State::Clearing { .. } => None,
        }
    }

    /// The phase that people see.
    pub(crate) fn phase(&self) -> Phase {
        let waiting = |looping| if looping { Phase::CrashLoop } else { Phase::BackingOff };
        match self.state {
            State::Stopped => Phase::Stopped,
            State::Failed => Phase::Failed,
            State::Starting { .. } => Phase::Starting,
            State::Ready { .. } => Phase::Ready,
            State::Retiring { .. }
            | State::Ending { .. }
            | State::Clearing {
                then: Then::Stop | Then::Start,
                ..
            } => Phase::Stopping,
            State::Clearing {
                then: Then::Wait { looping, .. },
                ..
            }
            | State::Waiting { looping, .. } => waiting(looping),
        }
    }

    /// True once it was told to end for good.
    pub(crate) fn is_told_to_end(&self) -> bool {
        match self.state {
            State::Stopped | State::Retiring { .. } => true,
            State::Ending { then, .. } | State::Clearing { then, .. } => then == Then::Stop,
            State::Failed | State::Starting { .. } | State::Ready { .. } | State::Waiting { .. } => false,
        }
    }

    /// True while a process may be left of it.
    pub(crate) fn may_run(&self) -> bool {
        match self.state {
            State::Stopped | State::Failed | State::Waiting { .. } => false,
            State::Starting { .. }
            | State::Ready { .. }
            | State::Retiring { .. }
            | State::Ending { .. }
            | State::Clearing { .. } => true,
        }
    }

    fn told_to_run(&mut self, again: bool, now: Duration) -> Option<Effect> {
        match self.state {
            State::Stopped | State::Failed => {
                self.forget();
                self.spawn(now)
            }
            // A start of what runs or waits is refused before it comes here.
            _ if !again => None,
            State::Waiting { .. } => {
                self.forget();
                self.spawn(now)
            }
            State::Starting { .. } | State::Ready { .. } | State::Retiring { .. } => {
                self.forget();
                self.terminate(Then::Start, now)
            }
            State::Ending { ref mut then, .. } | State::Clearing { ref mut then, .. } => {
                *then = Then::Start;
                None
            }
        }
    }

    fn told_to_stop(&mut self, now: Duration) -> Option<Effect> {
        match self.state {
            State::Stopped | State::Failed | State::Waiting { .. } => {
                self.state = State::Stopped;
                None
            }
            State::Starting { .. } | State::Ready { .. } | State::Retiring { .. } => self.terminate(Then::Stop, now),
            State::Ending { ref mut then, .. } | State::Clearing { ref mut then, .. } => {
                *then = Then::Stop;
                None
            }
        }
    }

    /// Only what is ready has begun anything.
    fn retire(&mut self, within: Duration, now: Duration) -> Option<Effect> {
        match self.state {
            State::Ready { .. } => {
                self.state = State::Retiring { until: now + within };
                Some(Effect::Retire)
            }
            State::Retiring { .. } => None,
            State::Stopped
            | State::Failed
            | State::Starting { .. }
            | State::Ending { .. }
            | State::Clearing { .. }
            | State::Waiting { .. } => self.told_to_stop(now),
        }
    }

    fn cannot_spawn(&mut self, reason: &str, now: Duration, entropy: &dyn Entropy) -> Option<Effect> {
        match self.state {
            State::Starting { .. } => {
                let exit = Exit::Spawn(reason.to_owned());
                self.state = match self.after_death(&exit, now, entropy) {
                    Then::Wait { delay, looping } if !self.policy.gives_up => State::Waiting {
                        until: now + delay,
                        looping,
                    },
                    _ => State::Failed,
                };
                self.last_exit = Some(exit);
            }
            // Only a spawn fails, and it is answered before anything else happens.
            State::Stopped
            | State::Failed
            | State::Ready { .. }
            | State::Retiring { .. }
            | State::Ending { .. }
            | State::Clearing { .. }
            | State::Waiting { .. } => {}
        }
        None
    }

    fn ready(&mut self, now: Duration) -> Option<Effect> {
        match self.state {
            State::Starting { since } => {
                self.state = State::Ready {
                    since: now,
                    startup: now.saturating_sub(since),
                }
            }
            // A late answer of a probe.
            State::Stopped
            | State::Failed
            | State::Ready { .. }
            | State::Retiring { .. }
            | State::Ending { .. }
            | State::Clearing { .. }
            | State::Waiting { .. } => {}
        }
        None
    }

    fn exited(&mut self, exit: &Exit, now: Duration, entropy: &dyn Entropy) -> Option<Effect> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } => {
                let then = self.after_death(exit, now, entropy);
                self.last_exit = Some(exit.clone());
                self.kill(then, now)
            }
            State::Retiring { .. } => {
                self.last_exit = Some(Exit::Told);
                self.kill(Then::Stop, now)
            }
            State::Ending { then, .. } => {
                self.last_exit = Some(Exit::Told);
                self.kill(then, now)
            }
            // Killed by us; why was written down then.
            State::Clearing { .. } => None,
            State::Stopped | State::Failed | State::Waiting { .. } => None,
        }
    }

    fn gone(&mut self, now: Duration) -> Option<Effect> {
        match self.state {
            State::Clearing { then: Then::Stop, .. } => {
                self.state = State::Stopped;
                None
            }
            State::Clearing { then: Then::Start, .. } => self.spawn(now),
            State::Clearing {
                then: Then::Wait { delay, .. },
                ..
            } if delay.is_zero() => self.spawn(now),
            State::Clearing {
                then: Then::Wait { delay, looping },
                ..
            } => {
                self.state = State::Waiting {
                    until: now + delay,
                    looping,
                };
                None
            }
            State::Stopped
            | State::Failed
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Retiring { .. }
            | State::Ending { .. }
            | State::Waiting { .. } => None,
        }
    }

    fn tick(&mut self, now: Duration, entropy: &dyn Entropy) -> Option<Effect> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        match self.state {
            State::Starting { .. } => {
                let then = self.after_death(&Exit::NotReady, now, entropy);
                self.last_exit = Some(Exit::NotReady);
                self.kill(then, now)
            }
            State::Retiring { .. } => self.terminate(Then::Stop, now),
            State::Ending { then, .. } => {
                self.last_exit = Some(Exit::Told);
                self.kill(then, now)
            }
            State::Clearing { then, .. } => self.kill(then, now),
            State::Waiting { .. } => self.spawn(now),
            State::Stopped | State::Failed | State::Ready { .. } => None,
        }
    }

    /// How long to wait after a death that nobody asked for.
    fn after_death(&mut self, exit: &Exit, now: Duration, entropy: &dyn Entropy) -> Then {
        let ready = match self.state {
            State::Ready { since, startup } => {
                if now.saturating_sub(since) >= STABLE.max(startup * 10) {
                    self.forget();
                }
                true
            }
            _ => false,
        };
        let killed = *exit == Exit::Signal(KILL);
        if ready && killed {
            self.kills = self.kills.saturating_add(1);
            let delay = match self.kills {
                1 => Duration::ZERO,
                n => entropy.jitter(doubled(n - 2, KILLED_CAP)),
            };
            return Then::Wait { delay, looping: false };
        }
        self.failures = self.failures.saturating_add(1);
        self.crashes = self.crashes.saturating_add(u32::from(!killed));
        let looping = self.policy.gives_up && self.crashes >= CRASH_LOOP;
        let delay = if looping {
            // Rarely: the upper half of the cap.
            self.policy.cap / 2 + entropy.jitter(self.policy.cap / 2)
        } else {
            entropy.jitter(doubled(self.failures - 1, self.policy.cap))
        };
        Then::Wait { delay, looping }
    }

    fn forget(&mut self) {
        (self.failures, self.crashes, self.kills) = (0, 0, 0);
    }

    fn spawn(&mut self, now: Duration) -> Option<Effect> {
        self.state = State::Starting { since: now };
        Some(Effect::Spawn)
    }

    fn terminate(&mut self, then: Then, now: Duration) -> Option<Effect> {
        self.state = State::Ending {
            kill_at: now + self.policy.stop_within,
            then,
        };
        Some(Effect::Terminate)
    }

    fn kill(&mut self, then: Then, now: Duration) -> Option<Effect> {
        self.state = State::Clearing {
            look_at: now + LOOK_AGAIN,
            then,
        };
        Some(Effect::Kill)
    }
}

/// The first back-off doubled `times`, at most `cap`.
fn doubled(times: u32, cap: Duration) -> Duration {
    BACK_OFF.saturating_mul(2_u32.saturating_pow(times)).min(cap)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
