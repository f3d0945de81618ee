//! Simulated callers, backends and the proxy between them, in virtual time and from one seed.
//!
//! The decisions are the real ones of `ondol_resilience`; what is simulated is what they decide about. A backend works on
//! everything it was sent, also when the caller has long given up: that is what makes overload last.

mod choose;

use ondol_resilience::balance::Latency;
use ondol_resilience::breaker::{self, Breaker, Ticket};
use ondol_resilience::budget::Budget;
use ondol_resilience::bulkhead::{Bulkhead, Next, Priority};
use ondol_resilience::deadline::Deadline;
use ondol_resilience::gradient::Bounds;
use ondol_resilience::hashing::{Ring, hash_of};
use ondol_resilience::hedge::Hedging;
use ondol_resilience::outlier::{self, Outlier};
use ondol_resilience::retry::{self, Ended, Repeat};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Each request is to be answered within this.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// Before it, nothing is counted: averages and limits are still to be learned.
pub const BEGINS: Duration = Duration::from_secs(10);

/// Which policies hold. What is off is replaced by the plainest thing that works.
#[derive(Clone, Copy, Default, Debug)]
pub struct Policies {
    pub balance: Balance,
    /// Else a new backend gets its share at once.
    pub slow_start: bool,
    pub outlier: bool,
    pub breaker: bool,
    /// Else every request goes at once.
    pub bulkhead: bool,
    /// Else every request is of the same class.
    pub priority: bool,
    /// Extra attempts.
    pub retries: u32,
    /// Else nothing but their number bounds them.
    pub budget: bool,
    /// A second attempt beside a slow one, for at most 5 %.
    pub hedge: bool,
    pub zones: Zones,
}

/// Which zone is preferred.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Zones {
    #[default]
    None,
    /// That of the callers, while anybody is well there.
    Always,
    /// That of the callers, while enough are well there.
    Spill,
}

/// How a backend is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Balance {
    /// Each is as likely.
    #[default]
    Random,
    PeakEwma,
    LeastRequest,
    RoundRobin,
    /// By a ring.
    Key {
        /// Else whoever the key belongs to gets it, however busy.
        bounded: bool,
    },
}

/// What happens to backends.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Answers 503 at once.
    Fails(usize, bool),
    /// Takes so many times as long.
    Slow(usize, f64),
    /// Works on so many requests at once; none: it hangs.
    Slots(usize, usize),
    /// Another one, cold: its first answers take twenty times as long.
    Joins,
}

/// One course.
#[derive(Clone, Debug)]
pub struct Scene {
    pub backends: usize,
    /// So many of them, the last ones, are in another zone.
    pub far: usize,
    /// What an answer from there takes on its way.
    pub way: Duration,
    /// Requests that a backend works on at once.
    pub slots: usize,
    /// What one takes on average.
    pub takes: Duration,
    /// Requests a second, of all callers.
    pub rate: f64,
    /// Each with a breaker and a budget of its own.
    pub callers: usize,
    /// The share of requests that take fifty times as long, at whatever backend.
    pub hiccups: f64,
    /// The share of requests that have one key; the others have a thousand.
    pub hot: f64,
    /// One in so many requests is critical.
    pub critical_in: u64,
    /// After [`BEGINS`].
    pub lasts: Duration,
    pub changes: Vec<(Duration, Change)>,
}

/// What came of it.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// Requests that came.
    pub requests: u64,
    /// Answered well and in time; their times, sorted.
    pub good: Vec<Duration>,
    pub critical: u64,
    pub critical_good: u64,
    /// Attempts that reached a backend.
    pub attempts: u64,
    /// The longest line in front of a backend.
    pub worst_line: usize,
}

impl Outcome {
    /// Of the good ones.
    pub fn quantile(&self, q: f64) -> Duration {
        let at = (self.good.len() as f64 * q) as usize;
        self.good.get(at).or(self.good.last()).copied().unwrap_or_default()
    }
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential.
    fn span(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.unit()).ln())
    }
}

struct Backend {
    slots: usize,
    busy: usize,
    line: VecDeque<usize>,
    slow: f64,
    fails: bool,
    /// Answers until it is warm.
    cold: u32,
    since: Option<Duration>,
    in_flight: u64,
    latency: Latency,
    outlier: Outlier,
    credit: i64,
}

struct Caller {
    breaker: Breaker,
    budget: Budget,
    hedging: Hedging,
}

struct Request {
    began: Duration,
    /// The hash of its key.
    key: u64,
    caller: usize,
    class: Priority,
    made: u32,
    tried: Vec<usize>,
    /// Attempts under way.
    flying: Vec<usize>,
}

struct Attempt {
    request: usize,
    backend: usize,
    began: Duration,
    ticket: Option<Ticket>,
    /// The caller has given up, or has its answer.
    over: bool,
}

#[derive(Clone, Copy)]
enum Event {
    Comes,
    Goes { request: usize },
    Worked { attempt: usize },
    Arrives { attempt: usize, well: bool },
    TimesOut { attempt: usize },
    Hedges { request: usize },
    Changes(Change),
}

enum Ending {
    Well,
    Refused,
    TimedOut,
}

/// Everything.
pub struct World {
    scene: Scene,
    policies: Policies,
    ring: Ring,
    now: Duration,
    random: Random,
    events: BTreeMap<(Duration, u64), Event>,
    number: u64,
    backends: Vec<Backend>,
    callers: Vec<Caller>,
    bulkhead: Bulkhead<usize>,
    requests: Vec<Request>,
    attempts: Vec<Attempt>,
    outcome: Outcome,
}

/// Plays a scene to its end.
pub fn play(scene: &Scene, policies: Policies, seed: u64) -> Outcome {
    let open = Duration::from_secs(5);
    let settings = breaker::Settings {
        failure_ratio: 0.5,
        minimum: 20,
        open,
    };
    let names: Vec<u64> = (0..scene.backends).map(instance).collect();
    let mut world = World {
        policies,
        ring: Ring::new(&names),
        now: Duration::ZERO,
        random: Random(seed),
        events: BTreeMap::new(),
        number: 0,
        backends: (0..scene.backends)
            .map(|_| Backend::new(scene.slots, 0, None))
            .collect(),
        callers: (0..scene.callers)
            .map(|_| Caller {
                breaker: Breaker::new(settings),
                budget: Budget::default(),
                hedging: Hedging::default(),
            })
            .collect(),
        bulkhead: Bulkhead::new(Bounds { min: 10, max: 1_000 }),
        requests: vec![],
        attempts: vec![],
        outcome: Outcome::default(),
        scene: scene.clone(),
    };
    world.run();
    let mut outcome = world.outcome;
    outcome.worst_line = outcome
        .worst_line
        .max(world.backends.iter().map(|one| one.line.len()).max().unwrap_or(0));
    outcome.good.sort_unstable();
    outcome
}

/// What a table knows a backend by.
pub fn instance(backend: usize) -> u64 {
    hash_of(&(backend as u64).to_be_bytes())
}

impl Backend {
    fn new(slots: usize, cold: u32, since: Option<Duration>) -> Self {
        Self {
            slots,
            busy: 0,
            line: VecDeque::new(),
            slow: 1.0,
            fails: false,
            cold,
            since,
            in_flight: 0,
            latency: Latency::default(),
            outlier: Outlier::default(),
            credit: 0,
        }
    }
}

impl World {
    fn run(&mut self) {
        self.at(self.now, Event::Comes);
        for (at, change) in self.scene.changes.clone() {
            self.at(BEGINS + at, Event::Changes(change));
        }
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            match event {
                Event::Comes => self.comes(),
                Event::Goes { request } => self.goes(request),
                Event::Worked { attempt } => self.worked(attempt),
                Event::Arrives { attempt, well } => self.arrives(attempt, well),
                Event::TimesOut { attempt } => self.ended(attempt, Ending::TimedOut),
                Event::Hedges { request } => self.hedges(request),
                Event::Changes(change) => self.change(change),
            }
        }
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn counts(&self, request: usize) -> bool {
        self.requests[request].began >= BEGINS
    }

    fn comes(&mut self) {
        let (request, pause) = (self.requests.len(), self.random.span(1.0 / self.scene.rate));
        if self.now + pause < BEGINS + self.scene.lasts {
            self.at(self.now + pause, Event::Comes);
        }
        let critical = (request as u64).is_multiple_of(self.scene.critical_in.max(1));
        let class = if critical { Priority::Critical } else { Priority::Batch };
        let key = match self.scene.hot > 0.0 && self.random.unit() >= self.scene.hot {
            true => self.random.next() % 1_000 + 1,
            false => 0,
        };
        self.requests.push(Request {
            began: self.now,
            key: hash_of(&key.to_le_bytes()),
            caller: request % self.scene.callers,
            class: if self.policies.priority {
                class
            } else {
                Priority::Default
            },
            made: 0,
            tried: vec![],
            flying: vec![],
        });
        if self.counts(request) {
            self.outcome.requests += 1;
            self.outcome.critical += u64::from(critical);
        }
        let caller = &mut self.callers[request % self.scene.callers];
        caller.budget.deposit(self.now);
        self.goes(request);
    }

    /// One attempt wants a place.
    fn goes(&mut self, request: usize) {
        let (class, deadline) = (self.requests[request].class, self.requests[request].began + DEADLINE);
        if !self.policies.bulkhead || self.bulkhead.try_enter(self.now, class) {
            self.sends(request);
        } else if self.requests[request].made == 0 {
            let _ = self.bulkhead.wait(self.now, class, deadline, request); // Who is shed gets no answer that counts.
        }
    }

    /// It has one.
    fn sends(&mut self, request: usize) {
        let caller = &mut self.callers[self.requests[request].caller];
        let ticket = match self.policies.breaker.then(|| caller.breaker.admit(self.now)) {
            Some(Err(_)) => return self.leaves(None),
            Some(Ok(ticket)) => Some(ticket),
            None => None,
        };
        self.requests[request].made += 1;
        if self.policies.hedge {
            let after = self.callers[self.requests[request].caller].hedging.begin(self.now);
            after
                .into_iter()
                .for_each(|after| self.at(self.now + after, Event::Hedges { request }));
        }
        self.flies(request, ticket);
    }

    /// It is slow: another one beside it.
    fn hedges(&mut self, number: usize) {
        let request = &self.requests[number];
        let caller = &mut self.callers[request.caller];
        let (hedging, budget, now) = (&mut caller.hedging, &mut caller.budget, self.now);
        if request.flying.len() == 1 && hedging.admit(now, 0.05, || budget.withdraw(now)) {
            self.flies(number, None);
        }
    }

    /// To a backend.
    fn flies(&mut self, request: usize, ticket: Option<Ticket>) {
        let backend = self.choose(request);
        self.requests[request].tried.push(backend);
        self.outcome.attempts += u64::from(self.counts(request));
        let attempt = self.attempts.len();
        self.requests[request].flying.push(attempt);
        self.attempts.push(Attempt {
            request,
            backend,
            began: self.now,
            ticket,
            over: false,
        });
        self.backends[backend].in_flight += 1;
        let another = self.requests[request].made <= self.policies.retries;
        let left = Deadline(self.requests[request].began + DEADLINE)
            .left(self.now)
            .unwrap_or_default();
        // With another attempt ahead, half of what is left; the real five seconds would never end within this deadline.
        let limit = if another { left / 2 } else { left };
        self.at(self.now + limit, Event::TimesOut { attempt });
        self.backends[backend].line.push_back(attempt);
        self.works(backend);
    }

    /// A backend takes up what it can.
    fn works(&mut self, backend: usize) {
        let mean = self.scene.takes.as_secs_f64();
        loop {
            let one = &mut self.backends[backend];
            self.outcome.worst_line = self.outcome.worst_line.max(one.line.len());
            let Some(attempt) = (one.busy < one.slots).then(|| one.line.pop_front()).flatten() else {
                return;
            };
            one.busy += 1;
            let cold = 1.0 + 19.0 * f64::from(one.cold) / f64::from(COLD);
            one.cold = one.cold.saturating_sub(1);
            let takes = match one.fails {
                true => Duration::from_millis(1),
                false if self.random.unit() < self.scene.hiccups => self.random.span(mean * 50.0),
                false => self.random.span(mean * one.slow * cold),
            };
            self.at(self.now + takes, Event::Worked { attempt });
        }
    }

    fn worked(&mut self, attempt: usize) {
        let backend = self.attempts[attempt].backend;
        self.backends[backend].busy -= 1;
        let well = !self.backends[backend].fails;
        match self.is_home(backend) {
            true => self.arrives(attempt, well),
            false => self.at(self.now + self.scene.way, Event::Arrives { attempt, well }),
        }
        self.works(backend);
    }

    fn arrives(&mut self, attempt: usize, well: bool) {
        self.ended(attempt, if well { Ending::Well } else { Ending::Refused });
    }

    fn is_home(&self, backend: usize) -> bool {
        !(self.scene.backends - self.scene.far..self.scene.backends).contains(&backend)
    }

    /// For the caller.
    fn ended(&mut self, number: usize, ending: Ending) {
        let attempt = &mut self.attempts[number];
        if std::mem::replace(&mut attempt.over, true) {
            return;
        }
        let (now, took, request) = (self.now, self.now - attempt.began, attempt.request);
        let well = matches!(ending, Ending::Well);
        let backend = &mut self.backends[attempt.backend];
        backend.in_flight -= 1;
        if well {
            backend.latency.observe(now, took);
        } else {
            backend.latency.penalise(now, None);
        }
        let wants_out = backend.outlier.record(now, !well) && self.policies.outlier;
        if let Some(ticket) = attempt.ticket.take() {
            self.callers[self.requests[request].caller]
                .breaker
                .record(ticket, now, well);
        }
        let out = self.backends.iter().filter(|one| one.outlier.is_out(now)).count();
        if wants_out && outlier::may_eject(self.backends.len(), out) {
            let (backend, random) = (self.attempts[number].backend, self.random.next());
            self.backends[backend].outlier.eject(now, random);
        }
        self.requests[request].flying.retain(|other| *other != number);
        if well {
            let caller = &mut self.callers[self.requests[request].caller];
            caller.hedging.observe(now, now - self.requests[request].began);
            let others = std::mem::take(&mut self.requests[request].flying);
            others.into_iter().for_each(|other| self.cancels(other));
        } else if !self.requests[request].flying.is_empty() {
            return; // The other one may still be answered.
        }
        self.leaves((!matches!(ending, Ending::Refused)).then_some(took));
        match ending {
            Ending::Well => self.answered(request),
            Ending::Refused => self.again(
                request,
                Ended::Answered {
                    status: 503,
                    retry_after: None,
                    retried: false,
                },
            ),
            Ending::TimedOut => self.again(request, Ended::Unknown),
        }
    }

    /// Nobody waits for it any more; it is neither success nor failure.
    fn cancels(&mut self, number: usize) {
        let attempt = &mut self.attempts[number];
        attempt.over = true;
        self.backends[attempt.backend].in_flight -= 1;
        if let Some(ticket) = attempt.ticket.take() {
            self.callers[self.requests[attempt.request].caller]
                .breaker
                .give_back(ticket);
        }
    }

    fn answered(&mut self, request: usize) {
        let critical = (request as u64).is_multiple_of(self.scene.critical_in.max(1));
        if self.counts(request) {
            self.outcome.good.push(self.now - self.requests[request].began);
            self.outcome.critical_good += u64::from(critical);
        }
    }

    fn again(&mut self, number: usize, ended: Ended) {
        let request = &self.requests[number];
        let Some(left) = Deadline(request.began + DEADLINE).left(self.now) else {
            return;
        };
        let attempt = retry::Attempt {
            repeat: Repeat::Safe,
            ended,
            made: request.made,
            extra: self.policies.retries,
            replayable: true,
            left,
        };
        let Ok(pause) = retry::decide(&attempt, self.random.next()) else {
            return;
        };
        if !self.policies.budget || self.callers[request.caller].budget.withdraw(self.now) {
            self.at(self.now + pause, Event::Goes { request: number });
        }
    }

    /// A place is free.
    fn leaves(&mut self, took: Option<Duration>) {
        if !self.policies.bulkhead {
            return;
        }
        if let Some(took) = took {
            self.bulkhead.observe(self.now, took);
        }
        self.bulkhead.leave();
        while let Some(next) = self.bulkhead.next(self.now) {
            if let Next::Admitted(request) = next {
                self.sends(request);
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Fails(backend, fails) => self.backends[backend].fails = fails,
            Change::Slow(backend, slow) => self.backends[backend].slow = slow,
            Change::Slots(backend, slots) => {
                self.backends[backend].slots = slots;
                self.works(backend);
            }
            Change::Joins => self.backends.push(Backend::new(self.scene.slots, COLD, Some(self.now))),
        }
    }
}

/// Answers until a new backend is warm.
const COLD: u32 = 1_000;
