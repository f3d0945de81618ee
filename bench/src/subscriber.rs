//! A service that takes pushed events and keeps nothing but their count and how old each was: `GET …/seen` answers [`Seen`],
//! `POST …/reset` begins anew, everything else is answered with `200 {}`.

use crate::moment::Moment;
use crate::report::Latency;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// What came since the last reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    /// Seconds from the first to the last.
    pub(crate) seconds: f64,
    /// From the moment in the data to the arrival.
    pub(crate) age: Latency,
}

struct State {
    first: Option<Moment>,
    last: Option<Moment>,
    age: Histogram<u64>,
}

impl State {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            first: None,
            last: None,
            age: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        })
    }

    fn take(&mut self, body: &[u8]) {
        let now = Moment::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        let at = Moment::of_body(body).unwrap_or(now);
        self.age.saturating_record(now.since(at).as_micros() as u64);
    }

    fn seen(&self) -> Seen {
        let seconds = self
            .first
            .zip(self.last)
            .map_or(0.0, |(first, last)| last.since(first).as_secs_f64());
        Seen {
            events: self.age.len(),
            seconds,
            age: Latency::of(&self.age),
        }
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let state = Rc::new(RefCell::new(State::new()?));
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let state = state.clone();
            tokio::task::spawn_local(async move {
                let answer = service_fn(move |request| answer(state.clone(), request));
                // A connection that breaks is the proxy's to notice.
                drop(
                    Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await,
                );
            });
        }
    })
}

async fn answer(state: Rc<RefCell<State>>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path();
    let answer = match head.method {
        Method::POST if path.ends_with("/reset") => {
            *state.borrow_mut() = State::new()?;
            Bytes::from_static(b"{}")
        }
        Method::POST => {
            state.borrow_mut().take(&body);
            Bytes::from_static(b"{}")
        }
        _ if path.ends_with("/seen") => serde_json::to_vec(&state.borrow().seen())?.into(),
        _ => Bytes::from_static(b"{}"),
    };
    Ok(Response::new(Full::new(answer)))
}
