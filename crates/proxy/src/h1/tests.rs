//! The codec over real sockets: a service that passes everything on, between a client and an upstream that speak bytes.

use crate::answer::{Answer, Word};
use crate::check::HeadError;
use crate::ending::Ending;
use crate::exchange::{Reply, Request, Response, Sent, Service};
use crate::io::Io;
use crate::message::PIECE;
use crate::pool::Pool;
use crate::upstream::{self, Place, Use};
use bytes::BytesMut;
use ondol_core::clock::{SharedClock, SystemClock};
use ondol_core::error::ErrorCode;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::Protocol;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes every request to one address; remembers how its answers ended.
struct Pass {
    pool: Pool,
    to: SocketAddr,
    sent: RefCell<Vec<Sent>>,
}

impl Service for Pass {
    async fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) {
        let place = Place::Instance(self.to, 1, Protocol::Http1);
        let answered = async {
            let ready = upstream::connect(&self.pool, &place, Use::Exchange).await?;
            ready.exchange(request.head, request.body, request.websocket).await
        };
        let response = answered.await.unwrap_or_else(|failure| {
            let code = ErrorCode::new("GW-024");
            Answer::new(http::StatusCode::BAD_GATEWAY, code, failure.word(), failure.to_string()).into_bare_response()
        });
        let sent = reply.send(response).await;
        self.sent.borrow_mut().push(sent);
    }

    fn refuse(&self, error: HeadError) -> Response<'static> {
        Answer::new(error.status(), error.code(), Word::HttpRequestError, error.to_string()).into_bare_response()
    }
}

/// Runs `client` on one side and `upstream` on the other of the codec.
async fn between<C, U>(
    client: impl FnOnce(TcpStream) -> C,
    upstream: impl FnOnce(TcpListener) -> U,
) -> (Vec<Sent>, C::Output, U::Output)
where
    C: Future,
    U: Future,
{
    let back = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let front = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let clock: SharedClock = Arc::new(SystemClock);
    let to = back.local_addr().expect("address");
    let service = Rc::new(Pass {
        pool: Pool::new(clock.clone(), Tasks::new()),
        to,
        sent: RefCell::default(),
    });
    let address = front.local_addr().expect("address");
    let serving = async {
        let (stream, _) = front.accept().await.expect("accept");
        super::server::serve(&Io::Tcp(stream), BytesMut::new(), clock, &*service, &Ending::new()).await;
    };
    let client = async { client(TcpStream::connect(address).await.expect("connect")).await };
    let ((), client, upstream) = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(serving, client, upstream(back))
    })
    .await
    .expect("an end within 30 s");
    let sent = service.sent.borrow().clone();
    (sent, client, upstream)
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("write");
}

/// Reads until what was read ends with `end`; nothing may come after it yet.
async fn hear(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = stream
            .read_u8()
            .await
            .unwrap_or_else(|e| panic!("{e} after {}", text.escape_ascii()));
        text.push(byte);
    }
    String::from_utf8(text).expect("text")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("read");
    text
}

#[tokio::test]
async fn one_connection_carries_many_requests_on_both_sides() {
    let (sent, _, _) = between(
        async |mut client| {
            for body in ["one", "two", "three"] {
                say(&mut client, "GET /a%2e HTTP/1.1\r\nHost: shop\r\nAccept: x\r\n\r\n").await;
                let head = hear(&mut client, "\r\n\r\n").await;
                assert_eq!(
                    head,
                    format!("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: {}\r\n\r\n", body.len())
                );
                assert_eq!(hear(&mut client, body).await, body);
            }
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            for body in ["one", "two", "three"] {
                let head = hear(&mut stream, "\r\n\r\n").await;
                assert_eq!(head, "GET /a. HTTP/1.1\r\nhost: shop\r\naccept: x\r\n\r\n");
                say(
                    &mut stream,
                    &format!(
                        "HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ),
                )
                .await;
            }
        },
    )
    .await;
    assert_eq!(sent.iter().map(|sent| sent.bytes).collect::<Vec<_>>(), [3, 3, 5]);
}

#[tokio::test]
async fn an_upstream_connection_is_kept_after_answers_of_any_size() {
    let sizes = [1, 8 << 10, PIECE - 1, PIECE, PIECE + 1, 100 << 10, 3 * PIECE];
    between(
        async |mut client| {
            for size in sizes {
                say(&mut client, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
                hear(&mut client, "\r\n\r\n").await;
                client.read_exact(&mut vec![0; size]).await.expect("the whole body");
            }
        },
        async |upstream| {
            // There is one connection only: requests on another would never be answered.
            let (mut stream, _) = upstream.accept().await.expect("accept");
            for size in sizes {
                hear(&mut stream, "\r\n\r\n").await;
                say(
                    &mut stream,
                    &format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size)),
                )
                .await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    between(
        async |mut client| {
            say(&mut client, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            let all = rest(&mut client).await;
            let bodies: Vec<_> = all.split("\r\n\r\n").skip(1).map(|part| part[..2].to_owned()).collect();
            assert_eq!(bodies, ["/1", "/2", "/3"], "{all}");
            assert_eq!(all.matches("connection: close").count(), 1);
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            for path in ["/1", "/2", "/3"] {
                let head = hear(&mut stream, "\r\n\r\n").await;
                assert_eq!(head.split(' ').nth(1), Some(path));
                if path == "/2" {
                    hear(&mut stream, "hi").await;
                }
                say(&mut stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{path}")).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn chunks_pass_both_ways_and_trailers_back() {
    between(
        async |mut client| {
            say(
                &mut client,
                "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .await;
            say(&mut client, "3;x=y\r\nabc\r\n").await;
            say(&mut client, "0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n").await;
            let head = hear(&mut client, "\r\n\r\n").await;
            assert_eq!(head, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            assert_eq!(
                hear(&mut client, "\r\n\r\n").await,
                "2\r\nde\r\n0\r\ngrpc-status: 0\r\n\r\n"
            );
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            let all = hear(&mut stream, "0\r\n\r\n").await;
            assert!(
                all.contains("transfer-encoding: chunked\r\n") && all.contains("te: trailers\r\n"),
                "{all}"
            );
            assert!(all.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{all}");
            say(
                &mut stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nGrpc-Status: 0\r\n\r\n",
            )
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn after_a_body_in_chunks_a_connection_to_an_instance_is_not_used_again() {
    for (fields, body) in [
        ("Content-Length: 2", "ok"),
        ("Transfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n"),
    ] {
        between(
            async |mut client| {
                say(
                    &mut client,
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                )
                .await;
                hear(&mut client, "\r\n\r\n").await;
                hear(&mut client, body).await;
                // The client's goes on.
                say(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                hear(&mut client, "next").await;
            },
            async |upstream| {
                let (mut stream, _) = upstream.accept().await.expect("accept");
                hear(&mut stream, "0\r\n\r\n").await;
                say(&mut stream, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}")).await;
                assert_eq!(rest(&mut stream).await, "");
                let (mut stream, _) = upstream.accept().await.expect("accept");
                hear(&mut stream, "\r\n\r\n").await;
                say(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_client_is_told_to_continue_once_its_body_is_wanted() {
    between(
        async |mut client| {
            say(
                &mut client,
                "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            )
            .await;
            assert_eq!(hear(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
            say(&mut client, "data").await;
            assert!(hear(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 204"));
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            assert!(!hear(&mut stream, "data").await.contains("expect"));
            say(
                &mut stream,
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            )
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_stream_of_events_passes_piece_by_piece() {
    let (told, asked) = tokio::sync::oneshot::channel::<()>();
    between(
        async move |mut client| {
            say(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            hear(&mut client, "\r\n\r\n").await;
            hear(&mut client, "data: 1\n\n\r\n").await; // Here before the upstream writes the second.
            told.send(()).expect("the upstream waits");
            hear(&mut client, "data: 2\n\n\r\n0\r\n\r\n").await;
        },
        async move |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            hear(&mut stream, "\r\n\r\n").await;
            say(
                &mut stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
            )
            .await;
            asked.await.expect("the client got the first");
            say(&mut stream, "data: 2\n\n").await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_cut_short_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ] {
        let (sent, ..) = between(
            async |mut client| {
                say(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let all = rest(&mut client).await;
                assert!(all.contains("abc") && !all.ends_with("\r\n0\r\n\r\n"), "{all}");
            },
            async |upstream| {
                let (mut stream, _) = upstream.accept().await.expect("accept");
                hear(&mut stream, "\r\n\r\n").await;
                say(&mut stream, answer).await;
            },
        )
        .await;
        assert!(
            matches!(sent[0].end, crate::exchange::End::Broken(_)),
            "{answer:?}: {sent:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_nonsense_or_nothing_is_a_502() {
    for (answer, word) in [
        ("", "connection_terminated"),
        ("HTTP/1.1 2", "http_response_incomplete"),
        ("SSH-2.0-x\r\n\r\n", "http_protocol_error"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            "http_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "http_protocol_error",
        ),
    ] {
        between(
            async |mut client| {
                say(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let head = hear(&mut client, "\r\n\r\n").await;
                assert!(
                    head.starts_with("HTTP/1.1 502") && head.contains(word),
                    "{answer:?}: {head}"
                );
            },
            async |upstream| {
                let (mut stream, _) = upstream.accept().await.expect("accept");
                hear(&mut stream, "\r\n\r\n").await;
                say(&mut stream, answer).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_request_that_was_answered_early_ends_the_connection_gently() {
    between(
        async |mut client| {
            say(
                &mut client,
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart",
            )
            .await;
            let head = hear(&mut client, "no").await;
            assert!(
                head.starts_with("HTTP/1.1 413") && head.contains("connection: close"),
                "{head}"
            );
            assert_eq!(rest(&mut client).await, "");
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            hear(&mut stream, "start").await;
            say(
                &mut stream,
                "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno",
            )
            .await;
            let left = stream.read(&mut [0; 16]).await.unwrap_or(0);
            assert_eq!(left, 0, "the upload stops and its connection is not used again");
        },
    )
    .await;
}

#[tokio::test]
async fn a_hostile_head_is_answered_and_the_connection_closed() {
    for (head, status) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nGET /x HTTP/1.1\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "501"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ] {
        between(
            async |mut client| {
                say(&mut client, head).await;
                let all = rest(&mut client).await;
                assert!(
                    all.starts_with(&format!("HTTP/1.1 {status}")) && all.contains("\"code\":\"GW-00"),
                    "{all}"
                );
                assert_eq!(all.matches("HTTP/1.1").count(), 1);
            },
            async |upstream| drop(upstream),
        )
        .await;
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_at_its_bound() {
    between(
        async |mut client| {
            say(
                &mut client,
                &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(17_000)),
            )
            .await;
            assert!(rest(&mut client).await.starts_with("HTTP/1.1 431"));
        },
        async |upstream| drop(upstream),
    )
    .await;
}

#[tokio::test]
async fn a_websocket_opens_after_the_upstreams_word_and_not_a_byte_earlier() {
    between(
        async |mut client| {
            let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
            say(&mut client, &format!("{head}early")).await;
            let head = hear(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
            assert_eq!(hear(&mut client, "hello").await, "hello");
            say(&mut client, "bye").await;
            client.shutdown().await.expect("shutdown");
            assert_eq!(rest(&mut client).await, "ok");
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            let head = hear(&mut stream, "\r\n\r\n").await;
            assert!(head.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{head}");
            let nothing = tokio::time::timeout(Duration::from_millis(20), stream.read_u8()).await;
            assert!(nothing.is_err(), "nothing comes before the 101");
            say(&mut stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello").await;
            assert_eq!(hear(&mut stream, "bye").await, "earlybye");
            say(&mut stream, "ok").await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_websocket_that_is_refused_smuggles_nothing() {
    between(
        async |mut client| {
            say(
                &mut client,
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .await;
            hear(&mut client, "\r\n\r\n").await;
            say(
                &mut client,
                "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
            .await;
            assert!(rest(&mut client).await.starts_with("HTTP/1.1 204"));
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            hear(&mut stream, "\r\n\r\n").await;
            say(&mut stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
            assert!(hear(&mut stream, "\r\n\r\n").await.starts_with("GET /next"));
            say(&mut stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_body_waits_for_its_reader_instead_of_memory() {
    const WHOLE: usize = 256 << 20;
    let (full, stuck) = tokio::sync::oneshot::channel::<()>();
    let (_, taken, ()) = between(
        async move |mut client| {
            say(
                &mut client,
                &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {WHOLE}\r\n\r\n"),
            )
            .await;
            let (piece, mut taken) = (vec![b'x'; 64 << 10], 0);
            // Until neither the sockets' buffers nor ours take any more.
            while let Ok(n) = tokio::time::timeout(Duration::from_millis(300), client.write(&piece)).await {
                taken += n.expect("write");
                assert!(taken < WHOLE, "everything was taken though nobody read");
            }
            full.send(()).expect("the upstream waits");
            taken
        },
        async move |upstream| {
            let (stream, _) = upstream.accept().await.expect("accept");
            stuck.await.expect("the client is stuck");
            drop(stream);
        },
    )
    .await;
    assert!(taken < 64 << 20, "{taken} bytes were taken though nobody read");
}
