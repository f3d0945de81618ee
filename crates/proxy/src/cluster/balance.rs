//! Which of the instances that may be used: by latency, by number, in turn, or by a key.
//!
//! The decisions are `ondol_resilience`'s. What they need beside the instances ([`Shares`]) is made when the set of instances
//! changes, and only of what some route or edge asks for; no pick allocates, unless a service has more than sixteen instances.
//!
//! Invariant: whoever is chosen is one of those that may be used. A table may know instances that are ejected, tried or about to drain.

use super::{Endpoint, View, endpoint::lock};
use crate::filter::session::Sticky;
use ondol_core::entropy::Entropy;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Action, Balance, Snapshot};
use ondol_resilience::balance;
use ondol_resilience::bounded::{self, Candidate};
use ondol_resilience::hashing::{Maglev, Ring};
use ondol_resilience::round_robin::{self, Turn};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the instance of one request is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// Of two the one with the lower latency times work in hand.
    #[default]
    PeakEwma,
    /// Of two the one with fewer requests in flight.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// By the ring, for the key with this hash.
    Ring(u64),
    /// By the Maglev table, for the key with this hash.
    Maglev(u64),
}

/// What a request wishes of its instance; it gets another one where that one cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// The one that its session began with.
    pub session: Option<Sticky>,
    /// Else.
    pub by: By,
}

/// Which tables a service needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Needs {
    ring: bool,
    maglev: bool,
}

impl Needs {
    fn take(&mut self, balance: &Balance) {
        match balance {
            Balance::RingHash(_) => self.ring = true,
            Balance::Maglev(_) => self.maglev = true,
            Balance::PeakEwma | Balance::LeastRequest | Balance::RoundRobin => {}
        }
    }

    /// Of every service that routes or edges of a snapshot lead to.
    pub(super) fn of(snapshot: &Snapshot) -> HashMap<&ServiceName, Self> {
        let mut all = HashMap::<_, Self>::new();
        for route in &snapshot.routes {
            if let Action::Forward(backends) = &route.action {
                for backend in backends {
                    all.entry(&backend.service).or_default().take(&route.policy.balance);
                }
            }
        }
        for edge in &snapshot.edges {
            all.entry(&edge.target).or_default().take(&edge.policy.balance);
        }
        all
    }
}

/// What balancing needs beside one set of instances.
#[derive(Debug, Default)]
pub(super) struct Shares {
    needs: Needs,
    /// Their numbers in this process, and what tables know them by.
    members: Vec<(u64, u64)>,
    ring: Option<Ring>,
    maglev: Option<Maglev>,
    /// What each is owed where they take turns, by its number in this process.
    credits: Mutex<HashMap<u64, i64>>,
}

impl Shares {
    /// Of these instances; `before` where nothing has changed.
    pub(super) fn of<'e>(before: &Arc<Self>, needs: Needs, open: impl Iterator<Item = &'e Arc<Endpoint>>) -> Arc<Self> {
        let members: Vec<_> = open.map(|endpoint| (endpoint.id, endpoint.sticky.number())).collect();
        if before.needs == needs && before.members == members {
            return before.clone();
        }
        let names: Vec<u64> = members.iter().map(|(_, name)| *name).collect();
        Arc::new(Self {
            needs,
            ring: needs.ring.then(|| Ring::new(&names)),
            maglev: needs.maglev.then(|| Maglev::new(&names)),
            members,
            credits: Mutex::default(),
        })
    }

    /// The number of the instance that a key belongs to.
    fn home(&self, by: By) -> Option<u64> {
        let at = match by {
            By::Ring(hash) => self.ring.as_ref()?.at(hash),
            By::Maglev(hash) => self.maglev.as_ref()?.at(hash),
            By::PeakEwma | By::LeastRequest | By::RoundRobin => None,
        };
        Some(self.members.get(at?)?.0)
    }

    /// The one whose turn it is; one that warms up has fewer.
    fn in_turn<'a>(&self, usable: &[&'a Arc<Endpoint>], now: Duration) -> Option<&'a Arc<Endpoint>> {
        /// As fine as a warm-up is told in turns.
        const WHOLE: f64 = 100.0;
        let mut credits = lock(&self.credits);
        let turn = |endpoint: &&Arc<Endpoint>| Turn {
            credit: credits.get(&endpoint.id).copied().unwrap_or_default(),
            weight: (endpoint.warmth(now) * WHOLE) as u32,
        };
        let mut turns: SmallVec<[Turn; 16]> = usable.iter().map(turn).collect();
        let chosen = round_robin::next(&mut turns)?;
        for (endpoint, turn) in usable.iter().zip(turns) {
            credits.insert(endpoint.id, turn.credit);
        }
        usable.get(chosen).copied()
    }
}

impl View {
    /// One of `usable`; `None` only where there is none.
    pub(super) fn balanced<'a>(
        &self,
        usable: &[&'a Arc<Endpoint>],
        by: By,
        now: Duration,
        random: &dyn Entropy,
    ) -> Option<&'a Arc<Endpoint>> {
        match by {
            By::PeakEwma => better_of_two(usable, now, random, |endpoint| endpoint.cost(now)),
            By::LeastRequest => better_of_two(usable, now, random, |endpoint| endpoint.in_flight() as f64),
            By::RoundRobin => self.shares.in_turn(usable, now),
            By::Ring(hash) | By::Maglev(hash) => by_key(hash, self.shares.home(by), usable, now),
        }
    }
}

/// The one that the key belongs to, within the bound of its load.
fn by_key<'a>(hash: u64, home: Option<u64>, usable: &[&'a Arc<Endpoint>], now: Duration) -> Option<&'a Arc<Endpoint>> {
    let candidate = |endpoint: &&Arc<Endpoint>| Candidate {
        instance: endpoint.sticky.number(),
        pending: endpoint.in_flight(),
        warmth: endpoint.warmth(now),
    };
    let candidates: SmallVec<[Candidate; 16]> = usable.iter().map(candidate).collect();
    let home = usable.iter().position(|endpoint| Some(endpoint.id) == home);
    usable.get(bounded::place(hash, home, &candidates)?).copied()
}

/// Two random candidates; one that warms up takes part only in its share of turns; the lower cost wins.
fn better_of_two<'a>(
    usable: &[&'a Arc<Endpoint>],
    now: Duration,
    random: &dyn Entropy,
    cost: impl Fn(&Endpoint) -> f64,
) -> Option<&'a Arc<Endpoint>> {
    let Some((a, b)) = balance::two_of(usable.len(), random.next_u64()) else {
        return usable.first().copied();
    };
    let (a, b) = (usable[a], usable[b]);
    let takes_part = |endpoint: &Endpoint| {
        let warmth = endpoint.warmth(now);
        warmth >= 1.0 || random.below(1 << 20) < (warmth * f64::from(1 << 20)) as u64
    };
    Some(match (takes_part(a), takes_part(b)) {
        (true, false) => a,
        (false, true) => b,
        _ if cost(b) < cost(a) => b,
        _ => a,
    })
}
