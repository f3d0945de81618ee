//! What the proxy counts: requests, errors and durations of every route and edge, exact and before any sampling.
//!
//! A [`Line`] is a route's or an edge's counters: relaxed atomics, made once per snapshot and kept as long as the name
//! is known, so that counts only rise while the process lives. [`Counters::report`] makes the [`Report`] that goes up.
//!
//! Requests that reach no route are counted under the target `gateway`, refused heads under the edge by which they came. The access log is [`access`].

pub mod access;

use crate::answer::Word;
use crate::cluster::Clusters;
use ondol_core::clock::Timestamp;
use ondol_core::id::{RouteName, ServiceName, SystemName};
use ondol_core::wire::proxy::{Action, CacheReport, CacheResult, Report, Snapshot, Traffic, bucket_of};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Buckets kept; the last also holds everything longer, from two hours on.
const BUCKETS: usize = 256;
/// Lines of routes and edges that are in no snapshot any more.
const MOST_FORMER: usize = 10_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose counters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    /// The gateway's route.
    pub route: Option<RouteName>,
    /// The edge's caller.
    pub caller: Option<ServiceName>,
    /// The system in which the caller lives, if that is another one.
    pub peer: Option<SystemName>,
    /// The target.
    pub target: ServiceName,
}

/// Counters of one route or edge.
#[derive(Debug)]
pub struct Line {
    /// Whose.
    pub name: Name,
    by_class: [AtomicU64; 5],
    retries: AtomicU64,
    /// Copies that got their answer, and those that did not.
    copies: [AtomicU64; 2],
    /// Where answers are kept, by [`CacheResult`].
    cache: [AtomicU64; CacheResult::ALL.len()],
    /// Errors that something stood in for, and those for which it failed too.
    fallbacks: [AtomicU64; 2],
    sum_us: AtomicU64,
    /// Only once there was a request: thousands of routes may never see one.
    buckets: OnceLock<Box<[AtomicU64; BUCKETS]>>,
    own_answers: Mutex<BTreeMap<Word, u64>>,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// As the client saw it.
    pub status: u16,
    /// From the head's last byte to the answer's.
    pub took: Duration,
    /// Attempts at an instance; 0 when the request was refused before or none was found.
    pub attempts: u32,
    /// It lasted as its caller wished: a stream, a WebSocket, a `wait`. Its duration says nothing of the target and goes
    /// into no quantile.
    pub waited: bool,
    /// The proxy made the answer itself, with this word.
    pub own: Option<Word>,
}

impl Line {
    fn new(name: Name) -> Self {
        let (by_class, copies, cache, fallbacks, own_answers) = Default::default();
        Self {
            name,
            by_class,
            retries: AtomicU64::new(0),
            copies,
            cache,
            fallbacks,
            sum_us: AtomicU64::new(0),
            buckets: OnceLock::new(),
            own_answers,
        }
    }

    /// Counts a request. A handful of atomic additions; a short lock only for answers of our own.
    pub fn count(&self, served: &Served) {
        let class = usize::from(served.status / 100).clamp(1, 5) - 1;
        let us = u64::try_from(served.took.as_micros()).unwrap_or(u64::MAX);
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
        let buckets = self
            .buckets
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        if !served.waited {
            self.sum_us.fetch_add(us, Ordering::Relaxed);
            buckets[usize::from(bucket_of(us)).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        }
        if served.attempts > 1 {
            self.retries
                .fetch_add(u64::from(served.attempts - 1), Ordering::Relaxed);
        }
        if let Some(word) = served.own {
            *lock(&self.own_answers).entry(word).or_default() += 1;
        }
    }

    /// Counts a copy of a request for another service: whether an answer to it came.
    pub fn count_copy(&self, whole: bool) {
        self.copies[usize::from(!whole)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how a request was answered where answers are kept.
    pub fn count_kept(&self, result: CacheResult) {
        self.cache[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error that something was to stand in for: whether it did.
    pub fn count_fallback(&self, stood_in: bool) {
        self.fallbacks[usize::from(!stood_in)].fetch_add(1, Ordering::Relaxed);
    }

    /// `None` when it has seen no request.
    fn traffic(&self) -> Option<Traffic> {
        let buckets = self.buckets.get()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own_answers = lock(&self.own_answers)
            .iter()
            .map(|(word, count)| (word.as_str().to_owned(), *count))
            .collect();
        let counts = buckets.iter().map(count).enumerate().filter(|(_, count)| *count > 0);
        Some(Traffic {
            route: self.name.route.clone(),
            caller: self.name.caller.clone(),
            peer: self.name.peer.clone(),
            target: self.name.target.clone(),
            by_class: std::array::from_fn(|class| count(&self.by_class[class])),
            own_answers,
            retries: count(&self.retries),
            mirrored: count(&self.copies[0]),
            mirrors_failed: count(&self.copies[1]),
            cache: std::array::from_fn(|result| count(&self.cache[result])),
            fallbacks: std::array::from_fn(|outcome| count(&self.fallbacks[outcome])),
            buckets: counts.map(|(bucket, count)| (bucket as u16, count)).collect(),
            sum_us: count(&self.sum_us),
        })
    }
}

/// All counters of a proxy.
#[derive(Debug)]
pub struct Counters {
    life: u64,
    lines: Mutex<HashMap<Name, Arc<Line>>>,
    unmatched: Arc<Line>,
    connections: AtomicU64,
    refused: AtomicU64,
}

/// The lines of one route.
#[derive(Clone, Debug)]
pub struct RouteLines {
    /// Of requests that go to no backend; its target is the route's owner.
    pub route: Arc<Line>,
    /// By a backend's position; the owner's is the line above.
    pub backends: Vec<Arc<Line>>,
}

/// The lines of one snapshot.
#[derive(Clone, Debug)]
pub struct Lines {
    /// By a route's position.
    pub routes: Vec<RouteLines>,
    /// By an edge's position.
    pub edges: Vec<Arc<Line>>,
    /// Of requests that reach no route.
    pub unmatched: Arc<Line>,
}

impl Counters {
    /// Nothing counted yet, in a life with this random number.
    pub fn new(life: u64) -> Self {
        let name = Name {
            route: None,
            caller: None,
            peer: None,
            target: ServiceName::gateway(),
        };
        Self {
            life,
            lines: Mutex::default(),
            unmatched: Arc::new(Line::new(name)),
            connections: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The lines of a snapshot's routes and edges; known ones go on counting.
    pub fn apply(&self, snapshot: &Snapshot) -> Lines {
        let mut known = lock(&self.lines);
        let mut line = |name: Name| {
            known
                .entry(name.clone())
                .or_insert_with(|| Arc::new(Line::new(name)))
                .clone()
        };
        let routes = snapshot.routes.iter().map(|route| {
            let mut line = |target: &ServiceName| {
                line(Name {
                    route: Some(route.name.clone()),
                    caller: None,
                    peer: None,
                    target: target.clone(),
                })
            };
            let backends = match &route.action {
                Action::Forward(backends) => backends.iter().map(|backend| line(&backend.service)).collect(),
                Action::Start { .. } | Action::Redirect(_) => vec![],
            };
            RouteLines {
                route: line(&route.service),
                backends,
            }
        });
        let routes = routes.collect();
        let edges = snapshot.edges.iter().map(|edge| {
            let (caller, target) = (Some(edge.caller.clone()), edge.target.clone());
            line(Name {
                route: None,
                caller,
                peer: edge.peer.clone(),
                target,
            })
        });
        let lines = Lines {
            routes,
            edges: edges.collect(),
            unmatched: self.unmatched.clone(),
        };
        let in_use = lines.routes.iter().map(|route| 1 + route.backends.len()).sum::<usize>() + lines.edges.len();
        if known.len() > in_use + MOST_FORMER {
            known.retain(|_, line| Arc::strong_count(line) > 1);
        }
        lines
    }

    /// Counts an open client connection until it is dropped.
    pub fn connection(self: &Arc<Self>) -> Connection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connection(self.clone())
    }

    /// Counts a connection that was closed at once.
    pub fn refuse_connection(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything there is to tell of requests and targets. Costs by the number of routes with traffic; not for the request path.
    pub fn report(&self, clusters: &Clusters, at: Timestamp, now: Duration, access_log_dropped: u64) -> Report {
        let lines: Vec<_> = lock(&self.lines)
            .values()
            .cloned()
            .chain([self.unmatched.clone()])
            .collect();
        Report {
            life: self.life,
            at,
            traffic: lines.iter().filter_map(|line| line.traffic()).collect(),
            in_flight: clusters.in_flight(),
            healthy: clusters.healthy(now),
            breakers: clusters.breakers(now),
            panics: clusters.panics(now),
            bulkheads: clusters.bulkheads(),
            access_log_dropped,
            access_log_left_out: 0,
            connections: self.connections.load(Ordering::Relaxed),
            connections_refused: self.refused.load(Ordering::Relaxed),
            tls: Vec::new(),
            cache: CacheReport::default(),
            peers: Vec::new(),
        }
    }
}

/// An open client connection.
#[derive(Debug)]
pub struct Connection(Arc<Counters>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::id::BootId;
    use ondol_core::wire::proxy::{Breaker, Edge, Policy};
    use ondol_core::wire::supervision::SocketName;

    fn snapshot(callers: &[&str]) -> Snapshot {
        let breaker = Breaker {
            failure_ratio: 0.5,
            minimum: 20,
            open_ms: 5_000,
        };
        let policy = Policy {
            timeout_ms: 1_000,
            stream: false,
            retries: 2,
            breaker,
            body_limit: 1,
            priority: Default::default(),
            hedge_share: 0.0,
            balance: Default::default(),
            cache: None,
            fallback: None,
        };
        let edge = |caller: &&str| Edge {
            caller: caller.parse().expect("a name"),
            peer: None,
            target: "orders".parse().expect("a name"),
            socket: SocketName(format!("edge-{caller}")),
            policy: policy.clone(),
        };
        Snapshot {
            boot: BootId {
                system: "s".into(),
                boot: "b".into(),
            },
            generation: 1,
            gateways: vec![],
            routes: vec![],
            edges: callers.iter().map(edge).collect(),
            clusters: vec![],
            issuers: BTreeMap::new(),
            trusted_proxies: vec![],
            controller_socket: "c".into(),
            mesh: None,
        }
    }

    fn served(status: u16, us: u64) -> Served {
        Served {
            status,
            took: Duration::from_micros(us),
            attempts: 1,
            waited: false,
            own: None,
        }
    }

    fn report(counters: &Counters) -> Report {
        counters.report(&Clusters::default(), Timestamp(7), Duration::ZERO, 3)
    }

    #[test]
    fn requests_are_counted_by_class_duration_word_and_retries() {
        let counters = Counters::new(1);
        let lines = counters.apply(&snapshot(&["web", "idle"]));
        lines.edges[0].count(&served(200, 5));
        lines.edges[0].count(&Served {
            attempts: 3,
            ..served(204, 5)
        });
        lines.edges[0].count(&Served {
            own: Some(Word::DestinationUnavailable),
            attempts: 0,
            ..served(503, 1_000)
        });
        lines.unmatched.count(&Served {
            own: Some(Word::HttpRequestError),
            ..served(404, u64::MAX)
        });
        let report = report(&counters);
        assert_eq!(
            (report.traffic.len(), report.access_log_dropped, report.at),
            (2, 3, Timestamp(7))
        );
        let edge = report
            .traffic
            .iter()
            .find(|line| line.caller.is_some())
            .expect("the edge");
        assert_eq!((edge.by_class, edge.retries, edge.sum_us), ([0, 2, 0, 0, 1], 2, 1_010));
        assert_eq!(edge.buckets, [(5, 2), (bucket_of(1_000), 1)]);
        assert_eq!(
            edge.own_answers,
            BTreeMap::from([("destination_unavailable".to_owned(), 1)])
        );
        let unmatched = report
            .traffic
            .iter()
            .find(|line| line.target.as_str() == "gateway")
            .expect("the rest");
        assert_eq!((unmatched.by_class[3], unmatched.buckets[0].0), (1, 255));
    }

    #[test]
    fn counts_go_on_from_snapshot_to_snapshot() {
        let counters = Counters::new(1);
        counters.apply(&snapshot(&["web"])).edges[0].count(&served(200, 1));
        counters.apply(&snapshot(&[]));
        counters.apply(&snapshot(&["other", "web"])).edges[1].count(&served(200, 1));
        assert_eq!(report(&counters).traffic[0].by_class, [0, 2, 0, 0, 0]);
    }

    #[test]
    fn a_connection_counts_until_it_is_dropped() {
        let counters = Arc::new(Counters::new(1));
        let open = (counters.connection(), counters.connection());
        assert_eq!(report(&counters).connections, 2);
        drop(open);
        assert_eq!(report(&counters).connections, 0);
    }
}
