//! A small HTTP/1.1 client with kept connections and JSON bodies.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// A client of one address; a clone shares its connections.
#[derive(Clone)]
pub(crate) struct Client {
    address: Arc<str>,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

/// An answer; `body` is `Null` where it is no JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) body: Option<Value>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            token: None,
            key: None,
            body: None,
        }
    }

    pub(crate) fn post(path: &'a str, body: Value) -> Self {
        Self {
            method: Method::POST,
            path,
            token: None,
            key: None,
            body: Some(body),
        }
    }

    pub(crate) fn put(path: &'a str, body: Value) -> Self {
        Self {
            method: Method::PUT,
            ..Self::post(path, body)
        }
    }

    pub(crate) fn token(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.trim_start_matches("http://").trim_end_matches('/').into(),
            idle: Arc::default(),
        }
    }

    /// One attempt. An error says that no answer came, not that nothing happened.
    pub(crate) async fn ask(&self, ask: Ask<'_>, patience: Duration) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(header::HOST, &*self.address)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = ask.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        let body = ask.body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        tokio::time::timeout(patience, self.send(request))
            .await
            .context("no answer in time")?
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (mut connection, kept) = match idle {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = body.collect().await?.to_bytes();
                    if connection.ready().await.is_ok() {
                        self.idle
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(connection);
                    }
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    return Ok(Answer {
                        status: head.status,
                        body,
                    });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    _ => bail!(error.into_error()),
                },
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        // Its error reaches whoever awaits the answer.
        tokio::spawn(async move { drop(driver.await) });
        Ok(sender)
    }
}
