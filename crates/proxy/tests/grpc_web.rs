//! gRPC-Web through the whole proxy: a browser's calls become gRPC, and the answers what a browser can read.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/rpc.rs"]
mod rpc;

use browser::{Browser, base64, message, plain, trailers};
use bytes::Bytes;
use common::*;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, Request, Response};
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{Cors, Protocol, Route};
use rpc::{client, instance, next, on_runtime, serving};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const BYTES: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

/// A proxy before this gRPC service.
struct Bed {
    running: Running,
    controller: Controller,
    _dir: tempfile::TempDir,
}

impl Bed {
    async fn to(route: Route, protocol: Protocol, instances: &[SocketAddr]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let snapshot = snapshot(vec![route], vec![], vec![cluster("echo", protocol, instances)]);
        let (running, controller) = serving(dir.path(), snapshot).await;
        Self {
            running,
            controller,
            _dir: dir,
        }
    }

    async fn grpc(instance: SocketAddr) -> Self {
        Self::to(route("/", "echo"), Protocol::H2c, &[instance]).await
    }

    async fn browser(&self) -> Browser<TcpStream> {
        Browser::new(TcpStream::connect(self.running.gateway).await.expect("connect"))
    }

    /// One call, and the head and the body of its answer.
    async fn call(&self, kind: &str, fields: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut browser = self.browser().await;
        browser.call(kind, fields, body).await;
        let head = browser.head().await;
        let body = match field(&head, "content-length") {
            Some(length) => {
                assert_eq!(length, "0", "{head}");
                vec![]
            }
            None => browser.rest().await,
        };
        (head, body)
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let pairs = fields.iter();
    let pairs = pairs.map(|(name, value)| {
        (
            name.parse::<HeaderName>().expect("a name"),
            value.parse().expect("a value"),
        )
    });
    HeaderMap::from_iter(pairs)
}

fn answer(fields: &[(&str, &str)]) -> Response<()> {
    let mut answer = Response::new(());
    *answer.headers_mut() = map(fields);
    answer
        .headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    answer
}

/// Says what it hears, and that all is well.
async fn echo(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let fields = request.headers();
    assert_eq!(
        (&fields["te"], request.method().as_str()),
        (&"trailers".parse().expect("a value"), "POST")
    );
    assert!(
        fields["content-type"]
            .to_str()
            .expect("text")
            .starts_with("application/grpc+"),
        "{fields:?}"
    );
    let mut stream = respond.send_response(answer(&[]), false).expect("sent");
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).expect("capacity");
        stream.send_data(data, false).expect("sent");
    }
    let ok = map(&[("grpc-status", "0"), ("x-cost-bin", "AAE=")]);
    stream.send_trailers(ok).expect("sent");
}

const GOOD_END: &str = "grpc-status: 0\r\nx-cost-bin: AAE=\r\n";

#[test]
fn a_call_and_its_answer_become_grpc_and_back() {
    on_runtime(async {
        let bed = Bed::grpc(instance(&Tasks::new(), echo).await).await;
        let (head, body) = bed.call(BYTES, "", &message("hello")).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(
            (field(&head, "content-type"), field(&head, "grpc-status")),
            (Some(BYTES), None)
        );
        assert_eq!(body, [message("hello"), trailers(GOOD_END)].concat());
        assert_eq!(
            bed.running.log.line("/shop.Echo/Say")["bytes"].as_u64(),
            Some(body.len() as u64)
        );
    });
}

#[test]
fn text_is_read_in_parts_and_answered_in_text() {
    on_runtime(async {
        let bed = Bed::grpc(instance(&Tasks::new(), echo).await).await;
        let (one, two) = (message("one"), message("two"));
        let parts = [base64(&one[..2]), base64(&one[2..]), base64(&two)].concat();
        let mut browser = bed.browser().await;
        let kind = "application/grpc-web-text+proto";
        browser
            .call(kind, "Accept: application/grpc-web-text\r\n", &parts)
            .await;
        let head = browser.head().await;
        assert_eq!(field(&head, "content-type"), Some(kind));
        let mut all = Vec::new();
        while let Some(part) = browser.chunk().await.filter(|part| !part.is_empty()) {
            all.extend(plain(&part));
        }
        assert_eq!(all, [one, two, trailers(GOOD_END)].concat());
    });
}

#[test]
fn a_streams_messages_come_one_by_one_and_its_client_may_go_away() {
    on_runtime(async {
        let (more, tasks) = (Rc::new(Notify::new()), Tasks::new());
        let (told, reset) = tokio::sync::mpsc::unbounded_channel();
        let next_may = more.clone();
        let feed = instance(&tasks, move |_request, mut respond| {
            let (more, told) = (next_may.clone(), told.clone());
            async move {
                let mut stream = respond.send_response(answer(&[]), false).expect("sent");
                for payload in ["one", "two"] {
                    stream.send_data(message(payload).into(), false).expect("sent");
                    more.notified().await;
                }
                let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                let _ = told.send(reason.expect("a reset"));
            }
        });
        let mut lasting = route("/", "echo");
        lasting.policy.stream = true;
        let bed = Bed::to(lasting, Protocol::H2c, &[feed.await]).await;
        let (mut browser, mut reset) = (bed.browser().await, reset);
        browser.call(TEXT, "", &base64(&message(""))).await;
        browser.head().await;
        assert_eq!(plain(&browser.chunk().await.expect("a message")), message("one"));
        more.notify_one();
        assert_eq!(plain(&browser.chunk().await.expect("a message")), message("two"));
        more.notify_one();
        drop(browser);
        assert_eq!(reset.recv().await, Some(Reason::CANCEL));
    });
}

#[test]
fn an_http_2_client_gets_the_trailers_in_the_body_too() {
    on_runtime(async {
        let tasks = Tasks::new();
        let bed = Bed::grpc(instance(&tasks, echo).await).await;
        let mut sender = client(&tasks, bed.running.gateway).await;
        let request = Request::post("http://shop/shop.Echo/Say").header("content-type", "application/grpc-web+json");
        let (response, mut up) = sender
            .send_request(request.body(()).expect("a request"), false)
            .expect("sent");
        up.send_data(message("{}").into(), false).expect("sent");
        let response = response.await.expect("a head while the request goes on");
        assert_eq!(response.headers()["content-type"], "application/grpc-web+json");
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, message("{}"));
        up.send_data(message("[]").into(), true).expect("sent");
        assert_eq!(next(&mut body).await, message("[]"));
        assert_eq!(next(&mut body).await, trailers(GOOD_END));
        assert!(
            next(&mut body).await.is_empty() && body.data().await.is_none(),
            "the end alone"
        );
        assert_eq!(body.trailers().await.expect("read"), None);
    });
}

#[test]
fn an_answer_of_trailers_only_has_its_status_in_the_head() {
    on_runtime(async {
        let none = instance(&Tasks::new(), async |_request, mut respond| {
            let refused = answer(&[("grpc-status", "5"), ("grpc-message", "no such order")]);
            respond.send_response(refused, true).expect("sent");
        })
        .await;
        let bed = Bed::grpc(none).await;
        for kind in [BYTES, TEXT] {
            let body = if kind == TEXT {
                base64(&message("7"))
            } else {
                message("7")
            };
            let (head, body) = bed.call(kind, "", &body).await;
            let field = |name| field(&head, name);
            assert_eq!(
                (field("content-type"), field("grpc-status")),
                (Some(kind), Some("5")),
                "{head}"
            );
            assert_eq!((field("grpc-message"), body), (Some("no such order"), vec![]));
        }
    });
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    on_runtime(async {
        let heard = Rc::new(Notify::new());
        let was_heard = heard.clone();
        let breaks = instance(&Tasks::new(), move |_request, mut respond| {
            let heard = was_heard.clone();
            async move {
                let mut stream = respond.send_response(answer(&[]), false).expect("sent");
                stream.send_data(message("half").into(), false).expect("sent");
                heard.notified().await; // A reset would take away what is not sent yet.
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
        })
        .await;
        let bed = Bed::grpc(breaks).await;
        let mut browser = bed.browser().await;
        browser.call(BYTES, "", &message("")).await;
        browser.head().await;
        assert_eq!(browser.chunk().await, Some(message("half")));
        heard.notify_one();
        assert_eq!(browser.chunk().await, None, "neither trailers nor an end");
    });
}

#[test]
fn what_the_gateway_refuses_comes_as_a_status() {
    on_runtime(async {
        let bed = Bed::to(route("/", "echo"), Protocol::H2c, &[]).await;
        for kind in [BYTES, TEXT] {
            let (head, body) = bed.call(kind, "", b"").await;
            let field = |name| field(&head, name);
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(
                (field("content-type"), field("grpc-status")),
                (Some(kind), Some("14")),
                "{head}"
            );
            assert!(
                field("grpc-message").is_some_and(|text| text.contains("no ready instance")),
                "{head}"
            );
            assert!(field("proxy-status").is_some_and(|text| text.contains("GW-052")) && body.is_empty());
        }
        let mut small = route("/", "echo");
        small.policy.body_limit = 4;
        let bed = Bed::to(small, Protocol::H2c, &[]).await;
        let (head, _) = bed.call(BYTES, "", &message("")).await;
        assert_eq!(
            (field(&head, "content-type"), field(&head, "grpc-status")),
            (Some(BYTES), Some("8")),
            "{head}"
        );
    });
}

#[test]
fn the_clients_deadline_holds() {
    on_runtime(async {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let silent = instance(&Tasks::new(), move |request, mut respond| {
            let _ = told.send(request.headers()["grpc-timeout"].clone());
            async move {
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            }
        })
        .await;
        let mut patient = route("/", "echo");
        patient.policy.timeout_ms = 3_600_000;
        let bed = Bed::to(patient, Protocol::H2c, &[silent]).await;
        let (head, _) = bed.call(BYTES, "Grpc-Timeout: 1500m\r\n", &message("")).await;
        assert_eq!(
            (field(&head, "content-type"), field(&head, "grpc-status")),
            (Some(BYTES), Some("4")),
            "{head}"
        );
        let told = heard.recv().await.expect("the instance was asked");
        let text = told.to_str().expect("text");
        let micros: u32 = text.strip_suffix('u').expect("microseconds").parse().expect("a number");
        assert!(micros <= 1_500_000, "{text}");
    });
}

#[test]
fn a_body_that_is_no_grpc_web_is_refused_before_an_instance_sees_it() {
    on_runtime(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let counting = instance(&Tasks::new(), move |request, respond| {
            count.fetch_add(1, Ordering::SeqCst);
            echo(request, respond)
        })
        .await;
        let bed = Bed::grpc(counting).await;
        for (kind, body) in [
            (TEXT, &b"AAAAAAE"[..]),
            (TEXT, b"{\"json\": 1}!"),
            (BYTES, b"\x80\0\0\0\0"),
            (BYTES, b"\0\0\0\0\x05hal"),
        ] {
            let (head, _) = bed.call(kind, "", body).await;
            assert_eq!(
                (field(&head, "content-type"), field(&head, "grpc-status")),
                (Some(kind), Some("13")),
                "{head}"
            );
            assert!(
                field(&head, "proxy-status").is_some_and(|text| text.contains("GW-012")),
                "{head}"
            );
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_stream_that_turns_out_to_be_no_grpc_web_is_reset_at_its_instance() {
    on_runtime(async {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let listening = instance(&Tasks::new(), move |request, _respond| {
            let told = told.clone();
            async move {
                let mut body = request.into_body();
                let mut open = true;
                while let Some(data) = body.data().await.filter(|_| open) {
                    open = data.is_ok(); // An error would come again and again.
                    let _ = told.send(data.map_err(|error| error.reason()));
                }
            }
        })
        .await;
        let bed = Bed::grpc(listening).await;
        let mut browser = bed.browser().await;
        browser.begin_chunked(TEXT).await;
        browser.send_chunk(&base64(&message("one"))).await;
        assert_eq!(heard.recv().await, Some(Ok(message("one").into())));
        browser.send_chunk(b"????").await;
        let head = browser.head().await;
        assert_eq!(
            (field(&head, "content-type"), field(&head, "grpc-status")),
            (Some(TEXT), Some("13")),
            "{head}"
        );
        assert_eq!(heard.recv().await, Some(Err(Some(Reason::CANCEL))));
    });
}

#[test]
fn an_instance_that_cannot_be_reached_is_no_loss() {
    on_runtime(async {
        let gone = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("bind")
            .local_addr()
            .expect("address");
        let there = instance(&Tasks::new(), echo).await;
        let mut bed = Bed::to(route("/", "echo"), Protocol::H2c, &[gone, there]).await;
        for _ in 0..8 {
            let (_, body) = bed.call(BYTES, "", &message("x")).await;
            assert_eq!(body, [message("x"), trailers(GOOD_END)].concat());
            let (head, _) = bed
                .call("application/grpc-web-text+proto", "", &base64(&message("x")))
                .await;
            assert!(
                head.starts_with("HTTP/1.1 200") && field(&head, "grpc-status").is_none(),
                "{head}"
            );
        }
        let retried = tokio::task::spawn_blocking(move || {
            bed.controller
                .report(|report| report.traffic.iter().any(|line| line.by_class[1] == 16))
        });
        assert!(retried.await.expect("reported").traffic[0].retries > 0);
    });
}

#[test]
fn a_service_that_speaks_http_1_gets_it_as_it_came() {
    on_runtime(async {
        let own = common::instance(|request| {
            let kind = field(request, "content-type").expect("a kind");
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 0\r\nX-Body: {}\r\n\r\n",
                request.split_once("\r\n\r\n").expect("a body").1
            )
        });
        let bed = Bed::to(route("/", "echo"), Protocol::Http1, &[own]).await;
        let (head, _) = bed.call(TEXT, "", b"AAAAAAA=").await;
        assert_eq!(
            (field(&head, "content-type"), field(&head, "x-body")),
            (Some(TEXT), Some("AAAAAAA=")),
            "{head}"
        );
    });
}

#[test]
fn pages_of_another_origin_may_call_and_read_the_status() {
    on_runtime(async {
        let mut open = route("/", "echo");
        let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect::<Vec<_>>();
        open.cors = Some(Cors {
            allow_origins: list(&["https://www.shop.example"]),
            allow_methods: list(&["POST"]),
            allow_headers: list(&["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"]),
            expose_headers: list(&["grpc-status", "grpc-message"]),
            allow_credentials: false,
            max_age_s: 600,
        });
        let bed = Bed::to(open, Protocol::H2c, &[]).await;
        let (head, _) = bed
            .call(BYTES, "Origin: https://www.shop.example\r\n", &message(""))
            .await;
        let field = |name| field(&head, name);
        assert_eq!(
            field("access-control-allow-origin"),
            Some("https://www.shop.example"),
            "{head}"
        );
        assert_eq!(
            field("access-control-expose-headers"),
            Some("grpc-status, grpc-message")
        );
        assert_eq!(field("grpc-status"), Some("14"), "a refusal can be read as well");
        let mut browser = bed.browser().await;
        let preflight = "OPTIONS /shop.Echo/Say HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://www.shop.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,x-grpc-web\r\n\r\n";
        browser.write(preflight.as_bytes()).await;
        let head = browser.head().await;
        assert!(head.starts_with("HTTP/1.1 204"), "{head}");
        let headers = common::field(&head, "access-control-allow-headers").expect("headers");
        assert!(
            headers.contains("x-grpc-web") && headers.contains("grpc-timeout"),
            "{head}"
        );
    });
}
