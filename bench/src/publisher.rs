//! A service that publishes as fast as it is told to: `POST /` with [`Task`] answers [`Published`]; every other request is
//! answered with `200 {}`. It publishes as any service does, at its `ONDOL_URL`, through the proxy.

use crate::moment::{self, Moment};
use crate::report::{Latency, Published};
use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// What to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Begins every id, so that no two tasks publish the same event.
    pub(crate) run: String,
    /// Type of the events.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Requests under way.
    pub(crate) in_flight: usize,
    /// Events of one request.
    pub(crate) batch: usize,
    /// Bytes of each event's data.
    pub(crate) bytes: usize,
    /// Ends after so many milliseconds.
    pub(crate) millis: u64,
    /// Ends after so many events.
    pub(crate) events: u64,
    /// Requests per second at fixed moments, whatever the answers do; absent: as fast as the answers come.
    pub(crate) rate: Option<f64>,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let builder = Builder::new();
                let serving = builder
                    .clone()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // A connection that breaks is the proxy's to notice.
                drop(serving.await);
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = match *request.method() {
        Method::POST => {
            let task = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
            match publish(task).await {
                Ok(published) => serde_json::to_vec(&published)?,
                Err(error) => {
                    let mut refused = Response::new(Full::from(format!("{error:#}")));
                    *refused.status_mut() = StatusCode::CONFLICT;
                    return Ok(refused);
                }
            }
        }
        _ => b"{}".to_vec(),
    };
    Ok(Response::new(Full::from(body)))
}

/// Publishes by as many connections as requests may be under way.
async fn publish(task: Task) -> anyhow::Result<Published> {
    let (task, sent, began) = (Arc::new(task), Arc::new(AtomicU64::new(0)), Instant::now());
    let workers = (0..task.in_flight).map(|worker| tokio::spawn(work(task.clone(), sent.clone(), worker, began)));
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for worker in workers.collect::<Vec<_>>() {
        latency.add(worker.await??)?;
    }
    Ok(Published {
        events: latency.len() * task.batch as u64,
        seconds: began.elapsed().as_secs_f64(),
        latency: Latency::of(&latency),
    })
}

/// One connection. With a rate each request counts from the moment it was due, so that a wait before it is not lost.
async fn work(task: Arc<Task>, sent: Arc<AtomicU64>, worker: usize, began: Instant) -> anyhow::Result<Histogram<u64>> {
    let url = std::env::var("ONDOL_URL")?;
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let token = format!("Bearer {}", std::env::var("ONDOL_TOKEN")?);
    let kind = match task.batch {
        1 => "application/cloudevents+json",
        _ => "application/cloudevents-batch+json",
    };
    let stream = TcpStream::connect(&host).await.context("ONDOL_URL")?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = handshake(TokioIo::new(stream)).await?;
    // Its error reaches whoever awaits the answer.
    tokio::spawn(async move { drop(driver.await) });
    let end = Duration::from_millis(task.millis);
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    loop {
        let first = sent.fetch_add(task.batch as u64, Ordering::Relaxed);
        let number = first / task.batch as u64;
        let due = task
            .rate
            .map(|rate| began + Duration::from_secs_f64(number as f64 / rate));
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            tokio::time::sleep_until(due.into()).await;
        }
        if first >= task.events || began.elapsed() >= end {
            return Ok(latency);
        }
        let from = due.unwrap_or_else(Instant::now);
        let request = Request::post("/v1/events")
            .header(header::HOST, &host)
            .header(header::AUTHORIZATION, &token)
            .header(header::CONTENT_TYPE, kind)
            .body(Full::from(body(&task, worker, first, Moment::of(from))))?;
        send(&mut sender, request).await?;
        latency.saturating_record(from.elapsed().as_micros() as u64);
    }
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> anyhow::Result<()> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    ensure!(
        head.status == StatusCode::CREATED,
        "{}: {}",
        head.status,
        String::from_utf8_lossy(&body)
    );
    Ok(())
}

/// The CloudEvents of one request, as JSON.
fn body(task: &Task, worker: usize, first: u64, at: Moment) -> Vec<u8> {
    let (data, mut out) = (
        moment::body(at, task.bytes),
        Vec::with_capacity(task.batch * (task.bytes + 200)),
    );
    let (run, kind) = (&task.run, &task.kind);
    for n in first..first + task.batch as u64 {
        out.push(if n == first { b'[' } else { b',' });
        // A `Vec` takes everything.
        let _ = write!(
            out,
            r#"{{"specversion":"1.0","id":"{run}-{n}","source":"/services/publisher","type":"{kind}","partitionkey":"k{worker}","data":"#
        );
        out.extend_from_slice(&data);
        out.push(b'}');
    }
    out.push(b']');
    if task.batch == 1 {
        out.pop();
        out.remove(0);
    }
    out
}
