//! HTTP/2 in the clear on both sides of the proxy, on one runtime with the test.

#![allow(
    dead_code,
    missing_docs,
    reason = "each test file uses a part, and names say what is what"
)]

use crate::common::{self, Controller, Running};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::Request;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::Snapshot;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Runs a test on a runtime of its own, with an end.
pub fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let local = tokio::task::LocalSet::new();
        let limited = tokio::time::timeout(Duration::from_secs(30), local.run_until(test));
        limited.await.expect("an end within 30 s");
    });
}

/// An h2c instance; each stream is given to `answer`.
pub async fn instance<F: Future<Output = ()> + 'static>(
    tasks: &Tasks,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (own, answer) = (tasks.clone(), Rc::new(answer));
    tasks.spawn_local(Kind::Other, async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tasks, answer) = (own.clone(), answer.clone());
            own.spawn_local(Kind::Other, async move {
                let mut connection = h2::server::handshake(stream).await.expect("handshake");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tasks.spawn_local(Kind::Other, answer(request, respond));
                }
            });
        }
    });
    address
}

pub async fn client(tasks: &Tasks, address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("connect");
    stream.set_nodelay(true).expect("a socket"); // Windows open by small frames, which would wait for each other.
    let (sender, connection) = h2::client::handshake(stream).await.expect("handshake");
    tasks.spawn_local(Kind::Other, async move {
        let _ = connection.await;
    });
    sender.ready().await.expect("ready")
}

/// The proxy's start waits for the controller: not on the runtime that the instance runs on.
pub async fn serving(dir: &Path, snapshot: Snapshot) -> (Running, Controller) {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || common::serving(&dir, &snapshot))
        .await
        .expect("started")
}

pub async fn next(body: &mut RecvStream) -> Bytes {
    let data = body.data().await.expect("more").expect("data");
    body.flow_control().release_capacity(data.len()).expect("capacity");
    data
}
