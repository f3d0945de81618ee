//! Checks of real sockets.

use super::*;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::entropy::SeededEntropy;
use ondol_core::id::{BootId, InstanceId};
use ondol_core::wire::proxy as wire;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Longer than any machine needs; only a broken check lasts as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// An instance that answers every request with the status that `status` holds; 0: it closes without a word.
async fn http1(tasks: &Tasks, status: Arc<AtomicU16>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tasks.spawn(Kind::Other, async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.expect("a head") > 0 {}
            assert!(
                head.starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:"),
                "{}",
                head.escape_ascii()
            );
            let status = status.load(Ordering::SeqCst);
            if status > 0 {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
                let _ = stream.write_all(answer.as_bytes()).await; // The checker may have read enough.
            }
        }
    });
    address
}

fn snapshot(address: std::net::SocketAddr, path: &str) -> wire::Snapshot {
    let service: ondol_core::id::ServiceName = "orders".parse().expect("a name");
    let instance = InstanceId {
        service: service.clone(),
        number: 1,
    };
    let health = Some(HealthCheck {
        path: path.into(),
        interval_ms: 50,
        timeout_ms: 10_000,
    });
    let endpoints = vec![wire::Endpoint {
        instance,
        start: 1,
        address,
        draining: false,
        zone: None,
    }];
    wire::Snapshot {
        boot: BootId {
            system: "s".into(),
            boot: "b".into(),
        },
        generation: 1,
        gateways: vec![],
        routes: vec![],
        edges: vec![],
        clusters: vec![wire::Cluster {
            service,
            protocol: Protocol::Http1,
            endpoints,
            health,
            unavailable: None,
            concurrency: Default::default(),
            peer: None,
        }],
        issuers: Default::default(),
        trusted_proxies: vec![],
        controller_socket: "c".into(),
        mesh: None,
    }
}

async fn until(clusters: &Clusters, well: bool) {
    let is = || clusters.healthy(SystemClock.mono()).iter().all(|(_, is)| *is == well);
    let reached = async {
        while !is() {
            clusters.news().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the health in time");
}

#[tokio::test]
async fn an_instance_leaves_the_rotation_when_its_check_fails_and_comes_back() {
    let (tasks, clusters) = (Tasks::new(), Arc::new(Clusters::default()));
    let status = Arc::new(AtomicU16::new(503));
    let address = http1(&tasks, status.clone()).await;
    clusters.apply(&snapshot(address, "/health"), SystemClock.mono());
    tasks.spawn(
        Kind::Health,
        run(clusters.clone(), tasks.clone(), Arc::new(SeededEntropy::new(1))),
    );
    for (answer, well) in [(503, false), (204, true), (0, false), (200, true), (302, false)] {
        status.store(answer, Ordering::SeqCst);
        until(&clusters, well).await;
    }
    tasks.stop();
    tasks.ended().await;
}

#[tokio::test]
async fn a_check_ends_when_its_instance_is_gone() {
    let (tasks, clusters) = (Tasks::new(), Arc::new(Clusters::default()));
    let address = http1(&tasks, Arc::new(AtomicU16::new(200))).await;
    let spec = snapshot(address, "/health");
    clusters.apply(&spec, SystemClock.mono());
    tasks.spawn(
        Kind::Health,
        run(clusters.clone(), tasks.clone(), Arc::new(SeededEntropy::new(1))),
    );
    let counts = async |wanted| {
        let reached = async {
            while tasks.running(Kind::Health) != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the tasks in time");
    };
    counts(2).await;
    clusters.apply(
        &wire::Snapshot {
            clusters: vec![],
            ..spec
        },
        SystemClock.mono(),
    );
    counts(1).await;
    tasks.stop();
}

#[tokio::test]
async fn http2_instances_are_asked_over_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serve = async {
        let mut connection = h2::server::handshake(listener.accept().await.expect("a connection").0)
            .await
            .expect("h2");
        let (request, mut respond) = connection.accept().await.expect("a request").expect("h2");
        assert_eq!(request.uri().path(), "/health");
        let answer = http::Response::builder().status(204).body(()).expect("an answer");
        respond.send_response(answer, true).expect("sent");
        let _ = connection.accept().await; // Drives the connection until the checker closes it.
    };
    let (status, ()) = tokio::join!(probe::get(address, Protocol::H2c, "/health"), serve);
    assert_eq!(status.expect("an answer"), 204);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut head).await.expect("a head");
        }
        stream.write_all(&[b'x'; 300]).await.expect("written");
    };
    let (status, ()) = tokio::join!(probe::get(address, Protocol::Http1, "/health"), serve);
    assert_eq!(status.expect_err("no HTTP").to_string(), "no HTTP answer");
}
