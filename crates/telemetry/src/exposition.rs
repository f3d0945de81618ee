//! Prometheus text (version 0.0.4). A [`Page`] keeps each family's lines together, as the format demands.

use crate::red::{Counts, Red, Series};
use ondol_core::wire::proxy::{CacheResult, Priority};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Upper bounds of the duration histogram, seconds.
const BOUNDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A page of metrics being written.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Starts a family. `kind` is `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}"); // Writing to a String cannot fail.
        self
    }

    /// One sample of the family that was started last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) -> &mut Self {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let open = if n == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escape(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
        self
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writes what the proxies counted.
pub fn traffic(page: &mut Page, red: &Red) {
    let totals = red.totals();
    page.family(
        "ondol_requests_total",
        "counter",
        "Requests answered, by route or edge and status class.",
    );
    for (series, counts) in &totals {
        for (class, count) in counts.by_class.iter().enumerate().filter(|(_, count)| **count > 0) {
            let class = format!("{}xx", class + 1);
            page.sample("ondol_requests_total", &labels(series, &[("class", &class)]), count);
        }
    }
    page.family(
        "ondol_proxy_answers_total",
        "counter",
        "Answers that the proxy made itself, by Proxy-Status error.",
    );
    for (series, counts) in &totals {
        for (word, count) in &counts.own_answers {
            page.sample("ondol_proxy_answers_total", &labels(series, &[("error", word)]), count);
        }
    }
    page.family("ondol_retries_total", "counter", "Attempts beyond the first.");
    for (series, counts) in &totals {
        page.sample("ondol_retries_total", &labels(series, &[]), counts.retries);
    }
    page.family(
        "ondol_mirrored_requests_total",
        "counter",
        "Copies of requests sent to a route's mirrors; failed: too many at a time, too slow, or no answer.",
    );
    for (series, counts) in totals.iter().filter(|(_, counts)| counts.mirrors != [0, 0]) {
        for (outcome, count) in ["answered", "failed"].into_iter().zip(counts.mirrors) {
            let labels = labels(series, &[("outcome", outcome)]);
            page.sample("ondol_mirrored_requests_total", &labels, count);
        }
    }
    cache(page, red, &totals);
    page.family(
        "ondol_request_duration_seconds",
        "histogram",
        "Time from the request's head to its answer's end.",
    );
    totals
        .iter()
        .for_each(|(series, counts)| histogram(page, series, counts));
    bulkheads(page, red);
    page.family("ondol_connections", "gauge", "Open client connections.");
    page.sample("ondol_connections", &[], red.connections());
    page.family(
        "ondol_connections_refused_total",
        "counter",
        "Connections closed at once, since their address had too many.",
    );
    page.sample("ondol_connections_refused_total", &[], red.connections_refused());
    page.family(
        "ondol_access_log_dropped_total",
        "counter",
        "Access log lines that were dropped under load.",
    );
    page.sample("ondol_access_log_dropped_total", &[], red.access_log_dropped());
    page.family(
        "ondol_access_log_left_out_total",
        "counter",
        "Refused heads without a line in the access log, which has ten of them a second, three of one client.",
    );
    page.sample("ondol_access_log_left_out_total", &[], red.access_log_left_out());
}

/// What is kept of answers, and what stands in for errors. Series of routes and edges that keep none are left out.
fn cache(page: &mut Page, red: &Red, totals: &BTreeMap<Series, Counts>) {
    let name = "ondol_cache_requests_total";
    page.family(
        name,
        "counter",
        "Requests of routes and edges that keep answers, by how they were answered.",
    );
    for (series, counts) in totals
        .iter()
        .filter(|(_, counts)| counts.cache.iter().any(|count| *count > 0))
    {
        for (result, count) in CacheResult::ALL.iter().zip(counts.cache) {
            page.sample(name, &labels(series, &[("result", result.as_str())]), count);
        }
    }
    let name = "ondol_fallbacks_total";
    page.family(
        name,
        "counter",
        "Errors that a declared fallback stood in for (answered), or failed to (failed).",
    );
    for (series, counts) in totals.iter().filter(|(_, counts)| counts.fallbacks != [0, 0]) {
        for (outcome, count) in ["answered", "failed"].into_iter().zip(counts.fallbacks) {
            page.sample(name, &labels(series, &[("outcome", outcome)]), count);
        }
    }
    let kept = red.cache();
    page.family(
        "ondol_cache_bytes",
        "gauge",
        "What kept answers take, over all proxies.",
    );
    page.sample("ondol_cache_bytes", &[], kept.bytes);
    page.family(
        "ondol_cache_entries",
        "gauge",
        "Targets and consumers of which there are kept answers.",
    );
    page.sample("ondol_cache_entries", &[], kept.entries);
    let name = "ondol_cache_evictions_total";
    page.family(name, "counter", "Kept answers that had to go for others.");
    page.sample(name, &[], kept.evicted);
}

fn rotation(page: &mut Page, red: &Red) {
    let name = "ondol_breaker_state";
    page.family(name, "gauge", "1 for the state of a service's circuit breaker.");
    for (service, now) in red.breakers() {
        for state in ["closed", "half-open", "open"] {
            let labels = [("service", service.as_str()), ("state", state)];
            page.sample(name, &labels, u8::from(state == now));
        }
    }
    let name = "ondol_instance_in_rotation";
    page.family(
        name,
        "gauge",
        "0 while an instance gets no requests, since it fails where others do not, or its health check does.",
    );
    for (instance, well) in red.in_rotation() {
        let id = instance.to_string();
        let labels = [("service", instance.service.as_str()), ("instance", id.as_str())];
        page.sample(name, &labels, u8::from(well));
    }
}

fn bulkheads(page: &mut Page, red: &Red) {
    let all = red.bulkheads();
    let gauges = [
        (
            "ondol_concurrency_limit",
            "Requests that a service may have at once, by its latency.",
        ),
        (
            "ondol_concurrency_in_flight",
            "Requests that a service has; streams do not count.",
        ),
        ("ondol_concurrency_waiting", "Requests in line for a service."),
    ];
    for (at, (name, help)) in gauges.into_iter().enumerate() {
        page.family(name, "gauge", help);
        for (service, counts) in &all {
            page.sample(name, &[("service", service.as_str())], counts[at]);
        }
    }
    let name = "ondol_panic";
    page.family(
        name,
        "gauge",
        "1 while so few instances of a service are well that all are used.",
    );
    for (service, panics) in red.panics() {
        page.sample(name, &[("service", service.as_str())], u8::from(panics));
    }
    rotation(page, red);
    let rising = red.rising();
    let name = "ondol_shed_total";
    page.family(
        name,
        "counter",
        "Requests refused because a service had too many, by priority.",
    );
    for (service, counts) in &rising {
        for (priority, count) in Priority::ALL.iter().zip(counts.shed) {
            let labels = [("service", service.as_str()), ("priority", priority.as_str())];
            page.sample(name, &labels, count);
        }
    }
    let counters = [
        ("ondol_hedges_total", "Second attempts beside a slow first one."),
        ("ondol_hedges_won_total", "Second attempts whose answer was the one."),
    ];
    for (at, (name, help)) in counters.into_iter().enumerate() {
        page.family(name, "counter", help);
        for (service, counts) in &rising {
            page.sample(name, &[("service", service.as_str())], counts.hedges[at]);
        }
    }
    let name = "ondol_zone_attempts_total";
    page.family(
        name,
        "counter",
        "Attempts in the own zone and in others, where zones are declared.",
    );
    for (service, counts) in rising.iter().filter(|(_, counts)| counts.zones != [0; 2]) {
        for (zone, count) in ["local", "other"].into_iter().zip(counts.zones) {
            page.sample(name, &[("service", service.as_str()), ("zone", zone)], count);
        }
    }
}

/// Writes what the gateway's listeners say of TLS.
pub fn tls(page: &mut Page, red: &Red) {
    page.family(
        "ondol_tls_handshakes_total",
        "counter",
        "TLS handshakes by listener and outcome.",
    );
    for ((listener, outcome), count) in &red.handshakes() {
        let labels = [("listener", listener.as_str()), ("outcome", outcome)];
        page.sample("ondol_tls_handshakes_total", &labels, count);
    }
    page.family(
        "ondol_tls_certificate_end_timestamp_seconds",
        "gauge",
        "When the certificate that is served, or the last authority of a peer, ends, seconds since 1970.",
    );
    for ((listener, file), end) in &red.certificate_ends() {
        let labels = [("listener", listener.as_str()), ("file", file)];
        page.sample("ondol_tls_certificate_end_timestamp_seconds", &labels, end.0 / 1_000);
    }
}

fn histogram(page: &mut Page, series: &Series, counts: &Counts) {
    const NAME: &str = "ondol_request_duration_seconds";
    let bucket = |bound: f64| -> u64 {
        let fits = |bucket: &u16| ondol_core::wire::proxy::bucket_end(*bucket) as f64 / 1e6 <= bound;
        counts
            .buckets
            .iter()
            .filter(|(bucket, _)| fits(bucket))
            .map(|(_, n)| n)
            .sum()
    };
    for bound in BOUNDS {
        let le = bound.to_string();
        page.sample(
            &format!("{NAME}_bucket"),
            &labels(series, &[("le", &le)]),
            bucket(bound),
        );
    }
    let total: u64 = counts.buckets.values().sum();
    page.sample(&format!("{NAME}_bucket"), &labels(series, &[("le", "+Inf")]), total);
    page.sample(&format!("{NAME}_sum"), &labels(series, &[]), counts.sum_us as f64 / 1e6);
    page.sample(&format!("{NAME}_count"), &labels(series, &[]), total);
}

fn labels<'a>(series: &'a Series, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("route", series.route.as_ref().map_or("", |route| route.as_str())),
        ("caller", series.caller.as_ref().map_or("", |caller| caller.as_str())),
        ("target", series.target.as_str()),
    ];
    all.extend(series.peer.as_ref().map(|peer| ("peer", peer.as_str())));
    all.extend_from_slice(more);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;
    use ondol_core::wire::proxy::{Bulkhead, CacheReport, CertificateReport, Report, TlsReport, Traffic, bucket_of};

    #[test]
    fn handshakes_of_a_gone_proxy_still_count_and_the_newest_certificate_is_told() {
        let report = |life, at, end| Report {
            life,
            at: Timestamp(at),
            tls: vec![TlsReport {
                listener: "web".into(),
                handshakes: BTreeMap::from([("full".into(), 3)]),
                certificates: vec![CertificateReport {
                    file: "a.pem".into(),
                    not_after: Some(Timestamp(end)),
                    problem: None,
                }],
            }],
            ..Report::default()
        };
        let mut red = Red::default();
        red.observe(&report(1, 0, 5_000));
        red.observe(&report(2, 20_000, 7_000));
        let mut page = Page::default();
        tls(&mut page, &red);
        let text = page.finish();
        for line in [
            "ondol_tls_handshakes_total{listener=\"web\",outcome=\"full\"} 6",
            "ondol_tls_certificate_end_timestamp_seconds{listener=\"web\",file=\"a.pem\"} 7",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
        }
    }

    #[test]
    fn a_page_holds_families_with_escaped_labels_and_cumulative_buckets() {
        let mut red = Red::default();
        let traffic = Traffic {
            route: Some("place-order".parse().expect("valid")),
            caller: None,
            peer: None,
            target: "orders".parse().expect("valid"),
            by_class: [0, 3, 0, 0, 1],
            own_answers: BTreeMap::from([("connection_refused".into(), 1)]),
            retries: 2,
            mirrored: 0,
            mirrors_failed: 0,
            cache: [5, 0, 0, 2, 0, 0, 0, 0],
            fallbacks: [3, 1],
            buckets: vec![(bucket_of(400), 3), (bucket_of(40_000), 1)],
            sum_us: 41_200,
        };
        red.observe(&Report {
            life: 9,
            access_log_dropped: 4,
            connections: 2,
            cache: CacheReport {
                bytes: 9,
                entries: 1,
                evicted: 1,
            },
            traffic: vec![traffic],
            bulkheads: vec![Bulkhead {
                service: "orders".parse().expect("valid"),
                limit: 34,
                in_flight: 30,
                waiting: 5,
                shed: [0, 0, 3, 70],
                hedges: [6, 4],
                zones: [90, 10],
            }],
            panics: vec!["products".parse().expect("valid")],
            breakers: vec![("products".parse().expect("valid"), "half-open".into())],
            healthy: vec![
                ("orders.1".parse().expect("valid"), true),
                ("orders.2".parse().expect("valid"), true),
            ],
            ..Report::default()
        });
        // Of another proxy.
        red.observe(&Report {
            life: 10,
            breakers: vec![("products".parse().expect("valid"), "open".into())],
            healthy: vec![("orders.2".parse().expect("valid"), false)],
            ..Report::default()
        });
        let mut page = Page::default();
        super::traffic(&mut page, &red);
        page.family("x", "gauge", "Test.")
            .sample("x", &[("l", "a\"b\\c\nd")], 1);
        let text = page.finish();
        for line in [
            "ondol_requests_total{route=\"place-order\",caller=\"\",target=\"orders\",class=\"2xx\"} 3",
            "ondol_request_duration_seconds_bucket{route=\"place-order\",caller=\"\",target=\"orders\",le=\"0.0005\"} 3",
            "ondol_request_duration_seconds_bucket{route=\"place-order\",caller=\"\",target=\"orders\",le=\"0.05\"} 4",
            "ondol_request_duration_seconds_sum{route=\"place-order\",caller=\"\",target=\"orders\"} 0.0412",
            "ondol_cache_requests_total{route=\"place-order\",caller=\"\",target=\"orders\",result=\"hit\"} 5",
            "ondol_cache_requests_total{route=\"place-order\",caller=\"\",target=\"orders\",result=\"stale\"} 2",
            "ondol_fallbacks_total{route=\"place-order\",caller=\"\",target=\"orders\",outcome=\"answered\"} 3",
            "ondol_fallbacks_total{route=\"place-order\",caller=\"\",target=\"orders\",outcome=\"failed\"} 1",
            "ondol_cache_bytes 9",
            "ondol_cache_evictions_total 1",
            "ondol_concurrency_limit{service=\"orders\"} 34",
            "ondol_concurrency_waiting{service=\"orders\"} 5",
            "ondol_shed_total{service=\"orders\",priority=\"best-effort\"} 70",
            "ondol_hedges_won_total{service=\"orders\"} 4",
            "ondol_zone_attempts_total{service=\"orders\",zone=\"local\"} 90",
            "ondol_zone_attempts_total{service=\"orders\",zone=\"other\"} 10",
            "ondol_panic{service=\"orders\"} 0",
            "ondol_panic{service=\"products\"} 1",
            "ondol_breaker_state{service=\"orders\",state=\"closed\"} 1",
            "ondol_breaker_state{service=\"products\",state=\"half-open\"} 0",
            "ondol_breaker_state{service=\"products\",state=\"open\"} 1",
            "ondol_instance_in_rotation{service=\"orders\",instance=\"orders.1\"} 1",
            "ondol_instance_in_rotation{service=\"orders\",instance=\"orders.2\"} 0",
            "ondol_connections 2",
            "ondol_access_log_dropped_total 4",
            "x{l=\"a\\\"b\\\\c\\nd\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
        }
    }
}
