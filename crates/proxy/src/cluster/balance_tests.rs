//! Each way of balancing beside everything else that says which instance may be used.

use super::*;
use ondol_core::wire::proxy::{Balance, Edge, HashBy, Policy};
use ondol_core::wire::supervision::SocketName;
use ondol_resilience::hashing::hash_of;

const ALL: [By; 5] = [
    By::PeakEwma,
    By::LeastRequest,
    By::RoundRobin,
    By::Ring(42),
    By::Maglev(42),
];

/// A snapshot in which the service is called by both tables.
fn hashed(endpoints: Vec<wire::Endpoint>) -> Snapshot {
    let edge = |(caller, balance): (&str, Balance)| Edge {
        caller: name(caller),
        peer: None,
        target: name("orders"),
        socket: SocketName(caller.into()),
        policy: Policy {
            timeout_ms: 1_000,
            stream: false,
            retries: 0,
            breaker: BREAKER,
            body_limit: 1,
            priority: Default::default(),
            hedge_share: 0.0,
            balance,
            cache: None,
            fallback: None,
        },
    };
    let ways = [
        ("web", Balance::RingHash(HashBy::Path)),
        ("app", Balance::Maglev(HashBy::Path)),
    ];
    Snapshot {
        edges: ways.into_iter().map(edge).collect(),
        ..snapshot(endpoints)
    }
}

fn world(instances: u32) -> World {
    let endpoints: Vec<_> = (1..=instances).map(|number| at(number, 1)).collect();
    let world = World::new(endpoints.clone());
    world.clusters.apply(&hashed(endpoints), SEC);
    world
}

impl World {
    fn permit(&self, now: Duration, by: By, tried: &[Arc<Endpoint>]) -> Permit {
        let wish = Wish { session: None, by };
        self.way.pick(now, &self.random, tried, wish).expect("an instance")
    }

    /// The number of the instance that gets a request, which ends well at once.
    fn number(&self, now: Duration, by: By) -> u32 {
        let mut permit = self.permit(now, by, &[]);
        permit.report(WELL, now, &self.random);
        permit.endpoint().instance.number
    }

    fn endpoint(&self, number: u32) -> Arc<Endpoint> {
        let view = self.way.cluster().view();
        let mut all = view.endpoints.iter();
        all.find(|endpoint| endpoint.instance.number == number)
            .expect("an instance")
            .clone()
    }

    /// Where each of 200 keys is served.
    fn homes(&self, now: Duration, by: fn(u64) -> By) -> Vec<u32> {
        let hashes = (0..200_u32).map(|key| hash_of(&key.to_le_bytes()));
        hashes.map(|hash| self.number(now, by(hash))).collect()
    }
}

#[test]
fn whatever_the_way_only_who_may_be_used_is() {
    for by in ALL {
        let world = world(4);
        let (tried, ejected) = (world.endpoint(1), world.endpoint(2));
        ejected.eject(SEC, 0);
        let three = vec![at(1, 1), at(2, 1), draining(3, 1), at(4, 1)];
        world.clusters.apply(&hashed(three), SEC);
        for _ in 0..50 {
            let permit = world.permit(SEC, by, std::slice::from_ref(&tried));
            assert_eq!(permit.endpoint().instance.number, 4, "{by:?}");
        }
    }
}

#[test]
fn whatever_the_way_a_session_stays_with_its_instance() {
    let world = world(3);
    let wanted = world.endpoint(2).sticky;
    for by in ALL {
        let wish = Wish {
            session: Some(wanted),
            by,
        };
        let permit = world.way.pick(SEC, &world.random, &[], wish).expect("an instance");
        assert_eq!(permit.endpoint().instance.number, 2, "{by:?}");
    }
}

#[test]
fn whatever_the_way_one_that_joins_warms_up() {
    for (by, cold) in [
        (By::PeakEwma, 20..450),
        (By::LeastRequest, 20..450),
        // 10 in 210 of the turns.
        (By::RoundRobin, 142..145),
    ] {
        let world = world(2);
        world
            .clusters
            .apply(&hashed(vec![at(1, 1), at(2, 1), at(3, 1)]), 12 * SEC);
        let share = |now| (0..3_000).filter(|_| world.number(now, by) == 3).count();
        let (early, late) = (share(12 * SEC), share(23 * SEC));
        assert!(cold.contains(&early), "{by:?} {early}");
        assert!((700..1_300).contains(&late), "{by:?} {late}");
    }
}

#[test]
fn the_one_with_fewer_requests_gets_the_next() {
    let world = world(2);
    let busy: Vec<_> = (0..5)
        .map(|_| world.permit(SEC, By::LeastRequest, std::slice::from_ref(&world.endpoint(2))))
        .collect();
    assert!((0..20).all(|_| world.number(SEC, By::LeastRequest) == 2));
    drop(busy);
    let one = (0..100).filter(|_| world.number(SEC, By::LeastRequest) == 1).count();
    assert!((20..80).contains(&one), "{one}");
}

#[test]
fn turns_are_taken_by_all_in_order() {
    let world = world(3);
    let turns: Vec<_> = (0..9).map(|_| world.number(SEC, By::RoundRobin)).collect();
    assert_eq!(turns, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    world.endpoint(2).eject(SEC, 0);
    let turns: Vec<_> = (0..4).map(|_| world.number(SEC, By::RoundRobin)).collect();
    assert_eq!(turns, [1, 3, 1, 3]);
}

#[test]
fn a_snapshot_that_changes_nothing_here_interrupts_no_turn_and_builds_no_table() {
    let world = world(3);
    assert_eq!(world.number(SEC, By::RoundRobin), 1);
    let before = world.way.cluster().view().shares.clone();
    world.clusters.apply(&hashed(vec![at(1, 1), at(2, 1), at(3, 1)]), SEC);
    assert!(Arc::ptr_eq(&before, &world.way.cluster().view().shares));
    assert_eq!(world.number(SEC, By::RoundRobin), 2);
    world.clusters.apply(&snapshot(vec![at(1, 1), at(2, 1), at(3, 1)]), SEC);
    let without = format!("{:?}", world.way.cluster().view().shares);
    assert!(without.contains("ring: None, maglev: None"), "nobody asks for them");
}

#[test]
fn a_key_stays_and_leaves_only_with_its_instance_and_comes_back() {
    for by in [By::Ring as fn(u64) -> By, By::Maglev] {
        let world = world(4);
        let before = world.homes(SEC, by);
        assert_eq!(world.homes(SEC, by), before);
        world.endpoint(2).eject(SEC, 0);
        let meanwhile = world.homes(SEC, by);
        assert!(!meanwhile.contains(&2));
        let moved = |after: &[u32]| {
            before
                .iter()
                .zip(after)
                .filter(|(old, new)| old != new && **old != 2)
                .count()
        };
        assert_eq!(moved(&meanwhile), 0, "others' keys are not touched");
        let others = (1..=4).filter(|number| {
            before
                .iter()
                .zip(&meanwhile)
                .any(|(old, new)| *old == 2 && new == number)
        });
        assert_eq!(others.collect::<Vec<_>>(), [1, 3, 4], "no neighbour gets all of them");
        assert_eq!(world.homes(60 * SEC, by), before);
    }
}

#[test]
fn a_restart_of_an_instance_moves_no_key() {
    let world = world(3);
    let before = world.homes(SEC, By::Maglev);
    world.clusters.apply(&hashed(vec![at(1, 1), at(2, 2), at(3, 1)]), SEC);
    assert_eq!(world.homes(60 * SEC, By::Maglev), before);
}

#[test]
fn a_key_that_everybody_asks_for_does_not_drown_its_instance() {
    let world = world(4);
    for by in [By::Ring(7), By::Maglev(7)] {
        let permits: Vec<_> = (0..100).map(|_| world.permit(SEC, by, &[])).collect();
        let most = world.clusters.in_flight().iter().map(|(_, count)| *count).max();
        assert!(most <= Some(32), "a quarter more than the mean, rounded up: {most:?}");
        drop(permits);
    }
}

#[test]
fn panic_is_told_as_long_as_it_lasts_whether_anybody_calls_or_not() {
    let world = world(3);
    assert_eq!(world.clusters.panics(SEC), []);
    for number in 1..=3 {
        let endpoint = world.endpoint(number);
        endpoint.check(false);
        endpoint.check(false);
    }
    assert_eq!(world.clusters.panics(SEC), [name("orders")]);
    for by in ALL {
        world.number(SEC, by); // All are used.
    }
    world.endpoint(1).check(true);
    assert_eq!(world.clusters.panics(SEC), []);
}

#[tokio::test]
async fn the_first_request_in_panic_is_news() {
    let world = world(3);
    world.clusters.news().await; // Of the snapshots.
    for endpoint in &world.way.cluster().view().endpoints {
        endpoint.check(false);
        endpoint.check(false);
    }
    let mut news = Box::pin(world.clusters.news());
    assert!(futures_util::poll!(&mut news).is_pending());
    world.number(SEC, By::PeakEwma);
    news.await;
}
