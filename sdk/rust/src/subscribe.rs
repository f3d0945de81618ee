//! Subscribing: events that are pushed to a path of the service ([`read`]), or pulled by it ([`run`]).
//!
//! Delivery is at least once and, for one key, in order and one at a time; a handler keeps its effect to once by the inbox.
//!
//! | answer to a push | means |
//! |---|---|
//! | 2xx | done |
//! | 400, 409, 410, 413, 415, 422 | it can never be handled: a dead letter, and its key waits for a person |
//! | 401, 403, 404, 405 | the wiring is wrong: the subscription waits |
//! | 429, and 503 with `Retry-After` | not now |
//! | everything else | tried again |
//!
//! ```no_run
//! use ondol_sdk::Data;
//! use ondol_sdk::subscribe;
//! /// `POST /internal/events`: the status to answer.
//! async fn pushed(headers: &http::HeaderMap, body: &[u8]) -> u16 {
//!     let push = match subscribe::read(headers, body, Some("points.orders")) {
//!         Ok(push) => push,
//!         Err(error) => return error.status(),
//!     };
//!     let Some(Data::Json(order)) = &push.event.data else { return 422 };
//!     // In one transaction: inbox::once(…, &push.subscription, &push.event.id), and the effect if it says so.
//!     # let _ = order;
//!     204
//! }
//! ```
//!
//! Tests: `conformance/sdk/cases/subscribe.json`.

use crate::context::Context;
use crate::event::BadEvent;
use crate::key::{Attempt, parse_attempt};
use crate::platform::{Ask, Platform, PlatformError, random};
use crate::received::Received;
use crate::text;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use std::error::Error;
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;

/// Longest pause of the loop while the platform is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest reason that is told with a nack, in letters.
const LONGEST_REASON: usize = 500;

/// The request is no push that this path takes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRequest {
    /// Somebody else than Ondol calls: another service, or a guest of the gateway.
    #[error("this path is for Ondol's pushes")]
    Stranger,
    /// `Ondol-Subscription` is missing.
    #[error("the header Ondol-Subscription is missing")]
    NoPush,
    /// It is of another subscription than the path is for.
    #[error("this path is not for {0}")]
    Other(String),
    /// It is no CloudEvent in binary mode.
    #[error(transparent)]
    Event(#[from] BadEvent),
}

impl BadRequest {
    /// What to answer. 404 for another subscription, since that is a mistake of the wiring and must make no dead letter.
    pub fn status(&self) -> u16 {
        match self {
            Self::Stranger => 403,
            Self::Other(_) => 404,
            Self::NoPush | Self::Event(_) => 400,
        }
    }
}

/// An event and the words of its delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct Push {
    /// The event.
    pub event: Received,
    /// `SERVICE.NAME`; with the event's id it is what the inbox keeps.
    pub subscription: String,
    /// Which try this is.
    pub attempt: Attempt,
    /// Until nobody waits for the answer any more.
    pub deadline: Option<Duration>,
    /// The cause of all that the handler does.
    pub context: Context,
}

/// Reads a push. With `expected` (`SERVICE.NAME`) only of that subscription. Only from Ondol: the proxy says who calls.
///
/// # Errors
/// [`BadRequest`], with the status to answer.
pub fn read(headers: &HeaderMap, body: &[u8], expected: Option<&str>) -> Result<Push, BadRequest> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("ondol-caller") != Some("ondol") {
        return Err(BadRequest::Stranger);
    }
    let subscription = text("ondol-subscription")
        .filter(|name| !name.is_empty())
        .ok_or(BadRequest::NoPush)?;
    if expected.is_some_and(|expected| expected != subscription) {
        return Err(BadRequest::Other(subscription.chars().take(200).collect()));
    }
    let deadline = text("ondol-deadline-ms").and_then(|text| text.parse().ok());
    Ok(Push {
        event: Received::from_http(headers, body)?,
        subscription: subscription.to_owned(),
        attempt: text("ondol-attempt").and_then(parse_attempt).unwrap_or_default(),
        deadline: deadline.map(Duration::from_millis),
        context: Context::from_headers(headers),
    })
}

/// An event that is ours until it is acknowledged, handed back, or its lease ends.
#[derive(Clone, PartialEq, Debug)]
pub struct Leased {
    /// What acknowledges it.
    pub lease: String,
    /// The event.
    pub event: Received,
}

impl Leased {
    /// The cause of all that the handler does.
    pub fn context(&self) -> Context {
        let text = |name: &str| {
            self.event
                .extensions
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Context {
            traceparent: text("traceparent"),
            // An event without a flow begins one.
            correlation: text("correlationid").or_else(|| Some(self.event.id.clone())),
            causation: Some(self.event.id.clone()),
        }
    }
}

/// How much is pulled at once, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// Events at most.
    pub limit: u32,
    /// How long the platform waits for the first.
    pub wait: Duration,
    /// How long they are ours. Longer than a page takes.
    pub lease: Duration,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: 10,
            wait: Duration::from_secs(20),
            lease: Duration::from_secs(30),
        }
    }
}

/// What becomes of events that are handed back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Back {
    /// They come again, at the platform's own pace.
    Again,
    /// They come again, and not before this has passed.
    After(Duration),
    /// They can never be handled: dead letters.
    Reject,
}

/// Takes what there is, waiting for the first event. `name` is the subscription's short name.
///
/// # Errors
/// [`PlatformError`].
pub async fn pull(platform: &Platform, name: &str, page: Page) -> Result<Vec<Leased>, PlatformError> {
    let words = json!({ "limit": page.limit, "wait": time(page.wait), "lease": time(page.lease) });
    let answer = post(platform, name, "pull", &words, page.wait).await?;
    let unreadable = |why: String| PlatformError::BadAnswer(format!("expected leased events: {why}"));
    let events = answer["events"]
        .as_array()
        .ok_or_else(|| unreadable("there are none".into()))?;
    let leased = events.iter().map(|one| {
        let lease = one["lease"]
            .as_str()
            .ok_or_else(|| unreadable("a lease is missing".into()))?;
        Ok(Leased {
            lease: lease.to_owned(),
            event: Received::from_json(&one["event"]).map_err(|error| unreadable(error.to_string()))?,
        })
    });
    leased.collect()
}

/// Says that these are done.
///
/// # Errors
/// [`PlatformError`].
pub async fn ack(platform: &Platform, name: &str, leases: &[&str]) -> Result<(), PlatformError> {
    post(platform, name, "ack", &json!({ "leases": leases }), Duration::ZERO).await?;
    Ok(())
}

/// Hands these back.
///
/// # Errors
/// [`PlatformError`].
pub async fn nack(
    platform: &Platform,
    name: &str,
    leases: &[&str],
    back: Back,
    reason: &str,
) -> Result<(), PlatformError> {
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    let mut words = json!({ "leases": leases, "reject": back == Back::Reject, "reason": reason });
    if let Back::After(delay) = back {
        words["delay"] = time(delay).into();
    }
    post(platform, name, "nack", &words, Duration::ZERO).await?;
    Ok(())
}

/// Why a handler did not do it. Every error turns into the first by `?`.
#[derive(Debug)]
pub enum Failure {
    /// It may go well the next time.
    Again(Box<dyn Error + Send + Sync>),
    /// It can never be handled: it becomes a dead letter with this reason.
    Reject(String),
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Again(error.into())
    }
}

/// Pulls and handles events, one after the other, until `stop`; what it still holds then is handed back.
///
/// An event is acknowledged after its handler has returned. While the platform is away the loop waits. Several may run,
/// in this process and others; each key is with one of them at a time.
///
/// # Errors
/// [`PlatformError::Refused`] where the platform does not allow the subscription.
///
/// # Cancellation
/// Dropping the future leaves the event that is being handled to its lease; `stop` does not.
pub async fn run(
    platform: &Platform,
    name: &str,
    page: Page,
    stop: impl Future<Output = ()>,
    handler: impl AsyncFn(&Leased) -> Result<(), Failure>,
) -> Result<(), PlatformError> {
    let mut stop = pin!(stop);
    loop {
        let pulled = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            pulled = pull(platform, name, page) => pulled,
        };
        let leased = match pulled {
            Ok(leased) => leased,
            Err(refused @ PlatformError::Refused { .. }) => return Err(refused),
            Err(away) => {
                tokio::select! {
                    biased;
                    () = &mut stop => return Ok(()),
                    () = sleep(pause(&away)) => continue,
                }
            }
        };
        let mut leased = leased.into_iter();
        while let Some(one) = leased.next() {
            settle(platform, name, &one, &handler).await;
            let stopped = tokio::select! { biased; () = &mut stop => true, () = std::future::ready(()) => false };
            if stopped {
                let left: Vec<_> = leased.map(|one| one.lease).collect();
                let left: Vec<&str> = left.iter().map(String::as_str).collect();
                if !left.is_empty() {
                    // Where that fails, their leases end by themselves.
                    drop(nack(platform, name, &left, Back::Again, "the consumer is stopping").await);
                }
                return Ok(());
            }
        }
    }
}

/// Handles one event and says what came of it. Where that cannot be said its lease ends, and it comes again.
async fn settle(platform: &Platform, name: &str, one: &Leased, handler: &impl AsyncFn(&Leased) -> Result<(), Failure>) {
    let lease = [&*one.lease];
    drop(match handler(one).await {
        Ok(()) => ack(platform, name, &lease).await,
        Err(Failure::Again(error)) => nack(platform, name, &lease, Back::Again, &error.to_string()).await,
        Err(Failure::Reject(reason)) => nack(platform, name, &lease, Back::Reject, &reason).await,
    });
}

fn pause(away: &PlatformError) -> Duration {
    match away {
        PlatformError::Unavailable {
            retry_after: Some(after),
            ..
        } => (*after).min(LONGEST_PAUSE),
        _ => random(LONGEST_PAUSE),
    }
}

async fn post(
    platform: &Platform,
    name: &str,
    what: &str,
    words: &Value,
    waits: Duration,
) -> Result<Value, PlatformError> {
    let path = format!("/v1/subscriptions/{}/{what}", text::segment(name));
    let json = HeaderValue::from_static("application/json");
    let ask = Ask {
        method: Method::POST,
        path: &path,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
        body: words.to_string().into(),
        waits,
    };
    platform.ask(ask).await
}

/// As the platform writes times: `20s`, `500ms`.
fn time(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}
