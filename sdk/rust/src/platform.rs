//! The platform's address and the way to ask it: one JSON call, tried again as long as that is safe and of use.
//!
//! Every call of this crate may be repeated: events are known by their ids, leases by theirs. So a lost answer, a 5xx and a
//! 429 are tried again with the same body, at `Retry-After` where it is given. Both the number of tries and the time for
//! all of them are bounded. Every other answer is final, redirections too: the token is for one place.
//!
//! Bounds: [`IDLE`] kept connections, [`LARGEST`] bytes of an answer. Needs a tokio runtime.
//! Tests: `conformance/sdk/cases/publish.json`.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

/// Longest pause before a try that nobody has set a time for.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// Longest answer that is read: a page of events at its largest, and room.
const LARGEST: usize = 16 << 20;
/// Connections that are kept for the next call.
const IDLE: usize = 16;

/// The platform did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// It could not be asked, or not in time. Whether it was done is not known; doing it again is safe.
    #[error("the platform did not do it: {why}")]
    Unavailable {
        /// What came of the last try.
        why: String,
        /// When it wants to be asked again, where it said so.
        retry_after: Option<Duration>,
    },
    /// It said no, and would again.
    #[error("the platform refused: {status} {}: {}", code.as_deref().unwrap_or("without a code"), title.as_deref().unwrap_or("no reason given"))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Names the page `docs/errors/CODE.md`.
        code: Option<String>,
        /// What was wrong, for people.
        title: Option<String>,
    },
    /// It said yes in a way that cannot be read.
    #[error("the platform's answer cannot be read: {0}")]
    BadAnswer(String),
}

/// The process was not started by Ondol, or `ONDOL_URL` is no address.
#[derive(Debug, thiserror::Error)]
pub enum BadPlatform {
    /// A variable is missing.
    #[error("{0} is not set: Ondol gives it to every service that it runs")]
    Variable(&'static str),
    /// An address that is not `http://HOST:PORT`.
    #[error("{0:?} is no address such as http://127.0.0.1:4000")]
    Address(String),
    /// A token that fits into no header.
    #[error("the token fits into no header")]
    Token,
}

/// Where Ondol is and who is asking. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Platform {
    service: Arc<str>,
    /// `HOST:PORT`.
    authority: Arc<str>,
    /// What stands before every path.
    base: Arc<str>,
    token: header::HeaderValue,
    attempts: u32,
    deadline: Duration,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long the answer may take by itself, as in a long poll.
    pub(crate) waits: Duration,
}

/// A try that may be made again.
struct Failure {
    why: String,
    retry_after: Option<Duration>,
}

impl Platform {
    /// `url` and `token` as in `ONDOL_URL` and `ONDOL_TOKEN`.
    ///
    /// # Errors
    /// [`BadPlatform`].
    pub fn new(url: &str, token: &str, service: &str) -> Result<Self, BadPlatform> {
        let bad = || BadPlatform::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri
            .authority()
            .filter(|_| uri.scheme_str() == Some("http"))
            .ok_or_else(bad)?;
        let port = authority.port_u16().unwrap_or(80);
        let token = format!("Bearer {token}").parse().map_err(|_| BadPlatform::Token)?;
        Ok(Self {
            service: service.into(),
            authority: format!("{}:{port}", authority.host()).into(),
            base: uri.path().trim_end_matches('/').into(),
            token,
            attempts: 8,
            deadline: Duration::from_secs(30),
            idle: Arc::default(),
        })
    }

    /// Of the service that this process is an instance of.
    ///
    /// # Errors
    /// [`BadPlatform`].
    pub fn from_environment() -> Result<Self, BadPlatform> {
        let variable = |name| std::env::var(name).map_err(|_| BadPlatform::Variable(name));
        Self::new(
            &variable("ONDOL_URL")?,
            &variable("ONDOL_TOKEN")?,
            &variable("ONDOL_SERVICE")?,
        )
    }

    /// How many tries a call may take; 8 where nothing is said, at least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// For all tries of a call together; 30 s where nothing is said. What the platform is asked to wait comes on top.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The `source` of the service's events.
    pub(crate) fn source(&self) -> String {
        format!("/services/{}", self.service)
    }

    /// Makes a call and gives the answer's JSON, `null` where there is none.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Value, PlatformError> {
        let end = Instant::now() + self.deadline + ask.waits;
        let mut attempt = 1;
        loop {
            let failure = match timeout_at(end, self.attempt(&ask)).await {
                Ok(Ok(answered)) => return answered,
                Ok(Err(failure)) => failure,
                Err(_) => Failure {
                    why: "no answer in time".into(),
                    retry_after: None,
                },
            };
            let pause = failure.retry_after.unwrap_or_else(|| jitter(attempt));
            if attempt >= self.attempts || Instant::now() + pause >= end {
                let (why, retry_after) = (
                    format!("{} {}: {}", ask.method, ask.path, failure.why),
                    failure.retry_after,
                );
                return Err(PlatformError::Unavailable { why, retry_after });
            }
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, ask: &Ask<'_>) -> Result<Result<Value, PlatformError>, Failure> {
        let failed = |why: String| Failure { why, retry_after: None };
        let (status, headers, body) = self
            .send(ask)
            .await
            .map_err(|error| failed(format!("no answer: {error}")))?;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let given = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            return Err(Failure {
                why: format!("answered {}", status.as_u16()),
                retry_after: given.and_then(seconds),
            });
        }
        Ok(read(status, &body))
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let mut connection = match self.kept() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.base, ask.path))
            .header(header::HOST, &*self.authority)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, self.token.clone())
            .body(Full::new(ask.body.clone()))?;
        request.headers_mut().extend(ask.headers.clone());
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE && !connection.is_closed() {
            idle.push(connection);
        }
        Ok((head.status, head.headers, body))
    }

    /// A kept connection that the platform has not closed meanwhile.
    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(SendRequest::is_ready)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&*self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        // Its error reaches whoever awaits the answer.
        tokio::spawn(async move { drop(driver.await) });
        Ok(sender)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Value, PlatformError> {
    let value = match body {
        [] => Ok(Value::Null),
        body => serde_json::from_slice(body),
    };
    if status.is_success() {
        return value.map_err(|error| PlatformError::BadAnswer(format!("{} with no JSON: {error}", status.as_u16())));
    }
    let problem = value.unwrap_or_default();
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    Err(PlatformError::Refused {
        status: status.as_u16(),
        code: text("code"),
        title: text("title"),
    })
}

/// `Retry-After` in seconds; its other form, a date, depends on two clocks and is not used.
fn seconds(value: &str) -> Option<Duration> {
    let plain = value.len() <= 9 && value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|_| plain).map(Duration::from_secs)
}

/// Up to 50 ms doubled by each try.
fn jitter(attempt: u32) -> Duration {
    let most = Duration::from_millis(50)
        .saturating_mul(1 << attempt.min(10))
        .min(LONGEST_PAUSE);
    random(most)
}

/// Up to `most`. The lower bits of a new id are random; nobody has to guess them.
pub(crate) fn random(most: Duration) -> Duration {
    let bits = (Uuid::now_v7().as_u128() & 0xffff_ffff) as u32;
    most.mul_f64(f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused() {
        let platform = |url| Platform::new(url, "t", "shop").map(|platform| (platform.authority, platform.base));
        let (authority, base) = platform("http://127.0.0.1:4000/base/").unwrap();
        assert_eq!((&*authority, &*base), ("127.0.0.1:4000", "/base"));
        assert_eq!(&*platform("http://ondol").unwrap().0, "ondol:80");
        for bad in ["", "ondol:80", "https://ondol", "/path", "http://"] {
            assert!(matches!(platform(bad), Err(BadPlatform::Address(_))), "{bad}");
        }
        assert!(matches!(
            Platform::new("http://x", "a\nb", "shop"),
            Err(BadPlatform::Token)
        ));
    }

    #[test]
    fn only_seconds_are_a_time_to_come_again() {
        assert_eq!(seconds("86400"), Some(Duration::from_secs(86_400)));
        for bad in ["", "-1", "+1", "1.5", "9999999999", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
