//! HTTP/2 with prior knowledge through the whole proxy, downstream and upstream: gRPC's shape of traffic.

mod common;
#[path = "common/rpc.rs"]
mod rpc;

use bytes::Bytes;
use common::*;
use h2::Reason;
use http::{HeaderMap, Request, Response};
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::{Cache, Protocol};
use rpc::{client, instance, next, on_runtime, serving};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpStream;
use tokio::sync::Notify;

fn grpc(path: &str) -> Request<()> {
    let request = Request::post(format!("http://shop{path}")).header("content-type", "application/grpc");
    request
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .body(())
        .expect("a request")
}

fn routes(service: &str) -> Vec<ondol_core::wire::proxy::Route> {
    vec![route("/", service)]
}

#[test]
fn a_bidirectional_stream_passes_message_by_message_with_its_trailers() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let echo = instance(&tasks, async |request, mut respond| {
            assert_eq!(request.headers()["te"], "trailers");
            assert!(request.headers().contains_key("grpc-timeout") && request.headers().contains_key("traceparent"));
            let mut body = request.into_body();
            let response = Response::builder()
                .header("content-type", "application/grpc")
                .body(())
                .expect("a response");
            let mut stream = respond.send_response(response, false).expect("sent");
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).expect("capacity");
                stream.send_data(data, false).expect("sent");
            }
            let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("name"), "0".parse().expect("value"))]);
            stream.send_trailers(trailers).expect("sent");
        });
        let clusters = vec![cluster("echo", Protocol::H2c, &[echo.await])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("echo"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let (response, mut up) = sender.send_request(grpc("/shop.Echo/Talk"), false).expect("sent");
        up.send_data(Bytes::from_static(b"one"), false).expect("sent");
        let response = response.await.expect("a head while the request goes on");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, "one");
        up.send_data(Bytes::from_static(b"two"), true).expect("sent");
        assert_eq!(next(&mut body).await, "two");
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.expect("read").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        let line = running.log.line("/shop.Echo/Talk");
        assert_eq!(
            (line["protocol"].as_str(), line["bytes"].as_u64()),
            (Some("HTTP/2"), Some(6))
        );
    });
}

#[test]
fn many_streams_share_a_connection_to_an_http_1_instance() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let orders = common::instance(|request| ok(request.lines().next().expect("a line")));
        let clusters = vec![cluster("orders", Protocol::Http1, &[orders])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("orders"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let asked: Vec<_> = (0..50)
            .map(|n| {
                let request = Request::get(format!("http://shop/{n}")).body(()).expect("a request");
                sender.send_request(request, true).expect("sent").0
            })
            .collect();
        for (n, response) in asked.into_iter().enumerate() {
            let mut body = response.await.expect("an answer").into_body();
            assert_eq!(next(&mut body).await, format!("GET /{n} HTTP/1.1"));
        }
    });
}

#[test]
fn an_http_1_client_reaches_an_http_2_instance() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let echo = instance(&tasks, async |request, mut respond| {
            assert_eq!(request.uri().authority().expect("authority"), "shop");
            let mut body = request.into_body();
            let mut all = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                all.extend_from_slice(&data);
                body.flow_control().release_capacity(data.len()).expect("capacity");
            }
            let response = Response::builder().header("x-a", "b").body(()).expect("a response");
            respond
                .send_response(response, false)
                .expect("sent")
                .send_data(all.into(), true)
                .expect("sent");
        });
        let clusters = vec![cluster("echo", Protocol::H2c, &[echo.await])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("echo"), vec![], clusters)).await;
        let mut stream = running.client();
        let asked = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            stream.write_all(request.as_bytes()).expect("write");
            let mut all = String::new();
            stream.read_to_string(&mut all).expect("read");
            all
        });
        let all = asked.await.expect("asked");
        assert!(
            all.contains("x-a: b\r\n") && all.ends_with("5\r\nhello\r\n0\r\n\r\n"),
            "{all}"
        );
    });
}

#[test]
fn an_answer_that_ends_with_its_head_leaves_as_one_while_the_request_goes_on() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (told, broken_off) = tokio::sync::oneshot::channel();
        let told = Rc::new(std::cell::RefCell::new(Some(told)));
        let refusing = instance(&tasks, move |request, mut respond| {
            let told = told.borrow_mut().take().expect("one request");
            async move {
                // gRPC calls it Trailers-Only: clients take a status from a head that ends the stream, and from no other.
                let response = Response::builder()
                    .header("grpc-status", "12")
                    .body(())
                    .expect("a response");
                respond.send_response(response, true).expect("sent");
                let rest = request.into_body().data().await;
                told.send(matches!(rest, Some(Err(_)))).expect("told");
            }
        });
        let clusters = vec![cluster("echo", Protocol::H2c, &[refusing.await])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("echo"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let (response, _up) = sender.send_request(grpc("/shop.Echo/Talk"), false).expect("sent");
        let response = response.await.expect("a head");
        assert_eq!(response.headers()["grpc-status"], "12");
        assert!(response.body().is_end_stream(), "the end came apart from the head");
        assert!(
            broken_off.await.expect("told"),
            "the rest of the request has nobody to carry it"
        );
    });
}

#[test]
fn a_client_that_resets_its_stream_ends_the_instances_stream() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (told, reset) = tokio::sync::oneshot::channel();
        let told = std::cell::RefCell::new(Some(told));
        let told = Rc::new(told);
        let slow = instance(&tasks, move |_request, mut respond| {
            let told = told.clone();
            async move {
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx))
                    .await
                    .expect("a reset");
                let _ = told.borrow_mut().take().expect("once").send(reason);
            }
        });
        let clusters = vec![cluster("slow", Protocol::H2c, &[slow.await])];
        let (running, mut controller) = serving(dir.path(), snapshot(routes("slow"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let (response, mut up) = sender.send_request(grpc("/a"), false).expect("sent");
        // Its permit tells that it has reached the instance.
        let seen = tokio::task::spawn_blocking(move || {
            controller.report(|report| report.in_flight.iter().any(|(_, count)| *count == 1));
            controller
        });
        let mut controller = seen.await.expect("in flight");
        up.send_reset(Reason::CANCEL);
        assert!(response.await.is_err());
        assert_eq!(reset.await.expect("the instance is told"), Reason::CANCEL);
        let freed = tokio::task::spawn_blocking(move || {
            controller.report(|report| report.in_flight.iter().all(|(_, count)| *count == 0));
        });
        freed.await.expect("nothing in flight");
        assert_eq!(running.log.line("\"/a\"")["status"], 499);
    });
}

#[test]
fn a_grpc_client_is_told_that_its_service_is_away_as_a_status() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let clusters = vec![cluster("none", Protocol::H2c, &[])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("none"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let (response, _) = sender.send_request(grpc("/a"), true).expect("sent");
        let response = response.await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &"14".parse().expect("value"))
        );
        assert!(response.into_body().is_end_stream());
    });
}

#[test]
fn a_large_body_passes_with_its_windows() {
    on_runtime(async {
        const SIZE: usize = 8 << 20;
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let large = instance(&tasks, async |_request, mut respond| {
            let mut stream = respond.send_response(Response::new(()), false).expect("sent");
            let mut left = SIZE;
            while left > 0 {
                stream.reserve_capacity(left.min(64 << 10));
                let got = std::future::poll_fn(|cx| stream.poll_capacity(cx))
                    .await
                    .expect("open")
                    .expect("capacity");
                let n = got.min(left);
                left -= n;
                stream.send_data(vec![b'x'; n].into(), left == 0).expect("sent");
            }
        });
        let clusters = vec![cluster("large", Protocol::H2c, &[large.await])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("large"), vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let request = Request::get("http://shop/large").body(()).expect("a request");
        let mut body = sender
            .send_request(request, true)
            .expect("sent")
            .0
            .await
            .expect("an answer")
            .into_body();
        let mut got = 0;
        while let Some(data) = body.data().await {
            let data = data.expect("data");
            body.flow_control().release_capacity(data.len()).expect("capacity");
            got += data.len();
        }
        assert_eq!(got, SIZE);
    });
}

/// An instance that says when it was asked, and answers when told.
async fn slow_instance(tasks: &Tasks) -> (SocketAddr, Rc<Notify>, Rc<Notify>) {
    let (asked, go) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
    let (asking, may_go) = (asked.clone(), go.clone());
    let address = instance(tasks, move |_request, mut respond| {
        let (asking, may_go) = (asking.clone(), may_go.clone());
        async move {
            asking.notify_one();
            may_go.notified().await;
            let _ = respond.send_response(Response::new(()), true); // Its client may have gone.
        }
    });
    (address.await, asked, go)
}

#[test]
fn a_proxy_that_ends_finishes_running_streams_and_takes_no_new_ones() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (address, asked, go) = slow_instance(&tasks).await;
        let clusters = vec![cluster("slow", Protocol::H2c, &[address])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("slow"), vec![], clusters)).await;
        let stream = TcpStream::connect(running.gateway).await.expect("connect");
        let (mut sender, connection) = h2::client::handshake(stream).await.expect("handshake");
        let ended = tasks.spawn_local(Kind::Other, connection);
        let request = Request::get("http://shop/slow").body(()).expect("a request");
        let (response, _) = sender.send_request(request, true).expect("sent");
        asked.notified().await;
        running.tell_to_stop();
        go.notify_one();
        assert_eq!(response.await.expect("the running stream's answer").status(), 200);
        ended
            .await
            .expect("no panic")
            .expect("not cancelled")
            .expect("a clean end");
        tokio::task::spawn_blocking(|| running.stop()).await.expect("stopped");
    });
}

#[test]
fn a_connection_that_breaks_under_a_stream_leaves_the_streams_record() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let (address, asked, _go) = slow_instance(&tasks).await;
        let clusters = vec![cluster("slow", Protocol::H2c, &[address])];
        let (running, _controller) = serving(dir.path(), snapshot(routes("slow"), vec![], clusters)).await;
        let stream = TcpStream::connect(running.gateway).await.expect("connect");
        let (mut sender, connection) = h2::client::handshake(stream).await.expect("handshake");
        let driver = tasks.spawn_local(Kind::Other, connection);
        let request = Request::get("http://shop/gone").body(()).expect("a request");
        let _response = sender.send_request(request, true).expect("sent");
        asked.notified().await;
        driver.abort();
        let line = tokio::task::spawn_blocking(move || (running.log.line("/gone"), running)).await;
        let (line, _running) = line.expect("a record");
        assert_eq!(line["status"].as_u64(), Some(499));
    });
}

#[test]
fn streams_of_one_connection_share_a_kept_answer_and_a_head_has_no_body() {
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let orders = common::instance(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: 4\r\n\r\nkept".to_owned()
        });
        let clusters = vec![cluster("orders", Protocol::Http1, &[orders])];
        let mut routes = routes("orders");
        routes[0].policy.cache = Some(Cache {
            stale_if_error_ms: 0,
            stale_while_revalidate_ms: 0,
            shared: false,
        });
        let (running, _controller) = serving(dir.path(), snapshot(routes, vec![], clusters)).await;
        let mut sender = client(&tasks, running.gateway).await;
        let get = || Request::get("http://shop/x").body(()).expect("a request");
        let answers: Vec<_> = (0..30)
            .map(|_| sender.send_request(get(), true).expect("sent").0)
            .collect();
        for answer in answers {
            let answer = answer.await.expect("an answer");
            assert!(answer.headers().contains_key("cache-status"));
            assert_eq!(next(&mut answer.into_body()).await, "kept");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let head = Request::head("http://shop/x").body(()).expect("a request");
        let head = sender.send_request(head, true).expect("sent").0.await.expect("a head");
        assert!(
            head.headers()["cache-status"]
                .to_str()
                .expect("text")
                .starts_with("ondol; hit")
        );
        assert!(head.into_body().is_end_stream());
    });
}

#[test]
fn a_client_that_reads_slowly_holds_up_nobody_who_waits_for_the_same_answer() {
    const BODY: usize = 600_000;
    on_runtime(async {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let shop = common::instance(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let body = "x".repeat(BODY);
            format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: {BODY}\r\n\r\n{body}")
        });
        let mut routes = routes("shop");
        routes[0].policy.cache = Some(Cache {
            stale_if_error_ms: 0,
            stale_while_revalidate_ms: 0,
            shared: false,
        });
        let clusters = vec![cluster("shop", Protocol::Http1, &[shop])];
        let (running, _controller) = serving(dir.path(), snapshot(routes, vec![], clusters)).await;
        let request = || Request::get("http://shop/a").body(()).expect("a request");
        // It leads, and never makes room for more than the first 1,000 bytes.
        let stream = TcpStream::connect(running.gateway).await.expect("connect");
        let mut small = h2::client::Builder::new();
        small.initial_window_size(1_000);
        let (sender, connection) = small.handshake::<_, Bytes>(stream).await.expect("handshake");
        tasks.spawn_local(Kind::Other, async move {
            let _ = connection.await;
        });
        let mut slow = sender.ready().await.expect("ready");
        let (response, _) = slow.send_request(request(), true).expect("sent");
        let mut held = response.await.expect("its head").into_body();
        assert_eq!(held.data().await.expect("some").expect("data").len(), 1_000);
        for _ in 0..2 {
            let mut sender = client(&tasks, running.gateway).await;
            let (response, _) = sender.send_request(request(), true).expect("sent");
            let mut body = response.await.expect("a head").into_body();
            let mut read = 0;
            while read < BODY {
                read += next(&mut body).await.len();
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // And it reads on at its own pace, to the end.
        let mut read = 1_000;
        held.flow_control().release_capacity(1_000).expect("capacity");
        while read < BODY {
            read += next(&mut held).await.len();
        }
        assert_eq!(read, BODY);
    });
}
