//! Zone preference: a request stays in the zone of its proxy while enough is well there, else a share of them goes to the others.
//!
//! A zone with 70 % of its instances well takes everything that it would take with all of them: they have so much to spare. Below
//! that it keeps the share of what it can bear, and the rest spills. The others are judged in the same way, and together they are given
//! no more than they can bear while home has more: where neither can bear its part, both get as much beside the other as they can.
//!
//! One that warms up is well by the share of its turns that it takes, else the only one of a zone would get all at once when it is back.
//!
//! Source: Envoy's priority levels with its overprovisioning factor of 1.4, two levels: home, and all other zones together.
//! Not here: when so few are well everywhere that all are used ([`crate::outlier::is_panic`] comes first), sessions.

use crate::hashing::mix;

/// The share of a zone's instances that can take all of its requests: one by Envoy's 1.4.
const ENOUGH: f64 = 0.7;

/// One instance of a zone.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Member {
    /// The share of its turns that it takes, above 0 to 1; 0 when it may not be used.
    pub share: f64,
    /// How far it is from the day it joined, above 0 to 1: 1 from the end of its first warm-up on, however often it leaves later.
    pub settled: f64,
}

/// The instances of a zone, or of several together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Count {
    /// That are well, each by its share.
    pub well: f64,
    /// Of these.
    pub all: f64,
}

impl Count {
    /// Those of a zone. One that has just joined is one of all only as far as it has settled: beside others it takes nothing from what
    /// they bear. Where nobody has settled yet, each is one of all.
    pub fn of(members: impl IntoIterator<Item = Member>) -> Self {
        let (mut well, mut settled, mut all, mut anybody) = (0.0, 0.0, 0.0, false);
        for member in members {
            well += member.share;
            settled += member.settled;
            all += 1.0;
            anybody |= member.settled >= 1.0;
        }
        let all = if anybody { settled } else { all };
        Self { well, all }
    }

    /// Of all requests, the share that it can bear, 0 to 1.
    fn bears(self) -> f64 {
        (self.well / self.all.max(1.0) / ENOUGH).min(1.0)
    }
}

/// The chance that a request stays at home, 0 to 1. With nobody well at home it goes to the others; with nobody well there it
/// stays; with nobody well at all it stays where somebody is.
pub fn chance(home: Count, others: Count) -> f64 {
    match home.well + others.well > 0.0 {
        false => f64::from(u8::from(home.all > 0.0)),
        true => home.bears() / (home.bears() + others.bears()).min(1.0),
    }
}

/// Whether a request stays at home; `bits` are 64 random ones, or [`bits_of`] a key.
pub fn stays(home: Count, others: Count, bits: u64) -> bool {
    ((bits >> 11) as f64) < chance(home, others) * (1_u64 << 53) as f64
}

/// What stands in for random bits where requests have a key with this hash, so that those of one key go the same way. Apart from what
/// tables make of the hash, else one stretch of a ring would leave home and no other.
pub fn bits_of(hash: u64) -> u64 {
    mix(hash ^ 0x5851_f42d_4c95_7f2d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(well: usize, all: usize) -> Count {
        Count {
            well: well as f64,
            all: all as f64,
        }
    }

    fn member(share: f64, settled: f64) -> Member {
        Member { share, settled }
    }

    #[test]
    fn requests_stay_while_seven_in_ten_are_well() {
        let others = count(10, 10);
        let shares = [10, 7, 6, 3, 0].map(|well| (chance(count(well, 10), others) * 1_000.0).round());
        assert_eq!(shares, [1_000.0, 1_000.0, 857.0, 429.0, 0.0]);
    }

    #[test]
    fn nobody_goes_where_nobody_is_well() {
        assert_eq!(chance(count(1, 10), count(0, 10)), 1.0);
        assert_eq!(chance(count(1, 10), count(0, 0)), 1.0);
        assert_eq!(chance(count(0, 10), count(1, 10)), 0.0);
        assert_eq!(chance(count(0, 0), count(1, 10)), 0.0);
        assert_eq!(
            [count(0, 4), count(0, 0)].map(|home| chance(home, count(0, 4))),
            [1.0, 0.0]
        );
    }

    #[test]
    fn others_that_are_weak_too_get_no_more_than_their_part() {
        // Home bears 5/7 and the others 1/7: of six parts home gets five.
        let share = chance(count(5, 10), count(1, 10));
        assert!((share - 5.0 / 6.0).abs() < 1e-12, "{share}");
    }

    #[test]
    fn one_that_is_back_is_well_by_its_share_and_ones_that_join_take_nothing_from_the_others() {
        let away = count(2, 2);
        let stay = |members: &[Member]| (chance(Count::of(members.iter().copied()), away) * 100.0).round();
        let old = member(1.0, 1.0);
        for (members, wanted) in [
            (vec![], 0.0),
            (vec![member(0.0, 1.0)], 0.0),
            (vec![member(0.1, 1.0)], 14.0),
            (vec![member(0.35, 1.0)], 50.0),
            (vec![member(0.7, 1.0)], 100.0),
            (vec![old, member(0.0, 1.0)], 71.0),
            (vec![old, member(0.1, 1.0)], 79.0),
            (vec![old, member(0.1, 0.1), member(0.1, 0.1), member(0.1, 0.1)], 100.0),
            (vec![member(0.1, 0.1), member(0.1, 0.1)], 14.0),
            (vec![old, member(0.0, 0.1)], 100.0),
        ] {
            assert_eq!(stay(&members), wanted, "{members:?}");
        }
    }

    /// Envoy's algorithm in whole percents, as its documentation has it: levels are filled in order, each up to its health, of what all
    /// together have.
    fn by_percents(home: Count, others: Count) -> u64 {
        let health = |one: Count| (140.0 * one.well / one.all.max(1.0)).min(100.0) as u64;
        let total = (health(home) + health(others)).min(100);
        (health(home) * 100).checked_div(total).unwrap_or(100).min(100)
    }

    fn some() -> impl Strategy<Value = Count> {
        // Tenths, since some may be warming up.
        let tenths = |all: usize| (0..=10 * all).prop_map(move |tenths| tenths as f64 / 10.0);
        (0..60_usize).prop_flat_map(move |all| tenths(all).prop_map(move |well| Count { well, ..count(0, all) }))
    }

    /// One more of these is well.
    fn better(one: Count) -> Count {
        let well = (one.well + 1.0).min(one.all);
        Count { well, ..one }
    }

    proptest! {
        #[test]
        fn the_chance_is_envoys(home in some(), others in some()) {
            prop_assume!(home.well + others.well > 0.0);
            let (exact, model) = (chance(home, others) * 100.0, by_percents(home, others) as f64);
            // Its factor is 1.4 and not 10/7, and it cuts to whole percents twice: of a small sum that is much.
            let total = (home.bears() + others.bears()).min(1.0);
            prop_assert!((exact - model).abs() <= 2.0 + 3.0 / total, "{} {}", exact, model);
        }

        #[test]
        fn more_that_are_well_at_home_keep_more_and_more_elsewhere_take_more(home in some(), others in some()) {
            let here = chance(home, others);
            prop_assert!((0.0..=1.0).contains(&here));
            if home.well < home.all {
                prop_assert!(chance(better(home), others) >= here - 1e-12);
            }
            if others.well < others.all && home.well > 0.0 {
                prop_assert!(chance(home, better(others)) <= here + 1e-12);
            }
        }

        #[test]
        fn ones_that_join_beside_others_never_lower_what_is_borne(
            old in prop::collection::vec(0.0..=1.0_f64, 1..8), new in prop::collection::vec(0.1..1.0_f64, 0..8),
        ) {
            let old: Vec<_> = old.into_iter().map(|share| member(share, 1.0)).collect();
            let new = new.into_iter().map(|share| member(share, share));
            let (before, after) = (Count::of(old.clone()), Count::of(old.into_iter().chain(new)));
            prop_assert!(after.bears() >= before.bears() - 1e-12, "{:?} {:?}", before, after);
        }

        #[test]
        fn of_two_parts_neither_gets_what_it_cannot_bear_while_the_other_can(home in some(), others in some()) {
            let here = chance(home, others);
            if home.bears() + others.bears() >= 1.0 {
                prop_assert!(here <= home.bears() + 1e-12 && 1.0 - here <= others.bears() + 1e-12);
            }
        }

        #[test]
        fn as_many_stay_as_the_chance_says_by_chance_and_by_key(home in some(), others in some(), from: u64) {
            let wanted = chance(home, others);
            for bits_of in [bits_of, |number| mix(number)] {
                let all = (0..2_000_u64).map(|number| bits_of(from.wrapping_add(number)));
                let share = all.filter(|bits| stays(home, others, *bits)).count() as f64 / 2_000.0;
                prop_assert!((share - wanted).abs() < 0.08, "{} {}", share, wanted);
                if wanted == 0.0 || wanted == 1.0 {
                    prop_assert_eq!(share, wanted);
                }
            }
        }
    }
}
