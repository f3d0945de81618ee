//! Which backend gets an attempt, by the policies that hold.

use super::{Balance, World, Zones, instance};
use ondol_resilience::balance;
use ondol_resilience::bounded::{self, Candidate};
use ondol_resilience::outlier;
use ondol_resilience::round_robin::{self, Turn};
use ondol_resilience::zone::{self, Count, Member};
use std::time::Duration;

impl World {
    pub(super) fn choose(&mut self, request: usize) -> usize {
        let all: Vec<usize> = (0..self.backends.len()).collect();
        let well = |one: &&usize| !self.policies.outlier || !self.backends[**one].outlier.is_out(self.now);
        let mut usable: Vec<usize> = all.iter().filter(well).copied().collect();
        let panic = outlier::is_panic(all.len(), usable.len());
        let home = if panic { None } else { self.zone(&all, &usable) };
        if panic {
            usable = all;
        }
        let fresh: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|one| !self.requests[request].tried.contains(one))
            .collect();
        let usable = if fresh.is_empty() { usable } else { fresh };
        let there: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|one| home.is_none_or(|home| home == self.is_home(*one)))
            .collect();
        let usable = if there.is_empty() { usable } else { there };
        match self.policies.balance {
            Balance::RoundRobin => self.in_turn(&usable),
            Balance::Key { bounded } => self.by_key(self.requests[request].key, bounded, &usable),
            Balance::Random | Balance::PeakEwma | Balance::LeastRequest => self.better_of_two(&usable),
        }
    }

    /// Whether the request stays in the callers' zone, if any is preferred.
    fn zone(&mut self, all: &[usize], well: &[usize]) -> Option<bool> {
        let member = |one: &usize| Member {
            share: match well.contains(one) {
                true => self.warmth(self.cold_since(*one)).unwrap_or(1.0),
                false => 0.0,
            },
            settled: self.warmth(self.backends[*one].since).unwrap_or(1.0),
        };
        let count = |home: bool| Count::of(all.iter().filter(|one| self.is_home(**one) == home).map(member));
        let (home, others) = (count(true), count(false));
        match self.policies.zones {
            Zones::None => None,
            Zones::Always => Some(home.well > 0.0),
            Zones::Spill => Some(zone::stays(home, others, self.random.next())),
        }
    }

    fn better_of_two(&mut self, usable: &[usize]) -> usize {
        let Some((a, b)) = balance::two_of(usable.len(), self.random.next()) else {
            return usable[0];
        };
        let (a, b) = (usable[a], usable[b]);
        let (first, second) = (self.takes_part(a), self.takes_part(b));
        let cost = |one: usize| match (self.policies.balance, &self.backends[one]) {
            (Balance::PeakEwma, one) => one.latency.cost(self.now, one.in_flight),
            (Balance::LeastRequest, one) => one.in_flight as f64,
            _ => 0.0,
        };
        match (first, second) {
            (true, false) => a,
            (false, true) => b,
            _ if cost(b) < cost(a) => b,
            _ => a,
        }
    }

    fn in_turn(&mut self, usable: &[usize]) -> usize {
        let turn = |one: &usize| Turn {
            credit: self.backends[*one].credit,
            weight: 1,
        };
        let mut turns: Vec<Turn> = usable.iter().map(turn).collect();
        let chosen = round_robin::next(&mut turns).unwrap_or_default();
        for (one, turn) in usable.iter().zip(turns) {
            self.backends[*one].credit = turn.credit;
        }
        usable[chosen]
    }

    fn by_key(&self, key: u64, bounded: bool, usable: &[usize]) -> usize {
        let home = self
            .ring
            .at(key)
            .and_then(|home| usable.iter().position(|one| *one == home));
        let candidate = |one: &usize| Candidate {
            instance: instance(*one),
            pending: self.backends[*one].in_flight,
            warmth: 1.0,
        };
        let candidates: Vec<Candidate> = usable.iter().map(candidate).collect();
        let placed = home
            .filter(|_| !bounded)
            .or_else(|| bounded::place(key, home, &candidates));
        usable[placed.unwrap_or_default()]
    }

    fn takes_part(&mut self, backend: usize) -> bool {
        match self.warmth(self.cold_since(backend)) {
            Some(warmth) => self.random.unit() < warmth,
            None => true,
        }
    }

    /// When it came or came back; `None`: it has always been there.
    fn cold_since(&self, backend: usize) -> Option<Duration> {
        let backend = &self.backends[backend];
        backend.since.max(backend.outlier.back_at())
    }

    /// The share of its turns that one takes which came then; `None`: all, from the first.
    fn warmth(&self, since: Option<Duration>) -> Option<f64> {
        let since = since.filter(|_| self.policies.slow_start)?;
        Some(balance::warmth(self.now.saturating_sub(since)))
    }
}
