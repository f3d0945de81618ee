//! The control socket: proxies connect, take every snapshot, acknowledge it, and report.
//!
//! A slow proxy holds nobody up: it always gets the newest snapshot and skips those between, the first whole, then what
//! changed. At most
//! [`MAX_PROXIES`] connections are served.

use ondol_core::id::InstanceId;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::asynchronous::{read_frame, write_frame};
use ondol_core::wire::proxy::{Change, FromProxy, Report, Snapshot, ToProxy};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A second proxy is there only while one hands over to the next.
pub const MAX_PROXIES: usize = 8;

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// A connected proxy.
#[derive(Clone, Debug, Default)]
struct Proxy {
    /// It takes no new requests, nor snapshots.
    leaving: bool,
    /// What it served by before it came.
    came_with: u64,
    acked: u64,
    /// What was acknowledged when the last report came: an older report does not know who began to drain since. Of one
    /// that leaves, any report that came since it said so is true of every later generation.
    counted: u64,
    report: Report,
}

impl Proxy {
    fn hear(&mut self, report: Report) {
        self.counted = if self.leaving { u64::MAX } else { self.acked };
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
    /// Exact requests in flight at `instance`, over all proxies. `None` when no proxy is connected or one has not yet
    /// reported since it acknowledged `generation`: then nobody knows.
    pub fn in_flight(&self, instance: &InstanceId, generation: u64) -> Option<u64> {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if connected.is_empty() || connected.values().any(|proxy| proxy.counted < generation) {
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
            proxies.update(id, |all, id| drop(all.insert(id, Proxy::default())));
            let end = converse(stream, id, snapshots, &proxies, &*on_report).await;
            proxies.update(id, |all, id| drop(all.remove(&id)));
            tracing::info!(connection = id, end = ?end.err().map(|e| e.to_string()), "proxy left");
        });
    }
}

/// Both directions of one connection, until either ends.
async fn converse(
    stream: UnixStream,
    id: u64,
    mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    proxies: &Proxies,
    on_report: &(dyn Fn(&Report) + Send + Sync),
) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let down = async {
        let mut told: Option<Arc<Snapshot>> = None;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                let change = told.as_ref().and_then(|told| Change::between(told, &snapshot));
                let word = match change {
                    Some(change) => ToProxy::Change(Box::new(change)),
                    None => ToProxy::Snapshot(Box::new((*snapshot).clone())),
                };
                write_frame(&mut to, &word).await?;
                told = Some(snapshot);
            }
            if snapshots.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    let up = async {
        while let Some(word) = read_frame::<FromProxy>(&mut from).await? {
            hear(word, id, proxies, on_report);
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
        FromProxy::Refused { generation, error } => tracing::error!(generation, error, "proxy refused a snapshot"),
        FromProxy::Leaving => proxies.update(id, |all, id| {
            if let Some(proxy) = all.get_mut(&id) {
                proxy.leaving = true;
                proxy.counted = 0;
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
        say(1, FromProxy::Leaving);
        assert!(!proxies.acked(6), "nobody stays");
        assert_eq!(
            proxies.in_flight(&orders, 6),
            None,
            "that report was from before it left"
        );
        say(2, FromProxy::Ack { generation: 7 });
        say(2, report(0));
        assert!(proxies.acked(7));
        say(1, report(1));
        assert_eq!(proxies.in_flight(&orders, 7), Some(1));
    }
}
