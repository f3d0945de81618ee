//! Who takes a key when the instance that it belongs to cannot: consistent hashing with bounded loads.
//!
//! No instance gets a request beyond 5/4 of the mean in hand, so a key that everybody asks for cannot drown the one that it
//! belongs to. What goes over goes to the instance with the highest weight for this key among those that can take it, and so does what
//! belongs to one that is out: every key has an order of its own, so the keys of one are spread over all the others, and come back.
//! The next on the ring would take all of them, and go under next.
//!
//! An instance that warms up takes its keys one by one: which ones is the key's affair, so each moves once.
//! Sources: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018; Thaler and Ravishankar, "Using
//! Name-Based Mappings to Increase Hit Rates", 1998; Chen, Coleman, Shrivastava, "Revisiting Consistent Hashing with Bounded
//! Loads", 2021, for jumping instead of walking on; Envoy's `hash_balance_factor`.

use crate::hashing::mix;

/// One instance that may take it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    /// What it is known by, as in its table.
    pub instance: u64,
    /// Requests in hand.
    pub pending: u64,
    /// The share of its turns that it takes, 0 to 1; see [`crate::balance::warmth`].
    pub warmth: f64,
}

/// How many requests one of `among` instances may have when all have `total`, those that are being placed included: 5/4
/// of the mean, rounded up.
pub fn most(total: u64, among: usize) -> u64 {
    total
        .saturating_mul(5)
        .div_ceil((among as u64).saturating_mul(4).max(1))
}

/// The position of the candidate that takes a key with this hash; `home`: of the one that it belongs to, if it is among them.
/// `None` when there is no candidate. What it gets stays within [`most`].
pub fn place(hash: u64, home: Option<usize>, candidates: &[Candidate]) -> Option<usize> {
    let total: u64 = candidates.iter().map(|one| one.pending).sum();
    let most = most(total + 1, candidates.len());
    let has_room = |one: &Candidate| one.pending < most;
    let takes = |one: &Candidate| has_room(one) && is_warm_for(hash, one);
    if let Some(home) = home.filter(|home| candidates.get(*home).is_some_and(takes)) {
        return Some(home);
    }
    heaviest(hash, candidates, takes).or_else(|| heaviest(hash, candidates, has_room))
}

/// Highest random weight.
fn heaviest(hash: u64, candidates: &[Candidate], fits: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let fitting = candidates.iter().enumerate().filter(|(_, one)| fits(one));
    let heaviest = fitting.max_by_key(|(_, one)| mix(hash ^ one.instance));
    heaviest.map(|(at, _)| at)
}

fn is_warm_for(hash: u64, one: &Candidate) -> bool {
    // Apart from the weight, else a cold instance would get nothing but what nobody else is for.
    let draw = mix(hash.rotate_left(32) ^ one.instance) >> 11;
    one.warmth >= 1.0 || draw as f64 / ((1_u64 << 53) as f64) < one.warmth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::{Maglev, Ring, hash_of};
    use proptest::prelude::*;

    fn warm(pending: &[u64]) -> Vec<Candidate> {
        let one = |(at, pending): (usize, &u64)| Candidate {
            instance: mix(at as u64 + 1),
            pending: *pending,
            warmth: 1.0,
        };
        pending.iter().enumerate().map(one).collect()
    }

    fn key(number: u64) -> u64 {
        hash_of(&number.to_le_bytes())
    }

    #[test]
    fn a_key_stays_at_home_while_that_has_room() {
        let candidates = warm(&[2, 1, 1, 1]);
        // Six with the one to come: 7.5 for four of them, so two each.
        assert_eq!((most(6, 4), place(key(1), Some(1), &candidates)), (2, Some(1)));
        assert_ne!(place(key(1), Some(0), &candidates), Some(0));
        assert_eq!(place(key(1), None, &[]), None);
    }

    #[test]
    fn one_that_warms_up_takes_its_keys_one_by_one() {
        let mut candidates = warm(&[0, 0, 0]);
        let mut taken = Vec::new();
        for warmth in [0.1, 0.5, 1.0] {
            candidates[0].warmth = warmth;
            let keys = (0..1_000).filter(|number| place(key(*number), Some(0), &candidates) == Some(0));
            taken.push(keys.collect::<Vec<_>>());
        }
        assert!(
            (70..140).contains(&taken[0].len()) && (430..570).contains(&taken[1].len()),
            "{taken:?}"
        );
        assert_eq!(taken[2].len(), 1_000);
        assert!(taken[0].iter().all(|key| taken[1].contains(key)), "who came stays");
    }

    #[test]
    fn keys_of_one_that_is_out_are_spread_over_all_others() {
        let candidates = warm(&[0; 5]);
        let mut counts = [0; 5];
        (0..2_000).for_each(|number| counts[place(key(number), None, &candidates).expect("one")] += 1);
        assert!(counts.iter().all(|count| (320..480).contains(count)), "{counts:?}");
    }

    #[test]
    fn where_all_are_cold_one_takes_it_all_the_same() {
        let mut candidates = warm(&[0, 0]);
        candidates.iter_mut().for_each(|one| one.warmth = 0.0);
        assert!(place(key(1), Some(0), &candidates).is_some());
    }

    /// Homes first, then by weight, looked for in the plainest way.
    fn plainly(hash: u64, home: Option<usize>, candidates: &[Candidate]) -> Option<usize> {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|at| {
            (
                Some(*at) != home,
                std::cmp::Reverse(mix(hash ^ candidates[*at].instance)),
            )
        });
        let in_hand: u64 = candidates.iter().map(|one| one.pending).sum();
        let mean = (in_hand + 1) as f64 / candidates.len() as f64;
        order
            .into_iter()
            .find(|at| candidates[*at].pending < (mean * 1.25).ceil() as u64)
    }

    proptest! {
        #[test]
        fn it_is_the_first_in_the_keys_order_that_has_room(
            hash: u64, pending in prop::collection::vec(0..20_u64, 1..9), home in prop::option::of(0..9_usize),
        ) {
            let candidates = warm(&pending);
            let home = home.filter(|home| *home < candidates.len());
            prop_assert_eq!(place(hash, home, &candidates), plainly(hash, home, &candidates));
        }

        /// Requests come, nearly all for the same key, and go in any order; whoever gets one is within the bound.
        #[test]
        fn the_bound_is_never_exceeded(
            count in 1..9_usize, is_ring: bool, events in prop::collection::vec((any::<u64>(), 0..10_u64), 1..400),
        ) {
            let mut candidates = warm(&vec![0; count]);
            let ids: Vec<u64> = candidates.iter().map(|one| one.instance).collect();
            let (ring, maglev) = (Ring::new(&ids), Maglev::new(&ids));
            let mut placed = Vec::new();
            for (random, what) in events {
                if what < 3 && !placed.is_empty() {
                    let at: usize = placed.swap_remove(random as usize % placed.len());
                    candidates[at].pending -= 1;
                    continue;
                }
                let hash = if what < 9 { 42 } else { key(random) };
                let home = if is_ring { ring.at(hash) } else { maglev.at(hash) };
                let at = place(hash, home, &candidates).expect("one has room");
                candidates[at].pending += 1;
                placed.push(at);
                let mean = placed.len() as f64 / count as f64;
                prop_assert!(candidates[at].pending <= (1.25 * mean).ceil() as u64, "{:?}", candidates);
            }
        }
    }
}
