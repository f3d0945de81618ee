//! The codec over real sockets: a service that passes everything on, between a client and an upstream that speak bytes.

use crate::answer::{Answer, Word};
use crate::check::HeadError;
use crate::exchange::{Reply, Request, Response, Sent, Service};
use crate::io::Io;
use crate::pool::Pool;
use crate::upstream::{self, Place};
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
            let ready = upstream::connect(&self.pool, &place, false).await?;
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
async fn between<C, U>(client: impl FnOnce(TcpStream) -> C, upstream: impl FnOnce(TcpListener) -> U) -> (Vec<Sent>, C::Output, U::Output)
where
    C: Future,
    U: Future,
{
    let back = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let front = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let clock: SharedClock = Arc::new(SystemClock);
    let to = back.local_addr().expect("address");
    let service = Rc::new(Pass { pool: Pool::new(clock.clone(), Tasks::new()), to, sent: RefCell::default() });
    let address = front.local_addr().expect("address");
    let serving = async {
        let (stream, _) = front.accept().await.expect("accept");
        super::server::serve(&Io::Tcp(stream), BytesMut::new(), clock, &*service).await;
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
        let byte = stream.read_u8().await.unwrap_or_else(|e| panic!("{e} after {}", text.escape_ascii()));
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
                assert_eq!(head, format!("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: {}\r\n\r\n", body.len()));
                assert_eq!(hear(&mut client, body).await, body);
            }
        },
        async |upstream| {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            for body in ["one", "two", "three"] {
                let head = hear(&mut stream, "\r\n\r\n").await;
                assert_eq!(head, "GET /a. HTTP/1.1\r\nhost: shop\r\naccept: x\r\n\r\n");
                say(&mut stream, &format!("HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
            }
        },
    )
    .await;
    assert_eq!(sent.iter().map(|sent| sent.bytes).collect::<Vec<_>>(), [3, 3, 5]);
}
