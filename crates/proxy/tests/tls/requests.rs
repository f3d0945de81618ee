//! What goes over TLS once it is there: both protocols, long bodies, tunnels, and the host that a request is for.

use crate::common::*;
use crate::setup::*;
use crate::{browser, rpc};
use bytes::Bytes;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::{Action, Protocol, Redirect};
use std::io::{Read, Write};
use std::sync::mpsc;

/// More than sockets and records hold together.
const LARGE: usize = 6 << 20;

#[test]
fn large_bodies_go_both_ways_though_nobody_reads_for_a_while() {
    let large = instance(|request| match request.starts_with("POST") {
        true => ok(&request.split_once("\r\n\r\n").expect("a body").1.len().to_string()),
        false => ok(&"x".repeat(LARGE)),
    });
    let (mut bed, mut snapshot) = (Bed::to(&["shop.example"], large), None);
    for version in BOTH {
        let client = Client::with(&bed.authority, &[version], None);
        // The route's limit is smaller than what is sent here.
        if snapshot.is_none() {
            let files = bed.authority.issue(&["shop.example"]).write(bed.dir.path(), "large");
            let mut wider = secured(tls(vec![files]), large);
            std::sync::Arc::make_mut(&mut wider.routes[0]).policy.body_limit = 2 * LARGE as u64;
            wider.generation = 2;
            bed.controller.tell(&wider);
            snapshot = Some(wider);
        }
        let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
        stream.write_all(get("/", "shop.example").as_bytes()).expect("written");
        bed.report(|_| true); // A second without a reader: the gateway holds what is under way.
        let answer = read_message(&mut stream).expect("an answer");
        assert_eq!(answer.split_once("\r\n\r\n").expect("a body").1.len(), LARGE);
        let head = format!("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {LARGE}\r\n\r\n");
        let answer = ask(&mut stream, &(head + &"y".repeat(LARGE)));
        assert!(answer.ends_with(&format!("\r\n\r\n{LARGE}")), "{answer}");
        let chunks = "1000\r\n".to_owned() + &"z".repeat(0x1000) + "\r\n";
        let chunked = "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        stream
            .write_all((chunked + &chunks.repeat(3) + "0\r\n\r\n").as_bytes())
            .expect("written");
        assert_eq!(status(&read_message(&mut stream).expect("an answer")), "200");
    }
}

#[test]
fn events_arrive_one_by_one_and_their_reader_may_go_away() {
    let (more, next) = mpsc::channel::<&str>();
    let (gone, is_gone) = mpsc::channel();
    let (next, gone) = (std::sync::Mutex::new(next), std::sync::Mutex::new(gone));
    let events = raw(move |mut stream| {
        read_message(&mut stream).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            .expect("written");
        while let Ok(event) = next.lock().expect("lock").recv() {
            stream.write_all(event.as_bytes()).expect("written");
        }
        let _ = stream.read(&mut [0; 1]); // Ends when the proxy lets go.
        gone.lock().expect("lock").send(()).expect("waiting");
    });
    let mut bed = Bed::to(&["shop.example"], events);
    let files = bed.authority.issue(&["shop.example"]).write(bed.dir.path(), "stream");
    let mut snapshot = secured(tls(vec![files]), events);
    std::sync::Arc::make_mut(&mut snapshot.routes[0]).policy.stream = true;
    snapshot.generation = 2;
    bed.controller.tell(&snapshot);
    let mut stream = bed.connect("shop.example");
    stream.write_all(get("/", "shop.example").as_bytes()).expect("written");
    let mut seen = String::new();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        more.send(event).expect("waiting");
        while !seen.ends_with(&format!("{event}\r\n")) {
            let mut bytes = [0; 256];
            let n = stream.read(&mut bytes).expect("more");
            assert!(n > 0, "{seen}");
            seen += std::str::from_utf8(&bytes[..n]).expect("text");
        }
    }
    stream.conn.send_close_notify();
    stream.flush().expect("said");
    drop(more);
    is_gone.recv().expect("the instance was let go");
}

#[test]
fn a_websocket_goes_both_ways_until_each_side_has_ended() {
    let echo = raw(|mut stream| {
        read_message(&mut stream).expect("a request");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .expect("written");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the client's end comes through");
        stream.write_all(&all).expect("written");
    });
    let bed = Bed::to(&["shop.example"], echo);
    for version in BOTH {
        let client = Client::with(&bed.authority, &[version], None);
        let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
        let request = "GET /socket HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert_eq!(status(&ask(&mut stream, request)), "101");
        let said = vec![b'w'; LARGE];
        stream.write_all(&said).expect("written");
        stream.conn.send_close_notify();
        stream.flush().expect("said");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("an end that is said, not a cut");
        assert!(heard == said, "{version:?}: {} bytes", heard.len());
    }
}

#[test]
fn http2_is_spoken_where_it_was_agreed() {
    let bed = Bed::to(&["shop.example"], instance(ok));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = bed.client().speaking(&["h2"]);
    runtime
        .expect("a runtime")
        .block_on(tokio::task::LocalSet::new().run_until(async {
            let stream = tokio::net::TcpStream::connect(bed.running.gateway)
                .await
                .expect("connect");
            let connector = tokio_rustls::TlsConnector::from(client.0);
            let stream = connector
                .connect("shop.example".try_into().expect("a name"), stream)
                .await;
            let (sender, connection) = h2::client::handshake(stream.expect("TLS")).await.expect("HTTP/2");
            let tasks = Tasks::new();
            tasks.spawn_local(Kind::Other, async move {
                let _ = connection.await;
            });
            let mut sender = sender.ready().await.expect("ready");
            let request = |host: &str| {
                http::Request::post(format!("https://{host}/h2"))
                    .header("content-length", 100_000)
                    .body(())
                    .expect("a request")
            };
            let (response, mut body) = sender.send_request(request("shop.example"), false).expect("sent");
            body.send_data(Bytes::from(vec![b'b'; 100_000]), true).expect("sent");
            let mut answer = response.await.expect("an answer").into_body();
            let mut seen = Vec::new();
            while let Some(Ok(data)) = answer.data().await {
                answer.flow_control().release_capacity(data.len()).expect("capacity");
                seen.extend_from_slice(&data);
            }
            let seen = String::from_utf8(seen).expect("text");
            assert_eq!(field(&seen, "x-forwarded-proto"), Some("https"));
            assert_eq!(seen.split_once("\r\n\r\n").expect("a body").1.len(), 100_000);
        }));
    let line = bed.running.log.line("/h2");
    assert_eq!(
        (line["protocol"].as_str(), line["tls"].as_str()),
        (Some("HTTP/2"), Some("TLSv1.3"))
    );
}

#[test]
fn a_redirect_keeps_the_scheme_of_the_listener() {
    let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let files = authority.issue(&["shop.example"]).write(dir.path(), "server");
    let mut snapshot = secured(tls(vec![files]), instance(ok));
    std::sync::Arc::make_mut(&mut snapshot.routes[0]).action = Action::Redirect(Redirect {
        scheme: None,
        host: Some("new.example".into()),
        port: None,
        path: None,
        status: 308,
    });
    let (running, _controller) = serving(dir.path(), &snapshot);
    let mut stream = Client::trusting(&authority)
        .connect(running.gateway, "shop.example")
        .expect("TLS");
    let answer = ask(&mut stream, &get("/a?b", "shop.example"));
    assert_eq!(field(&answer, "location"), Some("https://new.example/a?b"));
}

#[test]
fn a_request_for_a_host_of_another_certificate_is_told_to_come_again() {
    let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let shop = authority
        .issue(&["shop.example", "www.shop.example"])
        .write(dir.path(), "shop");
    let admin = authority.issue(&["admin.example"]).write(dir.path(), "admin");
    let (running, mut controller) = serving(dir.path(), &secured(tls(vec![shop, admin]), instance(ok)));
    let client = Client::trusting(&authority);
    let mut stream = client.connect(running.gateway, "shop.example").expect("TLS");
    for (host, expected) in [
        ("shop.example", "200"),
        ("www.shop.example", "200"), // Its certificate is for both: one connection may carry both.
        ("admin.example", "421"),
        ("Admin.example:443", "421"),
        ("other.example", "200"), // No certificate is for it: the routes' affair.
        ("shop.example", "200"),
    ] {
        let answer = ask(&mut stream, &get("/", host));
        assert_eq!(status(&answer), expected, "{host}");
        assert_eq!(answer.contains("GW-063"), expected == "421", "{answer}");
    }
    let unnamed = client.but(|config| config.enable_sni = false);
    let mut stream = unnamed.connect(running.gateway, "shop.example").expect("TLS");
    assert_eq!(
        status(&ask(&mut stream, &get("/", "admin.example"))),
        "200",
        "it could not have named another"
    );
    controller.report(|report| report.traffic.iter().any(|line| line.by_class[3] == 2));
}

#[test]
fn grpc_streams_pass_message_by_message_with_trailers() {
    let (dir, authority, tasks) = (tempfile::tempdir().expect("a folder"), Authority::new(), Tasks::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(tokio::task::LocalSet::new().run_until(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            tasks.spawn_local(Kind::Other, async move {
                let (stream, _) = listener.accept().await.expect("accepted");
                let mut connection = h2::server::handshake(stream).await.expect("handshake");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let response = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .body(());
                    let mut stream = respond
                        .send_response(response.expect("a response"), false)
                        .expect("sent");
                    let mut body = request.into_body();
                    Tasks::new().spawn_local(Kind::Other, async move {
                        while let Some(Ok(data)) = body.data().await {
                            body.flow_control().release_capacity(data.len()).expect("capacity");
                            stream.send_data(data, false).expect("sent");
                        }
                        let ok = [("grpc-status".parse().expect("name"), "0".parse().expect("value"))];
                        stream.send_trailers(http::HeaderMap::from_iter(ok)).expect("sent");
                    });
                }
            });
            let files = authority.issue(&["shop.example"]).write(dir.path(), "server");
            let mut snapshot = secured(tls(vec![files]), address);
            snapshot.clusters[0].protocol = Protocol::H2c;
            let folder = dir.path().to_owned();
            let started = tokio::task::spawn_blocking(move || serving(&folder, &snapshot)).await;
            let (running, _controller) = started.expect("started");
            let stream = tokio::net::TcpStream::connect(running.gateway).await.expect("connect");
            let connector = tokio_rustls::TlsConnector::from(Client::trusting(&authority).speaking(&["h2"]).0);
            let stream = connector
                .connect("shop.example".try_into().expect("a name"), stream)
                .await;
            let (sender, connection) = h2::client::handshake(stream.expect("TLS")).await.expect("HTTP/2");
            tasks.spawn_local(Kind::Other, async move {
                let _ = connection.await;
            });
            let mut sender = sender.ready().await.expect("ready");
            let request = http::Request::post("https://shop.example/shop.Echo/Talk");
            let request = request
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(());
            let (response, mut up) = sender.send_request(request.expect("a request"), false).expect("sent");
            up.send_data(Bytes::from_static(b"one"), false).expect("sent");
            let mut body = response.await.expect("a head while the request goes on").into_body();
            for (turn, message) in ["one", "two"].into_iter().enumerate() {
                let data = body.data().await.expect("more").expect("data");
                assert_eq!(data, message);
                if turn == 0 {
                    up.send_data(Bytes::from_static(b"two"), true).expect("sent");
                }
            }
            assert!(body.data().await.is_none());
            let trailers = body.trailers().await.expect("read").expect("trailers");
            assert_eq!(trailers["grpc-status"], "0");
        }));
}

#[test]
fn a_browsers_grpc_is_answered_over_tls() {
    rpc::on_runtime(async {
        let (dir, authority, tasks) = (tempfile::tempdir().expect("a folder"), Authority::new(), Tasks::new());
        let says_no = rpc::instance(&tasks, async |request, mut respond| {
            assert_eq!(request.headers()["content-type"], "application/grpc+proto");
            let head = http::Response::builder()
                .header("content-type", "application/grpc")
                .body(());
            let mut stream = respond.send_response(head.expect("a response"), false).expect("sent");
            stream.send_data(browser::message("no").into(), false).expect("sent");
            let trailers = [("grpc-status".parse().expect("name"), "9".parse().expect("value"))];
            stream
                .send_trailers(http::HeaderMap::from_iter(trailers))
                .expect("sent");
        });
        let files = authority.issue(&["shop.example"]).write(dir.path(), "server");
        let mut snapshot = secured(tls(vec![files]), says_no.await);
        snapshot.clusters[0].protocol = Protocol::H2c;
        let (running, _controller) = rpc::serving(dir.path(), snapshot).await;
        let stream = tokio::net::TcpStream::connect(running.gateway).await.expect("connect");
        let connector = tokio_rustls::TlsConnector::from(Client::trusting(&authority).speaking(&["http/1.1"]).0);
        let stream = connector
            .connect("shop.example".try_into().expect("a name"), stream)
            .await;
        let mut page = browser::Browser::new(stream.expect("TLS"));
        let kind = "application/grpc-web-text+proto";
        page.call(kind, "", &browser::base64(&browser::message("may I"))).await;
        assert_eq!(field(&page.head().await, "content-type"), Some(kind));
        let answer = [browser::message("no"), browser::trailers("grpc-status: 9\r\n")].concat();
        let mut told = Vec::new();
        while let Some(part) = page.chunk().await.filter(|part| !part.is_empty()) {
            told.extend(browser::plain(&part));
        }
        assert_eq!(told, answer);
    });
}
