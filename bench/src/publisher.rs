//! A service that publishes as fast as it is told to: `POST /` with [`Task`] answers [`Figures`]; every other request is
//! answered with `200 {}`. It publishes as any service does, at its `ONDOL_URL`, through the proxy.

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
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// What to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Begins every id, so that no two tasks publish the same event.
    pub(crate) run: String,
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
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    /// Of requests, milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
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
                Ok(figures) => serde_json::to_vec(&figures)?,
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
async fn publish(task: Task) -> anyhow::Result<Figures> {
    let (task, sent, began) = (Arc::new(task), Arc::new(AtomicU64::new(0)), Instant::now());
    let workers = (0..task.in_flight).map(|worker| tokio::spawn(work(task.clone(), sent.clone(), worker, began)));
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for worker in workers.collect::<Vec<_>>() {
        latency.add(worker.await??)?;
    }
    let millis = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Figures {
        events: latency.len() * task.batch as u64,
        seconds: began.elapsed().as_secs_f64(),
        p50: millis(0.5),
        p99: millis(0.99),
    })
}

async fn work(task: Arc<Task>, sent: Arc<AtomicU64>, worker: usize, began: Instant) -> anyhow::Result<Histogram<u64>> {
    let url = std::env::var("ONDOL_URL")?;
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let token = format!("Bearer {}", std::env::var("ONDOL_TOKEN")?);
    let stream = TcpStream::connect(&host).await.context("ONDOL_URL")?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = handshake(TokioIo::new(stream)).await?;
    // Its error reaches whoever awaits the answer.
    tokio::spawn(async move { drop(driver.await) });
    let (end, filler) = (
        Duration::from_millis(task.millis),
        "x".repeat(task.bytes.saturating_sub(11)),
    );
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    while began.elapsed() < end {
        let first = sent.fetch_add(task.batch as u64, Ordering::Relaxed);
        if first >= task.events {
            break;
        }
        let request = Request::post("/v1/events")
            .header(header::HOST, &host)
            .header(header::AUTHORIZATION, &token)
            .header(
                header::CONTENT_TYPE,
                if task.batch == 1 {
                    "application/cloudevents+json"
                } else {
                    "application/cloudevents-batch+json"
                },
            )
            .body(Full::from(body(&task, worker, first, &filler)?))?;
        let asked = Instant::now();
        send(&mut sender, request).await?;
        latency.saturating_record(asked.elapsed().as_micros() as u64);
    }
    Ok(latency)
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
fn body(task: &Task, worker: usize, first: u64, filler: &str) -> anyhow::Result<String> {
    let mut text = String::with_capacity(task.batch * (task.bytes + 200));
    for n in first..first + task.batch as u64 {
        text.push(if n == first { '[' } else { ',' });
        write!(
            text,
            r#"{{"specversion":"1.0","id":"{}-{n}","source":"/services/publisher","type":"bench.happened.v1","partitionkey":"k{worker}","data":{{"text":"{filler}"}}}}"#,
            task.run
        )?;
    }
    text.push(']');
    Ok(if task.batch == 1 {
        text[1..text.len() - 1].to_owned()
    } else {
        text
    })
}
