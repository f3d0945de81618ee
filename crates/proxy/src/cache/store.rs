//! The memory of kept answers: by key, by what they vary by, within bounds.
//!
//! What goes first is what nobody asked for since the hand came by last: the clock algorithm (second chance), an approximation of
//! least recently used that moves nothing on a hit. What is being fetched stays as long as anything else can go.

use super::key::{Key, Known, values};
use crate::message::Fields;
use bytes::Bytes;
use http::StatusCode;
use ondol_core::wire::proxy::CacheReport;
use ondol_resilience::cache::slot::Slot;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Variants of one key; the one that was asked for longest ago goes for another.
const MOST_VARIANTS: usize = 16;
/// What an entry and a variant take beside their texts, bytes; rounded up.
const OVERHEAD: usize = 512;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes, heads and keys and what holds them included.
    pub bytes: usize,
    /// Keys.
    pub entries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            entries: 16_384,
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
}

impl Stored {
    fn size(&self) -> usize {
        let fields = self.fields.iter_bytes();
        let fields: usize = fields.map(|(name, value)| name.len() + value.len() + 16).sum();
        self.body.len() + fields
    }
}

/// Told once it has landed.
pub(super) type Flight = Arc<watch::Sender<bool>>;

/// One answer of a key, or the flight to get it.
pub(super) struct Variant {
    pub(super) values: Box<[u8]>,
    pub(super) slot: Slot,
    pub(super) stored: Option<Arc<Stored>>,
    /// When `stored` was asked for.
    pub(super) begun: Duration,
    pub(super) flight: Option<Flight>,
    /// By the count of its entry's uses.
    used: u64,
}

impl Variant {
    fn new(values: Box<[u8]>) -> Self {
        Self {
            values,
            slot: Slot::default(),
            stored: None,
            begun: Duration::ZERO,
            flight: None,
            used: 0,
        }
    }

    /// What it says is no longer so.
    pub(super) fn forget(&mut self) {
        self.slot.forget();
        self.stored = None;
    }

    fn size(&self) -> usize {
        OVERHEAD + self.values.len() + self.stored.as_ref().map_or(0, |stored| stored.size())
    }
}

struct Entry {
    key: Key,
    /// By what its answers vary; all of them by the same, which the last one said.
    vary: Box<[Box<str>]>,
    variants: Vec<Variant>,
    /// What it was counted as.
    bytes: usize,
    used: bool,
    /// Times that a variant was asked for or kept.
    uses: u64,
}

impl Entry {
    fn size(&self) -> usize {
        OVERHEAD + self.key.len() + self.variants.iter().map(Variant::size).sum::<usize>()
    }

    fn is_busy(&self) -> bool {
        self.variants.iter().any(|variant| variant.flight.is_some())
    }
}

/// The memory.
pub(super) struct Store {
    bounds: Bounds,
    by_key: HashMap<Key, usize>,
    ring: Vec<Option<Entry>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
    evicted: u64,
}

impl Store {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_key: HashMap::new(),
            ring: Vec::new(),
            free: Vec::new(),
            hand: 0,
            bytes: 0,
            evicted: 0,
        }
    }

    pub(super) fn report(&self) -> CacheReport {
        CacheReport {
            bytes: self.bytes as u64,
            entries: self.by_key.len() as u64,
            evicted: self.evicted,
        }
    }

    /// The variant for a request with these fields; a new one where there is none.
    pub(super) fn find(&mut self, key: &Key, fields: &Fields) -> &mut Variant {
        let (at, known) = self.place(key);
        let entry = self.ring[at].get_or_insert_with(|| Entry::empty(key));
        entry.used |= known; // What is asked for once is no reason to keep it.
        let values = values(&entry.vary, fields);
        let found = entry.variants.iter().position(|variant| variant.values == values);
        let variant = found.unwrap_or_else(|| entry.add(Variant::new(values)));
        entry.touch(variant);
        self.settle(at);
        // Whatever went, this one stayed.
        self.ring[at].get_or_insert_with(|| Entry::empty(key)).variant(variant)
    }

    /// The variant that a flight, or a request with these values, was for; `None`: it has gone.
    pub(super) fn of(&mut self, key: &Key, flight: Option<&Flight>, values: &[u8]) -> Option<&mut Variant> {
        let entry = self.ring[*self.by_key.get(key)?].as_mut()?;
        let at = entry.position(flight, values)?;
        entry.variants.get_mut(at)
    }

    /// Changes the variant that a flight was for, which is known by other values from now on if answers vary by something
    /// else than was known.
    pub(super) fn put(
        &mut self,
        key: &Key,
        flight: Option<&Flight>,
        was: &[u8],
        Known { vary, values }: Known,
        change: impl FnOnce(&mut Variant),
    ) {
        let (at, _) = self.place(key);
        let entry = self.ring[at].get_or_insert_with(|| Entry::empty(key));
        let mut variant = match entry.position(flight, was) {
            Some(at) => entry.variants.remove(at),
            None => Variant::new(values.clone()),
        };
        if entry.vary != vary {
            (entry.vary, variant.values) = (vary, values);
            entry.variants.clear(); // They are known by the values of other fields.
        } else {
            variant.values = values;
            entry.variants.retain(|other| other.values != variant.values);
        }
        change(&mut variant);
        let kept = entry.add(variant);
        entry.touch(kept);
        self.settle(at);
    }

    /// Where an entry stands, and whether it was there; a new one where there is none.
    fn place(&mut self, key: &Key) -> (usize, bool) {
        if let Some(at) = self.by_key.get(key) {
            return (*at, true);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.ring.push(None);
            self.ring.len() - 1
        });
        self.by_key.insert(key.clone(), at);
        self.ring[at] = Some(Entry::empty(key));
        (at, false)
    }

    /// Counts an entry anew, and makes room.
    fn settle(&mut self, at: usize) {
        if let Some(entry) = &mut self.ring[at] {
            self.bytes -= entry.bytes;
            entry.bytes = entry.size();
            self.bytes += entry.bytes;
        }
        // Two rounds find one that nobody used in between, a third one takes what is busy.
        let mut looks = 0;
        while self.is_over() && self.by_key.len() > 1 {
            let (hand, round) = (self.hand, looks / self.ring.len());
            self.hand = (self.hand + 1) % self.ring.len();
            looks += 1;
            let Some(entry) = self.ring[hand].as_mut().filter(|_| hand != at) else {
                continue;
            };
            if round < 2 && (std::mem::take(&mut entry.used) || entry.is_busy()) {
                continue;
            }
            self.remove(hand);
        }
    }

    /// Forgets the answers of keys that fit; how many. What is being fetched stays.
    pub(super) fn purge(&mut self, fits: impl Fn(&[u8]) -> bool) -> u64 {
        let mut dropped = 0;
        for at in 0..self.ring.len() {
            let Some(entry) = self.ring[at].as_mut().filter(|entry| fits(&entry.key)) else {
                continue;
            };
            dropped += entry.variants.iter().filter(|variant| variant.stored.is_some()).count() as u64;
            entry.variants.retain(|variant| variant.flight.is_some());
            entry.variants.iter_mut().for_each(Variant::forget);
            match entry.is_busy() {
                true => self.settle(at),
                false => drop(self.take(at)),
            }
        }
        dropped
    }

    fn is_over(&self) -> bool {
        self.bytes > self.bounds.bytes || self.by_key.len() > self.bounds.entries
    }

    fn remove(&mut self, at: usize) {
        self.evicted += u64::from(self.take(at).is_some());
    }

    fn take(&mut self, at: usize) -> Option<Entry> {
        let entry = self.ring[at].take()?;
        self.bytes -= entry.bytes;
        self.by_key.remove(&entry.key);
        self.free.push(at);
        Some(entry)
    }
}

impl Entry {
    fn empty(key: &Key) -> Self {
        Self {
            key: key.clone(),
            vary: Box::default(),
            variants: Vec::new(),
            bytes: 0,
            used: false,
            uses: 0,
        }
    }

    /// Adds a variant, for which another goes where there are too many; its position.
    fn add(&mut self, variant: Variant) -> usize {
        if self.variants.len() >= MOST_VARIANTS {
            let all = self.variants.iter().enumerate();
            let least = all.min_by_key(|(_, variant)| (variant.flight.is_some(), variant.used));
            let least = least.map_or(0, |(at, _)| at);
            self.variants.remove(least);
        }
        self.variants.push(variant);
        self.variants.len() - 1
    }

    /// Counts a use of a variant.
    fn touch(&mut self, at: usize) {
        self.uses += 1;
        self.variants[at].used = self.uses;
    }

    fn variant(&mut self, at: usize) -> &mut Variant {
        &mut self.variants[at]
    }

    fn position(&self, flight: Option<&Flight>, values: &[u8]) -> Option<usize> {
        let own = |variant: &Variant| {
            let flying = variant.flight.as_ref().zip(flight);
            flying.is_some_and(|(other, own)| Arc::ptr_eq(other, own))
        };
        let by_flight = self.variants.iter().position(own);
        by_flight.or_else(|| self.variants.iter().position(|variant| *variant.values == *values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        number.to_le_bytes().as_slice().into()
    }

    fn nothing() -> Known {
        Known::of(&Fields::new(), &Fields::new())
    }

    fn keep(store: &mut Store, number: usize, size: usize) {
        let stored = Stored {
            status: StatusCode::OK,
            fields: Fields::new(),
            body: vec![0; size].into(),
        };
        store.put(&key(number), None, b"", nothing(), |variant| {
            variant.stored = Some(Arc::new(stored));
        });
    }

    fn has(store: &mut Store, number: usize) -> bool {
        store
            .of(&key(number), None, b"")
            .is_some_and(|variant| variant.stored.is_some())
    }

    fn recount(store: &Store) -> usize {
        store.ring.iter().flatten().map(Entry::size).sum()
    }

    #[test]
    fn what_was_used_stays_and_what_nobody_wants_goes() {
        let mut store = Store::new(Bounds {
            bytes: usize::MAX,
            entries: 4,
        });
        (0..4).for_each(|number| keep(&mut store, number, 1));
        keep(&mut store, 4, 1); // The hand has come by all of them once.
        let left: Vec<_> = (0..5).filter(|number| has(&mut store, *number)).collect();
        assert_eq!(left.len(), 4);
        store.find(&key(left[0]), &Fields::new());
        keep(&mut store, 5, 1);
        assert!(has(&mut store, left[0]) && has(&mut store, 5));
        assert_eq!((store.report().entries, store.report().evicted), (4, 2));
    }

    #[test]
    fn what_is_asked_for_once_drives_nothing_out_that_is_asked_for_again() {
        let mut store = Store::new(Bounds {
            bytes: usize::MAX,
            entries: 20,
        });
        (0..3).for_each(|number| keep(&mut store, number, 1));
        for number in 3..1_000 {
            store.find(&key(number), &Fields::new());
            keep(&mut store, number, 1);
            let again = number % 3;
            assert!(has(&mut store, again), "{again} at {number}");
            store.find(&key(again), &Fields::new());
        }
    }

    #[test]
    fn what_varies_is_found_by_what_it_varies_by_and_only_so_many_are_kept() {
        let mut store = Store::new(Bounds::default());
        let vary: Box<[Box<str>]> = ["accept-language".into()].into();
        let fields = |language: String| Fields::from_iter([("accept-language", language.as_str())]);
        for number in 0..2 * MOST_VARIANTS {
            let values = values(&vary, &fields(number.to_string()));
            let known = Known {
                vary: vary.clone(),
                values,
            };
            store.put(&key(1), None, b"", known, |variant| {
                variant.begun = Duration::from_secs(number as u64)
            });
        }
        let begun = |store: &mut Store, number: usize| store.find(&key(1), &fields(number.to_string())).begun.as_secs();
        assert_eq!(begun(&mut store, 2 * MOST_VARIANTS - 1), 2 * MOST_VARIANTS as u64 - 1);
        assert_eq!(begun(&mut store, 3), 0, "it has gone");
        let entry = store.ring[0].as_ref().expect("it is there");
        assert_eq!(entry.variants.len(), MOST_VARIANTS);
        store.put(&key(1), None, b"", nothing(), |_| {});
        assert_eq!(store.ring[0].as_ref().expect("it is there").variants.len(), 1);
    }

    #[test]
    fn of_too_many_variants_the_one_goes_that_was_asked_for_longest_ago() {
        let mut store = Store::new(Bounds::default());
        let vary: Box<[Box<str>]> = ["accept-language".into()].into();
        let fields = |number: usize| Fields::from_iter([("accept-language", number.to_string().as_str())]);
        let keep = |store: &mut Store, number: usize| {
            let values = values(&vary, &fields(number));
            let known = Known {
                vary: vary.clone(),
                values,
            };
            store.put(&key(1), None, b"", known, |variant| {
                variant.begun = Duration::from_secs(1)
            });
        };
        (0..MOST_VARIANTS).for_each(|number| keep(&mut store, number));
        store.find(&key(1), &fields(0));
        keep(&mut store, MOST_VARIANTS);
        let begun = |store: &mut Store, number: usize| store.find(&key(1), &fields(number)).begun.as_secs();
        assert_eq!(begun(&mut store, 0), 1, "it came first, and was asked for last");
        assert_eq!(begun(&mut store, MOST_VARIANTS), 1);
        assert_eq!(begun(&mut store, 1), 0, "it has gone");
    }

    #[test]
    fn what_is_being_fetched_stays() {
        let mut store = Store::new(Bounds {
            bytes: usize::MAX,
            entries: 3,
        });
        let flight = Flight::new(watch::Sender::new(false));
        store.find(&key(0), &Fields::new()).flight = Some(flight.clone());
        (1..50).for_each(|number| keep(&mut store, number, 1));
        assert!(store.of(&key(0), Some(&flight), b"").is_some());
        assert_eq!(store.report().entries, 3);
    }

    proptest::proptest! {
        #[test]
        fn it_is_never_beyond_its_bounds_and_counts_what_it_holds(
            steps in proptest::collection::vec((0..40_usize, 0..4_u8, 0..6_000_usize), 1..300),
        ) {
            let bounds = Bounds { bytes: 40_000, entries: 12 };
            let mut store = Store::new(bounds);
            for (number, what, size) in steps {
                match what {
                    0 => keep(&mut store, number, size),
                    1 => {
                        let kept = (0..40).filter(|number| has(&mut store, *number)).count() as u64;
                        let all = size % 2 == 0;
                        let expected = if all { kept } else { u64::from(has(&mut store, number)) };
                        let dropped = store.purge(|found| all || *found == *key(number));
                        proptest::prop_assert_eq!(dropped, expected);
                        proptest::prop_assert!(!has(&mut store, number));
                    }
                    2 => { store.find(&key(number), &Fields::new()); }
                    _ => { store.find(&key(number), &Fields::new()).flight = Some(Flight::new(watch::Sender::new(false))); }
                }
                proptest::prop_assert_eq!(store.bytes, recount(&store));
                proptest::prop_assert!(store.bytes <= bounds.bytes && store.by_key.len() <= bounds.entries);
                proptest::prop_assert_eq!(store.by_key.len(), store.ring.iter().flatten().count());
                proptest::prop_assert!(store.ring.len() <= bounds.entries + 1);
            }
        }
    }
}
