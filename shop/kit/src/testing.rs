//! A service under test: its real router on a real socket on port 0, asked by a real client.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use serde_json::Value;
use tokio::net::TcpListener;

pub use ondol_sdk::testing::Postgres;

use crate::{Client, serve};

/// A running service. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
}

/// What it said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// JSON; null where there is no body.
    pub body: Value,
}

impl Service {
    /// Serves `router`.
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, router, std::future::pending()));
        Self {
            address,
            client: Client::new(format!("http://{address}")),
        }
    }

    /// `http://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks, with these headers; `Value::Null` sends no body.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Said {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = if body.is_null() {
            Bytes::new()
        } else {
            request = request.header("content-type", "application/json");
            Bytes::from(body.to_string())
        };
        let response = self
            .client
            .send(request.body(bytes).expect("a request"), Duration::from_secs(20))
            .await;
        let response: Response<Bytes> = response.expect("an answer");
        let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        Said {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        }
    }

    /// `GET` as this user; empty: nobody.
    pub async fn get(&self, subject: &str, path: &str) -> Said {
        self.ask("GET", path, &identity(subject), Value::Null).await
    }

    /// A saga's call: `PUT`, `POST` or `DELETE` with the key `saga.step.operation`.
    pub async fn step(&self, method: &str, path: &str, key: &str, body: Value) -> Said {
        let key = format!("\"{key}\"");
        self.ask(
            method,
            path,
            &[("idempotency-key", &key), ("ondol-attempt", "1.1")],
            body,
        )
        .await
    }
}

/// The headers that the gateway sets for a user; `admin` has the role of that name.
pub fn identity(subject: &str) -> Vec<(&'static str, &str)> {
    match subject {
        "" => Vec::new(),
        "admin" => vec![("ondol-subject", subject), ("ondol-roles", "admin")],
        _ => vec![("ondol-subject", subject)],
    }
}
