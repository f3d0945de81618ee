//! Calls to another service, or to Ondol's own API, through the address that the mesh gives: `NAME_URL`, `ONDOL_URL`.
//!
//! The mesh retries, balances and breaks circuits, so this client does none of it: one call, one deadline, one answer.
//! It hands on the current request's trace and tells the other side how much time is left (`Ondol-Deadline-Ms`).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use crate::{StartError, trace};

/// Largest answer that is read, in bytes. Pages of Ondol's log are the largest, and smaller than this.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// A client of one dependency. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    bearer: Option<HeaderValue>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request could not be built: a path with characters that no URL has.
    #[error("{0} is not a path that can be called")]
    BadPath(String),
    /// No answer: refused, reset, cut short or too large. What the other side did is unknown.
    #[error("no answer from {url}")]
    NoAnswer {
        /// Asked.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time. What the other side did is unknown.
    #[error("no answer from {url} within {limit:?}")]
    Deadline {
        /// Asked.
        url: String,
        /// The time given.
        limit: Duration,
    },
    /// An answer, and not a 2xx.
    #[error("{url} answered {status}")]
    Refused {
        /// Asked.
        url: String,
        /// Its status.
        status: StatusCode,
    },
    /// A 2xx whose body is not what was expected.
    #[error("{url} answered something that does not fit")]
    BadAnswer {
        /// Asked.
        url: String,
        /// The decoder's word.
        source: serde_json::Error,
    },
}

impl Client {
    /// The client of the dependency whose address is in this variable, such as `PRODUCTS_URL`.
    ///
    /// # Errors
    /// [`StartError::MissingVariable`].
    pub fn from_env(name: &'static str) -> Result<Self, StartError> {
        Ok(Self::new(crate::variable(name)?))
    }

    /// The client of whoever is at `base`, such as `http://127.0.0.1:20001`.
    pub fn new(base: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        let mut builder = Pool::builder(TokioExecutor::new());
        let builder = builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30));
        let base = base.into().trim_end_matches('/').to_owned();
        Self {
            base,
            bearer: None,
            pool: builder.build(connector),
        }
    }

    /// The same, with `Authorization: Bearer` on every call.
    pub fn with_bearer(self, token: &str) -> Self {
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { bearer, ..self }
    }

    /// Sends a request whose URI is a path and query. Any status is an answer.
    ///
    /// # Errors
    /// [`CallError::BadPath`], [`CallError::NoAnswer`], [`CallError::Deadline`].
    ///
    /// # Drop
    /// Closes the call; what the other side did is unknown.
    pub async fn send(&self, mut request: Request<Bytes>, limit: Duration) -> Result<Response<Bytes>, CallError> {
        let url = format!("{}{}", self.base, request.uri());
        *request.uri_mut() = Uri::try_from(&url).map_err(|_| CallError::BadPath(url.clone()))?;
        trace::hand_on(request.headers_mut());
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        request
            .headers_mut()
            .insert("ondol-deadline-ms", HeaderValue::from(millis));
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
        }
        let answer = async {
            let response = self.pool.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(source)) => Err(CallError::NoAnswer { url, source }),
            Err(_) => Err(CallError::Deadline { url, limit }),
        }
    }

    /// `GET` of a path, decoded.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, CallError> {
        let request = Request::get(path)
            .body(Bytes::new())
            .map_err(|_| CallError::BadPath(path.to_owned()))?;
        let response = self.send(request, limit).await?;
        let url = format!("{}{path}", self.base);
        if !response.status().is_success() {
            return Err(CallError::Refused {
                url,
                status: response.status(),
            });
        }
        serde_json::from_slice(response.body()).map_err(|source| CallError::BadAnswer { url, source })
    }
}
