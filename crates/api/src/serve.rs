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
use tokio::sync::Semaphore;

/// Connections at once on one surface; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 4_096;

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

/// Serves `router` until the tasks stop. An error to accept one connection is logged and survived.
pub async fn serve(listener: Listener, router: Router, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| {
                // Small answers must not wait for an acknowledgement; without it they are slower, not wrong.
                let _ = stream.set_nodelay(true);
                connection(stream, router.clone(), &tasks, place);
            }),
            Listener::Unix(unix) => unix
                .accept()
                .await
                .map(|(stream, _)| connection(stream, router.clone(), &tasks, place)),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "accepting a connection");
            // Out of descriptors: wait for some to close rather than spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn connection<S>(stream: S, router: Router, tasks: &Tasks, place: tokio::sync::OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tasks.spawn(Kind::Api, async move {
        let _place = place;
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(64 << 10);
        let service = TowerToHyperService::new(router);
        if let Err(error) = builder
            .serve_connection(TokioIo::new(Stall::new(stream)), service)
            .await
        {
            tracing::debug!(error = %error, "a connection ended early");
        }
    });
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
