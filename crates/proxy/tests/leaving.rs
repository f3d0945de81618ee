//! One proxy gives way to another on the same sockets: nobody is refused, and what was begun goes on to its end.

mod common;
#[path = "common/rpc.rs"]
mod rpc;

use bytes::Bytes;
use common::*;
use h2::server::SendResponse;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{FromProxy, Protocol, Snapshot};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An instance that opens a tunnel on its first connection's first request, and gives back what comes through it.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("accept");
        read_message(&mut stream).expect("a request");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .expect("write");
        let mut piece = [0; 16];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            stream.write_all(&piece[..n]).expect("write");
        }
    };
    Tasks::thread("echo", serve).expect("a thread");
    address
}

fn configuration() -> Snapshot {
    let mut socket = route("/socket", "echo");
    socket.policy.stream = true;
    let clusters = vec![
        cluster("orders", Protocol::Http1, &[instance(|_| ok("done"))]),
        cluster("echo", Protocol::Http1, &[echo()]),
    ];
    snapshot(vec![socket, route("/", "orders")], vec![], clusters)
}

/// A proxy that serves, beside others on these sockets.
fn proxy(dir: &Path, sockets: &Arc<Sockets>, gateway: SocketAddr, snapshot: &Snapshot) -> (Running, Controller) {
    let _ = std::fs::remove_file(dir.join("control.sock"));
    let listener = Controller::listen(dir);
    let running = Running::start_on(dir, sockets.clone(), gateway);
    let mut controller = Controller::accept(&listener);
    assert!(matches!(controller.tell(snapshot), FromProxy::Ack { .. }));
    (running, controller)
}

fn say(tunnel: &mut TcpStream, text: &str) {
    tunnel.write_all(text.as_bytes()).expect("write");
    let mut back = vec![0; text.len()];
    tunnel.read_exact(&mut back).expect("an echo");
    assert_eq!(back, text.as_bytes());
}

#[test]
fn connections_of_one_that_leaves_are_served_to_their_end_and_new_ones_by_the_next() {
    let dir = tempfile::tempdir().expect("a folder");
    let (sockets, configuration) = (Arc::new(Sockets::default()), configuration());
    let gateway = sockets.tcp("gateway/web");
    let (old, mut controller) = proxy(dir.path(), &sockets, gateway, &configuration);
    let (mut idle, mut tunnel) = (old.client(), old.client());
    assert_eq!(field(&ask(&mut idle, GET), "connection"), None);
    assert!(ask(&mut tunnel, UPGRADE).starts_with("HTTP/1.1 101 "));
    say(&mut tunnel, "before");

    let (next, _next_controller) = proxy(dir.path(), &sockets, gateway, &configuration);
    old.tell_to_leave();
    while controller.word() != (FromProxy::Leaving { reads: true }) {}
    controller.report(|report| report.connections == 2);

    say(&mut tunnel, "meanwhile");
    // Its workers hear of it one by one; then nobody takes these but the next one, which does not leave.
    let is_the_next = |_| {
        let answer = ask(&mut connect(gateway), GET);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        field(&answer, "connection").is_none()
    };
    until(|| (0..20).all(is_the_next).then_some(()));
    // One that was open already is not closed under a request that may be on its way, and served as the controller says by then.
    let moved = vec![
        cluster("orders", Protocol::Http1, &[instance(|_| ok("moved"))]),
        configuration.clusters[1].clone(),
    ];
    let moved = Snapshot {
        generation: 2,
        clusters: moved,
        ..configuration.clone()
    };
    assert_eq!(controller.tell(&moved), FromProxy::Ack { generation: 2 });
    let answer = ask(&mut idle, GET);
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("moved"),
        "{answer}"
    );
    assert_eq!(field(&answer, "connection"), Some("close"));
    assert_eq!(idle.read(&mut [0]).expect("a clean end"), 0);
    controller.report(|report| report.connections == 1);
    say(&mut tunnel, "at last");
    drop(tunnel);
    old.ended();
    next.stop();
}

#[test]
fn a_stream_goes_on_where_it_began_and_its_client_asks_the_next_proxy_for_others() {
    rpc::on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let echo = rpc::instance(&tasks, async |request, mut respond: SendResponse<Bytes>| {
            let (head, mut said) = (http::Response::new(()), request.into_body());
            let mut back = respond.send_response(head, false).expect("sent");
            while let Some(data) = said.data().await {
                back.send_data(data.expect("data"), false).expect("sent");
            }
            back.send_data(Bytes::new(), true).expect("sent");
        });
        let mut stream = route("/", "echo");
        stream.policy.stream = true;
        let clusters = vec![cluster("echo", Protocol::H2c, &[echo.await])];
        let (old, _controller) = rpc::serving(dir.path(), snapshot(vec![stream], vec![], clusters)).await;
        let mut sender = rpc::client(&tasks, old.gateway).await;
        let ask = || http::Request::post("http://a/x.Y/Z").body(()).expect("a request");
        let (answer, mut saying) = sender.send_request(ask(), false).expect("sent");
        saying.send_data("one".into(), false).expect("sent");
        let mut back = answer.await.expect("an answer").into_body();
        assert_eq!(rpc::next(&mut back).await, "one");

        old.tell_to_leave();
        while std::future::poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await; // Until the client has heard it.
        }
        saying.send_data("two".into(), false).expect("sent");
        assert_eq!(rpc::next(&mut back).await, "two");
        saying.send_data(Bytes::new(), true).expect("sent");
        assert!(back.data().await.is_none_or(|data| data.expect("data").is_empty()));
        drop((back, sender));
        tokio::task::spawn_blocking(|| old.ended()).await.expect("ended");
    });
}

#[test]
fn one_that_leaves_serves_on_when_it_cannot_read_what_a_newer_controller_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let (sockets, configuration) = (Arc::new(Sockets::default()), configuration());
    let gateway = sockets.tcp("gateway/web");
    let (old, mut controller) = proxy(dir.path(), &sockets, gateway, &configuration);
    let mut tunnel = old.client();
    assert!(ask(&mut tunnel, UPGRADE).starts_with("HTTP/1.1 101 "));
    old.tell_to_leave();
    while controller.word() != (FromProxy::Leaving { reads: true }) {}
    controller.send_text(r#"{"of-a-later-version":{}}"#);
    while controller.word() != (FromProxy::Leaving { reads: false }) {}
    let reports: Vec<_> = (0..2).map(|_| controller.word()).collect();
    assert!(
        reports.iter().all(|word| matches!(word, FromProxy::Report(_))),
        "{reports:?}"
    );
    say(&mut tunnel, "still");
    drop(tunnel);
    old.ended();
}

#[test]
fn one_that_leaves_and_is_told_to_stop_keeps_no_idle_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = Controller::listen(dir.path());
    let sockets = Arc::new(Sockets::default());
    let gateway = sockets.tcp("gateway/web");
    // Longer than this test may take.
    let old = Running::start_with(dir.path(), sockets, gateway, Duration::from_secs(3_600));
    let mut controller = Controller::accept(&listener);
    assert!(matches!(controller.tell(&configuration()), FromProxy::Ack { .. }));
    let mut idle = old.client();
    assert!(ask(&mut idle, GET).starts_with("HTTP/1.1 200 "));
    old.tell_to_leave();
    old.stop();
    assert_eq!(idle.read(&mut [0]).expect("a clean end"), 0);
}

#[test]
fn the_supervisor_is_told_once_it_serves_and_not_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = Controller::listen(dir.path());
    let running = Running::start(dir.path());
    let mut controller = Controller::accept(&listener);
    assert!(matches!(controller.word(), FromProxy::Report(_)));
    assert!(!running.sockets.is_told(), "it has no snapshot yet");
    assert!(matches!(controller.tell(&configuration()), FromProxy::Ack { .. }));
    until(|| running.sockets.is_told().then_some(()));
    running.stop();
}
