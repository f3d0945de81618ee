//! The role: workers that serve, and one thread that listens to the controller.
//!
//! ```text
//! control thread ──snapshot──► Shared.tables ◄──load── worker 0 … N (a runtime, connections and pools each)
//!       │  └──sockets, by name, from the supervisor ──► each worker gets its own descriptor
//!       └──reports, acknowledgements──► controller
//! ```
//!
//! Invariants
//! - Ready only with a whole snapshot: one from the controller, or the last one on disk if it is of this boot.
//! - A snapshot is acknowledged when all workers serve by it and, unless the proxy leaves, listen on its sockets.
//! - Told to leave, it takes no new connections, ends what it has begun, tells the controller the last counts, and returns;
//!   told to stop, within [`Config::drain`].
//! - The controller's absence changes nothing but that no newer snapshot comes.
//!
//! Not here: who decides what a snapshot says (the controller), who binds sockets (the supervisor).

use crate::cluster::health;
use crate::control::{Control, Ends};
use crate::ending::Ending;
use crate::fetch::Fetch;
use crate::listener::Socket;
use crate::report::access::AccessLog;
use crate::state::{Shared, Worker};
use crate::worker;
use ondol_core::BoxFuture;
use ondol_core::clock::SharedClock;
use ondol_core::entropy::{SeededEntropy, SharedEntropy};
use ondol_core::id::BootId;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::supervision::SocketName;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Who runs the proxy: it gives listening sockets by name, and is told once they are served.
pub trait Supervisor: Send + Sync + 'static {
    /// A descriptor of the socket.
    fn take_socket(&self, name: &SocketName) -> BoxFuture<io::Result<Socket>>;
    /// From now on the proxy serves; who served before may leave. Said again where it fails.
    fn serving(&self) -> BoxFuture<io::Result<()>>;
}

/// What the role needs.
pub struct Config {
    /// `.ondol/run`: the control socket, the controller's socket, the kept snapshot and keys.
    pub run_dir: PathBuf,
    /// This boot: a snapshot on disk of another one is not used.
    pub boot: BootId,
    /// Threads that serve; at least one.
    pub workers: usize,
    /// How long requests under way may go on once the role is told to stop.
    pub drain: Duration,
    /// Where the sockets come from.
    pub supervisor: Arc<dyn Supervisor>,
    /// Where the access log goes: one JSON line per request.
    pub access_log: Box<dyn io::Write + Send>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness fit for secrets.
    pub entropy: SharedEntropy,
}

/// Orders that a worker may have waiting; the control thread waits for each before it gives the next.
const ORDERS: usize = 2;

/// For the last counts to reach the controller; one that is stuck holds no end up.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs the role on this thread and `config.workers` others until it is told to end and what was begun has ended.
///
/// # Errors
/// When the system gives no thread or runtime.
pub fn run(mut config: Config, ending: &Ending) -> io::Result<()> {
    let log = AccessLog::start(std::mem::replace(&mut config.access_log, Box::new(io::sink())))?;
    let shared = Shared::new(
        config.clock.clone(),
        config.entropy.clone(),
        config.run_dir.clone(),
        log,
    );
    let shared = Arc::new(shared);
    let (mut orders, mut threads) = (Vec::new(), Vec::new());
    let (life, mut lives) = mpsc::channel::<Infallible>(1);
    for number in 0..config.workers.max(1) {
        let (sender, receiver) = mpsc::channel(ORDERS);
        let (shared, ending, drain, life) = (shared.clone(), ending.clone(), config.drain, life.clone());
        let make = move |tasks| Worker::new(shared, fast_entropy(), tasks);
        threads.push(Tasks::thread(&format!("proxy-{number}"), move || {
            let _life = life;
            worker::run(make, receiver, ending, drain)
        })?);
        orders.push(sender);
    }
    drop(life);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Health, keys and certificates are looked after until the last request has ended.
    let (served, ending) = (Tasks::new(), ending.clone());
    let own = served.clone();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let fetch = Fetch::new(Worker::new(shared.clone(), fast_entropy(), own.clone()));
        let (authority, clusters) = (shared.authority.clone(), shared.clusters.clone());
        own.spawn(Kind::Health, health::run(clusters, own.clone(), config.entropy.clone()));
        own.spawn_local(Kind::Control, async move { authority.keep_keys(fetch).await });
        let certificates = shared.clone();
        own.spawn_local(Kind::Control, async move { certificates.tls.watch().await });
        let mesh = shared.clone();
        own.spawn_local(Kind::Control, async move { mesh.mesh.watch().await });
        let control = Control::new(
            config,
            shared,
            orders,
            Ends {
                told: ending,
                served: served.clone(),
            },
        );
        let farewell = async {
            lives.recv().await; // Each worker holds the other side until it has ended.
            served.stop();
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! { () = control.run() => {}, () = farewell => {} }
    });
    for thread in threads {
        match thread.join() {
            Ok(ended) => ended?,
            Err(_) => return Err(io::Error::other("a worker panicked")),
        }
    }
    Ok(())
}

/// For jitter and balancing: no system call per draw, no lock that another thread wants.
fn fast_entropy() -> SharedEntropy {
    Arc::new(SeededEntropy::from_system())
}
