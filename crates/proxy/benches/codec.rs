//! What a request costs a server connection: our HTTP/1 codec against hyper's, on the same runtime, in turns.
//!
//! Both serve the same request with the same answer over loop-back TCP from one thread with one current-thread runtime.
//! What is compared is that thread's time on a processor, as the kernel counts it, so a busy machine disturbs little;
//! the client is a thread of its own. hyper has its timer for slow heads, as our codec has, and writes no `Date`, which
//! ours leaves to services too. Connections end after 1,000 requests, which is our codec's bound.
//!
//! `taskset -c 1 cargo bench -p ondol-proxy --bench codec`; figures are in docs/performance.md, the decision in ADR-0002.

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ondol_core::clock::{SharedClock, SystemClock};
use ondol_core::task::{Kind, Tasks};
use ondol_proxy::check::HeadError;
use ondol_proxy::ending::Ending;
use ondol_proxy::exchange::{Reply, Request, Response, Service};
use ondol_proxy::h1::head::{self, Length};
use ondol_proxy::h1::{server, write};
use ondol_proxy::io::Io;
use ondol_proxy::message::{Body, RequestHead, ResponseHead};
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const REQUEST: &[u8] = b"GET /api/products/0195a1c2-6d1e-7c3a-9f52-0f4b7a1d2e3c?fields=name,price HTTP/1.1\r\n\
    Host: shop.example:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://shop.example:8080/\r\nCookie: session=0195a1c26d1e7c3a9f520f4b7a1d2e3c; basket=tea*3\r\n\
    Connection: keep-alive\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\r\n";
const JSON: &str = "application/json";
/// As large as a product of the shop.
const BODY: [u8; 291] = [b' '; 291];
const CONNECTIONS: usize = 16;
/// On one connection.
const EACH: usize = 1_000;
const ROUNDS: usize = 7;
/// Heads read and written in one round without a connection.
const HEADS: u32 = 200_000;

type Servers = [(&'static str, fn(TcpListener, Tasks) -> io::Result<()>); 2];
const SERVERS: Servers = [("ours", ours), ("hyper", with_hyper)];

fn main() -> io::Result<()> {
    let mut rounds = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for ((_, serve), costs) in SERVERS.iter().zip(&mut rounds) {
            costs.push(round(*serve)?);
        }
    }
    let requests = CONNECTIONS * EACH;
    println!("{ROUNDS} rounds of {requests} requests, {CONNECTIONS} connections; µs on a processor per request");
    for ((name, _), mut costs) in SERVERS.iter().zip(rounds) {
        costs.sort_by(f64::total_cmp);
        let (least, median, most) = (costs[0], costs[ROUNDS / 2], costs[ROUNDS - 1]);
        println!("{name:6} least {least:.2}  median {median:.2}  most {most:.2}");
    }
    let mut costs: Vec<_> = (0..ROUNDS).map(|_| heads()).collect::<io::Result<_>>()?;
    costs.sort_by(f64::total_cmp);
    println!(
        "heads alone, one read and one written: least {:.2}  median {:.2}",
        costs[0],
        costs[ROUNDS / 2]
    );
    Ok(())
}

/// Microseconds of this server's thread per request.
fn round(serve: fn(TcpListener, Tasks) -> io::Result<()>) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, tasks) = (listener.local_addr()?, Tasks::new());
    let own = tasks.clone();
    let server = Tasks::thread("server", move || {
        let before = time_on_processor()?;
        serve(listener, own)?;
        time_on_processor().map(|after| after - before)
    })?;
    let clients = (0..CONNECTIONS).map(|_| Tasks::thread("client", move || client(address)));
    for client in clients.collect::<io::Result<Vec<_>>>()? {
        client.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    tasks.stop();
    let nanos = server.join().map_err(|_| io::Error::other("the server panicked"))??;
    Ok(nanos / 1e3 / (CONNECTIONS * EACH) as f64)
}

fn client(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::new();
    let mut buf = [0; 2_048];
    for _ in 0..EACH {
        stream.write_all(REQUEST)?;
        answer.clear();
        // The body holds no line, so the first empty one ends the head.
        while memchr::memmem::find(&answer, b"\r\n\r\n").is_none_or(|end| answer.len() < end + 4 + BODY.len()) {
            match stream.read(&mut buf)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => answer.extend_from_slice(&buf[..n]),
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    }
    Ok(())
}

/// Nanoseconds that this thread has been on a processor.
fn time_on_processor() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().and_then(|number| number.parse().ok());
    nanos.ok_or_else(|| io::Error::other("no schedstat"))
}

/// Runs `connection` for each that comes, until the tasks stop.
fn accept<F: Future + 'static>(
    listener: TcpListener,
    tasks: Tasks,
    connection: impl Fn(tokio::net::TcpStream) -> F,
) -> io::Result<()>
where
    F::Output: 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = tokio::select! {
                () = tasks.stopping() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            stream.set_nodelay(true)?;
            tasks.spawn_local(Kind::Connection, connection(stream));
        }
    })
}

struct Answering;

impl Service for Answering {
    async fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) {
        black_box(request.head.fields.get("accept"));
        let mut head = ResponseHead::new(StatusCode::OK);
        head.fields.push("content-type", JSON);
        let body = Body::Full(Bytes::from_static(&BODY));
        reply
            .send(Response {
                head,
                body,
                tunnel: None,
            })
            .await;
    }

    fn refuse(&self, error: HeadError) -> Response<'static> {
        Response {
            head: ResponseHead::new(error.status()),
            ..Response::default()
        }
    }
}

fn ours(listener: TcpListener, tasks: Tasks) -> io::Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ending = Ending::new();
    accept(listener, tasks, move |stream| {
        let (clock, ending) = (clock.clone(), ending.clone());
        async move { server::serve(&Io::Tcp(stream), BytesMut::new(), clock, &Answering, &ending).await }
    })
}

fn with_hyper(listener: TcpListener, tasks: Tasks) -> io::Result<()> {
    let answer = |request: hyper::Request<hyper::body::Incoming>| async move {
        black_box(request.headers().get(header::ACCEPT));
        let json = header::HeaderValue::from_static(JSON);
        let mut response = hyper::Response::new(Full::new(Bytes::from_static(&BODY)));
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok::<_, Infallible>(response)
    };
    accept(listener, tasks, move |stream| {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).auto_date_header(false);
        http.serve_connection(TokioIo::new(stream), service_fn(answer))
    })
}

/// Microseconds to read a request's head and to write an answer's.
fn heads() -> io::Result<f64> {
    let before = time_on_processor()?;
    let (mut request, mut out) = (RequestHead::default(), Vec::new());
    for _ in 0..HEADS {
        request.clear();
        out.clear();
        head::parse_request(black_box(REQUEST), &mut request).map_err(io::Error::other)?;
        let mut answer = ResponseHead::new(StatusCode::OK);
        answer.fields.push("content-type", JSON);
        write::response(&answer, Some(Length::Exact(BODY.len() as u64)), false, &mut out);
        black_box((&request, &out));
    }
    Ok((time_on_processor()? - before) / 1e3 / f64::from(HEADS))
}
