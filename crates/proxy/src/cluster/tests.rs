//! Picks, permits and history, without a network.

use super::*;
use ondol_core::entropy::SeededEntropy;
use ondol_core::id::BootId;
use std::thread;

#[path = "balance_tests.rs"]
mod balancing;
#[path = "zones_tests.rs"]
mod zoned;

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const BREAKER: wire::Breaker = wire::Breaker {
    failure_ratio: 0.5,
    minimum: 20,
    open_ms: 5_000,
};
const WELL: Outcome = Outcome::Answered {
    status: 200,
    took: Some(MS),
    slow: false,
    retry_after: None,
};

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

/// An instance `orders.NUMBER` at its `start`.
fn at(number: u32, start: u64) -> wire::Endpoint {
    let instance = InstanceId {
        service: name("orders"),
        number,
    };
    wire::Endpoint {
        instance,
        start,
        address: ([127, 0, 0, 1], 9_000 + number as u16).into(),
        draining: false,
        zone: None,
    }
}

fn draining(number: u32, start: u64) -> wire::Endpoint {
    wire::Endpoint {
        draining: true,
        ..at(number, start)
    }
}

fn snapshot(endpoints: Vec<wire::Endpoint>) -> Snapshot {
    let cluster = wire::Cluster {
        service: name("orders"),
        protocol: Protocol::Http1,
        endpoints,
        health: None,
        unavailable: None,
        concurrency: Default::default(),
        peer: None,
    };
    Snapshot {
        boot: BootId {
            system: "s".into(),
            boot: "b".into(),
        },
        generation: 1,
        gateways: vec![],
        routes: vec![],
        edges: vec![],
        clusters: vec![cluster],
        issuers: BTreeMap::new(),
        trusted_proxies: vec![],
        controller_socket: "c".into(),
        mesh: None,
    }
}

struct World {
    clusters: Clusters,
    random: SeededEntropy,
    way: Way,
}

impl World {
    fn new(endpoints: Vec<wire::Endpoint>) -> Self {
        let clusters = Clusters::default();
        clusters.apply(&snapshot(endpoints), SEC);
        let way = clusters.way(None, &name("orders"), &BREAKER).expect("known");
        Self {
            clusters,
            random: SeededEntropy::new(1),
            way,
        }
    }

    fn pick(&self, now: Duration, tried: &[Arc<Endpoint>]) -> Result<Permit, Unavailable> {
        self.way.pick(now, &self.random, tried, Wish::default())
    }

    /// The number of the instance that gets a request, which goes well.
    fn call(&self, now: Duration, outcome: Outcome) -> u32 {
        let mut permit = self.pick(now, &[]).expect("an instance");
        permit.report(outcome, now, &self.random);
        permit.endpoint().instance.number
    }

    fn calls(&self, count: usize, outcome: Outcome) {
        for _ in 0..count {
            self.call(SEC, outcome);
        }
    }

    /// How many of `calls` good calls instance `number` gets.
    fn share(&self, now: Duration, calls: usize, number: u32) -> usize {
        (0..calls).filter(|_| self.call(now, WELL) == number).count()
    }
}

#[test]
fn a_request_is_in_flight_until_its_permit_is_dropped() {
    let world = World::new(vec![at(1, 1)]);
    let mut first = world.pick(SEC, &[]).expect("an instance");
    let second = world.pick(SEC, &[]).expect("an instance");
    first.report(WELL, SEC, &world.random);
    assert_eq!(
        world.clusters.in_flight(),
        [(at(1, 1).instance, 2)],
        "an outcome ends nothing"
    );
    drop(first);
    assert_eq!(world.clusters.in_flight(), [(at(1, 1).instance, 1)]);
    drop(second);
    assert_eq!(world.clusters.in_flight(), [(at(1, 1).instance, 0)]);
}

#[test]
fn another_attempt_goes_to_another_instance_if_there_is_one() {
    let world = World::new(vec![at(1, 1), at(2, 1), at(3, 1)]);
    for _ in 0..50 {
        let mut tried = Vec::new();
        for _ in 0..3 {
            let permit = world.pick(SEC, &tried).expect("an instance");
            assert!(!tried.iter().any(|other| Arc::ptr_eq(other, permit.endpoint())));
            tried.push(permit.endpoint().clone());
        }
        assert!(world.pick(SEC, &tried).is_ok(), "all were tried: any will do");
    }
}

#[test]
fn the_reason_why_nothing_can_be_sent_is_named() {
    let world = World::new(vec![]);
    assert_eq!(
        world.pick(SEC, &[]).expect_err("none").to_string(),
        "service orders has no ready instance"
    );
    let mut skipped = snapshot(vec![]);
    skipped.clusters[0].unavailable = Some("skipped: node is not installed".into());
    world.clusters.apply(&skipped, SEC);
    let error = world.pick(SEC, &[]).expect_err("none");
    assert_eq!(
        error.to_string(),
        "service orders is not available: skipped: node is not installed"
    );
    assert_eq!((error.code().as_str(), error.retry_after()), ("GW-051", None));
    world.clusters.apply(
        &Snapshot {
            clusters: vec![],
            ..skipped
        },
        SEC,
    );
    assert!(
        world
            .pick(SEC, &[])
            .expect_err("none")
            .to_string()
            .contains("not part of the system")
    );
    assert!(world.clusters.get(&name("orders")).is_none());
}

#[test]
fn a_way_of_an_older_snapshot_finds_the_instances_of_the_newer() {
    let world = World::new(vec![at(1, 1)]);
    world.clusters.apply(&snapshot(vec![at(2, 1)]), SEC);
    assert_eq!(world.call(SEC, WELL), 2);
}

#[test]
fn an_instance_keeps_its_history_until_it_starts_again() {
    let world = World::new(vec![at(1, 1), at(2, 1)]);
    let id = |number| {
        let view = world.way.cluster().view();
        view.endpoints
            .iter()
            .find(|endpoint| endpoint.instance.number == number)
            .map(|endpoint| endpoint.id)
    };
    let before = (id(1), id(2));
    world.clusters.apply(&snapshot(vec![draining(2, 1), at(1, 1)]), SEC);
    assert_eq!((id(1), id(2)), before);
    world.clusters.apply(&snapshot(vec![at(1, 2), at(2, 1)]), SEC);
    assert_ne!(id(1), before.0);
    assert_eq!(id(2), before.1);
}

#[test]
fn requests_of_an_instance_that_is_in_no_snapshot_are_still_counted() {
    let world = World::new(vec![at(1, 1)]);
    let permit = world.pick(SEC, &[]).expect("an instance");
    world.clusters.apply(&snapshot(vec![at(1, 2)]), SEC);
    let newer = world.pick(SEC, &[]).expect("an instance");
    assert_eq!(world.clusters.in_flight(), [(at(1, 1).instance, 2)]);
    drop((permit, newer));
    assert_eq!(world.clusters.in_flight(), [(at(1, 1).instance, 0)]);
}

#[tokio::test]
async fn a_draining_instance_gets_nothing_and_its_last_request_is_news() {
    let world = World::new(vec![at(1, 1)]);
    let (first, second) = (world.pick(SEC, &[]), world.pick(SEC, &[]));
    world.clusters.apply(&snapshot(vec![draining(1, 1)]), SEC);
    world.clusters.news().await;
    assert_eq!(
        world.pick(SEC, &[]).expect_err("none"),
        Unavailable::NoInstance(name("orders"))
    );
    drop(first);
    let mut news = Box::pin(world.clusters.news());
    assert!(futures_util::poll!(&mut news).is_pending(), "one is still in flight");
    drop(second);
    news.await;
    assert_eq!(world.clusters.in_flight(), [(at(1, 1).instance, 0)]);
}

#[test]
fn no_permit_is_given_for_an_instance_that_drains_whoever_races() {
    for _ in 0..200 {
        let world = World::new(vec![at(1, 1), at(2, 1)]);
        let endpoint = world.way.cluster().view().endpoints[0].clone();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        drop(world.pick(SEC, &[]).expect("the other instance is there"));
                    }
                });
            }
            world.clusters.apply(&snapshot(vec![draining(1, 1), at(2, 1)]), SEC);
            // A pick that lost the race counts itself in and out again; one that won was counted before the flag.
            while endpoint.in_flight() > 0 {
                std::hint::spin_loop();
            }
            for _ in 0..100 {
                let permit = world.pick(SEC, &[]).expect("the other instance is there");
                assert_eq!(permit.endpoint().instance.number, 2);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(endpoint.in_flight(), 0);
    }
}

#[test]
fn broken_calls_open_the_breaker_and_calls_that_were_not_sent_do_not() {
    let world = World::new(vec![at(1, 1)]);
    (0..50).for_each(|_| assert_eq!(world.call(SEC, Outcome::NotSent), 1));
    (0..50).for_each(|_| drop(world.pick(SEC, &[]).expect("dropped permits are no failures")));
    (0..20).for_each(|_| assert_eq!(world.call(SEC, Outcome::Broken), 1));
    let error = world.pick(SEC, &[]).expect_err("open");
    assert_eq!(
        error,
        Unavailable::BreakerOpen {
            service: name("orders"),
            retry_after: 5 * SEC
        }
    );
    assert_eq!(world.clusters.breakers(SEC), [(name("orders"), "open".to_owned())]);
    let half_open = [(name("orders"), "half-open".to_owned())];
    assert_eq!(
        world.clusters.breakers(6 * SEC),
        half_open,
        "though nobody has asked since"
    );
    assert!(world.pick(6 * SEC, &[]).is_ok());
    assert_eq!(world.clusters.breakers(6 * SEC), half_open);
    drop(world.way);
    assert!(world.clusters.breakers(6 * SEC).is_empty(), "nobody asks it any more");
}

#[test]
fn slow_answers_and_errors_count_for_the_breaker_and_client_errors_do_not() {
    let answered = |status, slow| Outcome::Answered {
        status,
        took: Some(MS),
        slow,
        retry_after: None,
    };
    for (outcome, opens) in [
        (answered(500, false), true),
        (answered(200, true), true),
        (answered(404, false), false),
        (answered(429, false), false),
    ] {
        let world = World::new(vec![at(1, 1)]);
        world.calls(20, outcome);
        assert_eq!(world.pick(SEC, &[]).is_err(), opens, "{outcome:?}");
    }
}

/// A subscription or a saga that gets errors pauses by itself; whoever calls the service otherwise must not feel it.
#[test]
fn answers_to_the_built_in_caller_open_no_breaker_and_eject_no_instance_and_silence_opens_only_its_own() {
    let world = World::new(vec![at(1, 1), at(2, 1)]);
    let own = world
        .clusters
        .way(Some(&ServiceName::ondol()), &name("orders"), &BREAKER)
        .expect("known");
    let call = |now, outcome| {
        let mut permit = own.pick(now, &world.random, &[], Wish::default())?;
        permit.report(outcome, now, &world.random);
        Ok::<_, Unavailable>(())
    };
    let failed = Outcome::Answered {
        status: 500,
        took: Some(MS),
        slow: true,
        retry_after: None,
    };
    (0..200).for_each(|_| call(SEC, failed).expect("its breaker is closed"));
    assert!(world.clusters.breakers(SEC).is_empty());
    assert!(
        world.clusters.healthy(SEC).iter().all(|(_, well)| *well),
        "none is ejected"
    );
    // The breaker's window is over: what was answered outweighs nothing any more.
    let later = 100 * SEC;
    let broken = (0..200).take_while(|_| call(later, Outcome::Broken).is_ok()).count();
    assert!(broken < 200, "silence opens it");
    assert!(world.pick(later, &[]).is_ok(), "and no other caller's");
}

#[test]
fn a_new_instance_closes_the_breaker() {
    let world = World::new(vec![at(1, 1)]);
    world.calls(20, Outcome::Broken);
    assert!(world.pick(SEC, &[]).is_err());
    world.clusters.apply(&snapshot(vec![at(1, 1)]), SEC);
    assert!(world.pick(SEC, &[]).is_err(), "nothing new");
    world.clusters.apply(&snapshot(vec![at(1, 2)]), SEC);
    assert_eq!(world.call(SEC, WELL), 1);
}

#[test]
fn ways_with_one_setting_share_a_breaker_and_ways_of_one_caller_a_budget() {
    let world = World::new(vec![at(1, 1)]);
    let caller = name("web");
    let other = world
        .clusters
        .way(Some(&caller), &name("orders"), &BREAKER)
        .expect("known");
    let strict = wire::Breaker { minimum: 5, ..BREAKER };
    let strict = world
        .clusters
        .way(Some(&caller), &name("orders"), &strict)
        .expect("known");
    assert!(Arc::ptr_eq(&world.way.breaker, &other.breaker) && !Arc::ptr_eq(&other.breaker, &strict.breaker));
    assert!(Arc::ptr_eq(&other.budget, &strict.budget) && !Arc::ptr_eq(&world.way.budget, &other.budget));
    assert_eq!((0..500).filter(|_| other.may_retry(SEC)).count(), 100);
    assert!(!strict.may_retry(SEC) && world.way.may_retry(SEC));
    drop((other, strict));
    world.clusters.apply(&snapshot(vec![at(1, 1)]), SEC);
    assert_eq!(lock(&world.way.cluster.breakers).len(), 1, "unused ones are forgotten");
    assert_eq!(lock(&world.way.cluster.budgets).len(), 1);
}

#[test]
fn an_instance_that_fails_where_the_other_does_not_is_left_alone_for_a_while() {
    let world = World::new(vec![at(1, 1), at(2, 1)]);
    let first = world.way.cluster().view().endpoints[0].clone();
    let two = world.way.cluster().view().endpoints[1].clone();
    for _ in 0..5 {
        let mut permit = world.pick(SEC, std::slice::from_ref(&two)).expect("the first");
        permit.report(Outcome::NotSent, SEC, &world.random);
    }
    assert!(!first.is_well(SEC));
    assert_eq!(
        world.clusters.healthy(SEC),
        [(at(1, 1).instance, false), (at(2, 1).instance, true)]
    );
    assert_eq!(world.share(SEC, 100, 1), 0);
    let mut permit = world.pick(SEC, &[]).expect("the second");
    (0..5).for_each(|_| permit.report(Outcome::Broken, SEC, &world.random));
    assert!(two.is_well(SEC), "one outcome per permit, and at most half of them go");
    assert!(first.is_well(8 * SEC), "5 s and a fifth");
}

#[test]
fn the_last_instance_that_takes_requests_stays_however_it_fails() {
    let world = World::new(vec![at(1, 1), draining(2, 1)]);
    world.calls(10, Outcome::Broken);
    assert!(world.way.cluster().view().endpoints[0].is_well(SEC));
}

#[test]
fn when_too_few_are_well_all_are_used() {
    let world = World::new(vec![at(1, 1), at(2, 1)]);
    for endpoint in &world.way.cluster().view().endpoints {
        endpoint.check(false);
        endpoint.check(false);
        assert!(!endpoint.is_well(SEC));
    }
    assert!((1..100).contains(&world.share(SEC, 100, 1)));
}

#[test]
fn the_faster_instance_gets_more() {
    let world = World::new(vec![at(1, 1), at(2, 1)]);
    let mut counts = [0; 3];
    for call in 0..400 {
        let now = SEC + call * MS;
        let mut permit = world.pick(now, &[]).expect("an instance");
        let number = permit.endpoint().instance.number;
        counts[number as usize] += 1;
        let took = if number == 1 { 100 * MS } else { 2 * MS };
        permit.report(
            Outcome::Answered {
                status: 200,
                took: Some(took),
                slow: false,
                retry_after: None,
            },
            now,
            &world.random,
        );
    }
    assert!(counts[1] > 0 && counts[2] > counts[1] * 5, "{counts:?}");
}

#[test]
fn an_instance_that_joins_others_warms_up_and_the_first_ones_do_not() {
    let world = World::new(vec![at(1, 1)]);
    world.clusters.apply(&snapshot(vec![at(1, 1), at(2, 1)]), 3 * SEC);
    let share = world.share(3 * SEC, 1_000, 1);
    assert!((300..700).contains(&share), "ready three seconds later: {share}");
    world
        .clusters
        .apply(&snapshot(vec![at(1, 1), at(2, 1), at(3, 1)]), 12 * SEC);
    let early = world.share(12 * SEC, 3_000, 3);
    let late = world.share(23 * SEC, 3_000, 3);
    assert!((20..450).contains(&early), "{early}");
    assert!((700..1_300).contains(&late), "{late}");
}
