//! Circuit breaker: stops calls to a service that keeps failing, and finds out with a few probes when it is back.
//!
//! Invariants
//! - [`TRANSITIONS`] is the whole truth; docs/flows/breaker.md is drawn from it.
//! - A ticket of an earlier state changes nothing: late answers of calls made before it opened are ignored.
//! - A probe that is given back (cancelled, not sent) frees its place and counts as nothing.
//!
//! What counts as failed is the caller's: 5xx, reset, timeout, or slow (over nine tenths of the deadline); never what
//! was not sent, never 4xx. Not here: who holds the ticket and gives it back on drop (`proxy::cluster`).
//! Tests: the table pair by pair; a plain reference machine by `proptest`.

use crate::window::Window;
use std::time::Duration;

/// Successful probes that close it, and the most that are under way at once.
const PROBES: u32 = 3;
/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// How long it may stay half open.
const HALF_OPEN_FOR: Duration = Duration::from_secs(10);
/// The longest it stays open.
const LONGEST_OPEN: Duration = Duration::from_secs(60);

const CALLS: usize = 0;
const FAILED: usize = 1;

/// When it opens and for how long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Share of failed calls in the last ten seconds that opens it, 0 to 1.
    pub failure_ratio: f64,
    /// Calls in the last ten seconds before it may open.
    pub minimum: u32,
    /// How long it stays open first; doubles with each failed probe, up to 60 s.
    pub open: Duration,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few probes pass.
    HalfOpen,
}

/// What moves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Enough calls, and too many of them failed.
    TooManyFailed,
    /// It has been open long enough and a call came.
    OpenedLongEnough,
    /// Three probes succeeded.
    ProbesSucceeded,
    /// A probe failed; the next opening is twice as long.
    ProbeFailed,
    /// Ten seconds half open without a verdict; the next opening is as long as the last.
    ProbesUndecided,
    /// An instance that just became ready has no history.
    NewInstance,
}

use {Event::*, State::*};

/// Every legal move. An absent pair cannot happen.
pub const TRANSITIONS: &[(State, Event, State)] = &[
    (Closed, TooManyFailed, Open),
    (Closed, NewInstance, Closed),
    (Open, OpenedLongEnough, HalfOpen),
    (Open, NewInstance, Closed),
    (HalfOpen, ProbesSucceeded, Closed),
    (HalfOpen, ProbeFailed, Open),
    (HalfOpen, ProbesUndecided, Open),
    (HalfOpen, NewInstance, Closed),
];

impl State {
    /// The state after `event`; `None` for a pair that is not in the table.
    pub fn next(self, event: Event) -> Option<Self> {
        TRANSITIONS
            .iter()
            .find(|row| (row.0, row.1) == (self, event))
            .map(|row| row.2)
    }

    /// Its name in reports: `closed`, `open` or `half-open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Closed => "closed",
            Open => "open",
            HalfOpen => "half-open",
        }
    }
}

/// Leave to make one call. Hand it to [`Breaker::record`] or [`Breaker::give_back`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Ticket {
    /// Entries into states when it was given; a ticket of another era is void.
    era: u64,
}

/// The call may not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// When asking again makes sense.
    pub retry_after: Duration,
}

/// One breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// When it entered the state.
    since: Duration,
    /// Rises with every entry into a state.
    era: u64,
    window: Window<2>,
    /// How long it stays open this time, or stayed the last time.
    open_for: Duration,
    /// Half open only.
    probes: Probes,
}

#[derive(Clone, Copy, Default, Debug)]
struct Probes {
    under_way: u32,
    succeeded: u32,
    last: Option<Duration>,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings) -> Self {
        let (window, probes) = (Window::default(), Probes::default());
        Self {
            settings,
            state: Closed,
            since: Duration::ZERO,
            era: 0,
            window,
            open_for: settings.open,
            probes,
        }
    }

    /// Where a call at `now` would find it, whether one comes or not.
    pub fn state(&self, now: Duration) -> State {
        let mut then = self.clone();
        then.pass_time(now);
        then.state
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// [`Refused`] while it is open, or half open with enough probes under way.
    pub fn admit(&mut self, now: Duration) -> Result<Ticket, Refused> {
        self.pass_time(now);
        match self.state {
            Closed => Ok(Ticket { era: self.era }),
            Open => Err(Refused {
                retry_after: (self.since + self.open_for).saturating_sub(now),
            }),
            HalfOpen => self.admit_probe(now),
        }
    }

    /// Time alone moves it only when a call asks.
    fn pass_time(&mut self, now: Duration) {
        if self.state == HalfOpen && now >= self.since + HALF_OPEN_FOR {
            self.enter(ProbesUndecided, self.since + HALF_OPEN_FOR);
        }
        if self.state == Open && now >= self.since + self.open_for {
            self.enter(OpenedLongEnough, now);
        }
    }

    fn admit_probe(&mut self, now: Duration) -> Result<Ticket, Refused> {
        let due = self.probes.last.map_or(now, |last| last + PROBE_EVERY);
        if self.probes.under_way + self.probes.succeeded >= PROBES || now < due {
            return Err(Refused {
                retry_after: due.saturating_sub(now).max(PROBE_EVERY),
            });
        }
        self.probes.under_way += 1;
        self.probes.last = Some(now);
        Ok(Ticket { era: self.era })
    }

    /// Takes a call's outcome.
    pub fn record(&mut self, ticket: Ticket, now: Duration, succeeded: bool) {
        if ticket.era != self.era {
            return;
        }
        match self.state {
            Closed => self.count(now, succeeded),
            HalfOpen if !succeeded => self.enter(ProbeFailed, now),
            HalfOpen => {
                self.give_back(ticket);
                self.probes.succeeded += 1;
                if self.probes.succeeded == PROBES {
                    self.enter(ProbesSucceeded, now);
                }
            }
            Open => {} // No ticket is given in this state.
        }
    }

    /// Takes back a ticket whose call was not made or has no outcome.
    pub fn give_back(&mut self, ticket: Ticket) {
        if ticket.era == self.era && self.state == HalfOpen {
            self.probes.under_way = self.probes.under_way.saturating_sub(1);
        }
    }

    /// A new instance is ready: history says nothing about it.
    pub fn new_instance(&mut self, now: Duration) {
        self.enter(NewInstance, now);
    }

    fn count(&mut self, now: Duration, succeeded: bool) {
        self.window.add(now, CALLS);
        if succeeded {
            return;
        }
        self.window.add(now, FAILED);
        let [calls, failed] = self.window.sums(now);
        if calls >= self.settings.minimum && f64::from(failed) >= f64::from(calls) * self.settings.failure_ratio {
            self.enter(TooManyFailed, now);
        }
    }

    fn enter(&mut self, event: Event, now: Duration) {
        let Some(next) = self.state.next(event) else { return };
        self.open_for = match event {
            ProbeFailed => self
                .open_for
                .saturating_mul(2)
                .min(LONGEST_OPEN.max(self.settings.open)),
            OpenedLongEnough | ProbesUndecided => self.open_for,
            TooManyFailed | ProbesSucceeded | NewInstance => self.settings.open,
        };
        self.state = next;
        self.since = now;
        self.era += 1;
        self.window.clear();
        self.probes = Probes::default();
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
