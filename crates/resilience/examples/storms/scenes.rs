//! The storms: each is one course, and the policies with which and without which it is played.

use crate::world::{Balance, Change, Policies, Scene, Zones};
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);

/// One storm.
pub struct Storm {
    pub name: &'static str,
    /// What is taken away in the second play.
    pub policy: &'static str,
    pub scene: Scene,
    pub with: Policies,
    pub without: Policies,
}

/// Five backends of eight slots, 20 ms a request: 2,000 requests a second can be served.
fn scene(rate: f64, lasts: u32, changes: Vec<(Duration, Change)>) -> Scene {
    Scene {
        backends: 5,
        far: 0,
        way: Duration::ZERO,
        slots: 8,
        takes: Duration::from_millis(20),
        rate,
        callers: 1,
        hiccups: 0.0,
        hot: 0.0,
        critical_in: 10,
        lasts: lasts * SEC,
        changes,
    }
}

/// All of them.
pub fn all() -> Vec<Storm> {
    let balanced = Policies {
        balance: Balance::PeakEwma,
        ..Policies::default()
    };
    let each = |change: fn(usize) -> Change| (0..5).map(change);
    let at = |second: u32, changes: &mut dyn Iterator<Item = Change>| -> Vec<_> {
        changes.map(|change| (second * SEC, change)).collect()
    };
    let during = |from: u32, to: u32, on: fn(usize) -> Change, off: fn(usize) -> Change| {
        let mut all = at(from, &mut each(on));
        all.extend(at(to, &mut each(off)));
        all
    };
    let in_turn = Policies {
        balance: Balance::RoundRobin,
        ..Policies::default()
    };
    let slow = scene(1_000.0, 60, at(2, &mut [Change::Slow(0, 20.0)].into_iter()));
    let hangs = during(2, 5, |one| Change::Slots(one, 0), |one| Change::Slots(one, 8));
    vec![
        Storm {
            name: "one backend of five fails",
            policy: "outlier",
            scene: scene(1_000.0, 60, at(2, &mut [Change::Fails(0, true)].into_iter())),
            with: Policies {
                outlier: true,
                ..balanced
            },
            without: Policies::default(),
        },
        Storm {
            name: "one backend of five is slow",
            policy: "peak-ewma",
            scene: slow.clone(),
            with: balanced,
            without: in_turn,
        },
        Storm {
            name: "the same slow backend",
            policy: "least-request",
            scene: slow,
            with: Policies {
                balance: Balance::LeastRequest,
                ..in_turn
            },
            without: in_turn,
        },
        Storm {
            name: "two in five requests for one key",
            policy: "bounded load",
            scene: Scene {
                hot: 0.4,
                ..scene(1_200.0, 40, vec![])
            },
            with: Policies {
                balance: Balance::Key { bounded: true },
                ..in_turn
            },
            without: Policies {
                balance: Balance::Key { bounded: false },
                ..in_turn
            },
        },
        Storm {
            name: "brown-out: half the capacity",
            policy: "bulkhead",
            scene: scene(
                1_600.0,
                40,
                during(5, 25, |one| Change::Slots(one, 4), |one| Change::Slots(one, 8)),
            ),
            with: Policies {
                bulkhead: true,
                ..balanced
            },
            without: balanced,
        },
        Storm {
            name: "twice the load, a tenth critical",
            policy: "priority",
            scene: scene(4_000.0, 30, vec![]),
            with: Policies {
                bulkhead: true,
                priority: true,
                ..balanced
            },
            without: Policies {
                bulkhead: true,
                ..balanced
            },
        },
        Storm {
            name: "retry storm after 3 s of hanging",
            policy: "budget",
            scene: scene(1_500.0, 40, hangs.clone()),
            with: Policies {
                retries: 2,
                budget: true,
                ..balanced
            },
            without: Policies { retries: 2, ..balanced },
        },
        Storm {
            name: "the same storm",
            policy: "all of them",
            scene: scene(1_500.0, 40, hangs),
            with: Policies {
                balance: Balance::PeakEwma,
                slow_start: true,
                outlier: true,
                breaker: true,
                bulkhead: true,
                priority: true,
                retries: 2,
                budget: true,
                hedge: false,
                zones: Zones::None,
            },
            without: Policies {
                retries: 2,
                ..Policies::default()
            },
        },
        Storm {
            name: "10 s of hanging, 50 callers",
            policy: "breaker",
            scene: Scene {
                callers: 50,
                ..scene(
                    1_500.0,
                    40,
                    during(2, 12, |one| Change::Slots(one, 0), |one| Change::Slots(one, 8)),
                )
            },
            with: Policies {
                breaker: true,
                ..balanced
            },
            without: balanced,
        },
        Storm {
            name: "a cold backend joins",
            policy: "slow start",
            scene: scene(1_500.0, 12, at(1, &mut [Change::Joins].into_iter())),
            with: Policies {
                slow_start: true,
                ..Policies::default()
            },
            without: Policies::default(),
        },
        Storm {
            name: "one in fifty takes long",
            policy: "hedge",
            scene: Scene {
                hiccups: 0.02,
                takes: Duration::from_millis(5),
                ..scene(1_000.0, 40, vec![])
            },
            with: Policies {
                hedge: true,
                ..balanced
            },
            without: balanced,
        },
        Storm {
            name: "half of six are 20 ms further away",
            policy: "zone",
            scene: two_zones(600.0, vec![]),
            with: Policies {
                zones: Zones::Spill,
                ..balanced
            },
            without: balanced,
        },
        Storm {
            name: "two of three at home fail",
            policy: "spill",
            scene: two_zones(
                800.0,
                at(2, &mut [Change::Fails(0, true), Change::Fails(1, true)].into_iter()),
            ),
            with: Policies {
                zones: Zones::Spill,
                outlier: true,
                ..balanced
            },
            without: Policies {
                zones: Zones::Always,
                outlier: true,
                ..balanced
            },
        },
    ]
}

/// Three backends at home and three in another zone; each zone alone can serve 1,200 requests a second.
fn two_zones(rate: f64, changes: Vec<(Duration, Change)>) -> Scene {
    Scene {
        backends: 6,
        far: 3,
        way: Duration::from_millis(20),
        ..scene(rate, 40, changes)
    }
}
