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
use ondol_core::wire::supervision_client::{ClientError, SupervisorClient};
use ondol_proxy::ending::Ending;
use ondol_proxy::listener::Socket;
use ondol_proxy::report::access::files::Files;
use ondol_proxy::service::{Config, Supervisor};
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
    // The supervisor's number of this life.
    let life = std::env::var("ONDOL_LIFE").context("ONDOL_LIFE is not set: the supervisor starts this role")?;
    let ending = Ending::new();
    end_when_told(ending.clone())?;
    let config = Config {
        run_dir: home.run(),
        boot,
        workers: std::thread::available_parallelism().map_or(1, Into::into),
        supervisor: Arc::new(Supervised {
            client: home.supervisor(),
            life: life.parse()?,
        }),
        drain: DRAIN,
        access_log: Box::new(Files::new(home.access())),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    ondol_proxy::service::run(config, &ending)?;
    Ok(ExitCode::SUCCESS)
}

struct Supervised {
    client: SupervisorClient,
    life: u64,
}

impl Supervised {
    /// Asks the supervisor, on a thread where one may wait.
    fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&SupervisorClient) -> Result<T, ClientError> + Send + 'static,
    ) -> BoxFuture<io::Result<T>> {
        let client = self.client.clone();
        Box::pin(async move {
            let answer = tokio::task::spawn_blocking(move || call(&client)).await;
            answer.map_err(io::Error::other)?.map_err(io::Error::other)
        })
    }
}

impl Supervisor for Supervised {
    fn take_socket(&self, name: &SocketName) -> BoxFuture<io::Result<Socket>> {
        let (wanted, name) = (name.clone(), name.clone());
        let taken = self.ask(move |client| client.take_socket(&wanted));
        Box::pin(async move {
            let fd = taken.await?;
            // The built-in caller's edges are Unix sockets, every other is TCP.
            let unix = name.0.starts_with(&format!("edge/{}/", ServiceName::ondol()));
            Ok(if unix {
                Socket::Unix(fd.into())
            } else {
                Socket::Tcp(fd.into())
            })
        })
    }

    fn serving(&self) -> BoxFuture<io::Result<()>> {
        let life = self.life;
        self.ask(move |client| client.serving(life))
    }
}

/// SIGUSR1: another proxy has taken over. SIGTERM, SIGINT: nobody has, or this one has left long enough.
fn end_when_told(ending: Ending) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    // Before it serves: without, the first of these signals would end it at once.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut leave = signal(SignalKind::user_defined1())?;
    drop(inside);
    Tasks::thread("signals", move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    _ = leave.recv() => ending.leave(),
                }
            }
            ending.stop();
        });
    })?;
    Ok(())
}
