//! Requests, errors, durations of every route and edge.
//!
//! Invariants
//! - A counter never falls: what a proxy counted in an earlier life is kept as a base. A life is known by the number drawn at
//!   its start, never by a process id, which comes again.
//! - Quantiles come from merged buckets, never from averaged quantiles.
//! - Bounded: at most [`MAX_SERIES`] series; further ones are counted under the target `overflow`.

mod counts;

pub use counts::Counts;

use ondol_core::clock::Timestamp;
use ondol_core::id::{InstanceId, RouteName, ServiceName, SystemName};
use ondol_core::wire::proxy::{CacheReport, Report};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Series kept at most.
pub const MAX_SERIES: usize = 10_000;

/// The window of rates and quantiles, and how often it is cut.
const WINDOW_MS: i64 = 60_000;
const CUT_MS: i64 = 5_000;

/// One route or one edge.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Series {
    /// The gateway route, or `None` for an edge.
    pub route: Option<RouteName>,
    /// The edge's caller.
    pub caller: Option<ServiceName>,
    /// The system in which the caller lives, if that is another one.
    pub peer: Option<SystemName>,
    /// The target's name, or `overflow`.
    pub target: String,
}

/// The last minute of a service, as a target.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Requests per second.
    pub rate: f64,
    /// Share of 5xx answers, 0 to 1; `None` without requests.
    pub errors: Option<f64>,
    /// Microseconds; `None` without requests.
    pub p50_us: Option<u64>,
    /// Microseconds.
    pub p95_us: Option<u64>,
    /// Microseconds.
    pub p99_us: Option<u64>,
}

/// Counters of one service that only rise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rising {
    /// Requests refused or let go, by class, the highest first.
    pub shed: [u64; 4],
    /// Second attempts beside a slow first one, and those of them whose answer was the one.
    pub hedges: [u64; 2],
    /// Attempts in the own zone and in others, where zones are declared.
    pub zones: [u64; 2],
}

type Totals = BTreeMap<Series, Counts>;

/// TLS handshakes by listener and outcome.
pub type Handshakes = BTreeMap<(String, String), u64>;

/// Everything that was counted.
#[derive(Debug, Default)]
pub struct Red {
    /// Of proxies that are gone.
    base: Totals,
    base_dropped: u64,
    base_left_out: u64,
    base_refused: u64,
    base_evicted: u64,
    base_rising: BTreeMap<ServiceName, Rising>,
    base_handshakes: Handshakes,
    /// Of each proxy that lives, by its life.
    current: BTreeMap<u64, (Totals, Report)>,
    /// Totals at cuts within the window, oldest first.
    cuts: VecDeque<(Timestamp, Totals)>,
}

impl Red {
    /// Takes a proxy's report. A proxy that is silent for 10 s while another reports becomes part of the base.
    pub fn observe(&mut self, report: &Report) {
        let gone: Vec<u64> = self
            .current
            .iter()
            .filter(|(life, (_, last))| **life != report.life && report.at.since(last.at).as_secs() >= 10)
            .map(|(life, _)| *life)
            .collect();
        for life in gone {
            if let Some((totals, last)) = self.current.remove(&life) {
                merge(&mut self.base, &totals);
                self.base_dropped += last.access_log_dropped;
                self.base_left_out += last.access_log_left_out;
                self.base_refused += last.connections_refused;
                self.base_evicted += last.cache.evicted;
                add_rising(&mut self.base_rising, &last);
                add_handshakes(&mut self.base_handshakes, &last);
            }
        }
        let mut totals = Totals::new();
        for traffic in &report.traffic {
            let series = Series {
                route: traffic.route.clone(),
                caller: traffic.caller.clone(),
                peer: traffic.peer.clone(),
                target: traffic.target.to_string(),
            };
            add(&mut totals, series, &Counts::from(traffic));
        }
        self.current.insert(
            report.life,
            (
                totals,
                Report {
                    traffic: vec![],
                    ..report.clone()
                },
            ),
        );
        self.cut(report.at);
    }

    fn cut(&mut self, now: Timestamp) {
        if self.cuts.back().is_some_and(|(at, _)| now.0 - at.0 < CUT_MS) {
            return;
        }
        self.cuts.push_back((now, self.totals()));
        while self.cuts.front().is_some_and(|(at, _)| now.0 - at.0 > WINDOW_MS) && self.cuts.len() > 1 {
            self.cuts.pop_front();
        }
    }

    /// Sums since the first proxy started.
    pub fn totals(&self) -> Totals {
        let mut all = self.base.clone();
        self.current.values().for_each(|(totals, _)| merge(&mut all, totals));
        all
    }

    /// Lines of the access log that were dropped since the first proxy started.
    pub fn access_log_dropped(&self) -> u64 {
        let current = self.current.values().map(|(_, report)| report.access_log_dropped);
        self.base_dropped + current.sum::<u64>()
    }

    /// Refused heads without a line in the access log since the first proxy started.
    pub fn access_log_left_out(&self) -> u64 {
        let current = self.current.values().map(|(_, report)| report.access_log_left_out);
        self.base_left_out + current.sum::<u64>()
    }

    /// What bulkheads and hedges counted since the first proxy started, by service.
    pub fn rising(&self) -> BTreeMap<ServiceName, Rising> {
        let mut all = self.base_rising.clone();
        let current = self.current.values();
        current.for_each(|(_, report)| add_rising(&mut all, report));
        all
    }

    /// Each service's bulkheads at the last report of each proxy: limit, under way, waiting.
    pub fn bulkheads(&self) -> BTreeMap<ServiceName, [u64; 3]> {
        let mut all = BTreeMap::<_, [u64; 3]>::new();
        for one in self.current.values().flat_map(|(_, report)| &report.bulkheads) {
            let sums = all.entry(one.service.clone()).or_default();
            let counts = [one.limit, one.in_flight, one.waiting];
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        all
    }

    /// Whether some proxy uses all of a service's instances, since so few are well.
    pub fn panics(&self) -> BTreeMap<ServiceName, bool> {
        let reports = || self.current.values().map(|(_, report)| report);
        let known = reports().flat_map(|report| &report.bulkheads);
        let mut all: BTreeMap<_, _> = known.map(|one| (one.service.clone(), false)).collect();
        let panicking = reports().flat_map(|report| &report.panics);
        all.extend(panicking.map(|service| (service.clone(), true)));
        all
    }

    /// Each service's breaker, as the proxy sees it that lets the least through; of several in one proxy it has told the worst.
    pub fn breakers(&self) -> BTreeMap<ServiceName, &str> {
        let reports = || self.current.values().map(|(_, report)| report);
        let known = reports().flat_map(|report| &report.bulkheads);
        let mut all: BTreeMap<_, _> = known.map(|one| (one.service.clone(), "closed")).collect();
        for (service, state) in reports().flat_map(|report| &report.breakers) {
            let worst = all.entry(service.clone()).or_insert(state);
            if *worst != "open" {
                *worst = state;
            }
        }
        all
    }

    /// Whether each instance is in rotation in every proxy that knows it.
    pub fn in_rotation(&self) -> BTreeMap<InstanceId, bool> {
        let mut all = BTreeMap::new();
        for (instance, well) in self.current.values().flat_map(|(_, report)| &report.healthy) {
            *all.entry(instance.clone()).or_insert(true) &= well;
        }
        all
    }

    /// What all proxies that live keep of answers, and how many had to go since the first one started.
    pub fn cache(&self) -> CacheReport {
        let none = CacheReport {
            evicted: self.base_evicted,
            ..CacheReport::default()
        };
        let reports = self.current.values().map(|(_, report)| report.cache);
        reports.fold(none, |sum, one| CacheReport {
            bytes: sum.bytes + one.bytes,
            entries: sum.entries + one.entries,
            evicted: sum.evicted + one.evicted,
        })
    }

    /// TLS handshakes since the first proxy started.
    pub fn handshakes(&self) -> Handshakes {
        let mut all = self.base_handshakes.clone();
        self.current
            .values()
            .for_each(|(_, report)| add_handshakes(&mut all, report));
        all
    }

    /// When what is served ends, by listener and file, as the newest report has it.
    pub fn certificate_ends(&self) -> BTreeMap<(String, String), Timestamp> {
        let newest = self
            .current
            .values()
            .map(|(_, report)| report)
            .max_by_key(|report| report.at);
        let listeners = newest.into_iter().flat_map(|report| &report.tls);
        let ends = listeners.flat_map(|tls| {
            let certificates = tls.certificates.iter();
            certificates.filter_map(|one| Some(((tls.listener.clone(), one.file.clone()), one.not_after?)))
        });
        ends.collect()
    }

    /// Connections closed at once since the first proxy started.
    pub fn connections_refused(&self) -> u64 {
        let current = self.current.values().map(|(_, report)| report.connections_refused);
        self.base_refused + current.sum::<u64>()
    }

    /// Client connections that were open at the last report of each proxy.
    pub fn connections(&self) -> u64 {
        self.current.values().map(|(_, report)| report.connections).sum()
    }

    /// What came within the last minute, by series, and over how many seconds.
    fn window(&self) -> (f64, Totals) {
        let newest = self.current.values().map(|(_, report)| report.at).max();
        let (Some(now), Some((from, then))) = (newest, self.cuts.front()) else {
            return (1.0, Totals::new());
        };
        let fresh = |(series, counts): (Series, Counts)| {
            let since = then
                .get(&series)
                .map_or_else(|| counts.clone(), |old| counts.since(old));
            (series, since)
        };
        let seconds = (now.0 - from.0).max(1_000) as f64 / 1e3;
        (seconds, self.totals().into_iter().map(fresh).collect())
    }

    /// The last minute of every service that was called: gateway routes and edges together.
    pub fn summaries(&self) -> BTreeMap<String, Summary> {
        let (seconds, window) = self.window();
        by_target(window)
            .iter()
            .map(|(target, counts)| (target.clone(), Summary::of(counts, seconds)))
            .collect()
    }

    /// The last minute of every route and edge; of a route all its backends together, without a target.
    pub fn series(&self) -> BTreeMap<Series, Summary> {
        let (seconds, window) = self.window();
        let mut lines = Totals::new();
        for (mut series, counts) in window {
            if series.route.is_some() {
                series.target.clear();
            }
            lines.entry(series).or_default().add(&counts);
        }
        lines
            .into_iter()
            .map(|(series, counts)| (series, Summary::of(&counts, seconds)))
            .collect()
    }

    /// Of every service that was called the requests per second and the share of errors in each slice of the last
    /// minute, oldest first; slices are 5 s and more.
    pub fn slices(&self) -> BTreeMap<String, Vec<(f64, f64)>> {
        let cuts: Vec<_> = self
            .cuts
            .iter()
            .map(|(at, totals)| (*at, by_target(totals.clone())))
            .collect();
        let none = Counts::default();
        let mut out: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for ((from, then), (to, now)) in cuts.iter().zip(cuts.iter().skip(1)) {
            let seconds = (to.0 - from.0).max(1) as f64 / 1e3;
            for (target, counts) in now {
                let slice = Summary::of(&counts.since(then.get(target).unwrap_or(&none)), seconds);
                out.entry(target.clone())
                    .or_default()
                    .push((slice.rate, slice.errors.unwrap_or(0.0)));
            }
        }
        out
    }
}

impl Summary {
    fn of(counts: &Counts, seconds: f64) -> Self {
        let requests = counts.requests();
        Self {
            rate: requests as f64 / seconds,
            errors: (requests > 0).then(|| counts.by_class[4] as f64 / requests as f64),
            p50_us: counts.quantile_us(0.5),
            p95_us: counts.quantile_us(0.95),
            p99_us: counts.quantile_us(0.99),
        }
    }
}

fn add_rising(into: &mut BTreeMap<ServiceName, Rising>, report: &Report) {
    for one in &report.bulkheads {
        let sums = into.entry(one.service.clone()).or_default();
        sums.shed
            .iter_mut()
            .zip(one.shed)
            .for_each(|(sum, count)| *sum += count);
        let pairs = sums.hedges.iter_mut().chain(&mut sums.zones);
        pairs
            .zip(one.hedges.into_iter().chain(one.zones))
            .for_each(|(sum, count)| *sum += count);
    }
}

fn add_handshakes(to: &mut Handshakes, report: &Report) {
    for tls in &report.tls {
        for (outcome, count) in &tls.handshakes {
            *to.entry((tls.listener.clone(), outcome.clone())).or_default() += count;
        }
    }
}

fn by_target(totals: Totals) -> BTreeMap<String, Counts> {
    let mut out: BTreeMap<String, Counts> = BTreeMap::new();
    totals
        .into_iter()
        .for_each(|(series, counts)| out.entry(series.target).or_default().add(&counts));
    out
}

fn merge(into: &mut Totals, from: &Totals) {
    from.iter()
        .for_each(|(series, counts)| add(into, series.clone(), counts));
}

fn add(into: &mut Totals, series: Series, counts: &Counts) {
    let full = into.len() >= MAX_SERIES && !into.contains_key(&series);
    let series = if full {
        Series {
            route: None,
            caller: None,
            peer: None,
            target: "overflow".into(),
        }
    } else {
        series
    };
    into.entry(series).or_default().add(counts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::wire::proxy::{Bulkhead, Traffic, bucket_end, bucket_of};

    fn report(life: u64, at: i64, ok: u64, failed: u64) -> Report {
        let traffic = Traffic {
            route: None,
            caller: Some("orders".parse().expect("valid")),
            peer: None,
            target: "products".parse().expect("valid"),
            by_class: [0, ok, 0, 0, failed],
            own_answers: BTreeMap::new(),
            retries: 0,
            mirrored: 0,
            mirrors_failed: 0,
            cache: [ok, 0, 0, 0, 0, 0, 0, failed],
            fallbacks: [failed, 0],
            buckets: vec![(bucket_of(900), ok + failed)],
            sum_us: 900 * (ok + failed),
        };
        Report {
            life,
            access_log_dropped: ok,
            access_log_left_out: failed,
            cache: CacheReport {
                bytes: 7,
                entries: 1,
                evicted: ok,
            },
            at: Timestamp(at),
            traffic: vec![traffic],
            ..Report::default()
        }
    }

    fn requests(red: &Red) -> u64 {
        red.totals().values().map(Counts::requests).sum()
    }

    #[test]
    fn counters_never_fall_when_a_proxy_starts_anew() {
        let mut red = Red::default();
        red.observe(&report(1, 0, 100, 3));
        red.observe(&report(2, 1_000, 5, 0));
        assert_eq!(requests(&red), 108);
        red.observe(&report(2, 20_000, 7, 1));
        assert_eq!(red.access_log_left_out(), 4);
        assert_eq!(requests(&red), 111, "the old proxy's counts stay as a base");
        assert_eq!(red.totals().values().map(|counts| counts.cache[0]).sum::<u64>(), 107);
        assert_eq!(red.access_log_dropped(), 107);
        let cache = red.cache();
        assert_eq!(
            (cache.bytes, cache.entries, cache.evicted),
            (7, 1, 107),
            "what a dead one kept has gone with it"
        );
    }

    #[test]
    fn what_was_shed_never_falls_and_limits_are_those_of_proxies_that_live() {
        let bulkhead = |limit, shed| Bulkhead {
            service: "orders".parse().expect("valid"),
            limit,
            in_flight: 1,
            waiting: 2,
            shed,
            hedges: [shed[1] + 1, 0],
            zones: [5, shed[3]],
        };
        let mut red = Red::default();
        for (life, at, one) in [
            (1, 0, bulkhead(20, [0, 1, 0, 9])),
            (2, 20_000, bulkhead(40, [1, 0, 0, 1])),
        ] {
            red.observe(&Report {
                bulkheads: vec![one],
                ..report(life, at, 1, 0)
            });
        }
        let name: ServiceName = "orders".parse().expect("valid");
        let rising = Rising {
            shed: [1, 1, 0, 10],
            hedges: [3, 0],
            zones: [10, 10],
        };
        assert_eq!((red.rising()[&name], red.bulkheads()[&name]), (rising, [40, 1, 2]));
    }

    #[test]
    fn a_proxy_with_the_process_id_of_an_earlier_one_counts_anew() {
        // Both run as the same process id, as in a container: only their lives differ.
        let mut red = Red::default();
        red.observe(&report(u64::MAX - 1, 0, 100, 0));
        red.observe(&report(u64::MAX, 1_000, 5, 0));
        assert_eq!(requests(&red), 105);
    }

    #[test]
    fn the_last_minute_gives_rate_errors_and_quantiles() {
        let mut red = Red::default();
        red.observe(&report(1, 0, 1_000, 0));
        for second in 1..=10 {
            red.observe(&report(1, second * 1_000, 1_000 + second as u64 * 9, second as u64));
        }
        let summary = red.summaries()["products"];
        assert_eq!(summary.rate, 10.0);
        assert_eq!(summary.errors, Some(0.1));
        assert_eq!(summary.p99_us, Some(bucket_end(bucket_of(900))));
        assert_eq!(
            red.slices()["products"],
            [(10.0, 0.1), (10.0, 0.1)],
            "two cuts of five seconds"
        );
        let series: Vec<_> = red.series().into_iter().collect();
        assert_eq!((series.len(), series[0].1.rate), (1, 10.0));
    }

    #[test]
    fn a_route_is_one_line_however_many_backends_take_its_requests() {
        let of = |at, ok| {
            let mut report = report(1, at, ok, 0);
            for target in ["products", "products-next"] {
                let mut traffic = report.traffic[0].clone();
                traffic.route = Some("tea".parse().expect("valid"));
                traffic.caller = None;
                traffic.target = target.parse().expect("valid");
                report.traffic.push(traffic);
            }
            report.traffic.remove(0);
            report
        };
        let mut red = Red::default();
        red.observe(&of(0, 0));
        red.observe(&of(10_000, 50));
        let series: Vec<_> = red.series().into_iter().collect();
        assert_eq!((series.len(), series[0].1.rate), (1, 10.0));
        assert_eq!(red.summaries()["products-next"].rate, 5.0);
    }

    #[test]
    fn series_are_bounded() {
        let mut totals = Totals::new();
        for n in 0..MAX_SERIES + 5 {
            add(
                &mut totals,
                Series {
                    route: None,
                    caller: None,
                    peer: None,
                    target: format!("s{n}"),
                },
                &Counts::default(),
            );
        }
        assert_eq!(totals.len(), MAX_SERIES + 1);
    }
}
