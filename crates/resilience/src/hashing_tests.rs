//! Shares, what moves, and both tables beside plain ones.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Hashes of so many keys.
fn keys(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|key| hash_of(&key.to_le_bytes()))
}

/// Numbers of so many instances, as digests of their names are.
fn instances(count: usize, seed: u64) -> Vec<u64> {
    (0..count as u64)
        .map(|number| mix(mix(seed) ^ number.wrapping_mul(OTHER)))
        .collect()
}

type Home = Box<dyn Fn(u64) -> Option<usize>>;

fn tables(instances: &[u64]) -> [Home; 2] {
    let (ring, maglev) = (Ring::new(instances), Maglev::new(instances));
    [Box::new(move |key| ring.at(key)), Box::new(move |key| maglev.at(key))]
}

const KEYS: u64 = 20_000;

/// The least and the largest share of the keys, as parts of an equal one.
fn spread(home: &Home, instances: usize) -> (f64, f64) {
    let mut counts = vec![0_u64; instances];
    keys(KEYS).for_each(|key| counts[home(key).expect("an instance")] += 1);
    let equal = KEYS as f64 / instances as f64;
    let share = |count: Option<&u64>| *count.expect("one") as f64 / equal;
    (share(counts.iter().min()), share(counts.iter().max()))
}

/// The share of keys of two tables that moved, without those that had to: of who went, or to who came.
fn moved(before: (&[u64], &Home), after: (&[u64], &Home)) -> f64 {
    let home = |(instances, home): (&[u64], &Home), key| home(key).map(|at| instances[at]);
    let needless = keys(KEYS).filter(|key| {
        let (old, new) = (home(before, *key), home(after, *key));
        let had_to = old.is_none_or(|old| !after.0.contains(&old)) || new.is_none_or(|new| !before.0.contains(&new));
        old != new && !had_to
    });
    needless.count() as f64 / KEYS as f64
}

#[test]
fn a_hash_is_the_same_for_ever() {
    // Proxies of different releases stand beside each other, and agree.
    assert_eq!(hash_of(b""), 0xf52a_15e9_a9b5_e89b);
    assert_eq!(hash_of(b"customer-42"), 0xe02a_9217_8bcc_fd76);
}

#[test]
fn a_maglev_table_gives_everybody_the_same_share() {
    for count in [1, 2, 3, 5, 10, 100, 655] {
        let table = Maglev::new(&instances(count, 1));
        let mut counts = vec![0_usize; count];
        table.slots.iter().for_each(|at| counts[usize::from(*at)] += 1);
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(most.expect("one") - least.expect("one") <= 1, "{count}");
        assert_eq!(counts.iter().sum::<usize>(), SLOTS);
    }
}

#[test]
fn nobody_has_no_keys() {
    for home in tables(&[]) {
        assert_eq!(home(1), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn keys_are_shared_out_and_nearly_none_moves_that_need_not(count in 2..12_usize, seed: u64) {
        let all = instances(count + 1, seed);
        let (fewer, more) = (&all[..count], &all[..]);
        let ([few_ring, few_maglev], [ring, maglev]) = (tables(fewer), tables(more));
        // 256 points: a standard deviation of 6 %, and four of them with the keys' own noise.
        let (least, most) = spread(&ring, count + 1);
        prop_assert!(least > 0.70 && most < 1.32, "ring {} {}", least, most);
        let (least, most) = spread(&maglev, count + 1);
        prop_assert!(least > 0.85 && most < 1.15, "maglev {} {}", least, most);
        prop_assert_eq!(moved((fewer, &few_ring), (more, &ring)), 0.0);
        prop_assert_eq!(moved((more, &ring), (fewer, &few_ring)), 0.0);
        let needless = moved((fewer, &few_maglev), (more, &maglev));
        prop_assert!(needless < 0.10, "{}", needless);
    }

    #[test]
    fn the_order_of_the_list_says_nothing(count in 1..20_usize, seed: u64, turn in 0..20_usize) {
        let sorted = instances(count, seed);
        let mut turned = sorted.clone();
        turned.rotate_left(turn % count);
        for (one, other) in tables(&sorted).iter().zip(tables(&turned)) {
            for key in keys(500) {
                prop_assert_eq!(one(key).map(|at| sorted[at]), other(key).map(|at| turned[at]));
            }
        }
    }

    /// As the definition has it: the first point at or after the key, among all, looked for one by one.
    #[test]
    fn a_ring_is_what_its_definition_says(count in 1..6_usize, seed: u64, hashes: [u64; 20]) {
        let all = instances(count, seed);
        let ring = Ring::new(&all);
        let points: BTreeSet<(u64, usize)> = all.iter().enumerate()
            .flat_map(|(at, one)| (0..256_u64).map(move |point| (mix(one ^ mix(point.wrapping_add(OTHER))), at)))
            .collect();
        for hash in hashes {
            let next = points.range((hash, 0)..).next().or(points.first());
            prop_assert_eq!(ring.at(hash), next.map(|(_, at)| *at));
        }
    }

    /// The paper's pseudo-code, with whole permutations.
    #[test]
    fn a_maglev_table_is_the_papers(count in 1..5_usize, seed: u64) {
        let mut all = instances(count, seed);
        all.sort_unstable();
        let permutation = |one: &u64| -> Vec<usize> {
            let (offset, skip) = (mix(*one) % 65_537, mix(one ^ OTHER) % 65_536 + 1);
            (0..65_537).map(|j| ((offset + j * skip) % 65_537) as usize).collect()
        };
        let permutations: Vec<_> = all.iter().map(permutation).collect();
        let (mut next, mut entry, mut n) = (vec![0; count], vec![None; 65_537], 0);
        'filled: loop {
            for i in 0..count {
                let mut c = permutations[i][next[i]];
                while entry[c].is_some() {
                    next[i] += 1;
                    c = permutations[i][next[i]];
                }
                entry[c] = Some(i as u16);
                next[i] += 1;
                n += 1;
                if n == 65_537 {
                    break 'filled;
                }
            }
        }
        let table = Maglev::new(&all);
        prop_assert!(table.slots.iter().map(|at| Some(*at)).eq(entry));
    }
}
