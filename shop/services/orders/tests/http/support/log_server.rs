//! An event log in memory with the rules of the real one: an append is checked against the first event's id, then against
//! the expected revision; positions are dense; whoever follows waits for news. It can also fail in the ways that count.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use shop_kit::testing::Service;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub const TOKEN: &str = "token-of-orders";

/// What goes wrong next.
#[derive(Default)]
struct Faults {
    /// Every call is answered 503.
    away: bool,
    /// The next append happens, and its answer is lost.
    lose_answer: bool,
    /// Appended by somebody else just before the next append.
    rival: Option<(String, Value)>,
}

#[derive(Clone)]
struct Log {
    events: watch::Sender<Vec<Value>>,
    faults: Arc<Mutex<Faults>>,
}

/// The server.
pub struct LogServer {
    service: Service,
    log: Log,
}

impl LogServer {
    pub async fn start() -> Self {
        let log = Log {
            events: watch::Sender::new(Vec::new()),
            faults: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/streams/{stream}/events", post(append))
            .route("/v1/streams/{stream}", get(stream))
            .route("/v1/all", get(all))
            .with_state(log.clone());
        Self {
            service: Service::start(router).await,
            log,
        }
    }

    pub fn url(&self) -> String {
        self.service.url()
    }

    /// Every event, as it would be given out.
    pub fn events(&self) -> Vec<Value> {
        self.log.events.borrow().clone()
    }

    /// Ids and types in the order of the log.
    pub fn told(&self) -> Vec<String> {
        let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        self.events()
            .iter()
            .map(|event| format!("{} {}", text(event, "id"), text(event, "type")))
            .collect()
    }

    pub fn away(&self, away: bool) {
        self.log.faults.lock().unwrap().away = away;
    }

    pub fn lose_the_next_answer(&self) {
        self.log.faults.lock().unwrap().lose_answer = true;
    }

    pub fn let_a_rival_be_faster(&self, order: &str, event: Value) {
        self.log.faults.lock().unwrap().rival = Some((format!("order-{order}"), event));
    }

    /// Appends something that orders itself would not.
    pub fn put(&self, order: &str, event: Value) {
        self.log.put(&format!("order-{order}"), vec![event]);
    }
}

impl Log {
    /// Refuses while it is away, and whoever brings no token.
    fn open(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        if self.faults.lock().unwrap().away {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
        if bearer == Some(&format!("Bearer {TOKEN}")) {
            Ok(())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }

    fn of(&self, stream: &str) -> Vec<Value> {
        self.events
            .borrow()
            .iter()
            .filter(|event| event["stream"] == stream)
            .cloned()
            .collect()
    }

    fn put(&self, stream: &str, batch: Vec<Value>) {
        let revision = self.of(stream).len();
        self.events.send_modify(|events| {
            for (index, mut event) in batch.into_iter().enumerate() {
                event["stream"] = json!(stream);
                event["revision"] = json!(revision + index);
                event["position"] = json!(events.len() + 1);
                events.push(event);
            }
        });
    }

    fn receipt(&self, batch: &[Value], duplicate: bool) -> Response {
        let events = self.events.borrow();
        let place = |event: &Value| events.iter().find(|stored| stored["id"] == event["id"]).unwrap();
        let (first, last) = (place(&batch[0]), place(&batch[batch.len() - 1]));
        let body = json!({
            "revision": last["revision"], "position": last["position"], "first_revision": first["revision"],
            "first_position": first["position"], "duplicate": duplicate,
        });
        (StatusCode::CREATED, Json(body)).into_response()
    }
}

async fn append(
    State(log): State<Log>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, StatusCode> {
    log.open(&headers)?;
    assert_eq!(headers["content-type"], "application/cloudevents-batch+json");
    if let Some((stream, event)) = log.faults.lock().unwrap().rival.take() {
        log.put(&stream, vec![event]);
    }
    let mut batch: Vec<Value> = serde_json::from_slice(&body).unwrap();
    if let Some(baggage) = headers.get("baggage") {
        // The platform takes flow and cause out of it; here it is kept as it came.
        let baggage = baggage.to_str().unwrap();
        batch.iter_mut().for_each(|event| event["baggage"] = baggage.into());
    }
    if log.events.borrow().iter().any(|stored| stored["id"] == batch[0]["id"]) {
        return Ok(log.receipt(&batch, true));
    }
    let actual = match log.of(&stream).len() {
        0 => "\"no-stream\"".to_owned(),
        length => format!("\"{}\"", length - 1),
    };
    if headers["if-match"] != actual {
        return Err(StatusCode::PRECONDITION_FAILED);
    }
    log.put(&stream, batch.clone());
    if std::mem::take(&mut log.faults.lock().unwrap().lose_answer) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    Ok(log.receipt(&batch, false))
}

async fn stream(
    State(log): State<Log>,
    Path(stream): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, StatusCode> {
    log.open(&headers)?;
    Ok(Json(log.of(&stream)))
}

async fn all(
    State(log): State<Log>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, StatusCode> {
    log.open(&headers)?;
    let after: usize = query["after"].parse().unwrap();
    let wait: u64 = query["wait"].strip_suffix('s').unwrap().parse().unwrap();
    let mut events = log.events.subscribe();
    let _ = tokio::time::timeout(
        Duration::from_secs(wait),
        events.wait_for(|events| events.len() > after),
    )
    .await;
    log.open(&headers)?;
    assert_eq!(query["limit"], "200");
    // Fewer than asked for, two at a time, so that following takes several pages.
    Ok(Json(events.borrow().iter().skip(after).take(2).cloned().collect()))
}
