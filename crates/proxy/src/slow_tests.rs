//! Clients that are slow, stall, dribble or never leave, against both servers, in time that jumps to the next timer whenever
//! nothing else is to do: no test here waits, and none measures how fast a machine is. Over Unix sockets, where a byte that was
//! written is there to be read; on TCP's loopback it may be on its way while time jumps.

#[path = "../tests/common/frames.rs"]
mod frames;

use crate::answer::{Answer, Word};
use crate::check::HeadError;
use crate::ending::Ending;
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::h2::{MAX_REQUESTS, MAX_STREAMS, room};
use crate::io::Io;
use crate::limits::{self, Activity};
use crate::message::{Body, BodyError, Frame as Piece, PIECE, ResponseHead, Source};
use crate::refusal;
use crate::testing::{TokioClock, settle};
use bytes::{Bytes, BytesMut};
use frames::*;
use http::StatusCode;
use ondol_core::clock::SharedClock;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

const SEC: Duration = Duration::from_secs(1);
/// Bytes of a long answer.
const LONG: usize = 400 << 10;

/// Reads a request's body as the proxy does, and answers a small text, with `/long` [`LONG`] bytes, or with `/endless` what never ends.
struct Shop {
    clock: SharedClock,
    served: Cell<u32>,
    sent: RefCell<Vec<Sent>>,
    live: Arc<Live>,
}

/// Bytes of answers that are in memory.
#[derive(Default)]
struct Live {
    now: AtomicUsize,
    peak: AtomicUsize,
}

struct Counted(Vec<u8>, Arc<Live>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// Always has another piece.
struct Endless(Arc<Live>);

impl Source for Endless {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let now = self.0.now.fetch_add(PIECE, Ordering::Relaxed) + PIECE;
        self.0.peak.fetch_max(now, Ordering::Relaxed);
        let piece = Counted(vec![b'x'; PIECE], self.0.clone());
        Poll::Ready(Some(Ok(Piece::Data(Bytes::from_owner(piece)))))
    }
}

impl Service for Shop {
    async fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) {
        self.served.set(self.served.get() + 1);
        let path = request.head.path().to_owned();
        let number = self.served.get().to_string();
        let read = async {
            let mut body = limits::cap(request.body, 1 << 20, &Activity::default(), Some(&self.clock))?;
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, BodyError>(())
        };
        let body = match read.await {
            Err(error) => match refusal::request_body(&error) {
                Some(answer) => {
                    reply.send(answer.into_bare_response()).await;
                    return;
                }
                None => return,
            },
            Ok(()) if path == "/long" => Body::Full(vec![b'x'; LONG].into()),
            Ok(()) if path == "/endless" => Body::stream(Endless(self.live.clone()), None),
            Ok(()) => Body::Full(Bytes::from(number)),
        };
        let head = ResponseHead::new(StatusCode::OK);
        let sent = reply
            .send(Response {
                head,
                body,
                tunnel: None,
            })
            .await;
        self.sent.borrow_mut().push(sent);
    }

    fn refuse(&self, error: HeadError) -> Response<'static> {
        Answer::new(error.status(), error.code(), Word::HttpRequestError, error.to_string()).into_bare_response()
    }
}

/// Serves one connection that `client` makes; the shop, and after how many seconds the connection was gone.
async fn against<C: Future<Output = ()>>(client: impl FnOnce(UnixStream) -> C) -> (Shop, u64) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    over(Io::Unix(theirs), client(ours)).await
}

/// The same, for a connection that is there.
async fn over(io: Io, client: impl Future<Output = ()>) -> (Shop, u64) {
    let clock: SharedClock = Arc::new(TokioClock::new());
    let shop = Shop {
        clock: clock.clone(),
        served: Cell::new(0),
        sent: RefCell::default(),
        live: Arc::default(),
    };
    let began = tokio::time::Instant::now();
    let serving = async {
        let (mut first, ending) = (BytesMut::new(), Ending::new());
        let http2 = crate::listener::speaks_http2(&io, &mut first, 10 * SEC, &ending).await;
        match http2 {
            Some(true) => crate::h2::server::serve(io, None, first, clock, &shop, &ending).await,
            Some(false) => crate::h1::server::serve(&io, first, clock, &shop, &ending).await,
            None => {}
        }
        began.elapsed().as_secs()
    };
    let (gone, ()) = tokio::join!(serving, client);
    (shop, gone)
}

async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await; // The end may be a reset.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Frames as they come; after the last one the connection has ended.
struct Ear {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Ear {
    async fn hello(mut stream: UnixStream, settings: &[(u16, u32)], more: &[u8]) -> Self {
        stream
            .write_all(&[&hello(settings), more].concat())
            .await
            .expect("write");
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take(&mut self.bytes) {
                return Some(frame);
            }
            settle().await;
            if !matches!(self.stream.read_buf(&mut self.bytes).await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn all(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            all.push(frame);
        }
        all
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_refused_after_ten_seconds() {
    let (_, gone) = against(async |mut client| {
        for byte in b"GET /a-long-way-to-go HTTP/1.1".chunks(1) {
            if client.write_all(byte).await.is_err() {
                break;
            }
            tokio::time::sleep(SEC).await;
        }
        let answer = rest(&mut client).await;
        assert!(
            answer.starts_with("HTTP/1.1 408") && answer.contains("GW-008"),
            "{answer}"
        );
    })
    .await;
    assert!((10..=12).contains(&gone), "{gone}"); // Up to two more for the client to end its side.
}

#[tokio::test(start_paused = true)]
async fn a_head_of_http_2_that_dribbles_ends_its_connection_after_ten_seconds() {
    let block = block("GET", "/", &[]);
    let (half, other) = block.split_at(9);
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    for begun in [
        frame(HEADERS, 0, 1, half),
        [frame(HEADERS, 0, 1, half), frame(CONTINUATION, 0, 1, other)].concat(),
        whole[..12].to_vec(),
    ] {
        let (shop, gone) = against(async |client| {
            Ear::hello(client, &[], &begun).await.all().await;
        })
        .await;
        assert_eq!((shop.served.get(), gone), (0, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dribbles_is_refused_and_a_slow_one_is_not() {
    for (bytes, status) in [(1, "408"), (400, "200")] {
        let (_, gone) = against(async |mut client| {
            client
                .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40000\r\n\r\n")
                .await
                .expect("write");
            for _ in 0..40_000 / bytes {
                settle().await;
                tokio::time::sleep(SEC).await;
                if client.write_all(&vec![b'x'; bytes]).await.is_err() {
                    break;
                }
            }
            let answer = rest(&mut client).await;
            // Who writes on after the refusal may see no more than a reset.
            assert!(
                answer.is_empty() && bytes == 1 || answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        })
        .await;
        assert_eq!(gone >= 100, bytes == 400, "{bytes} a second: {gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_http_2_that_dribbles_is_refused_and_a_slow_one_is_not() {
    for (bytes, expected, least, most) in [(1_usize, 408, 10, 12), (300, 200, 50, 52)] {
        against(async |client| {
            let began = tokio::time::Instant::now();
            let mut ear = Ear::hello(client, &[], &post(1, "/")).await;
            for n in 1..=50 {
                let sent = tokio::time::timeout(SEC, async {
                    loop {
                        let heard = ear.next().await.expect("an answer first");
                        if heard.kind == HEADERS {
                            return heard;
                        }
                    }
                });
                if let Ok(answer) = sent.await {
                    assert_eq!((status(&answer.payload), expected), (408, 408), "{:?}", began.elapsed());
                    assert!(
                        (least..=most).contains(&began.elapsed().as_secs()),
                        "{:?}",
                        began.elapsed()
                    );
                    return;
                }
                let data = frame(DATA, u8::from(n == 50), 1, &vec![b'x'; bytes]);
                ear.stream.write_all(&data).await.expect("write");
            }
            while let Some(heard) = ear.next().await {
                if heard.kind == HEADERS {
                    assert_eq!(status(&heard.payload), expected);
                    assert!(
                        (least..=most).contains(&began.elapsed().as_secs()),
                        "{:?}",
                        began.elapsed()
                    );
                    return;
                }
            }
            panic!("no answer");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_window_pins_little_and_loses_its_streams() {
    let (shop, _) = against(async |client| {
        let asks: Vec<u8> = (0..MAX_STREAMS).flat_map(|n| get(2 * n + 1, "/endless")).collect();
        let mut ear = Ear::hello(client, &[(WINDOW, 0)], &asks).await;
        let mut reset = 0;
        while reset < MAX_STREAMS {
            let heard = ear.next().await.expect("the connection lasts");
            assert!(heard.kind != DATA || heard.payload.is_empty());
            reset += u32::from(heard.code() == Some(CANCEL));
        }
    })
    .await;
    assert_eq!(shop.served.get(), MAX_STREAMS);
    assert!(
        shop.sent
            .borrow()
            .iter()
            .all(|sent| sent.end == End::ClientGone && sent.bytes == 0)
    );
    let peak = shop.live.peak.load(Ordering::Relaxed);
    assert!((1..=room::MOST).contains(&peak), "{peak} bytes were held");
    assert_eq!(shop.live.now.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_pins_little_however_wide_its_windows_are() {
    let (shop, gone) = against(async |client| {
        let asks: Vec<u8> = (0..MAX_STREAMS).flat_map(|n| get(2 * n + 1, "/endless")).collect();
        let wide = window_update(0, (1 << 31) - 1 - 65_535);
        let ear = Ear::hello(client, &[(WINDOW, (1 << 31) - 1)], &[wide, asks].concat()).await;
        settle().await;
        // Longer than any write may take.
        tokio::time::sleep(100 * SEC).await;
        drop(ear);
    })
    .await;
    let peak = shop.live.peak.load(Ordering::Relaxed);
    assert!((1..=room::MOST).contains(&peak), "{peak} bytes were held");
    assert_eq!((shop.live.now.load(Ordering::Relaxed), gone), (0, 30));
}

/// The stream is over for us as soon as its last bytes wait for the client; a minute later the connection is idle.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_asked_to_leave_while_it_takes_the_rest_of_an_answer_gets_it_whole() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let small = socket2::SockRef::from(&theirs).set_send_buffer_size(4 << 10);
    small.expect("little waits in the system");
    let client = async {
        let wide = window_update(0, (1 << 31) - 1 - 65_535);
        let asks = [hello(&[(WINDOW, (1 << 31) - 1)]), wide, get(1, "/long")].concat();
        ours.write_all(&asks).await.expect("write");
        let (mut bytes, mut data, mut asked_to_leave) = (Vec::new(), 0, false);
        loop {
            tokio::time::sleep(SEC).await;
            let mut piece = [0; 3 << 10];
            let n = ours.read(&mut piece).await.expect("no reset");
            if n == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..n]);
            while let Some(frame) = take(&mut bytes) {
                data += if frame.kind == DATA { frame.payload.len() } else { 0 };
                asked_to_leave |= frame.kind == GOAWAY;
            }
        }
        assert_eq!((data, asked_to_leave), (LONG, true));
    };
    let (shop, gone) = over(Io::Unix(theirs), client).await;
    assert_eq!(shop.sent.borrow()[0].end, End::Complete);
    assert!((105..200).contains(&gone), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_by_one_byte_at_a_time_does_not_hold_a_stream() {
    for (bytes, is_cut) in [(1_u32, true), (2_600, false)] {
        against(async |client| {
            let mut ear = Ear::hello(client, &[(WINDOW, bytes)], &get(1, "/endless")).await;
            let mut cut = false;
            for _ in 0..20 {
                let heard = tokio::time::timeout(10 * SEC, async {
                    while let Some(heard) = ear.next().await {
                        if heard.kind == RST_STREAM {
                            return;
                        }
                    }
                });
                cut = heard.await.is_ok();
                if cut {
                    break;
                }
                ear.stream.write_all(&window_update(1, bytes)).await.expect("write");
            }
            assert_eq!(cut, is_cut, "{bytes} bytes every 10 s");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http_1_that_does_not_read_is_cut() {
    let (shop, gone) = against(async |mut client| {
        client
            .write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("write");
        tokio::time::sleep(100 * SEC).await;
    })
    .await;
    assert_eq!((shop.sent.borrow()[0].end.clone(), gone), (End::ClientGone, 30));
    assert!(shop.live.peak.load(Ordering::Relaxed) <= 2 * PIECE);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http_1_that_takes_64_kib_within_30_seconds_is_served_and_a_slower_one_is_cut() {
    const ENOUGH: usize = 2 << 20;
    for (kib_a_second, served) in [(3, true), (1, false)] {
        let (mut client, theirs) = UnixStream::pair().expect("a pair");
        // What the system takes at once is less than what is written.
        socket2::SockRef::from(&theirs)
            .set_send_buffer_size(8 << 10)
            .expect("set");
        let (mut got, mut some) = (0, vec![0; kib_a_second << 10]);
        over(Io::Unix(theirs), async {
            let request = b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n";
            client.write_all(request).await.expect("write");
            while got < ENOUGH && client.read_exact(&mut some).await.is_ok() {
                got += some.len();
                tokio::time::sleep(SEC).await;
            }
            drop(client);
        })
        .await;
        assert_eq!(got >= ENOUGH, served, "{got} bytes at {kib_a_second} KiB a second");
    }
}

/// Closed, the connection would keep what was written and is not read, for as long as its client likes.
#[tokio::test(start_paused = true)]
async fn for_a_client_that_does_not_read_the_system_keeps_nothing() {
    let wide = [
        hello(&[(WINDOW, (1 << 31) - 1)]),
        window_update(0, (1 << 31) - 1 - 65_535),
    ]
    .concat();
    let streams = [wide, get(1, "/endless")].concat();
    for asks in [b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), streams] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let mut client = TcpStream::connect(address).await.expect("connect");
        let (theirs, _) = listener.accept().await.expect("accept");
        client.write_all(&asks).await.expect("write");
        over(Io::Tcp(theirs), async {
            tokio::time::sleep(1_000 * SEC).await;
            let end = client.read_to_end(&mut Vec::new()).await;
            let error = end.expect_err("a reset, not an end");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_up_to_the_last_that_a_connection_carries() {
    let (shop, _) = against(async |mut client| {
        let flood = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_500);
        let (mut read, mut write) = client.split();
        let (_, heard) = tokio::join!(write.write_all(flood.as_bytes()), async {
            let mut bytes = Vec::new();
            let _ = read.read_to_end(&mut bytes).await;
            bytes
        });
        let answers = String::from_utf8(heard).expect("text");
        let mut heads = answers.split("HTTP/1.1 200 OK\r\n").skip(1);
        for n in 1..=1_000 {
            let answer = heads.next().expect("an answer");
            assert!(answer.ends_with(&format!("\r\n\r\n{n}")), "{n}: {answer}");
            assert_eq!(answer.contains("connection: close"), n == 1_000);
        }
        assert_eq!(heads.next(), None);
    })
    .await;
    assert_eq!(shop.served.get(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pipelines_and_does_not_read_waits_in_its_own_socket() {
    let (shop, _) = against(async |mut client| {
        let many = "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
        let mut taken = 0;
        while let Ok(n) = client.write(many.as_bytes()).await {
            taken += n;
            assert!(taken < 64 << 20, "everything is taken though nothing is read");
        }
    })
    .await;
    assert_eq!(shop.served.get(), 1, "the next waits for the first answer");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_minute() {
    let (_, gone) = against(async |mut client| {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("write");
        rest(&mut client).await;
    })
    .await;
    assert_eq!(gone, 60);
    let (_, gone) = against(async |client| {
        let heard = Ear::hello(client, &[], &get(1, "/")).await.all().await;
        assert!(
            heard
                .iter()
                .any(|frame| frame.kind == GOAWAY && frame.code() == Some(0)),
            "{heard:?}"
        );
    })
    .await;
    assert_eq!(gone, 65, "and five seconds to say goodbye");
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_has_its_number_of_streams_though_its_client_does_not_leave() {
    let (shop, _) = against(async |client| {
        let mut ear = Ear::hello(client, &[], &[]).await;
        let (mut next, mut goodbyes) = (1, Vec::new());
        'asking: loop {
            let asks: Vec<u8> = (0..50).flat_map(|n| get(next + 2 * n, "/")).collect();
            next += 100;
            if ear.stream.write_all(&asks).await.is_err() {
                break;
            }
            let mut open = 50;
            while open > 0 {
                let Some(heard) = ear.next().await else { break 'asking };
                open -= u32::from(heard.ends_stream());
                goodbyes.extend(heard.code().filter(|_| heard.kind == GOAWAY));
            }
        }
        assert_eq!(goodbyes, [0, ENHANCE_YOUR_CALM], "asked to leave, then sent away");
    })
    .await;
    let served = shop.served.get();
    assert!(
        (MAX_REQUESTS..=MAX_REQUESTS + MAX_STREAMS + 1).contains(&served),
        "{served}"
    );
}
