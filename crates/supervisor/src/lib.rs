//! The supervisor: owns child processes, listening sockets and log pipes, and asks whether processes are ready.
//!
//! A small program of its own kind, on threads of the standard library, that knows nothing of manifests or TLS, so that it
//! need not be restarted: what it runs outlives the death of the controller and the proxy, which it starts again. When it is
//! killed itself, its successor ends what it left, and starts anew.
//!
//! - decisions: `machine` (when to start again), without processes or a clock
//! - the loop: `service` with `requests`, `handover`, `instance` and `jobs`; it alone forks and waits. `probe`, `pump` and `server` send it mail
//! - processes: `shim` and `spawn` (start), `contain` (whole trees), `record` and `sweep` (what a predecessor left), `proc`
//! - what children wrote: `line`, `sources`, `segments`, `logs`, `pump`; what is listened on: `ports`, `sockets`
//!
//! The protocol is `ondol_core::wire::supervision`. Not here: what to run and when (`ondol-deploy`), traffic (`ondol-proxy`).
//! Tests: beside each file, and with real processes in `tests/`.

mod config;
mod contain;
mod descriptors;
mod error;
mod facts;
mod handover;
mod home;
mod instance;
mod jobs;
mod line;
mod logs;
mod machine;
mod mail;
mod ports;
mod probe;
mod proc;
mod pump;
mod record;
mod requests;
mod segments;
mod server;
mod service;
mod shim;
mod signals;
mod sockets;
mod sources;
mod spawn;
mod sweep;
mod tools;
mod wake;

pub use config::{Config, RoleSpec};
pub use error::SupervisorError;
pub use shim::shim;

use contain::Yard;
use home::Home;
use instance::Instance;
use logs::Logs;
use mail::Inbox;
use ondol_core::clock::{Clock, SharedClock, SystemClock};
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::InstanceId;
use ondol_core::unix;
use ondol_core::wire::supervision::{InstanceSpec, Readiness};
use pump::Pump;
use record::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tools::{Memory, Tools};

/// After the end, for clients to read the last facts.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the supervisor until it is told to stop, by a client or by SIGTERM or SIGINT; a second signal hurries it.
///
/// Becomes the leader of a session and the subreaper of what it starts. To be called once, by the main thread of a process of
/// its own: jobs end with the thread that calls this.
///
/// # Errors
/// [`SupervisorError`] when it could not begin, or the kernel refused something basic; nothing it started is left then
/// unless it is killed.
pub fn run(config: Config) -> Result<(), SupervisorError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let signals = signals::Signals::new().map_err(SupervisorError::system("handle signals"))?;
    descriptors::keep_to_ourselves().map_err(SupervisorError::system("read /proc/self/fd"))?;
    // Fails when it leads one already.
    let _ = rustix::process::setsid();
    let root = config
        .root
        .canonicalize()
        .map_err(SupervisorError::folder("open", &config.root))?;
    let home = Home::open(&root, &SystemEntropy)?;
    let swept = sweep::sweep(&home.folder, &home.boot, &*clock)?;
    let logs = open_logs(&home, config.log_quota, clock.clone(), swept)?;
    let (inbox, mail, wake) = Inbox::new().map_err(SupervisorError::system("make an event descriptor"))?;
    let board = Arc::new(facts::Board::default());
    let pump = Pump::start(logs.clone(), inbox.clone(), clock.clone());
    let (pump, reader) = pump.map_err(SupervisorError::system("start a thread"))?;
    let socket = home.run().join("supervisor.sock");
    let listener = unix::bind(&socket).map_err(SupervisorError::folder("listen at", &socket))?;
    let server = server::Server::new(inbox.clone(), board.clone(), logs.clone(), clock.clone());
    let server = server.map_err(SupervisorError::system("make an event descriptor"))?;
    let mut service = service::Service {
        tools: tools(&config, &home, (logs.clone(), pump.clone(), inbox), clock.clone())?,
        board: board.clone(),
        ports: ports::Ports::open(home.folder.join("ports.json"), &home.boot.system),
        sockets: sockets::Sockets::new(home.run()),
        roles: roles(&config, &root, &*clock),
        instances: BTreeMap::new(),
        jobs: jobs::Jobs::default(),
        tries: Vec::new(),
        waiting: Vec::new(),
        handovers: Vec::new(),
        answers: Vec::new(),
        stopping: false,
    };
    // Whoever connects finds facts.
    service.publish();
    server
        .start(listener)
        .map_err(SupervisorError::system("start a thread"))?;
    let ended = service
        .run(&mail, &wake, &signals)
        .map_err(SupervisorError::system("wait for events"));

    // Gone before the lock is: who finds no socket may start a successor.
    let _ = std::fs::remove_file(&socket);
    server.stop.ring();
    service.tools.yard.close();
    drop((service, mail));
    pump.stop();
    // It never panics; if it did, the lines that it had not read are lost, and nothing else.
    let _ = reader.join();
    board.close();
    logs.wake_readers();
    farewell(&server, &*clock);
    ended
}

fn open_logs(home: &Home, quota: u64, clock: SharedClock, swept: usize) -> Result<Arc<Logs>, SupervisorError> {
    let folder = home.folder.join("logs");
    let logs = Logs::open(folder.clone(), quota, clock).map_err(SupervisorError::folder("open", folder))?;
    if swept > 0 {
        logs.say(
            "supervisor",
            format!("ended {swept} processes that an earlier supervisor left"),
        );
    }
    Ok(Arc::new(logs))
}

fn tools(
    config: &Config,
    home: &Home,
    (logs, pump, inbox): (Arc<Logs>, Arc<Pump>, Inbox),
    clock: SharedClock,
) -> Result<Tools, SupervisorError> {
    let yard = Yard::new(&home.boot.system, config.cgroups);
    let record = Record::begin(&home.folder, yard.cgroup());
    Ok(Tools {
        shim: config.shim.clone(),
        boot: home.boot.clone(),
        memory: Memory::new(clock.mono()),
        clock,
        entropy: Arc::new(SystemEntropy),
        yard,
        record: record.map_err(SupervisorError::folder("write to", &home.folder))?,
        logs,
        pump,
        inbox,
        lives: 0,
    })
}

/// Lets clients read to the end.
fn farewell(server: &server::Server, clock: &dyn Clock) {
    let until = clock.mono() + FAREWELL;
    while server.clients() > 0 && clock.mono() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn roles(config: &Config, root: &std::path::Path, clock: &dyn Clock) -> Vec<Instance> {
    let role = |spec: &RoleSpec| {
        let mut env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        env.extend(spec.env.clone());
        let id = InstanceId {
            service: spec.name.clone(),
            number: 1,
        };
        let of_role = InstanceSpec {
            id,
            argv: spec.argv.clone(),
            env,
            dir: root.to_path_buf(),
            socket: None,
            port: 0,
            // Not asked: a role is ready as soon as it runs, or says so.
            ready: Readiness::Log(String::new()),
            ready_interval_ms: 0,
            ready_timeout_ms: 0,
            start_within_ms: 0,
            stop_within_ms: u64::try_from(config.role_stop_within.as_millis()).unwrap_or(u64::MAX),
            rank: 0,
            release: spec.argv.first().cloned().unwrap_or_default(),
        };
        Instance::role(of_role, spec.announces, clock.wall())
    };
    config.roles.iter().map(role).collect()
}
