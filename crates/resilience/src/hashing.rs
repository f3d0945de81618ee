//! Consistent hashing: which instance a key belongs to, so that few keys move when an instance comes or goes.
//!
//! Two tables, made when the set of instances changes and only read after that. [`Ring`] moves nothing but the keys of who
//! came or went; shares differ by some six percent. [`Maglev`] shares out evenly, within one percent up to 655 instances, and moves a
//! few keys more. What is done when the instance that a key belongs to cannot take it says `bounded.rs`.
//!
//! Instances are known by numbers that say who they are, not where they stand in a list: whoever has the same set has the same table.
//! Sources: Karger et al., "Consistent Hashing and Random Trees", 1997; libketama; Eisenbud et al., "Maglev: A Fast and
//! Reliable Software Network Load Balancer", 2016, section 3.4; FNV-1a; Steele et al., SplitMix64.

/// Points of one instance. Its share of the ring differs from the others' by about 1 / √256.
const POINTS: u64 = 256;

/// Slots of a Maglev table: a prime, and the smaller of the two that the paper measures. More than a hundred for each
/// instance make shares differ by at most one percent.
const SLOTS: usize = 65_537;

/// Makes of a number one that has nothing to do with it, once mixed.
const OTHER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads what is in the bits over all of them: SplitMix64's last step.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The hash of a key: FNV-1a, mixed. The same everywhere and always, so that proxies agree; whoever chooses keys can choose
/// an instance, as with any affinity, and `bounded.rs` says how much of it.
pub fn hash_of(key: &[u8]) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(key.iter().fold(0xcbf2_9ce4_8422_2325, hash))
}

/// A hash ring: an instance has the keys between its points and those before them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    /// Sorted.
    points: Box<[(u64, u32)]>,
}

impl Ring {
    /// The ring of these instances. Costs a sort of 256 points for each; 4 KiB for each.
    pub fn new(instances: &[u64]) -> Self {
        let points_of = |(at, instance): (usize, &u64)| {
            let (at, instance) = (at as u32, *instance);
            (0..POINTS).map(move |point| (mix(instance ^ mix(point.wrapping_add(OTHER))), at))
        };
        let mut points: Vec<_> = instances.iter().enumerate().flat_map(points_of).collect();
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// The position of the instance that a key with this hash belongs to; `None`: there is none. Costs a binary search.
    pub fn at(&self, hash: u64) -> Option<usize> {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let (_, at) = self.points.get(next).or(self.points.first())?;
        Some(*at as usize)
    }
}

/// A Maglev table: every slot has one instance, and instances have equally many slots, but for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Maglev {
    slots: Box<[u16]>,
}

impl Maglev {
    /// The table of these instances, of 65,535 at most. Costs about a millisecond, and 128 KiB however many there are.
    pub fn new(instances: &[u64]) -> Self {
        const FREE: u16 = u16::MAX;
        let mut turns: Vec<_> = (0..FREE).zip(instances).map(Preferred::of).collect();
        turns.sort_unstable_by_key(|turn| turn.instance); // The order of turns is part of the table.
        let mut slots = vec![FREE; if turns.is_empty() { 0 } else { SLOTS }];
        let mut free = slots.len();
        while free > 0 {
            for turn in &mut turns {
                let slot = turn.next(|slot| slots[slot] == FREE);
                slots[slot] = turn.at;
                free -= 1;
                if free == 0 {
                    break;
                }
            }
        }
        Self { slots: slots.into() }
    }

    /// The position of the instance that a key with this hash belongs to; `None`: there is none. Costs one look.
    pub fn at(&self, hash: u64) -> Option<usize> {
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        Some(usize::from(self.slots[slot as usize]))
    }
}

/// The slots in the order in which one instance wants them: all, each once, since their number is a prime.
struct Preferred {
    instance: u64,
    at: u16,
    slot: usize,
    skip: usize,
}

impl Preferred {
    fn of((at, instance): (u16, &u64)) -> Self {
        Self {
            instance: *instance,
            at,
            slot: (mix(*instance) % SLOTS as u64) as usize,
            skip: (mix(instance ^ OTHER) % (SLOTS as u64 - 1)) as usize + 1,
        }
    }

    /// The next that is free; there is one.
    fn next(&mut self, is_free: impl Fn(usize) -> bool) -> usize {
        loop {
            let slot = self.slot;
            self.slot = (slot + self.skip) % SLOTS;
            if is_free(slot) {
                return slot;
            }
        }
    }
}

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
