//! Asks the controller's admin API, with the token of `.ondol/token`. Blocking: a command has nothing else to do.

use crate::home::Home;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer.
const MAX_ANSWER: usize = 64 << 20;

/// The controller does not answer: it is starting, or dead for a moment.
#[derive(Debug, thiserror::Error)]
#[error(
    "CL-002: the controller does not answer at {address}; `ondol status` says what runs, `ondol logs controller` why"
)]
pub(crate) struct Away {
    address: String,
    source: std::io::Error,
}

/// A text as one segment of a path, or as one value of a query.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The admin API of one system.
pub(crate) struct Admin {
    address: String,
    token: String,
    runtime: tokio::runtime::Runtime,
    patience: Duration,
}

impl Admin {
    /// For a running system; its address is what the supervisor holds as `console`.
    ///
    /// # Errors
    /// When nothing runs.
    pub(crate) fn of(home: &Home) -> anyhow::Result<Self> {
        home.supervisor()
            .facts()
            .map_err(|_| anyhow::anyhow!(super::down::NOT_RUNNING))?;
        let file = home.run().join("console");
        let address = std::fs::read_to_string(&file).map_err(|source| Away {
            address: "its address, since it never got so far".into(),
            source,
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            address: address.trim().to_owned(),
            token: home.token()?,
            runtime,
            patience: PATIENCE,
        })
    }

    /// With this as the longest wait for an answer: while there is no controller, whoever asks waits for the next one.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, None)
    }

    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        Ok(self.try_ask(method, path, body)??)
    }

    /// The same for those who look at what was refused.
    pub(crate) fn try_ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Result<T, Refusal>> {
        let (status, bytes) = self.raw(method, path, body)?;
        if !status.is_success() {
            let problem = serde_json::from_slice(&bytes).unwrap_or_default();
            return Ok(Err(Refusal { status, problem }));
        }
        let answer = serde_json::from_slice(&bytes).with_context(|| format!("the controller's answer to {path}"));
        answer.map(Ok)
    }

    fn raw(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, Bytes)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let address = self.address.clone();
        self.runtime.block_on(async move {
            let exchange = async {
                let stream = tokio::net::TcpStream::connect(&address).await;
                let stream = stream.map_err(|source| Away {
                    address: address.clone(),
                    source,
                })?;
                let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                let answer = async {
                    let (head, body) = sender.send_request(request).await?.into_parts();
                    let body = Limited::new(body, MAX_ANSWER)
                        .collect()
                        .await
                        .map_err(|error| anyhow::anyhow!(error))?;
                    anyhow::Ok((head.status, body.to_bytes()))
                };
                tokio::select! {
                    answer = answer => answer,
                    end = driver => { end?; bail!("the controller closed the connection") }
                }
            };
            tokio::time::timeout(self.patience, exchange)
                .await
                .context("the controller does not answer")?
        })
    }
}

/// What the controller refused, and its problem document.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// `null` where it said none.
    pub(crate) problem: Value,
}

impl Refusal {
    /// The problem's code; empty where there is none.
    pub(crate) fn code(&self) -> &str {
        self.problem["code"].as_str().unwrap_or_default()
    }
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = |name: &str| self.problem.get(name).and_then(Value::as_str);
        if let Some(code) = field("code") {
            write!(f, "{code}: ")?;
        }
        match field("detail").or(field("title")) {
            Some(words) => f.write_str(words),
            None => write!(f, "{}", self.status),
        }
    }
}
