//! Zones beside everything else that says which instance may be used.

use super::*;
use ondol_core::id::ZoneName;

fn zone(text: &str) -> ZoneName {
    text.parse().expect("a name")
}

/// Endpoints of another system, from the first on, in these zones; an empty word is none.
fn others(zones: &[&str]) -> Vec<wire::Endpoint> {
    let all = (1..).zip(zones).map(|(number, word)| wire::Endpoint {
        zone: (!word.is_empty()).then(|| zone(word)),
        ..at(number, 1)
    });
    all.collect()
}

/// Of a proxy in this zone; the endpoints are another system's where `peer` is set.
fn zoned(own: Option<&str>, peer: bool, endpoints: Vec<wire::Endpoint>) -> Snapshot {
    let mut snapshot = snapshot(endpoints);
    snapshot.clusters[0].peer = peer.then(|| "depot".parse().expect("a name"));
    snapshot.mesh = Some(wire::Mesh {
        domain: "shop".parse().expect("a name"),
        zone: own.map(zone),
        socket: None,
        identities: vec![],
        peers: vec![],
    });
    snapshot
}

/// Picks without a way to another system, which would need certificates: the breaker's side of it is the same.
struct Zoned {
    clusters: Clusters,
    random: SeededEntropy,
    way: Way,
}

impl Zoned {
    fn new(snapshot: &Snapshot) -> Self {
        let clusters = Clusters::default();
        clusters.apply(snapshot, SEC);
        let cluster = clusters.get(&name("orders")).expect("known");
        Self {
            way: Way::new(cluster, None, &BREAKER, None),
            random: SeededEntropy::new(1),
            clusters,
        }
    }

    fn endpoint(&self, number: u32) -> Arc<Endpoint> {
        let view = self.way.cluster().view();
        let mut all = view.endpoints.iter();
        all.find(|one| one.instance.number == number).expect("there").clone()
    }

    fn eject(&self, numbers: &[u32]) {
        numbers.iter().for_each(|number| self.endpoint(*number).eject(SEC, 0));
    }

    fn number(&self, by: By, tried: &[Arc<Endpoint>]) -> u32 {
        self.number_at(SEC, by, tried)
    }

    fn number_at(&self, now: Duration, by: By, tried: &[Arc<Endpoint>]) -> u32 {
        let wish = Wish { session: None, by };
        let mut permit = self.way.pick(now, &self.random, tried, wish).expect("an instance");
        permit.report(WELL, now, &self.random);
        permit.endpoint().instance.number
    }

    /// Of so many requests, how many go to each.
    fn spread(&self, requests: u64, by: fn(u64) -> By) -> Vec<u32> {
        self.spread_at(SEC, requests, by)
    }

    fn spread_at(&self, now: Duration, requests: u64, by: fn(u64) -> By) -> Vec<u32> {
        let count = self.way.cluster().view().endpoints.len();
        let mut all = vec![0; count];
        for request in 0..requests {
            all[self.number_at(now, by(request), &[]) as usize - 1] += 1;
        }
        all
    }

    fn counts(&self) -> [u64; 2] {
        self.clusters.bulkheads()[0].zones
    }
}

const WAYS: [fn(u64) -> By; 5] = [
    |_| By::PeakEwma,
    |_| By::LeastRequest,
    |_| By::RoundRobin,
    |key| By::Ring(ondol_resilience::hashing::hash_of(&key.to_be_bytes())),
    |key| By::Maglev(ondol_resilience::hashing::hash_of(&key.to_be_bytes())),
];

#[test]
fn whatever_the_way_requests_stay_at_home_and_are_shared_there() {
    for (number, by) in WAYS.into_iter().enumerate() {
        let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "b", "a", "b", ""])));
        let spread = world.spread(200, by);
        assert_eq!([spread[1], spread[3], spread[4]], [0; 3], "{number} {spread:?}");
        assert!(spread[0] > 40 && spread[2] > 40, "{number} {spread:?}");
        assert_eq!(world.counts(), [200, 0]);
    }
}

#[test]
fn without_zones_or_with_one_for_all_every_endpoint_is_as_near() {
    for (own, zones, counts) in [
        (None, ["a", "b", "", "c"], [0, 0]),
        (Some("a"), ["", "", "", ""], [0, 0]),
        (Some("a"), ["a", "a", "a", "a"], [400, 0]),
        (Some("a"), ["b", "c", "", "c"], [0, 400]),
    ] {
        let world = Zoned::new(&zoned(own, true, others(&zones)));
        let spread = world.spread(400, |_| By::PeakEwma);
        assert!(spread.iter().all(|count| *count > 50), "{own:?} {zones:?} {spread:?}");
        assert_eq!(world.counts(), counts, "{own:?} {zones:?}");
    }
}

#[test]
fn an_instance_of_this_system_that_says_no_zone_is_at_home() {
    let world = Zoned::new(&zoned(Some("a"), false, others(&["", "b", "a"])));
    let spread = world.spread(100, |_| By::RoundRobin);
    assert_eq!(spread, [50, 0, 50]);
}

#[test]
fn below_seven_in_ten_a_share_goes_to_all_others() {
    for (number, by) in WAYS.into_iter().enumerate() {
        let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "a", "b", "c"])));
        world.eject(&[1]);
        let spread = world.spread(2_000, by);
        // Half of them are well: 5/7 stay.
        assert!((1_300..1_560).contains(&spread[1]), "{number} {spread:?}");
        assert!(
            spread[0] == 0 && spread[2] > 150 && spread[3] > 150,
            "{number} {spread:?}"
        );
        let counts = world.counts().map(|count| count as u32);
        assert_eq!(counts, [spread[1], spread[2] + spread[3]]);
    }
}

#[test]
fn with_nobody_well_at_home_all_go_elsewhere_and_they_come_back() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "a", "b", "b"])));
    world.eject(&[1, 2]);
    let spread = world.spread(100, |_| By::RoundRobin);
    assert_eq!(spread, [0, 0, 50, 50]);
    let later = 10_000 * SEC;
    let mut permit = world
        .way
        .pick(later, &world.random, &[], Wish::default())
        .expect("an instance");
    permit.report(WELL, later, &world.random);
    assert!(permit.endpoint().is_home(), "they are back");
}

#[test]
fn the_only_one_at_home_gets_its_requests_little_by_little_once_it_is_back() {
    for (number, by) in WAYS.into_iter().enumerate() {
        let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "b", "b"])));
        world.eject(&[1]);
        let one = world.endpoint(1);
        let back = (2..)
            .map(|secs| secs * SEC)
            .find(|now| one.is_well(*now))
            .expect("it comes back");
        // A tenth of what it could bear first, of which seven in ten would be enough.
        let shares = [back, back + 3 * SEC, back + 7 * SEC].map(|now| world.spread_at(now, 1_000, by)[0]);
        assert!((80..400).contains(&shares[0]), "{number} {shares:?}");
        assert!(shares[0] + 100 < shares[1] && shares[1] < 900, "{number} {shares:?}");
        assert_eq!(shares[2], 1_000, "{number}");
    }
}

#[test]
fn ones_that_join_at_home_come_little_by_little_and_drive_nobody_away() {
    for (number, by) in WAYS.into_iter().enumerate() {
        let world = Zoned::new(&zoned(Some("a"), true, others(&["b"])));
        let now = 100 * SEC;
        let join = |zones| world.clusters.apply(&zoned(Some("a"), true, others(zones)), now);
        join(&["b", "a", "a"]);
        let spread = world.spread_at(now, 1_000, by);
        assert!(
            (750..950).contains(&spread[0]),
            "the first ones of home: {number} {spread:?}"
        );

        let world = Zoned::new(&zoned(Some("a"), true, others(&["b", "a"])));
        let join = |zones| world.clusters.apply(&zoned(Some("a"), true, others(zones)), now);
        join(&["b", "a", "a", "a", "a"]);
        let spread = world.spread_at(now, 1_000, by);
        assert!(
            spread[0] == 0 && spread[1] > 500,
            "more beside one: {number} {spread:?}"
        );
    }
}

#[test]
fn where_the_others_are_out_all_stay() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "a", "b"])));
    world.eject(&[1, 3]);
    assert_eq!(world.spread(100, |_| By::PeakEwma), [0, 100, 0]);
}

#[test]
fn in_panic_all_are_used_wherever_they_are() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "b", "b", "b"])));
    world.eject(&[2, 3, 4]);
    let spread = world.spread(400, |_| By::LeastRequest);
    assert!(spread.iter().all(|count| *count > 50), "{spread:?}");
}

#[test]
fn an_attempt_after_all_of_home_were_tried_goes_elsewhere() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "a", "b"])));
    let tried: Vec<_> = [1, 2].map(|number| world.endpoint(number)).into();
    for by in WAYS {
        assert_eq!(world.number(by(1), &tried[..1]), 2);
        assert_eq!(world.number(by(1), &tried), 3);
    }
    let all: Vec<_> = [1, 2, 3].map(|number| world.endpoint(number)).into();
    assert!(world.number(By::PeakEwma, &all) < 3, "after everybody, home again");
}

#[test]
fn a_session_stays_with_its_instance_in_whatever_zone() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "b"])));
    let wish = Wish {
        session: Some(world.endpoint(2).sticky),
        by: By::PeakEwma,
    };
    let permit = world.way.pick(SEC, &world.random, &[], wish).expect("an instance");
    assert_eq!(permit.endpoint().instance.number, 2);
}

#[test]
fn requests_of_one_key_spill_together() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "a", "b", "b"])));
    world.eject(&[1]);
    for key in 0..200 {
        for by in &WAYS[3..] {
            let first = world.number(by(key), &[]);
            assert!((0..5).all(|_| world.number(by(key), &[]) == first), "{key}");
        }
    }
}

#[test]
fn a_zone_that_changes_keeps_what_is_known_of_the_endpoint() {
    let world = Zoned::new(&zoned(Some("a"), true, others(&["a", "b"])));
    assert_eq!(world.spread(50, |_| By::PeakEwma), [50, 0]);
    let before = world.endpoint(2);
    world.clusters.apply(&zoned(Some("b"), true, others(&["a", "b"])), SEC);
    assert_eq!(world.spread(50, |_| By::PeakEwma), [0, 50]);
    assert!(Arc::ptr_eq(&before, &world.endpoint(2)));
}
