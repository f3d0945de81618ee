//! Why the supervisor could not run, and why it refused a request.

use ondol_core::error::ErrorCode;
use ondol_core::id::InstanceId;
use ondol_core::wire::supervision::{Reply, SocketName};
use std::io;
use std::path::PathBuf;

/// Why [`crate::run`] ended without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The lock is held.
    #[error("another supervisor, process {pid}, runs the system in {}", root.display())]
    AlreadyRuns {
        /// The holder, as it wrote itself into the lock file.
        pid: String,
        /// Which system.
        root: PathBuf,
    },
    /// `.ondol/` cannot be used.
    #[error("cannot {what} {}", path.display())]
    Folder {
        /// `create`, `read` …
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a killed supervisor left could not be ended.
    #[error("processes of an earlier supervisor do not end: {0}")]
    Leftovers(String),
    /// The kernel refused something basic.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SupervisorError {
    /// Stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::AlreadyRuns { .. } => ErrorCode::new("SV-001"),
            Self::Folder { .. } => ErrorCode::new("SV-002"),
            Self::Leftovers(_) => ErrorCode::new("SV-003"),
            Self::System { .. } => ErrorCode::new("SV-004"),
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    pub(crate) fn folder(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { what, path, source }
    }
}

/// Why a request was refused. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("instance {0} runs already; stop it first")]
    RunsAlready(InstanceId),
    #[error("{what} is held by {holder}")]
    Taken { what: String, holder: String },
    #[error("{name} cannot be started: {reason}")]
    Spawn { name: String, reason: String },
    #[error("there is no instance {0}")]
    NoInstance(InstanceId),
    #[error("there is no socket {}", .0.0)]
    NoSocket(SocketName),
    #[error("{name}: {why}")]
    Invalid { name: String, why: String },
    #[error("cannot listen at {what}: {why}")]
    Bind { what: String, why: String },
    #[error("no port is free outside ip_local_port_range")]
    NoPort,
    #[error("a job named {0} runs already")]
    JobRuns(String),
    #[error("the supervisor is stopping")]
    Stopping,
    #[error("too many {what}: at most {limit}")]
    TooMany { what: &'static str, limit: usize },
}

impl Refusal {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::RunsAlready(_) => ErrorCode::new("SV-010"),
            Self::Taken { .. } => ErrorCode::new("SV-011"),
            Self::Spawn { .. } => ErrorCode::new("SV-012"),
            Self::NoInstance(_) => ErrorCode::new("SV-013"),
            Self::NoSocket(_) => ErrorCode::new("SV-014"),
            Self::Invalid { .. } => ErrorCode::new("SV-015"),
            Self::Bind { .. } => ErrorCode::new("SV-016"),
            Self::NoPort => ErrorCode::new("SV-017"),
            Self::JobRuns(_) => ErrorCode::new("SV-018"),
            Self::Stopping => ErrorCode::new("SV-019"),
            Self::TooMany { .. } => ErrorCode::new("SV-023"),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Error {
            code: refusal.code().as_str().to_owned(),
            message: refusal.to_string(),
        }
    }
}
