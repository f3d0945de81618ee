//! Many routes: what a look-up costs, and how long a change takes from the controller's word to all workers serving by it.
//!
//! Each service has ten routes, exact ones and prefixes; look-ups ask for known paths below them in an order that no cache
//! likes. A change is one route's timeout; the proxy reads the whole snapshot, as it always does.
//!
//! `cargo bench -p ondol-proxy --bench routes`; figures are in docs/performance.md.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{cluster, route, serving, snapshot};
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::wire::proxy::{Change, FromProxy, PathMatch, Protocol, Route, RouteMatch, Snapshot, ToProxy};
use ondol_proxy::message::RequestHead;
use ondol_proxy::route::Table;
use std::hint::black_box;
use std::sync::Arc;

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const LOOK_UPS: usize = 200_000;
const CHANGES: u64 = 9;

fn main() {
    println!(
        "{:>7} {:>9} {:>12} {:>12}",
        "routes", "services", "look-up, ns", "change, ms"
    );
    for size in SIZES {
        let services = size.div_ceil(10);
        let routes: Vec<Route> = (0..size).map(one).collect();
        let (look_up, change) = (look_up(&routes), change(routes, services));
        println!("{size:>7} {services:>9} {look_up:>12.0} {change:>12.1}");
    }
}

fn one(number: usize) -> Route {
    let path = path(number);
    let spec = route(&path, &format!("s{}", number / 10));
    if number.is_multiple_of(2) {
        return spec;
    }
    let matches = RouteMatch {
        path: PathMatch::Exact(path),
        ..spec.matches
    };
    Route { matches, ..spec }
}

fn path(number: usize) -> String {
    format!("/api/v1/service-{}/resource-{number}", number / 10)
}

/// Nanoseconds of one look-up.
fn look_up(routes: &[Route]) -> f64 {
    let shared: Vec<_> = routes.iter().cloned().map(Arc::new).collect();
    let table = Table::compile(&shared).expect("good routes");
    let heads: Vec<RequestHead> = (0..routes.len())
        .map(|number| {
            let target = path(number)
                + if number.is_multiple_of(2) {
                    "/7f3a/items?limit=20"
                } else {
                    ""
                };
            RequestHead::new(http::Method::GET, "shop.example:8080", &target).expect("a good target")
        })
        .collect();
    let begun = SystemClock.mono();
    let mut at = 0;
    for _ in 0..LOOK_UPS {
        at = (at + 7_919) % heads.len();
        let found = black_box(&table).find(black_box(&heads[at]));
        assert_eq!(found.map(|route| route.index), Some(at));
    }
    (SystemClock.mono() - begun).as_nanos() as f64 / LOOK_UPS as f64
}

/// Milliseconds from two snapshots at the controller to the word that all workers serve by the newer; the median.
fn change(routes: Vec<Route>, services: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = (0..services)
        .map(|number| {
            cluster(
                &format!("s{number}"),
                Protocol::Http1,
                &["127.0.0.1:9".parse().expect("an address")],
            )
        })
        .collect();
    let mut told: Snapshot = snapshot(routes, vec![], clusters);
    let (running, mut controller) = serving(dir.path(), &told);
    let mut took: Vec<f64> = (0..CHANGES)
        .map(|change| {
            let mut next = told.clone();
            next.generation += 1;
            Arc::make_mut(&mut next.routes[0]).policy.timeout_ms = 1_000 + change;
            let begun = SystemClock.mono();
            let change = Change::between(&told, &next).expect("they differ in a route");
            let word = controller.tell_word(&ToProxy::Change(Box::new(change)));
            told = next;
            assert!(matches!(word, FromProxy::Ack { .. }), "{word:?}");
            (SystemClock.mono() - begun).as_secs_f64() * 1_000.0
        })
        .collect();
    running.stop();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
