//! The loop between the sources and the readers.
//!
//! Invariants
//! - A topic is looked at only while somebody follows it; what was told of it stays, so that a reader who comes back
//!   gets the difference.
//! - A topic that nobody followed for a while says that items may be missing, before anything else.
//! - Readers wait for the loop, never the loop for a reader.
//!
//! Tests: `crates/ondol/tests/e2e/live.rs`, on a real system.

use super::changes::{Change, Changes, Kind, Watcher};
use super::frame::{Frame, Sample, Told};
use super::ring::{Behind, Ring};
use super::sources::Sources;
use super::{MAX_READERS, Topic};
use bytes::Bytes;
use ondol_core::clock::SharedClock;
use ondol_core::engine::SharedEngine;
use ondol_core::entropy::{Entropy, SystemEntropy};
use ondol_core::task::{Kind as TaskKind, Tasks};
use ondol_core::wire::supervision_client::SupervisorClient;
use ondol_deploy::Deploy;
use ondol_events::Subscriptions;
use ondol_events::relay::Relays;
use ondol_saga::Sagas;
use ondol_telemetry::Red;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// Between two looks at the sources.
const TICK: Duration = Duration::from_millis(100);

/// What the loop looks at.
#[derive(Clone)]
pub struct Ports {
    /// Services.
    pub deploy: Deploy,
    /// Sagas.
    pub sagas: Sagas,
    /// Events delivered to services.
    pub subscriptions: Subscriptions,
    /// Outboxes of services.
    pub relays: Relays,
    /// Events and the audit.
    pub engine: SharedEngine,
    /// Traffic.
    pub red: Arc<Mutex<Red>>,
    /// Log lines.
    pub supervisor: SupervisorClient,
    /// The folder of the proxy's access log.
    pub access: PathBuf,
    /// Time.
    pub clock: SharedClock,
    /// The family that the loop belongs to.
    pub tasks: Tasks,
}

/// What follows the system; a clone is the same.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    /// Of this controller: frames of another one are not continued.
    life: String,
    ports: Ports,
    changes: Changes,
    board: Mutex<Board>,
    /// The number of the last frame.
    news: watch::Sender<u64>,
    wake: Notify,
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Board {
    ring: Ring,
    told: BTreeMap<Topic, Told>,
    /// Readers of each topic.
    readers: BTreeMap<Topic, usize>,
    /// Topics looked at since somebody began to follow them.
    fresh: BTreeSet<Topic>,
}

impl Live {
    /// Starts the loop.
    pub fn start(ports: Ports) -> Self {
        let life = format!("{:08x}", SystemEntropy.next_u64() as u32);
        let tasks = ports.tasks.clone();
        let shared = Arc::new(Shared {
            life,
            ports,
            changes: Changes::default(),
            board: Mutex::default(),
            news: watch::Sender::new(0),
            wake: Notify::new(),
            places: Arc::new(Semaphore::new(MAX_READERS)),
        });
        tasks.spawn(TaskKind::Api, watch_changes(shared.clone()));
        tasks.spawn(TaskKind::Api, run(shared.clone()));
        Self { shared }
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    pub(crate) fn life(&self) -> &str {
        &self.shared.life
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.shared.ports
    }

    /// Follows these topics; `None`: too many do.
    pub(crate) fn join(&self, topics: Vec<Topic>) -> Option<Reader> {
        let place = self.shared.places.clone().try_acquire_owned().ok()?;
        let mut board = self.shared.lock();
        for topic in &topics {
            *board.readers.entry(*topic).or_default() += 1;
        }
        drop(board);
        let news = self.shared.news.subscribe();
        self.shared.wake.notify_one();
        Some(Reader {
            shared: self.shared.clone(),
            topics,
            news,
            _place: place,
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics that are followed, each with whether it was not until now; topics that nobody follows are forgotten.
    fn followed(&self) -> Vec<(Topic, bool)> {
        let mut board = self.lock();
        let Board { readers, fresh, .. } = &mut *board;
        let is_followed = |topic: &Topic| readers.get(topic).is_some_and(|n| *n > 0);
        fresh.retain(is_followed);
        Topic::ALL
            .into_iter()
            .filter(is_followed)
            .map(|topic| (topic, !fresh.contains(&topic)))
            .collect()
    }

    fn take(&self, topic: Topic, sample: Sample) {
        let mut board = self.lock();
        board.fresh.insert(topic);
        let frame = board.told.entry(topic).or_default().turn(sample);
        if let Some(frame) = frame {
            board.ring.push(topic, encode(topic.name(), &frame));
        }
        self.news.send_replace(board.ring.last());
    }
}

/// An event without its id.
pub(super) fn encode(topic: &str, frame: &Frame) -> Bytes {
    // Frames hold JSON values and numbers only.
    let data = serde_json::to_string(frame).unwrap_or_default();
    Bytes::from(format!("event: {topic}\ndata: {data}\n\n"))
}

async fn run(shared: Arc<Shared>) {
    let mut sources = Sources::new(shared.ports.clone(), shared.changes.clone());
    for tick in 0_u64.. {
        let followed = shared.followed();
        if followed.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        for (topic, anew) in followed {
            if anew || tick.is_multiple_of(topic.every()) {
                let sample = sources.look(topic, anew).await;
                shared.take(topic, sample);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = shared.wake.notified() => {}
        }
    }
}

/// Changes are seen whether or not somebody follows them.
async fn watch_changes(shared: Arc<Shared>) {
    let (ports, changes) = (&shared.ports, &shared.changes);
    changes.read_audit(&ports.engine).await;
    changes.add(&Change::new(ports.clock.wall(), Kind::Controller, "controller"));
    let (mut status, mut plan) = (ports.deploy.watch_status(), ports.deploy.watch_plan());
    let mut watcher = Watcher::default();
    loop {
        let now = status.borrow_and_update().clone();
        watcher
            .look(&now, ports.clock.wall())
            .iter()
            .for_each(|change| changes.add(change));
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            changed = plan.changed() => match changed {
                Ok(()) => changes.add(&Change::new(ports.clock.wall(), Kind::Config, "ondol.yaml")),
                Err(_) => return,
            },
        }
    }
}

/// One who follows; dropping it ends that.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    topics: Vec<Topic>,
    news: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// Waits until every topic was looked at.
    pub(crate) async fn fresh(&mut self) {
        while !self.is_fresh() && self.news.changed().await.is_ok() {}
    }

    fn is_fresh(&self) -> bool {
        let board = self.shared.lock();
        self.topics.iter().all(|topic| board.fresh.contains(topic))
    }

    /// Waits for the next frame of any topic.
    pub(crate) async fn news(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What came after frame `after`, and the number of the last frame.
    pub(crate) fn after(&mut self, after: u64) -> Result<(Vec<Bytes>, u64), Behind> {
        let board = self.shared.lock();
        self.news.mark_unchanged();
        let frames = board.ring.after(after, &self.topics)?;
        Ok((frames.into_iter().map(|(_, frame)| frame).collect(), board.ring.last()))
    }

    /// Everything, and the number of the last frame.
    pub(crate) fn snapshot(&self) -> (Vec<Bytes>, u64) {
        let board = self.shared.lock();
        let nothing = Told::default();
        let one = |topic: &Topic| {
            let items = if *topic == Topic::Changes {
                self.shared.changes.all()
            } else {
                vec![]
            };
            let told = board.told.get(topic).unwrap_or(&nothing);
            encode(topic.name(), &told.snapshot(items))
        };
        (self.topics.iter().map(one).collect(), board.ring.last())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut board = self.shared.lock();
        for topic in &self.topics {
            if let Some(readers) = board.readers.get_mut(topic) {
                *readers -= 1;
            }
        }
    }
}
