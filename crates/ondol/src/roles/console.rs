//! Where the admin API listens: a socket that the supervisor binds and keeps, served here, and moved when `console:`
//! changes under `--watch`.
//!
//! A move opens the new address before the old one closes. While it cannot be had (somebody else holds the port) the old
//! one serves on, and the deploy loop's status says what is wrong.
//! Tests: `tests/e2e/watch.rs`, `tests/e2e/ports.rs`.

use crate::home::Home;
use anyhow::{Context, bail};
use ondol_api::Parts;
use ondol_api::serve::{self, Listener};
use ondol_core::task::{Kind, Tasks};
use ondol_core::whole;
use ondol_core::wire::supervision::Bind;
use ondol_deploy::sockets::console_socket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries to move.
const RETRY: Duration = Duration::from_secs(1);

/// A socket to serve at.
pub(super) struct Console {
    /// As `console:` has it.
    asked: String,
    address: SocketAddr,
    listener: Listener,
}

/// The socket for `asked`.
///
/// # Errors
/// When it cannot be had; the error names who holds the port.
pub(super) async fn open(home: &Home, asked: &str) -> anyhow::Result<Console> {
    let (supervisor, asked) = (home.supervisor(), asked.to_owned());
    let (name, address) = (console_socket(&asked), Bind::Address(asked.clone()));
    let taken = tokio::task::spawn_blocking(move || {
        supervisor.listen(vec![(name.clone(), address)])?;
        supervisor.take_socket(&name)
    });
    let fd = taken.await?.context("the console and the admin API (`console:`)")?;
    let listener = serve::tcp(fd)?;
    let Listener::Tcp(tcp) = &listener else {
        bail!("the console's socket is no TCP socket")
    };
    let address = tcp.local_addr()?;
    Ok(Console {
        asked,
        address,
        listener,
    })
}

/// Serves the admin API there, and wherever `console:` moves it, until the tasks stop.
///
/// # Errors
/// When the address cannot be written down for the commands.
pub(super) fn serve(home: &Home, first: Console, api: Parts, tasks: &Tasks) -> anyhow::Result<()> {
    let mut plan = api.deploy.watch_plan();
    let mut asked = first.asked.clone();
    let mut serving = start(home, first, api.clone(), tasks)?;
    let (home, all) = (home.clone(), tasks.clone());
    tasks.spawn(Kind::Api, async move {
        // So that a port which stays taken is told once.
        let mut refused = String::new();
        loop {
            let wanted = plan.borrow_and_update().console.clone();
            if wanted != asked {
                let moved = open(&home, &wanted).await;
                match moved.and_then(|console| start(&home, console, api.clone(), &all)) {
                    Ok(new) => {
                        std::mem::replace(&mut serving, new).stop();
                        tracing::info!(from = asked, to = wanted, "the console has moved");
                        asked = wanted;
                    }
                    Err(error) => {
                        if refused != wanted {
                            tracing::warn!(error = format!("{error:#}"), to = wanted, "the console cannot move");
                            refused = wanted;
                        }
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            }
            if plan.changed().await.is_err() {
                // The deploy loop has ended, and with it this controller.
                return std::future::pending().await;
            }
        }
    });
    Ok(())
}

/// Serves at one address and says where; stopping the tasks that it gives closes that.
fn start(home: &Home, console: Console, api: Parts, tasks: &Tasks) -> anyhow::Result<Tasks> {
    whole::write(&home.run().join("console"), console.address.to_string().as_bytes())?;
    let api = Parts {
        hosts: hosts(&console),
        sessions: api.sessions.at(console.address.port()),
        ..api
    };
    let router = ondol_api::admin::router(api.into());
    Ok(serve::serve(console.listener, router, tasks))
}

/// `Host` values of the admin API.
fn hosts(console: &Console) -> Arc<[String]> {
    let port = console.address.port();
    [
        console.asked.clone(),
        console.address.to_string(),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
    ]
    .into()
}
