//! WebSockets that clients open over HTTP/2, as browsers do, at an instance that speaks HTTP/1.

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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// More than all windows and buffers between a client and an instance hold, bytes.
const MUCH: usize = 16 << 20;

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
        let mut left = MUCH;
        while left > 0 {
            say.reserve_capacity(left.min(64 << 10));
            let room = std::future::poll_fn(|cx| say.poll_capacity(cx)).await;
            let n = room.expect("a stream").expect("its window").min(left);
            say.send_data(vec![b'y'; n].into(), n == left).expect("sent");
            left -= n;
        }
        let heard = rest(hear).await;
        assert_eq!(heard.len(), "hello ".len() + MUCH + format!("heard {MUCH}").len());
        assert!(heard.ends_with(&format!("heard {MUCH}")));
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
