//! Anyone ↔ supervisor, at `.ondol/run/supervisor.sock`: the controller plans, the supervisor runs.
//!
//! One connection carries one [`Request`] and its [`Reply`]s; most have exactly one. `Watch`, `Logs` with `follow` and
//! `RunJob` stream replies until either side closes. `TakeSocket` passes a listening socket as SCM_RIGHTS beside the
//! reply's frame. The supervisor knows nothing of manifests: what it runs is an argv, an environment and a few limits.
//!
//! All spans are milliseconds.

use crate::clock::Timestamp;
use crate::id::{BootId, InstanceId, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of a listening socket that the supervisor holds, such as `gateway/web@127.0.0.1:8080`, `edge/orders/products`,
/// `edge/ondol/payments` (a Unix socket) or `console@127.0.0.1:4500`. Whose address is declared has it in the name, so that
/// one that moves can be held at both addresses until everybody has moved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketName(pub String);

impl SocketName {
    /// The socket of this listener at this address.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self(format!("{}@{address}", self.0))
    }

    /// The listener alone, wherever it is.
    #[must_use]
    pub fn listener(&self) -> Self {
        let listener = self.0.split_once('@').map_or(&*self.0, |(listener, _)| listener);
        Self(listener.to_owned())
    }

    /// Whether the controller listens on it; on all others the proxy does.
    pub fn is_console(&self) -> bool {
        self.listener().0 == "console"
    }
}

/// What to bind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// This address, such as `127.0.0.1:8080`.
    Address(String),
    /// Any free loopback port outside `ip_local_port_range`; stays while the supervisor lives.
    Loopback,
    /// A Unix socket, mode 0600, with this file name in `.ondol/run/`.
    Unix(String),
}

/// Where a socket is bound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// TCP.
    Address(std::net::SocketAddr),
    /// Unix, absolute.
    Unix(PathBuf),
}

/// How an instance gets its listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketMode {
    /// It binds the port in `PORT` itself.
    Port,
    /// It gets the bound socket as descriptor 3, with `LISTEN_FDS=1`, `LISTEN_PID`, `LISTEN_FDNAMES=http`.
    Fds,
}

/// How the supervisor sees that an instance can work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// GET this path on its port: 2xx.
    Http(String),
    /// Its port accepts a connection.
    Tcp,
    /// A line of its output matches this regular expression.
    Log(String),
    /// This argv exits with 0.
    Exec(Vec<String>),
}

/// One generation of one instance: what to run and how to watch it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Which; starting an id that runs is an error.
    pub id: InstanceId,
    /// Program and arguments; the program is a path or is looked for on the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment but for `PORT`, `LISTEN_*`, `ONDOL_BOOT` and `ONDOL_LIFE`, which the supervisor sets.
    pub env: BTreeMap<String, String>,
    /// Absolute.
    pub dir: PathBuf,
    /// How it listens. `None`: it does not, and `ready` may not be `Tcp` or `Http`.
    pub socket: Option<SocketMode>,
    /// The port it was given by `Ports`.
    pub port: u16,
    /// How to see that it is ready.
    pub ready: Readiness,
    /// Longest pause between two questions; the first come 20 ms apart and slow down to this.
    pub ready_interval_ms: u64,
    /// For one question.
    pub ready_timeout_ms: u64,
    /// Not ready for so long after its start: killed, and started again after a back-off.
    pub start_within_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub stop_within_ms: u64,
    /// Stopped in descending order of rank: dependants have a higher rank than what they depend on.
    pub rank: u32,
    /// A free text that facts repeat: the release.
    pub release: String,
}

/// A run-to-end process, such as a build.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// Unique among running jobs, such as `build/rust`; its output is kept under this name.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment but for `ONDOL_BOOT` and `ONDOL_LIFE`.
    pub env: BTreeMap<String, String>,
    /// Absolute.
    pub dir: PathBuf,
    /// Killed after this.
    pub timeout_ms: u64,
}

/// How far an instance is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Runs, not ready yet.
    Starting,
    /// Runs and is ready.
    Ready,
    /// Was told to end.
    Stopping,
    /// Ended; starts again at `until`.
    BackingOff,
    /// Ended too often; tried again at `until`, rarely.
    CrashLoop,
    /// Cannot be started: no such program, port taken. Not tried again until told.
    Failed,
    /// Ended as told.
    Stopped,
}

/// Why a process ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, from outside.
    Signal(i32),
    /// By the kernel, for lack of memory.
    OutOfMemory,
    /// By the supervisor: not ready in time, or a job not done in time.
    NotReady,
    /// By the supervisor: told to stop or restart.
    Told,
    /// Could not be started.
    Spawn(String),
}

/// How surely a process tree can be ended as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Containment {
    /// A cgroup of its own with `cgroup.kill`.
    Cgroup,
    /// The supervisor is subreaper, with process groups and pidfds.
    Subreaper,
    /// Process group only.
    Group,
}

/// What is known of an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstanceFact {
    /// Which.
    pub id: InstanceId,
    /// How far.
    pub phase: Phase,
    /// While it runs.
    pub pid: Option<u32>,
    /// Its port.
    pub port: u16,
    /// As in its spec.
    pub release: String,
    /// Rises with every start of any instance: tells two lives apart.
    pub start: u64,
    /// Of this phase.
    pub since: Timestamp,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
    /// Starts beyond the first.
    pub restarts: u32,
    /// How the last life ended.
    pub last_exit: Option<Exit>,
    /// Why it is in this phase, for a person: `port 20001 is held by pid 41 (nginx)`.
    pub reason: Option<String>,
    /// When it is tried again.
    pub until: Option<Timestamp>,
    /// How it is contained.
    pub containment: Containment,
}

/// A line that a child wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// Rises by one with every line of the supervisor's life; resumes a follow. The proxy's access lines, which the
    /// supervisor does not see, have rising numbers of their own.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// `orders.1`, `proxy`, `controller` or a job's name; of an access line the instance that answered, or the service.
    pub source: String,
    /// `out` or `err`; `sup` for the supervisor's own word about this source, `access` for the proxy's access lines.
    pub stream: String,
    /// The text, ANSI sequences kept, invalid UTF-8 replaced, at most 64 KiB.
    pub text: String,
    /// True when the line goes on in the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// Level, if the line is JSON or logfmt and has one: `info`, `warn`, `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Trace id, if the line carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// How a role's process gives way to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HandOver {
    /// Within this the new one says that it serves, or it is ended.
    pub serve_within_ms: u64,
    /// For what the old one has begun. It gets SIGUSR1 at once, SIGTERM after this.
    pub drain_ms: u64,
}

/// What a client asks. One per connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Who runs here → [`Reply::Facts`].
    Facts,
    /// [`Reply::Facts`] at once, then again whenever anything changed (joined: 20 a second, ten at once after a pause).
    Watch,
    /// Binds what is not bound yet, keeps what is → [`Reply::Bound`] or [`Reply::Error`] naming the holder.
    Listen(Vec<(SocketName, Bind)>),
    /// Closes all sockets but these → [`Reply::Done`].
    Retain(Vec<SocketName>),
    /// → [`Reply::Socket`] with the descriptor beside it.
    TakeSocket(SocketName),
    /// A port for each instance, the same as before for one that had one → [`Reply::Ports`].
    Ports(Vec<InstanceId>),
    /// → [`Reply::Done`] once it is spawned (not ready yet), or [`Reply::Error`].
    Start(Box<InstanceSpec>),
    /// SIGTERM, then SIGKILL to the tree → [`Reply::Done`] once it is gone. It is not started again.
    Stop(InstanceId),
    /// Ends and starts the same spec again → [`Reply::Done`] once it is spawned.
    Restart(InstanceId),
    /// Runs a role by another program from now on, its other arguments kept.
    Upgrade {
        /// Such as `proxy`.
        role: ServiceName,
        /// Absolute path of the program.
        program: PathBuf,
        /// `None`: the role ends and starts again → [`Reply::Done`] once it is spawned. Otherwise the old process goes on until
        /// the new one serves → [`Reply::Done`] then, or [`Reply::Error`]: the old one serves on.
        hand_over: Option<HandOver>,
    },
    /// A role says that it serves, by the number in its `ONDOL_LIFE` → [`Reply::Done`].
    Serving(u64),
    /// Runs to the end → [`Reply::Log`] lines, then [`Reply::JobEnded`]. Closing the connection kills the job.
    RunJob(Box<JobSpec>),
    /// Kept lines, oldest first, of these sources (empty: all), then with `follow` new ones as they come.
    Logs {
        /// A source, or a service's name for all its instances.
        sources: Vec<String>,
        /// At most so many kept lines.
        tail: u32,
        /// Only lines after this number.
        after: Option<u64>,
        /// Go on.
        follow: bool,
    },
    /// Stops everything in descending rank, roles last, then ends → [`Reply::Facts`] as it goes, then the end.
    Shutdown,
}

/// What the supervisor answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The whole state.
    Facts(Box<Facts>),
    /// Where sockets are.
    Bound(Vec<(SocketName, Bound)>),
    /// A descriptor comes beside this frame.
    Socket,
    /// Ports by instance.
    Ports(Vec<(InstanceId, u16)>),
    /// A line.
    Log(LogLine),
    /// A job's end.
    JobEnded(Exit),
    /// It is done.
    Done,
    /// It could not be done.
    Error {
        /// Code.
        code: String,
        /// What, where, why, what to do.
        message: String,
    },
}

/// The supervisor's whole state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// This life.
    pub boot: BootId,
    /// Rises with every change in this life.
    #[serde(default)]
    pub version: u64,
    /// The supervisor's process.
    pub pid: u32,
    /// The roles it keeps running: `controller` and `proxy`, as service-like facts named `controller.1`, `proxy.1`; their
    /// release is the program. One that hands over stays until it has ended, its successor has another number.
    pub roles: Vec<InstanceFact>,
    /// Services' instances.
    pub instances: Vec<InstanceFact>,
    /// Running jobs.
    pub jobs: Vec<String>,
    /// True once `Shutdown` was asked.
    pub stopping: bool,
}

impl Facts {
    /// Instances of one service.
    pub fn of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a InstanceFact> {
        self.instances.iter().filter(move |fact| &fact.id.service == service)
    }

    /// Whether `other` is of the same life and later: an answer can overtake what is streamed.
    pub fn is_before(&self, other: &Self) -> bool {
        self.boot == other.boot && self.version < other.version
    }
}
