//! Bulkhead: so many requests at once to one service; the others wait in a short line, or are refused before they cost it
//! anything.
//!
//! Who waits: of the highest class the newest first. Under overload nearly all who wait in order of arrival would come too
//! late; the newest still have time. One that cannot end within its deadline, by what requests take now, is let go.
//! Who is refused: when the line is full, the oldest of the lowest class.
//!
//! A class uses only its share of the limit while higher ones have to wait: the more often they do, the smaller it is.
//!
//! Invariants
//! - Who waits, waits for somebody: nobody is in line while nothing is under way.
//! - No class is let in while a higher one is in line.
//! - A class's share is never larger than a higher one's, and all are whole when no higher one waited lately.
//!
//! Not here: the waiting itself, and who gives a place back (`proxy::cluster`).
//! Sources: Google SRE book, "Handling Overload" (criticality); Facebook's adaptive LIFO (Maurer, "Fail at Scale", 2015).

use crate::gradient::{Bounds, Gradient};
use std::collections::VecDeque;
use std::time::Duration;

/// How many may wait whatever the limit: as many calls as sagas and subscriptions together make to one service at once, so
/// that a service whose limit is still to grow refuses none of them.
const LINE: usize = 512;
/// In this time a class's pressure fades to 1/e.
const FADES_IN: f64 = 1.0;
/// What each request of a higher class that has to wait adds to the pressure, of what is missing to all.
const STEP: f64 = 0.1;
/// What full pressure takes from the share of each class.
const CUTS: [f64; 4] = [0.0, 0.2, 0.6, 0.9];

/// How much a request matters. The order is theirs: the first is shed last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// People see it fail and it costs them: a payment.
    Critical,
    /// What says nothing.
    #[default]
    Default,
    /// Work that can be done later.
    Batch,
    /// Nobody misses it for a while: a recommendation, a prefetch.
    BestEffort,
}

impl Priority {
    /// All, the highest first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Default, Self::Batch, Self::BestEffort];
}

/// One in line.
#[derive(Clone, Debug)]
struct Waiting<T> {
    number: u64,
    /// Until when it must be answered; [`Duration::MAX`]: whenever.
    deadline: Duration,
    token: T,
}

/// How often higher classes had to wait lately, 0 to 1.
#[derive(Clone, Copy, Default, Debug)]
struct Pressure {
    value: f64,
    at: Duration,
}

impl Pressure {
    fn now(&self, now: Duration) -> f64 {
        match self.value {
            0.0 => 0.0,
            value => value * (-now.saturating_sub(self.at).as_secs_f64() / FADES_IN).exp(),
        }
    }

    fn rise(&mut self, now: Duration) {
        let value = self.now(now);
        *self = Self {
            value: value + (1.0 - value) * STEP,
            at: self.at.max(now),
        };
    }
}

/// What follows for one in line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next<T> {
    /// It has a place now.
    Admitted(T),
    /// It would come too late.
    Shed(T, Priority),
}

/// In line, with a number to leave it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InLine<T> {
    /// For [`Bulkhead::cancel`].
    pub number: u64,
    /// Who had to go for it.
    pub shed: Option<(T, Priority)>,
}

/// The places and the line of one service. A token stands for one that waits.
#[derive(Clone, Debug)]
pub struct Bulkhead<T> {
    gradient: Gradient,
    in_flight: usize,
    /// By class; the newest at the back.
    line: [VecDeque<Waiting<T>>; 4],
    next_number: u64,
    pressure: [Pressure; 4],
}

impl<T> Bulkhead<T> {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            gradient: Gradient::new(bounds),
            in_flight: 0,
            line: Default::default(),
            next_number: 0,
            pressure: Default::default(),
        }
    }

    /// Changes the bounds of the limit; what was learned is forgotten.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.gradient = Gradient::new(bounds);
    }

    /// Places.
    pub fn limit(&self) -> usize {
        self.gradient.limit()
    }

    /// Places in use. More than the limit for a while after that shrank.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many are in line.
    pub fn waiting(&self) -> usize {
        self.line.iter().map(VecDeque::len).sum()
    }

    /// Takes a place if there is one; true: give it back with [`Bulkhead::leave`].
    pub fn try_enter(&mut self, now: Duration, class: Priority) -> bool {
        let free =
            self.in_flight < self.room(now, class) && self.line[..=class as usize].iter().all(VecDeque::is_empty);
        self.in_flight += usize::from(free);
        free
    }

    /// Stands in line for a place.
    ///
    /// # Errors
    /// The token: it would come too late, or the line is full of others that matter more.
    pub fn wait(&mut self, now: Duration, class: Priority, deadline: Duration, token: T) -> Result<InLine<T>, T> {
        self.pressure[class as usize + 1..]
            .iter_mut()
            .for_each(|pressure| pressure.rise(now));
        self.gradient.wanted(now);
        if self.is_hopeless(now, deadline) {
            return Err(token);
        }
        let mut shed = None;
        if self.waiting() >= self.limit().max(LINE) {
            let lowest = Priority::ALL
                .into_iter()
                .rev()
                .find(|class| !self.line[*class as usize].is_empty());
            match lowest {
                Some(lowest) if lowest >= class => {
                    shed = self.line[lowest as usize]
                        .pop_front()
                        .map(|oldest| (oldest.token, lowest));
                }
                _ => return Err(token),
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        self.line[class as usize].push_back(Waiting {
            number,
            deadline,
            token,
        });
        Ok(InLine { number, shed })
    }

    /// Leaves the line; `None`: it is not in it any more.
    pub fn cancel(&mut self, class: Priority, number: u64) -> Option<T> {
        let line = &mut self.line[class as usize];
        let at = line.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        line.remove(at).map(|waiting| waiting.token)
    }

    /// Takes what a request with a place took until its answer's head, where that says something of the service.
    pub fn observe(&mut self, now: Duration, took: Duration) {
        self.gradient.observe(now, took, self.in_flight);
    }

    /// Gives a place back. Ask [`Bulkhead::next`] after it until there is nothing more.
    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// What follows in the line. Ask again until `None`.
    pub fn next(&mut self, now: Duration) -> Option<Next<T>> {
        let class = Priority::ALL
            .into_iter()
            .find(|class| !self.line[*class as usize].is_empty())?;
        let oldest = self.line[class as usize].front()?.deadline;
        if self.is_hopeless(now, oldest) {
            let oldest = self.line[class as usize].pop_front()?;
            return Some(Next::Shed(oldest.token, class));
        }
        if self.in_flight >= self.room(now, class) {
            return None;
        }
        let newest = self.line[class as usize].pop_back()?;
        if self.is_hopeless(now, newest.deadline) {
            return Some(Next::Shed(newest.token, class));
        }
        self.in_flight += 1;
        Some(Next::Admitted(newest.token))
    }

    fn is_hopeless(&self, now: Duration, deadline: Duration) -> bool {
        now.saturating_add(self.gradient.expected()) > deadline
    }

    /// Up to how many requests under way one of this class is let in.
    fn room(&self, now: Duration, class: Priority) -> usize {
        let limit = self.gradient.limit();
        match self.pressure[class as usize].now(now) * CUTS[class as usize] {
            0.0 => limit,
            cut => ((limit as f64 * (1.0 - cut)) as usize).max(1),
        }
    }
}

#[cfg(test)]
#[path = "bulkhead_tests.rs"]
mod tests;
