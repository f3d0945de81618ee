//! WebSockets over HTTP/2: clients that open them so, as browsers do, and instances that take them so.

mod common;
#[path = "common/rpc.rs"]
mod rpc;

use bytes::Bytes;
use common::{cluster, route, snapshot};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol as Extended;
use http::Request;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::{Action, Protocol};
use rpc::{client, next, on_runtime, serving};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// More than all windows and buffers between a client and an instance hold, bytes.
const MUCH: usize = 16 << 20;

/// The same where both are streams: their windows are all that holds anything.
const MUCH_OF_STREAMS: usize = 4 << 20;

/// Streams whose reset an instance has seen.
static RESETS: AtomicU32 = AtomicU32::new(0);

/// Asks for `protocol` at `path`.
fn connect(
    sender: &mut SendRequest<Bytes>,
    protocol: &'static str,
    path: &str,
) -> (ResponseFuture, h2::SendStream<Bytes>) {
    let mut request = Request::connect(format!("http://shop{path}"));
    request = request
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat");
    if path.ends_with("?grpc") {
        request = request.header("content-type", "application/grpc"); // Whose refusals are 200 by status.
    }
    let mut request = request.body(()).expect("a request");
    request.extensions_mut().insert(Extended::from_static(protocol));
    sender.send_request(request, false).expect("sent")
}

/// An instance that answers a request for a WebSocket as its path says, and then says everything twice.
async fn instance(tasks: &Tasks) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tasks.spawn_local(Kind::Other, async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            let head = String::from_utf8(head).expect("text");
            let answer = match head.split([' ', '?']).nth(1).expect("a path") {
                "/open" | "/talks" => format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {}\r\n\r\nhello ",
                    accept(&head)
                ),
                "/forged" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                    .into(),
                "/page" => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\npage".into(),
                _ => "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!".to_owned(),
            };
            assert!(
                head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-version: 13"),
                "{head}"
            );
            stream.write_all(answer.as_bytes()).await.expect("written");
            if head.starts_with("GET /talks") {
                // Says much at once, and at the end how much it has heard.
                let (mut hears, mut says) = stream.into_split();
                let saying = async { says.write_all(&vec![b'x'; MUCH]).await.expect("written") };
                let hearing = async {
                    tokio::io::copy(&mut hears, &mut tokio::io::sink())
                        .await
                        .expect("heard")
                };
                let ((), heard) = tokio::join!(saying, hearing);
                says.write_all(format!("heard {heard}").as_bytes())
                    .await
                    .expect("written");
                continue;
            }
            let mut buf = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..n].repeat(2)).await.expect("written");
            }
        }
    });
    address
}

/// An instance of h2c that takes extended CONNECT, and does as the one above does. Paths that are no WebSocket's answer
/// with the method.
async fn instance_of_streams(tasks: &Tasks, announces: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (address, own) = (listener.local_addr().expect("address"), tasks.clone());
    tasks.spawn_local(Kind::Other, async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            let tasks = own.clone();
            own.spawn_local(Kind::Other, async move {
                let mut builder = h2::server::Builder::new();
                if announces {
                    builder.enable_connect_protocol();
                }
                let mut connection = builder.handshake(stream).await.expect("handshake");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tasks.spawn_local(Kind::Other, converse(request, respond));
                }
            });
        }
    });
    address
}

async fn converse(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (parts, mut hears) = request.into_parts();
    let protocol = parts.extensions.get::<Extended>().map(Extended::as_str);
    let answer = http::Response::builder().header("sec-websocket-protocol", "chat");
    if protocol.is_none() || parts.uri.path() == "/other" {
        let status = if protocol.is_some() { 403 } else { 200 };
        let answer = answer.status(status).body(()).expect("an answer");
        let mut says = respond.send_response(answer, false).expect("sent");
        let text = format!("{} no!", parts.method);
        says.send_data(text.into(), true).expect("sent");
        return;
    }
    assert_eq!((protocol, parts.method.as_str()), (Some("websocket"), "CONNECT"));
    assert_eq!(parts.headers["sec-websocket-version"], "13");
    assert!(!parts.headers.contains_key("sec-websocket-key") && !parts.headers.contains_key("upgrade"));
    let mut says = respond
        .send_response(answer.body(()).expect("an answer"), false)
        .expect("sent");
    says.send_data("hello ".into(), false).expect("sent");
    match parts.uri.path() {
        "/resets" => {
            assert_eq!(next(&mut hears).await, "now ");
            says.send_reset(h2::Reason::CANCEL);
        }
        "/hears" => {
            let gone = loop {
                match hears.data().await {
                    Some(Ok(data)) => hears.flow_control().release_capacity(data.len()).expect("capacity"),
                    other => break other,
                }
            };
            RESETS.fetch_add(
                u32::from(gone.is_some_and(|end| end.is_err_and(|why| why.is_reset()))),
                SeqCst,
            );
        }
        "/talks" => {
            let saying = say_much(&mut says, b'x', MUCH_OF_STREAMS, false);
            let (heard, ()) = tokio::join!(count(hears), saying);
            says.send_data(format!("heard {heard}").into(), true).expect("sent");
        }
        _ => {
            while let Some(data) = hears.data().await {
                let data = data.expect("data");
                hears.flow_control().release_capacity(data.len()).expect("capacity");
                says.send_data(data.repeat(2).into(), false).expect("sent");
            }
            says.send_data(Bytes::new(), true).expect("sent");
        }
    }
}

async fn count(mut hears: RecvStream) -> usize {
    let mut heard = 0;
    while let Some(data) = hears.data().await {
        let n = data.expect("data").len();
        hears.flow_control().release_capacity(n).expect("capacity");
        heard += n;
    }
    heard
}

/// Says `left` bytes, as fast as they are read.
async fn say_much(says: &mut h2::SendStream<Bytes>, byte: u8, mut left: usize, ends: bool) {
    while left > 0 {
        says.reserve_capacity(left.min(64 << 10));
        let room = std::future::poll_fn(|cx| says.poll_capacity(cx)).await;
        let n = room.expect("a stream").expect("its window").min(left);
        says.send_data(vec![byte; n].into(), ends && n == left).expect("sent");
        left -= n;
    }
}

fn accept(head: &str) -> String {
    use base64::Engine as _;
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .expect("a key");
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hashed)
}

async fn rest(mut body: RecvStream) -> String {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("the stream's end, not its reset");
        body.flow_control().release_capacity(data.len()).expect("capacity");
        all.extend_from_slice(&data);
    }
    String::from_utf8(all).expect("text")
}

#[test]
fn a_stream_becomes_a_websocket_both_ways_until_the_client_ends_it() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let clusters = vec![cluster("chat", Protocol::Http1, &[instance(&tasks).await])];
        let (running, _controller) = serving(dir.path(), snapshot(vec![route("/", "chat")], vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await; // Its settings are on their way.
        }
        let (answer, mut say) = connect(&mut sender, "websocket", "/open");
        let answer = answer.await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["sec-websocket-protocol"]),
            (200, &"chat".parse().expect("value"))
        );
        assert!(
            !answer.headers().contains_key("sec-websocket-accept"),
            "it is of the key, which is not the client's"
        );
        let mut hear = answer.into_body();
        assert_eq!(next(&mut hear).await, "hello ");
        for word in ["one ", "two "] {
            say.send_data(word.into(), false).expect("sent");
            assert_eq!(next(&mut hear).await, word.repeat(2));
        }
        say.send_data(Bytes::new(), true).expect("sent");
        assert_eq!(rest(hear).await, "", "the instance ended its side too");
        let line = running.log.line("/open");
        assert_eq!(
            (
                line["protocol"].as_str(),
                line["status"].as_u64(),
                line["bytes"].as_u64()
            ),
            (Some("HTTP/2"), Some(200), Some(22))
        );
    });
}

#[test]
fn each_way_goes_on_while_the_other_one_waits() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let clusters = vec![cluster("chat", Protocol::Http1, &[instance(&tasks).await])];
        let (running, _controller) = serving(dir.path(), snapshot(vec![route("/", "chat")], vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let (answer, mut say) = connect(&mut sender, "websocket", "/talks");
        let hear = answer.await.expect("an answer").into_body();
        // Nothing is read before all is said, so the instance's own words wait at the client's window.
        say_much(&mut say, b'y', MUCH, true).await;
        let heard = rest(hear).await;
        assert_eq!(heard.len(), "hello ".len() + MUCH + format!("heard {MUCH}").len());
        assert!(heard.ends_with(&format!("heard {MUCH}")));
    });
}

/// A proxy before an instance of h2c, and a client of HTTP/2 that knows its settings.
async fn before_streams(
    tasks: &Tasks,
    dir: &std::path::Path,
    announces: bool,
) -> (common::Running, common::Controller, SendRequest<Bytes>) {
    let address = instance_of_streams(tasks, announces).await;
    let clusters = vec![cluster("chat", Protocol::H2c, &[address])];
    let (running, controller) = serving(dir, snapshot(vec![route("/", "chat")], vec![], clusters)).await;
    let sender = client(tasks, running.gateway).await;
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    (running, controller, sender)
}

#[test]
fn a_stream_at_the_client_is_a_stream_at_the_instance() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (running, _controller, mut sender) = before_streams(&tasks, dir.path(), true).await;
        let (answer, mut say) = connect(&mut sender, "websocket", "/open");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        let mut hear = answer.into_body();
        assert_eq!(next(&mut hear).await, "hello ");
        for word in ["one ", "two "] {
            say.send_data(word.into(), false).expect("sent");
            assert_eq!(next(&mut hear).await, word.repeat(2));
        }
        say.send_data(Bytes::new(), true).expect("sent");
        assert_eq!(rest(hear).await, "", "the instance ended its side too");
        let line = running.log.line("/open");
        assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(22)));

        let (answer, mut say) = connect(&mut sender, "websocket", "/talks");
        let hear = answer.await.expect("an answer").into_body();
        say_much(&mut say, b'y', MUCH_OF_STREAMS, true).await;
        let heard = rest(hear).await;
        assert_eq!(
            heard.len(),
            "hello ".len() + MUCH_OF_STREAMS + format!("heard {MUCH_OF_STREAMS}").len()
        );
        assert!(heard.ends_with(&format!("heard {MUCH_OF_STREAMS}")));

        let (answer, _say) = connect(&mut sender, "websocket", "/other");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 403);
        assert_eq!(rest(answer.into_body()).await, "CONNECT no!");
    });
}

#[test]
fn a_reset_of_either_stream_is_one_of_the_other() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (_running, _controller, mut sender) = before_streams(&tasks, dir.path(), true).await;
        let (answer, mut say) = connect(&mut sender, "websocket", "/resets");
        let mut hear = answer.await.expect("an answer").into_body();
        assert_eq!(next(&mut hear).await, "hello ");
        say.send_data("now ".into(), false).expect("sent");
        let end = hear.data().await.expect("no end");
        assert!(end.expect_err("a reset").is_reset());

        let (answer, mut say) = connect(&mut sender, "websocket", "/hears");
        let mut hear = answer.await.expect("an answer").into_body();
        assert_eq!(next(&mut hear).await, "hello ");
        say.send_reset(h2::Reason::CANCEL);
        while RESETS.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // The connection outlives both.
        let (answer, _say) = connect(&mut sender, "websocket", "/other");
        assert_eq!(answer.await.expect("an answer").status(), 403);
    });
}

/// What a client of HTTP/1.1 is answered that asks for a WebSocket with the key of RFC 6455, and its connection.
async fn switch(gateway: std::net::SocketAddr, path: &str) -> (String, tokio::net::TcpStream) {
    let mut stream = tokio::net::TcpStream::connect(gateway).await.expect("connect");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    (String::from_utf8(head).expect("text"), stream)
}

#[test]
fn a_connection_that_switches_is_a_stream_at_the_instance() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (running, _controller, _sender) = before_streams(&tasks, dir.path(), true).await;
        let (head, mut stream) = switch(running.gateway, "/open").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(
            common::field(&head, "sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{head}"
        );
        assert_eq!(common::field(&head, "upgrade"), Some("websocket"));
        stream.write_all(b"one ").await.expect("written");
        stream.shutdown().await.expect("ended");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.expect("read");
        assert_eq!(heard, "hello one one ");
        let (head, _stream) = switch(running.gateway, "/other").await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    });
}

#[test]
fn an_instance_of_streams_that_takes_no_websockets_gets_a_plain_request() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (running, _controller, mut sender) = before_streams(&tasks, dir.path(), false).await;
        let (head, _stream) = switch(running.gateway, "/open").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (answer, _say) = connect(&mut sender, "websocket", "/open");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 502);
        assert!(rest(answer.into_body()).await.contains("GW-071"));
    });
}

#[test]
fn what_is_no_websocket_is_never_taken_for_one() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let clusters = vec![cluster("chat", Protocol::Http1, &[instance(&tasks).await])];
        let mut starts = route("/start", "chat");
        starts.action = Action::Start {
            saga: "order".parse().expect("a name"),
            wait_ms: 0,
            key_required: false,
        };
        let routes = vec![route("/", "chat"), starts];
        let (running, _controller) = serving(dir.path(), snapshot(routes, vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        for (protocol, path, status, said) in [
            ("websocket", "/forged", 502, "GW-071"),
            ("websocket", "/forged?grpc", 502, "GW-071"),
            ("websocket", "/page", 502, "GW-071"),
            ("websocket", "/start", 502, "GW-071"),
            ("websocket", "/other", 403, "no!"),
            ("connect-udp", "/open", 501, "GW-006"),
        ] {
            let (answer, _say) = connect(&mut sender, protocol, path);
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path}");
            let text = rest(answer.into_body()).await;
            assert!(text.contains(said), "{path}: {text}");
        }
    });
}
