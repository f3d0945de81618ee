//! The controller's word: snapshots come down and are acknowledged, counts go up.
//!
//! While the controller is away the last snapshot serves on; the connection is tried again every [`RETRY`]. While the proxy
//! leaves, it takes snapshots without their sockets, for the requests that kept connections may still bring; what a newer
//! controller says and it cannot read is left to the next proxy. Counts go up to the end, the last after the last request.

use crate::ending::Ending;
use crate::keeper::Keeper;
use crate::listener::Socket;
use crate::service::Config;
use crate::state::Shared;
use crate::worker::Order;
use ondol_core::task::Tasks;
use ondol_core::wire::asynchronous::{read_frame, write_frame};
use ondol_core::wire::proxy::{FromProxy, Report, Snapshot, ToProxy};
use ondol_core::wire::supervision::SocketName;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Between two tries to reach the controller.
const RETRY: Duration = Duration::from_millis(100);
/// Before a snapshot whose sockets could not be had or opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two reports.
const REPORT: Duration = Duration::from_secs(1);
/// Between two reports because of news.
const NEWS: Duration = Duration::from_millis(10);

/// What the control thread knows.
pub struct Control {
    config: Config,
    shared: Arc<Shared>,
    workers: Vec<mpsc::Sender<Order>>,
    open: BTreeSet<SocketName>,
    /// Of these some may be open in a part of the workers only.
    torn: bool,
    /// Could not be served for want of sockets; tried again as long as nothing newer comes.
    waits: Option<(Instant, Arc<Snapshot>)>,
    /// The generation that was refused last.
    refused: Option<u64>,
    generation: Option<u64>,
    /// A snapshot is served, on all its sockets.
    serves: bool,
    /// The supervisor knows that it serves.
    announced: bool,
    keeper: Keeper,
    ends: Ends,
}

/// The two ends of a proxy.
pub struct Ends {
    /// How the proxy is told to end.
    pub told: Ending,
    /// Stops when the last worker has ended.
    pub served: Tasks,
}

/// Why a snapshot is not served.
#[derive(thiserror::Error, Debug)]
enum NotServed {
    /// It cannot be, or not after what was served.
    #[error("{0}")]
    Snapshot(String),
    /// Its sockets could not be had or opened; another time they may.
    #[error("{0}")]
    Sockets(String),
}

impl From<String> for NotServed {
    fn from(why: String) -> Self {
        Self::Snapshot(why)
    }
}

impl Control {
    /// Knows nothing yet.
    pub fn new(config: Config, shared: Arc<Shared>, workers: Vec<mpsc::Sender<Order>>, ends: Ends) -> Self {
        Self {
            keeper: Keeper::new(&config.run_dir),
            config,
            shared,
            workers,
            open: BTreeSet::new(),
            torn: false,
            waits: None,
            refused: None,
            generation: None,
            serves: false,
            announced: false,
            ends,
        }
    }

    /// Serves with the snapshot on disk, if there is a fit one, then as the controller says, until all workers have ended
    /// and the controller, if it is there, has their last counts.
    pub async fn run(mut self) {
        if let Some(snapshot) = self.keeper.kept(&self.config.boot) {
            match self.take(&snapshot).await {
                Ok(()) => tracing::info!(
                    generation = snapshot.generation,
                    "serving with the snapshot kept on disk"
                ),
                Err(error) => tracing::warn!(code = "GW-040", %error, "the snapshot kept on disk cannot be served"),
            }
        }
        let path = self.config.run_dir.join("control.sock");
        loop {
            self.announce().await;
            match self.listen(&path).await {
                Ok(()) => tracing::info!("the conversation with the controller has ended"),
                Err(error) => tracing::debug!(%error, "the controller cannot be reached"),
            }
            tokio::select! {
                () = self.ends.served.stopping() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// One connection to the controller, until it or the last worker ends.
    async fn listen(&mut self, path: &Path) -> io::Result<()> {
        let (name, _folder) = ondol_core::unix::short(path)?;
        let (mut from, mut to) = UnixStream::connect(name).await?.into_split();
        write_frame(
            &mut to,
            &FromProxy::Hello {
                pid: std::process::id(),
                generation: self.generation,
            },
        )
        .await?;
        // Reading a frame may not be dropped halfway, so a task of this function reads and hands over.
        let (frames, mut snapshots) = mpsc::channel(1);
        let (drops, mut purged) = mpsc::channel(1);
        let purging = self.shared.clone();
        let reading = async move {
            let mut known: Option<Arc<Snapshot>> = None;
            while let Some(word) = read_frame(&mut from).await? {
                if let ToProxy::Purge { number, purge } = word {
                    let dropped = purging.cache.purge(&purge, purging.clock.mono());
                    if drops.send(FromProxy::Purged { number, dropped }).await.is_err() {
                        break;
                    }
                    continue;
                }
                let snapshot = Arc::new(heard(word, known.take())?);
                known = Some(snapshot.clone());
                if frames.send(snapshot).await.is_err() {
                    break;
                }
            }
            io::Result::Ok(())
        };
        let mut reading = std::pin::pin!(reading);
        let mut due = tokio::time::interval(REPORT);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        let (mut told_at, mut leaving) = (None, std::pin::pin!(self.ends.told.leaving()));
        let (mut left, mut deaf) = (false, false);
        loop {
            let mut newest = tokio::select! {
                ended = &mut reading, if !deaf => match ended {
                    Err(error) if left && error.kind() == io::ErrorKind::InvalidData => {
                        deaf = true;
                        self.shared.cache.close(); // It hears of no purge any more.
                        write_frame(&mut to, &FromProxy::Leaving { reads: false }).await?;
                        None
                    }
                    ended => return ended,
                },
                () = self.ends.served.stopping() => {
                    return write_frame(&mut to, &FromProxy::Report(Box::new(self.report()))).await;
                }
                () = leaving.as_mut(), if !left => {
                    left = true;
                    write_frame(&mut to, &FromProxy::Leaving { reads: true }).await?;
                    None
                }
                Some(word) = purged.recv() => {
                    write_frame(&mut to, &word).await?;
                    continue;
                }
                snapshot = snapshots.recv(), if !deaf => snapshot,
                _ = due.tick() => None,
                () = tokio::time::sleep_until(self.again_at()), if self.waits.is_some() => self.waits.take().map(|(_, snapshot)| snapshot),
                // News come in crowds; a snapshot does not wait for them.
                () = shared.clusters.news(), if told_at.is_none() => {
                    told_at = Some(Instant::now() + NEWS);
                    continue;
                }
                () = tokio::time::sleep_until(told_at.unwrap_or_else(Instant::now)), if told_at.is_some() => None,
            };
            while let Ok(newer) = snapshots.try_recv() {
                newest = Some(newer);
            }
            if let Some(snapshot) = newest {
                let generation = snapshot.generation;
                let word = match self.take(&snapshot).await {
                    Ok(()) => FromProxy::Ack { generation },
                    // Workers that end take no orders, which says nothing of the snapshot.
                    Err(_) if self.ends.told.is_leaving() => continue,
                    Err(why) => match self.refuse(&snapshot, why) {
                        Some(word) => word,
                        None => continue,
                    },
                };
                let told = write_frame(&mut to, &word).await;
                if matches!(word, FromProxy::Ack { .. }) && !left {
                    // For the next proxy, also where nobody hears of it; whoever waits for this one waits no longer.
                    self.keeper.keep(snapshot);
                }
                told?;
                self.announce().await;
            } else {
                told_at = None;
                write_frame(&mut to, &FromProxy::Report(Box::new(self.report()))).await?;
                self.announce().await;
            }
        }
    }

    /// Tells the supervisor once that it serves.
    async fn announce(&mut self) {
        if !self.serves || self.announced || self.ends.told.is_leaving() {
            return;
        }
        match self.config.supervisor.serving().await {
            Ok(()) => self.announced = true,
            Err(error) => tracing::warn!(%error, "the supervisor cannot be told that this proxy serves; trying again"),
        }
    }

    /// Serves by this snapshot, in all workers and on all its sockets.
    async fn take(&mut self, snapshot: &Snapshot) -> Result<(), NotServed> {
        self.waits = None;
        self.fits(snapshot)?;
        if self.ends.told.is_leaving() {
            self.shared.apply(snapshot)?;
            self.generation = Some(snapshot.generation);
            return Ok(());
        }
        let wanted = sockets(snapshot);
        // What may be open in some workers and not in others is opened anew in all of them.
        let (new, close): (Vec<_>, Vec<_>) = if self.torn {
            (wanted.iter().collect(), self.open.iter().cloned().collect())
        } else {
            (
                wanted.difference(&self.open).collect(),
                self.open.difference(&wanted).cloned().collect(),
            )
        };
        let mut taken = Vec::new();
        for name in new {
            let socket = self.config.supervisor.take_socket(name).await;
            taken.push((
                name.clone(),
                socket.map_err(|error| NotServed::Sockets(format!("socket {}: {error}", name.0)))?,
            ));
        }
        self.shared.apply(snapshot)?;
        self.generation = Some(snapshot.generation);
        if !taken.is_empty() || !close.is_empty() {
            let ordered = self.order(&taken, &close).await;
            self.torn = ordered.is_err();
            if let Err(error) = ordered {
                self.open.extend(wanted);
                return Err(NotServed::Sockets(error.to_string()));
            }
        }
        self.open = wanted;
        self.serves = true;
        Ok(())
    }

    /// The word for a snapshot that is not served, once for each. One without its sockets is tried again.
    fn refuse(&mut self, snapshot: &Arc<Snapshot>, why: NotServed) -> Option<FromProxy> {
        let (generation, error) = (snapshot.generation, why.to_string());
        if matches!(why, NotServed::Sockets(_)) {
            self.waits = Some((Instant::now() + AGAIN, snapshot.clone()));
        }
        if self.refused.replace(generation) == Some(generation) {
            return None;
        }
        tracing::warn!(code = "GW-040", generation, error, "a snapshot cannot be served");
        Some(FromProxy::Refused { generation, error })
    }

    fn again_at(&self) -> Instant {
        self.waits.as_ref().map_or_else(Instant::now, |(at, _)| *at)
    }

    fn fits(&self, snapshot: &Snapshot) -> Result<(), String> {
        if snapshot.boot != self.config.boot {
            return Err(format!(
                "it is of boot {}, this is boot {}",
                snapshot.boot, self.config.boot
            ));
        }
        if self.generation.is_some_and(|served| served > snapshot.generation) {
            return Err(format!(
                "generation {} is older than what is served",
                snapshot.generation
            ));
        }
        Ok(())
    }

    /// Gives every worker its own descriptors, and waits until all listen.
    async fn order(&self, open: &[(SocketName, Socket)], close: &[SocketName]) -> io::Result<()> {
        let gone = || io::Error::other("a worker has ended");
        let (mut orders, mut waiting) = (Vec::new(), Vec::new());
        for worker in &self.workers {
            let copies = open
                .iter()
                .map(|(name, socket)| Ok((name.clone(), socket.try_clone()?)));
            let (done, told) = oneshot::channel();
            let order = Order {
                open: copies.collect::<io::Result<_>>()?,
                close: close.to_vec(),
                done,
            };
            orders.push((worker, order));
            waiting.push(told);
        }
        for (worker, order) in orders {
            worker.send(order).await.map_err(|_| gone())?;
        }
        for told in waiting {
            told.await.map_err(|_| gone())??;
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let Shared {
            clock,
            clusters,
            counters,
            log,
            tls,
            mesh,
            cache,
            ..
        } = &*self.shared;
        let (listeners, mesh) = (tls.all().into_iter().map(|listener| listener.report()), mesh.get());
        let mut report = Report {
            cache: cache.report(),
            access_log_left_out: log.left_out(),
            tls: listeners.chain(mesh.as_ref().map(|mesh| mesh.report())).collect(),
            peers: mesh.map(|mesh| mesh.contacts()).unwrap_or_default(),
            ..counters.report(clusters, clock.wall(), clock.mono(), log.dropped())
        };
        if self.ends.told.is_leaving() {
            // What it knows of services it knows by requests, and gets hardly any: the next proxy's word holds.
            (report.healthy, report.breakers, report.panics) = Default::default();
        }
        report
    }
}

/// All that a snapshot listens on.
fn sockets(snapshot: &Snapshot) -> BTreeSet<SocketName> {
    let names = snapshot.gateways.iter().map(|gateway| &gateway.socket);
    names
        .chain(snapshot.edges.iter().map(|edge| &edge.socket))
        .chain(snapshot.mesh.iter().filter_map(|mesh| mesh.socket.as_ref()))
        .cloned()
        .collect()
}

/// What is true from now on.
fn heard(word: ToProxy, known: Option<Arc<Snapshot>>) -> io::Result<Snapshot> {
    match (word, known) {
        (ToProxy::Snapshot(snapshot), _) => Ok(*snapshot),
        (ToProxy::Change(change), Some(known)) => {
            let mut snapshot = Arc::unwrap_or_clone(known);
            change.apply(&mut snapshot).map_err(io::Error::other)?;
            Ok(snapshot)
        }
        (ToProxy::Purge { .. }, _) => Err(io::Error::other("a purge is no snapshot")),
        (ToProxy::Change(_), None) => Err(io::Error::other("a change came before any snapshot")),
    }
}
