//! The roles: what `ondol up` starts by itself, each its own process. The only place that names concrete adapters.

mod configuration;
mod console;
mod controller;
mod history;
mod plan;
mod proxy;
mod reconcile;
mod supervisor;

use ondol_core::id::ServiceName;
use std::path::PathBuf;
use std::process::ExitCode;

/// The hidden first argument that makes this program the supervisor's re-exec shim.
pub(crate) const SHIM: &str = "shim";

/// What every role is told.
#[derive(clap::Args, Clone)]
pub(crate) struct RoleArgs {
    /// The system's folder.
    #[arg(long)]
    root: PathBuf,
    /// Rebuild and replace what changes.
    #[arg(long)]
    watch: bool,
    /// Only these services and what they require.
    #[arg(long)]
    only: Vec<ServiceName>,
}

/// One role.
#[derive(clap::Subcommand)]
pub(crate) enum Role {
    /// Owns processes, sockets and log pipes.
    Supervisor(RoleArgs),
    /// Decides and remembers.
    Controller(RoleArgs),
    /// Carries requests.
    Proxy(RoleArgs),
}

impl Role {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Supervisor(args) => supervisor::run(args),
            Self::Controller(args) => controller::run(args),
            Self::Proxy(args) => proxy::run(args),
        }
    }
}

/// Log lines of a role: JSON on standard error, which the supervisor keeps. `ONDOL_LOG` filters, such as `debug`.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ONDOL_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second subscriber would be a bug of this function's callers; the first one stays.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
