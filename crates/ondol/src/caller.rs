//! Calls of services through the proxy, as the built-in caller `ondol`: HTTP/1.1 over the edges' Unix sockets.
//!
//! An answer with `Proxy-Status` is the proxy's own word (the proxy takes an upstream's away on these edges): three
//! errors mean *not sent*, every other means *unknown*. It is never taken for the service's answer.
//!
//! Bounds: [`MAX_IDLE`] idle connections a service, 1 MiB of an answer's body. Connections in use are bounded by the
//! saga engine's own limit of calls a service.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::id::ServiceName;
use ondol_core::task::{Kind, Tasks};
use ondol_deploy::sockets::caller_socket_file;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixStream;

/// Idle connections kept for one service.
const MAX_IDLE: usize = 256;

/// Largest body of an answer.
const MAX_BODY: usize = 1 << 20;

/// The proxy's errors that say that nothing reached the service (RFC 9209 section 2.3).
const NOT_SENT: [&str; 3] = [
    "connection_refused",
    "destination_unavailable",
    "connection_limit_reached",
];

type Sender = SendRequest<Full<Bytes>>;

/// The caller.
pub struct ProxyCaller(Arc<Connections>);

struct Connections {
    run: PathBuf,
    tasks: Tasks,
    idle: Mutex<HashMap<ServiceName, Vec<Sender>>>,
}

impl ProxyCaller {
    /// Calls through the sockets in `run` (`.ondol/run`).
    pub fn new(run: PathBuf, tasks: Tasks) -> Self {
        Self(Arc::new(Connections {
            run,
            tasks,
            idle: Mutex::default(),
        }))
    }
}

impl Connections {
    fn checkout(&self, service: &ServiceName) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(service)?;
        while let Some(connection) = connections.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, service: ServiceName, connection: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(service).or_default();
        if connections.len() < MAX_IDLE && !connection.is_closed() {
            connections.push(connection);
        }
    }

    async fn connect(&self, service: &ServiceName) -> Result<Sender, CallError> {
        let path = self.run.join(caller_socket_file(service));
        let away = |error| CallError::NotSent(format!("the proxy at {}: {error}", path.display()));
        // Never waits: a full backlog, which a proxy that is starting anew may leave, is an error at once.
        let (name, _folder) = ondol_core::unix::short(&path).map_err(away)?;
        let stream = UnixStream::connect(name).await.map_err(away)?;
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| CallError::NotSent(error.to_string()))?;
        self.tasks.spawn(Kind::Upstream, async move {
            // Its error reaches whoever awaits the answer.
            let _ = driver.await;
        });
        Ok(sender)
    }

    async fn exchange(self: Arc<Self>, call: Call) -> Result<Answer, CallError> {
        let (service, timeout) = (call.service.clone(), call.timeout);
        let exchange = async {
            let request = request(call)?;
            let (mut connection, kept) = match self.checkout(&service) {
                Some(connection) => (connection, true),
                None => (self.connect(&service).await?, false),
            };
            let response = match connection.try_send_request(request).await {
                Err(mut error) => match error.take_message() {
                    // Handed back: not a byte was sent, the idle connection had been closed.
                    Some(request) if kept => {
                        connection = self.connect(&service).await?;
                        connection.send_request(request).await.map_err(unknown)?
                    }
                    Some(_) => return Err(CallError::NotSent(error.into_error().to_string())),
                    None => return Err(unknown(error.into_error())),
                },
                Ok(response) => response,
            };
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await;
            let body = body
                .map_err(|error| CallError::Unknown(format!("the answer's body: {error}")))?
                .to_bytes();
            if connection.ready().await.is_ok() {
                self.give_back(service, connection);
            }
            judge(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Unknown(format!("no answer within {timeout:?}"))),
        }
    }
}

impl HttpCaller for ProxyCaller {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        Box::pin(self.0.clone().exchange(call))
    }
}

fn request(call: Call) -> Result<Request<Full<Bytes>>, CallError> {
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    let bad = |what: &str| CallError::NotSent(format!("{what} cannot be sent: {}", call.path));
    *request.uri_mut() = call.path.parse().map_err(|_| bad("the path"))?;
    *request.headers_mut() = call.headers;
    let headers = request.headers_mut();
    headers.insert(
        header::HOST,
        HeaderValue::from_str(call.service.as_str()).map_err(|_| bad("the service's name"))?,
    );
    let millis = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
    headers.insert("ondol-deadline-ms", HeaderValue::from(millis));
    Ok(request)
}

fn unknown(error: hyper::Error) -> CallError {
    CallError::Unknown(error.to_string())
}

fn judge(answer: Answer) -> Result<Answer, CallError> {
    let Some(word) = proxy_error(&answer.headers) else {
        return Ok(answer);
    };
    let text = format!(
        "{word}: {}",
        String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)])
    );
    if NOT_SENT.contains(&word.as_str()) {
        Err(CallError::NotSent(text))
    } else {
        Err(CallError::Unknown(text))
    }
}

/// The `error` parameter of `Proxy-Status`; `proxy_internal_error` when the header names none.
fn proxy_error(headers: &HeaderMap) -> Option<String> {
    let status = headers.get("proxy-status")?.to_str().unwrap_or_default();
    let error = status.split(';').find_map(|part| part.trim().strip_prefix("error="));
    Some(error.unwrap_or("proxy_internal_error").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, StatusCode};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn call(timeout_ms: u64) -> Call {
        Call {
            service: "payments".parse().expect("valid"),
            method: Method::PUT,
            path: "/internal/charges/1".into(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
            timeout: Duration::from_millis(timeout_ms),
        }
    }

    /// A proxy that answers each request with the next of `answers`, and closes where it has none.
    async fn against(answers: Vec<&'static str>, timeout_ms: u64) -> Vec<Result<Answer, CallError>> {
        let (dir, tasks) = (tempfile::tempdir().expect("folder"), Tasks::new());
        let service: ServiceName = "payments".parse().expect("valid");
        let listener = ondol_core::unix::bind(&dir.path().join(caller_socket_file(&service))).expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let listener = tokio::net::UnixListener::from_std(listener).expect("tokio");
        let calls = answers.len();
        tasks.spawn(Kind::Other, async move {
            let mut answers = answers.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    match answers.next() {
                        Some("close") | None => break,
                        Some("hang") => std::future::pending::<()>().await,
                        Some(answer) => stream.write_all(answer.as_bytes()).await.expect("write"),
                    }
                }
            }
        });
        let caller = ProxyCaller::new(dir.path().into(), tasks.clone());
        let mut outcomes = Vec::new();
        for _ in 0..calls {
            outcomes.push(caller.call(call(timeout_ms)).await);
        }
        tasks.stop();
        outcomes
    }

    #[tokio::test]
    async fn the_services_word_and_the_proxys_word_are_told_apart() {
        let got = against(
            vec![
                "HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n",
                "HTTP/1.1 503 x\r\nproxy-status: ondol; error=connection_refused\r\ncontent-length: 0\r\n\r\n",
                "HTTP/1.1 504 x\r\nproxy-status: ondol; error=http_response_timeout\r\ncontent-length: 0\r\n\r\n",
            ],
            5_000,
        )
        .await;
        assert!(
            got[0]
                .as_ref()
                .is_ok_and(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE)
        );
        assert!(matches!(&got[1], Err(CallError::NotSent(_))), "{:?}", got[1]);
        assert!(matches!(&got[2], Err(CallError::Unknown(_))), "{:?}", got[2]);
    }

    #[tokio::test]
    async fn a_connection_cut_before_the_answer_is_unknown_and_the_next_call_works() {
        let ok = "HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}";
        let got = against(vec!["close", ok], 5_000).await;
        assert!(matches!(&got[0], Err(CallError::Unknown(_))), "{:?}", got[0]);
        assert!(got[1].is_ok(), "{:?}", got[1]);
    }

    #[tokio::test]
    async fn silence_is_unknown_and_nobody_listening_is_not_sent() {
        let got = against(vec!["hang"], 50).await;
        assert!(matches!(&got[0], Err(CallError::Unknown(_))), "{:?}", got[0]);
        let dir = tempfile::tempdir().expect("folder");
        let alone = ProxyCaller::new(dir.path().into(), Tasks::new())
            .call(call(1_000))
            .await;
        assert!(matches!(alone, Err(CallError::NotSent(_))), "{alone:?}");
    }
    /// A call that waited here would hold up a thread of the controller, for as long as no proxy accepts.
    #[tokio::test]
    async fn a_full_backlog_is_not_sent_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join(caller_socket_file(&call(0).service));
        let socket = tokio::net::UnixSocket::new_stream().expect("socket");
        socket.bind(&path).expect("bind");
        let _deaf = socket.listen(0).expect("listen");
        let _first = UnixStream::connect(&path).await.expect("the one that fits");
        let caller = ProxyCaller::new(dir.path().into(), Tasks::new());
        let refused = caller.call(call(20_000)).await;
        assert!(matches!(refused, Err(CallError::NotSent(_))), "{refused:?}");
    }
}
