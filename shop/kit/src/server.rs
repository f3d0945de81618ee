//! A service's life: logs, socket, requests, SIGTERM, the end.
//!
//! Not `axum::serve`: that sets no time limit for a request's head and knows no bound on connections.
//!
//! What must hold
//! - At most [`MAX_CONNECTIONS`] connections are open; more wait in the kernel's queue.
//! - After SIGTERM no connection is accepted, requests that run may end within [`STOP_WITHIN`].
//! - Every answer to a path or method that does not exist is a problem, too.

use std::convert::Infallible;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::failure::StartError;
use crate::problem::chain;
use crate::{Problem, listen, logs, trace};

/// Connections open at a time. The proxy shares few among all callers.
const MAX_CONNECTIONS: usize = 1024;

/// From an idle connection or a head's first byte to the head's end. Longer than a proxy in front keeps an idle
/// connection (seconds, 60 at most), so that it is always the proxy who closes and no request meets a connection that is
/// just going away.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// The longest that a handler may take; what it has begun is rolled back. Above the longest wait of any handler, and of
/// any caller.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// From SIGTERM until requests are cut. Below `stop_within` (10 s), after which the supervisor kills.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Runs a service to its end: `start` prepares its state and gives its routes. Exit code 1 with one line on standard
/// error when it cannot start.
pub fn main(start: impl Future<Output = Result<Router, StartError>>) -> ExitCode {
    match run(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(start: impl Future<Output = Result<Router, StartError>>) -> Result<(), StartError> {
    logs::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| StartError::Setup {
        what: "the runtime",
        source,
    })?;
    runtime.block_on(async {
        let stop = stop_asked()?;
        // State first: whoever can connect is served.
        let router = start.await?;
        let listener = listen::listener()?;
        serve(listener, router, stop).await;
        Ok(())
    })
}

/// Serves `router`, with `/health` and problems for what it does not know, until `stop` ends.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let app = whole(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = room.clone().acquire_owned().await;
            (accept(&listener).await, permit)
        };
        let (stream, permit) = tokio::select! {
            next = accepted => next,
            () = &mut stop => break,
        };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // An error here is the client's: it went away or sent what is not HTTP.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            "requests were cut: they did not end within {} s of SIGTERM",
            STOP_WITHIN.as_secs()
        );
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and written at once; failing to say so costs only time.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // Out of descriptors or a connection that was reset in the queue: neither is worth dying for.
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The router with what every service answers alike.
fn whole(router: Router) -> Router {
    let unknown = || async { Problem::not_found("There is nothing at this path") };
    let method = || async {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This path does not know this method",
        )
    };
    let health = get(|| async { axum::Json(serde_json::json!({ "status": "ok" })) });
    let router = router
        .route("/health", health)
        .fallback(unknown)
        .method_not_allowed_fallback(method);
    router.layer(middleware::from_fn(bounded))
}

/// Every handler runs inside its request's trace and within its time.
async fn bounded(request: Request, next: Next) -> Result<Response, Infallible> {
    let headers = request.headers().clone();
    let answer = trace::inside(&headers, tokio::time::timeout(ANSWER_WITHIN, next.run(request))).await;
    Ok(answer.unwrap_or_else(|_| Problem::unavailable("too_slow", "This took too long", 1).into_response()))
}

/// Ends at SIGTERM or Ctrl-C.
fn stop_asked() -> Result<impl Future<Output = ()>, StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let setup = |source| StartError::Setup {
        what: "the signal handlers",
        source,
    };
    let mut term = signal(SignalKind::terminate()).map_err(setup)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(setup)?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A variable that Ondol gives.
///
/// # Errors
/// [`StartError::MissingVariable`].
pub fn variable(name: &'static str) -> Result<String, StartError> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or(StartError::MissingVariable(name))
}

/// The service's own folder for files, `ONDOL_DATA`; made where it is missing.
///
/// # Errors
/// [`StartError::MissingVariable`], [`StartError::Setup`].
pub fn data_folder() -> Result<std::path::PathBuf, StartError> {
    let folder = std::path::PathBuf::from(variable("ONDOL_DATA")?);
    std::fs::create_dir_all(&folder).map_err(|source| StartError::Setup {
        what: "the folder ONDOL_DATA",
        source,
    })?;
    Ok(folder)
}
