//! What moves when one of ten instances goes or an eleventh comes: by a ring, by a Maglev table, and by the rest of a division.

use crate::world::instance;
use ondol_resilience::hashing::{Maglev, Ring, hash_of};

const INSTANCES: usize = 10;
const KEYS: u64 = 100_000;

type Home = Box<dyn Fn(u64) -> usize>;

/// A way to hash, among so many instances.
type Way = (&'static str, fn(usize) -> Home);

const WAYS: [Way; 3] = [
    ("ring-hash", |count| {
        let ring = Ring::new(&names(count));
        Box::new(move |key| ring.at(key).unwrap_or_default())
    }),
    ("maglev", |count| {
        let table = Maglev::new(&names(count));
        Box::new(move |key| table.at(key).unwrap_or_default())
    }),
    ("modulo", |count| Box::new(move |key| (key % count as u64) as usize)),
];

fn names(count: usize) -> Vec<u64> {
    (0..count).map(instance).collect()
}

/// Percent of the keys.
pub struct Moves {
    pub way: &'static str,
    /// Of the instance with most keys, beside an equal share.
    pub largest: f64,
    /// When the last instance goes.
    pub goes: f64,
    /// When another one comes.
    pub comes: f64,
}

pub fn all() -> impl Iterator<Item = Moves> {
    WAYS.into_iter().map(|(way, among)| {
        let [fewer, those, more] = [INSTANCES - 1, INSTANCES, INSTANCES + 1].map(among);
        let keys = || (0..KEYS).map(|key| hash_of(&key.to_le_bytes()));
        let moved = |other: &Home| percent(keys().filter(|key| those(*key) != other(*key)).count() as f64);
        let mut counts = [0_u64; INSTANCES];
        keys().for_each(|key| counts[those(key)] += 1);
        let most = counts.into_iter().max().unwrap_or_default();
        Moves {
            way,
            largest: percent((most * INSTANCES as u64) as f64),
            goes: moved(&fewer),
            comes: moved(&more),
        }
    })
}

fn percent(keys: f64) -> f64 {
    keys / KEYS as f64 * 100.0
}

pub fn print(json: bool) {
    if !json {
        println!(
            "\n{:34} {:>14} {:>14} {:>14}",
            "ten instances, 100,000 keys", "largest share", "one goes", "one comes"
        );
    }
    for Moves {
        way,
        largest,
        goes,
        comes,
    } in all()
    {
        match json {
            true => println!("{{\"hash\":\"{way}\",\"largest\":{largest:.2},\"goes\":{goes:.2},\"comes\":{comes:.2}}}"),
            false => println!("{way:34} {largest:13.1}% {goes:13.1}% {comes:13.1}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_move_about_what_must_move_and_a_division_nearly_all() {
        for Moves { way, goes, comes, .. } in all() {
            match way {
                "ring-hash" => assert!(goes < 13.0 && comes < 12.0, "{goes} {comes}"),
                "maglev" => assert!(goes < 15.0 && comes < 14.0, "{goes} {comes}"),
                _ => assert!(goes > 80.0 && comes > 80.0, "{goes} {comes}"),
            }
        }
    }
}
