//! The control socket: proxies connect, take every snapshot, acknowledge it, and report.
//!
//! A slow proxy holds nobody up: it always gets the newest snapshot and skips those between, the first whole, then what
//! changed. At most
//! [`MAX_PROXIES`] connections are served.

use ondol_core::id::InstanceId;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::asynchronous::{read_frame, write_frame};
use ondol_core::wire::proxy::{Change, FromProxy, Purge, Report, Snapshot, ToProxy};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

/// More than one is there only while one hands over to the next.
pub const MAX_PROXIES: usize = 8;

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Purges that wait to be sent to one proxy.
const MOST_PURGES: usize = 16;
/// For so long a proxy is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A purge, and who hears how many have gone.
type Order = (Purge, oneshot::Sender<u64>);

/// What came of a purge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purged {
    /// Kept answers that have gone, over all proxies.
    pub dropped: u64,
    /// Proxies that said so.
    pub proxies: usize,
    /// Those that said nothing in time: nobody knows.
    pub silent: usize,
}

/// A connected proxy.
#[derive(Clone, Debug, Default)]
struct Proxy {
    /// It takes no new connections.
    leaving: bool,
    /// Nor snapshots nor purges, and it keeps no answers.
    deaf: bool,
    /// What it served by before it came.
    came_with: u64,
    acked: u64,
    /// What was acknowledged when the last report came: an older report does not know who began to drain since. One that takes
    /// no more snapshots is taken at its word.
    counted: u64,
    report: Report,
    /// Where purges go.
    orders: Option<mpsc::Sender<Order>>,
}

impl Proxy {
    fn hear(&mut self, report: Report) {
        self.counted = if self.deaf { u64::MAX } else { self.acked };
        self.report = report;
    }
}

/// What the connected proxies say.
#[derive(Clone, Debug)]
pub struct Proxies {
    connected: Arc<Mutex<BTreeMap<u64, Proxy>>>,
    /// Rises with every word of a proxy.
    changed: watch::Sender<u64>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            connected: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Proxies {
    /// Exact requests in flight at `instance`, over all proxies. `None` when no proxy that stays is connected or one has not yet
    /// reported since it acknowledged `generation`: then nobody knows.
    pub fn in_flight(&self, instance: &InstanceId, generation: u64) -> Option<u64> {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let staying = connected.values().any(|proxy| !proxy.leaving);
        if !staying || connected.values().any(|proxy| proxy.counted < generation) {
            return None;
        }
        let counts = connected.values().flat_map(|proxy| &proxy.report.in_flight);
        Some(counts.filter(|(id, _)| id == instance).map(|(_, count)| count).sum())
    }

    /// True once every connected proxy that stays, at least one, serves by `generation` or a newer one.
    pub fn acked(&self, generation: u64) -> bool {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let mut staying = connected.values().filter(|proxy| !proxy.leaving).peekable();
        staying.peek().is_some() && staying.all(|proxy| proxy.acked >= generation)
    }

    /// The newest generation that any connected proxy serves by; 0 when none is known.
    pub fn newest(&self) -> u64 {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected
            .values()
            .map(|proxy| proxy.acked.max(proxy.came_with))
            .max()
            .unwrap_or(0)
    }

    /// The last report of each connected proxy.
    pub fn reports(&self) -> Vec<Report> {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.values().map(|proxy| proxy.report.clone()).collect()
    }

    /// Makes every connected proxy that keeps answers drop some. It waits for their word, for [`PATIENCE`] at most.
    pub async fn purge(&self, purge: &Purge) -> Purged {
        let orders: Vec<_> = {
            let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
            let keeping = connected.values().filter(|proxy| !proxy.deaf);
            keeping.map(|proxy| proxy.orders.clone()).collect()
        };
        let told = orders.into_iter().map(|orders| {
            let (tell, told) = oneshot::channel();
            // One that has too many before it, or has just gone, is silent.
            let _ = orders.and_then(|orders| orders.try_send((purge.clone(), tell)).ok());
            told
        });
        let (told, due): (Vec<_>, _) = (told.collect(), tokio::time::Instant::now() + PATIENCE);
        let mut purged = Purged {
            dropped: 0,
            proxies: 0,
            silent: 0,
        };
        for told in told {
            match tokio::time::timeout_at(due, told).await {
                Ok(Ok(dropped)) => (purged.dropped, purged.proxies) = (purged.dropped + dropped, purged.proxies + 1),
                Ok(Err(_)) | Err(_) => purged.silent += 1,
            }
        }
        purged
    }

    /// Wakes whenever a proxy connects, acknowledges, reports or leaves.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn update(&self, connection: u64, change: impl FnOnce(&mut BTreeMap<u64, Proxy>, u64)) {
        change(
            &mut self.connected.lock().unwrap_or_else(PoisonError::into_inner),
            connection,
        );
        self.changed.send_modify(|n| *n += 1);
    }
}

/// Serves proxies on `listener` until the tasks stop. `on_report` sees every report. A connection that cannot be
/// accepted, for want of descriptors say, is tried again every [`PAUSE`].
pub async fn serve(
    listener: UnixListener,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    proxies: Proxies,
    tasks: Tasks,
    on_report: Arc<dyn Fn(&Report) + Send + Sync>,
) {
    let mut next = 0u64;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a proxy; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if proxies.connected.lock().unwrap_or_else(PoisonError::into_inner).len() >= MAX_PROXIES {
            tracing::warn!(limit = MAX_PROXIES, "too many proxies are connected; refusing one more");
            continue;
        }
        next += 1;
        let (id, snapshots, proxies, on_report) = (next, snapshots.clone(), proxies.clone(), on_report.clone());
        tasks.spawn(Kind::Control, async move {
            let (orders, purges) = mpsc::channel(MOST_PURGES);
            let proxy = Proxy {
                orders: Some(orders),
                ..Proxy::default()
            };
            proxies.update(id, |all, id| drop(all.insert(id, proxy)));
            let end = converse(stream, id, (snapshots, purges), &proxies, &*on_report).await;
            proxies.update(id, |all, id| drop(all.remove(&id)));
            tracing::info!(connection = id, end = ?end.err().map(|e| e.to_string()), "proxy left");
        });
    }
}

/// Both directions of one connection, until either ends.
async fn converse(
    stream: UnixStream,
    id: u64,
    (mut snapshots, mut purges): (watch::Receiver<Option<Arc<Snapshot>>>, mpsc::Receiver<Order>),
    proxies: &Proxies,
    on_report: &(dyn Fn(&Report) + Send + Sync),
) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    // `None` once it hears of no purge any more.
    let waiting = Mutex::new(Some(BTreeMap::<u64, oneshot::Sender<u64>>::new()));
    let waiting = &waiting;
    let lock = move || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let down = async {
        let (mut told, mut number) = (None::<Arc<Snapshot>>, 0);
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let newer = |snapshot: &Arc<_>| told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, snapshot));
            if let Some(snapshot) = snapshot.filter(newer) {
                let change = told.as_ref().and_then(|told| Change::between(told, &snapshot));
                let word = match change {
                    Some(change) => ToProxy::Change(Box::new(change)),
                    None => ToProxy::Snapshot(Box::new((*snapshot).clone())),
                };
                write_frame(&mut to, &word).await?;
                told = Some(snapshot);
            }
            let order = tokio::select! {
                changed = snapshots.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return Ok(()),
                },
                order = purges.recv() => order,
            };
            if let Some((purge, tell)) = order {
                number += 1;
                match lock().as_mut() {
                    None => {
                        let _ = tell.send(0); // It keeps nothing; and whoever asked may have gone.
                        continue;
                    }
                    Some(waiting) => {
                        waiting.retain(|_, tell| !tell.is_closed()); // Nobody waits for them any more.
                        waiting.insert(number, tell);
                    }
                }
                write_frame(&mut to, &ToProxy::Purge { number, purge }).await?;
            }
        }
    };
    let up = async {
        while let Some(word) = read_frame::<FromProxy>(&mut from).await? {
            match word {
                FromProxy::Purged { number, dropped } => {
                    let tell = lock().as_mut().and_then(|waiting| waiting.remove(&number));
                    let _ = tell.map(|tell| tell.send(dropped)); // Whoever asked may have gone.
                }
                word @ FromProxy::Leaving { reads: false } => {
                    hear(word, id, proxies, on_report);
                    for (_, tell) in lock().take().into_iter().flatten() {
                        let _ = tell.send(0);
                    }
                }
                word => hear(word, id, proxies, on_report),
            }
        }
        Ok(())
    };
    // Losing the race drops a half-read or half-written frame, and with it the whole connection.
    tokio::select! { end = down => end, end = up => end }
}

fn hear(word: FromProxy, id: u64, proxies: &Proxies, on_report: &(dyn Fn(&Report) + Send + Sync)) {
    match word {
        FromProxy::Hello { pid, generation } => {
            tracing::info!(pid, ?generation, "proxy connected");
            proxies.update(id, |all, id| {
                if let Some(proxy) = all.get_mut(&id) {
                    proxy.came_with = generation.unwrap_or(0);
                }
            });
        }
        FromProxy::Ack { generation } => proxies.update(id, |all, id| {
            if let Some(proxy) = all.get_mut(&id) {
                proxy.acked = proxy.acked.max(generation);
            }
        }),
        FromProxy::Purged { .. } => {} // Told to whoever asked for it.
        FromProxy::Refused { generation, error } => tracing::error!(generation, error, "proxy refused a snapshot"),
        FromProxy::Leaving { reads } => proxies.update(id, |all, id| {
            if let Some(proxy) = all.get_mut(&id) {
                (proxy.leaving, proxy.deaf) = (true, !reads);
            }
        }),
        FromProxy::Report(report) => {
            on_report(&report);
            proxies.update(id, |all, id| {
                if let Some(proxy) = all.get_mut(&id) {
                    proxy.hear(*report);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;
    use ondol_core::id::BootId;

    fn snapshot() -> Snapshot {
        let mut registry = crate::Registry::new(
            BootId {
                system: "s".into(),
                boot: "b".into(),
            },
            Timestamp(5),
        );
        registry.changed().expect("first")
    }

    #[tokio::test]
    async fn a_proxy_takes_the_snapshot_acknowledges_and_reports() {
        let dir = tempfile::tempdir().expect("folder");
        let listener = ondol_core::unix::bind(&dir.path().join("control.sock")).expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let (tx, rx) = watch::channel(Some(Arc::new(snapshot())));
        let (proxies, tasks) = (Proxies::default(), Tasks::new());
        let serving = serve(
            UnixListener::from_std(listener).expect("tokio"),
            rx,
            proxies.clone(),
            tasks.clone(),
            Arc::new(|_| {}),
        );
        tasks.spawn(Kind::Control, serving);
        let orders: InstanceId = "orders.1".parse().expect("valid");
        assert_eq!(proxies.in_flight(&orders, 0), None, "nobody is connected: nobody knows");

        let mut stream = UnixStream::connect(dir.path().join("control.sock"))
            .await
            .expect("connect");
        let Some(ToProxy::Snapshot(got)) = read_frame(&mut stream).await.expect("frame") else {
            panic!("no snapshot")
        };
        assert_eq!(*got, snapshot());
        let mut changes = proxies.watch();
        write_frame(
            &mut stream,
            &FromProxy::Ack {
                generation: got.generation,
            },
        )
        .await
        .expect("ack");
        let report = Report {
            in_flight: vec![(orders.clone(), 3)],
            ..Report::default()
        };
        write_frame(&mut stream, &FromProxy::Report(Box::new(report)))
            .await
            .expect("report");
        while proxies.in_flight(&orders, got.generation) != Some(3) {
            changes.changed().await.expect("open");
        }
        assert!(proxies.acked(got.generation));
        let mut next = (*got).clone();
        (next.generation, next.trusted_proxies) = (next.generation + 1, vec!["10.0.0.0/8".into()]);
        tx.send_replace(Some(Arc::new(next.clone())));
        let whole = read_frame(&mut stream).await.expect("frame");
        assert_eq!(
            whole,
            Some(ToProxy::Snapshot(Box::new(next.clone()))),
            "of what rarely changes"
        );
        let last = Snapshot {
            generation: next.generation + 1,
            ..next.clone()
        };
        tx.send_replace(Some(Arc::new(last.clone())));
        let Some(ToProxy::Change(change)) = read_frame(&mut stream).await.expect("frame") else {
            panic!("no change")
        };
        change.apply(&mut next).expect("it fits");
        assert_eq!(next, last);
        drop(stream);
        while proxies.acked(0) {
            changes.changed().await.expect("open");
        }
        drop(tx);
        tasks.stop();
        tasks.ended().await;
    }
    #[test]
    fn a_report_from_before_the_acknowledgement_says_nothing_about_who_drains_since() {
        let proxies = Proxies::default();
        proxies.update(1, |all, id| drop(all.insert(id, Proxy::default())));
        let orders: InstanceId = "orders.1".parse().expect("valid");
        let say = |word| hear(word, 1, &proxies, &|_| {});
        let report = |count| {
            FromProxy::Report(Box::new(Report {
                in_flight: vec![("orders.1".parse().expect("valid"), count)],
                ..Report::default()
            }))
        };
        say(FromProxy::Ack { generation: 6 });
        say(report(0));
        assert_eq!(proxies.in_flight(&orders, 6), Some(0));
        say(FromProxy::Ack { generation: 7 });
        assert_eq!(
            proxies.in_flight(&orders, 7),
            None,
            "a request may have come since that report"
        );
        say(report(1));
        assert_eq!(proxies.in_flight(&orders, 7), Some(1));
    }

    #[test]
    fn a_proxy_that_leaves_is_not_waited_for_and_its_requests_still_count() {
        let proxies = Proxies::default();
        let say = |id, word| {
            proxies.update(id, |all, id| {
                all.entry(id).or_default();
            });
            hear(word, id, &proxies, &|_| {});
        };
        let orders: InstanceId = "orders.1".parse().expect("valid");
        let report = |count| {
            FromProxy::Report(Box::new(Report {
                in_flight: vec![("orders.1".parse().expect("valid"), count)],
                ..Report::default()
            }))
        };
        say(1, FromProxy::Ack { generation: 6 });
        say(1, report(2));
        say(1, FromProxy::Leaving { reads: true });
        assert!(!proxies.acked(6), "nobody stays");
        assert_eq!(proxies.in_flight(&orders, 6), None, "nor is there anybody to ask");
        say(2, FromProxy::Ack { generation: 7 });
        say(2, report(0));
        assert!(proxies.acked(7));
        assert_eq!(
            proxies.in_flight(&orders, 7),
            None,
            "the one that leaves may still bring a request"
        );
        say(1, FromProxy::Ack { generation: 7 });
        say(1, report(1));
        assert_eq!(proxies.in_flight(&orders, 7), Some(1));
        say(1, FromProxy::Leaving { reads: false });
        say(1, report(1));
        assert_eq!(proxies.in_flight(&orders, 8), None, "the other has not said so yet");
        say(2, FromProxy::Ack { generation: 8 });
        say(2, report(0));
        assert_eq!(proxies.in_flight(&orders, 8), Some(1));
    }

    #[tokio::test]
    async fn a_purge_is_what_all_proxies_dropped_and_one_that_goes_is_silent() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("control.sock");
        let listener = ondol_core::unix::bind(&path).expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let (_tx, rx) = watch::channel(None);
        let (proxies, tasks) = (Proxies::default(), Tasks::new());
        let listener = UnixListener::from_std(listener).expect("tokio");
        let serving = serve(listener, rx, proxies.clone(), tasks.clone(), Arc::new(|_| {}));
        tasks.spawn(Kind::Control, serving);
        let nobody = proxies.purge(&Purge::default()).await;
        assert_eq!((nobody.dropped, nobody.proxies, nobody.silent), (0, 0, 0));
        let mut changes = proxies.watch();
        let mut streams = Vec::new();
        for count in 1..=3 {
            streams.push(UnixStream::connect(&path).await.expect("connect"));
            while proxies.reports().len() < count {
                changes.changed().await.expect("open");
            }
        }
        let purge = Purge::of("shop".parse().expect("a name"));
        let proxy = async |mut stream: UnixStream, dropped: Option<u64>| {
            let Some(ToProxy::Purge { number, purge }) = read_frame(&mut stream).await.expect("frame") else {
                panic!("no purge")
            };
            assert_eq!(purge.service.expect("one").as_str(), "shop");
            let dropped = dropped?;
            let word = FromProxy::Purged { number, dropped };
            write_frame(&mut stream, &word).await.expect("told");
            Some(stream)
        };
        let mut streams = streams.into_iter();
        let mut next = || streams.next().expect("one");
        let (purged, first, second, gone) = tokio::join!(
            proxies.purge(&purge),
            proxy(next(), Some(3)),
            proxy(next(), Some(4)),
            proxy(next(), None)
        );
        assert_eq!((purged.dropped, purged.proxies, purged.silent), (7, 2, 1));
        assert!(first.is_some() && second.is_some() && gone.is_none());

        // One that says that it hears no more keeps nothing either: it answers with that, and is not asked again.
        let leaves = async |mut stream: UnixStream| {
            let heard = read_frame::<ToProxy>(&mut stream).await.expect("frame");
            assert!(matches!(heard, Some(ToProxy::Purge { .. })), "{heard:?}");
            let word = FromProxy::Leaving { reads: false };
            write_frame(&mut stream, &word).await.expect("told");
            stream
        };
        let (purged, stays, leaving) = tokio::join!(
            proxies.purge(&purge),
            proxy(first.expect("it stayed"), Some(5)),
            leaves(second.expect("it stayed"))
        );
        assert_eq!((purged.dropped, purged.proxies, purged.silent), (5, 2, 0));
        let (purged, _stays) = tokio::join!(proxies.purge(&purge), proxy(stays.expect("it stayed"), Some(6)));
        assert_eq!((purged.dropped, purged.proxies, purged.silent), (6, 1, 0));
        drop(leaving);
        tasks.stop();
        tasks.ended().await;
    }
}
