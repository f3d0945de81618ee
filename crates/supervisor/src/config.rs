//! What the supervisor is told once, at its start. Everything else is asked for over its socket.

use ondol_core::id::ServiceName;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Told once, by the command line.
#[derive(Clone, Debug)]
pub struct Config {
    /// The system's folder; state is kept in `.ondol/` under it.
    pub root: PathBuf,
    /// What is kept running from the start, stopped last, in reverse order.
    pub roles: Vec<RoleSpec>,
    /// Program and first arguments that lead to [`crate::shim`], such as `/proc/self/exe shim`.
    pub shim: Vec<OsString>,
    /// For each source of log lines, in bytes of stored lines; the oldest sixteenth goes first. Default 16 MiB.
    pub log_quota: u64,
    /// Whether to use cgroup v2 where it may be written. Default true.
    pub cgroups: bool,
    /// From SIGTERM to SIGKILL for roles. Default 10 s.
    pub role_stop_within: Duration,
}

/// A role of the program itself, such as `controller`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleSpec {
    /// Its name, and the source of its log lines.
    pub name: ServiceName,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Beside the supervisor's own environment, which a role inherits.
    pub env: BTreeMap<String, String>,
    /// Whether it says itself when it serves, by `Request::Serving`. Otherwise it is ready as soon as it runs.
    pub announces: bool,
}

impl Config {
    /// With the defaults, no roles, and the shim as a hidden subcommand `shim` of the running program.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            roles: Vec::new(),
            shim: vec!["/proc/self/exe".into(), "shim".into()],
            log_quota: 16 << 20,
            cgroups: true,
            role_stop_within: Duration::from_secs(10),
        }
    }
}
