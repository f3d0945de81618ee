//! The accept loop of both surfaces: hyper with timers, so that slow heads and readers end, and a bound on connections.

use crate::stall::Stall;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ondol_core::task::{Kind, Tasks};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at once on one surface; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 4_096;

/// For what connections of a listener that is closed were asked; a stream is cut then.
const LAST_CALL: Duration = Duration::from_secs(5);

/// For a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// The admin API's.
    Tcp(TcpListener),
    /// The service API's, which only the proxy opens.
    Unix(UnixListener),
}

/// Serves `router` until the tasks stop. Stopping the family that it gives closes the listener alone: connections answer what they
/// were asked and end, within [`LAST_CALL`]. Call within a runtime.
pub fn serve(listener: Listener, router: Router, tasks: &Tasks) -> Tasks {
    let accepting = tasks.child();
    accepting.spawn(Kind::Api, accept(listener, router, tasks.clone(), accepting.clone()));
    accepting
}

/// An error to accept one connection is logged and survived.
async fn accept(listener: Listener, router: Router, tasks: Tasks, accepting: Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| {
                // Small answers must not wait for an acknowledgement; without it they are slower, not wrong.
                let _ = stream.set_nodelay(true);
                tasks.spawn(
                    Kind::Api,
                    connection(stream, router.clone(), accepting.stopping(), place),
                );
            }),
            Listener::Unix(unix) => unix.accept().await.map(|(stream, _)| {
                tasks.spawn(
                    Kind::Api,
                    connection(stream, router.clone(), accepting.stopping(), place),
                );
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "accepting a connection");
            // Out of descriptors: wait for some to close rather than spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn connection<S>(stream: S, router: Router, leaving: impl Future<Output = ()>, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(64 << 10);
    let service = TowerToHyperService::new(router);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(Stall::new(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = leaving => {
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_CALL, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

/// A listener from a descriptor that the supervisor handed over.
///
/// # Errors
/// When it is no listening TCP socket.
pub fn tcp(fd: std::os::fd::OwnedFd) -> io::Result<Listener> {
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Listener::Tcp)
}

/// Listens on a Unix socket with mode 0600.
///
/// # Errors
/// Those of binding.
pub fn unix(path: &std::path::Path) -> io::Result<Listener> {
    let listener = ondol_core::unix::bind(path)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(Listener::Unix)
}
