//! The proxy's role: its listening sockets come from the supervisor, by name.

use super::{RoleArgs, log};
use crate::home::Home;
use anyhow::Context;
use ondol_core::BoxFuture;
use ondol_core::clock::SystemClock;
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::{BootId, ServiceName};
use ondol_core::task::Tasks;
use ondol_core::wire::supervision::SocketName;
use ondol_core::wire::supervision_client::SupervisorClient;
use ondol_proxy::listener::Socket;
use ondol_proxy::report::access::files::Files;
use ondol_proxy::service::{Config, SocketSource};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// For running requests to end, once told to stop; the supervisor waits 10 s before it kills.
const DRAIN: Duration = Duration::from_secs(8);

pub(super) fn run(args: RoleArgs) -> anyhow::Result<ExitCode> {
    log();
    let home = Home { root: args.root };
    let boot: BootId = std::env::var("ONDOL_BOOT")
        .context("ONDOL_BOOT is not set: the supervisor starts this role")?
        .parse()?;
    let tasks = Tasks::new();
    stop_when_told(tasks.clone())?;
    let config = Config {
        run_dir: home.run(),
        boot,
        workers: std::thread::available_parallelism().map_or(1, Into::into),
        sockets: Arc::new(FromSupervisor(home.supervisor())),
        drain: DRAIN,
        access_log: Box::new(Files::new(home.access())),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    ondol_proxy::service::run(config, &tasks)?;
    Ok(ExitCode::SUCCESS)
}

struct FromSupervisor(SupervisorClient);

impl SocketSource for FromSupervisor {
    fn take(&self, name: &SocketName) -> BoxFuture<io::Result<Socket>> {
        let (supervisor, name) = (self.0.clone(), name.clone());
        Box::pin(async move {
            let taken = name.clone();
            let fd = tokio::task::spawn_blocking(move || supervisor.take_socket(&taken)).await;
            let fd = fd.map_err(io::Error::other)?.map_err(io::Error::other)?;
            // The built-in caller's edges are Unix sockets, every other is TCP.
            let unix = name.0.starts_with(&format!("edge/{}/", ServiceName::ondol()));
            Ok(if unix {
                Socket::Unix(fd.into())
            } else {
                Socket::Tcp(fd.into())
            })
        })
    }
}

fn stop_when_told(tasks: Tasks) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Tasks::thread("signals", move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
                return;
            };
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            tasks.stop();
        });
    })?;
    Ok(())
}
