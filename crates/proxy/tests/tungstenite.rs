//! RFC 6455 through the gateway, by a client and a server that others wrote: whatever frames they speak, each gets the other's.

mod common;

use common::{Controller, Running, cluster, route, serving, snapshot};
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::Protocol;
use std::net::{SocketAddr, TcpListener, TcpStream};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{Frame, Utf8Bytes};
use tungstenite::{Bytes, Error, Message, WebSocket};

type Socket = WebSocket<TcpStream>;

/// An instance that agrees on `chat`, gives every message back, and ends with 4321 where it is asked to.
fn instance() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let serve = move || {
        for stream in listener.incoming().flatten() {
            Tasks::thread("websocket", move || converse(stream)).expect("a thread");
        }
    };
    Tasks::thread("instance", serve).expect("a thread");
    address
}

fn converse(stream: TcpStream) {
    #[expect(clippy::result_large_err, reason = "the callback is of this form")]
    let agree = |request: &Request, mut response: Response| {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            assert_eq!(offered, "soap, chat");
            let chosen = HeaderValue::from_static("chat");
            response.headers_mut().insert("sec-websocket-protocol", chosen);
        }
        Ok(response)
    };
    let mut socket = tungstenite::accept_hdr(stream, agree).expect("a handshake");
    while let Ok(message) = socket.read() {
        let answered = match message {
            Message::Text(text) if text == "end" => socket.close(Some(frame(4321, "as asked"))),
            Message::Text(_) | Message::Binary(_) => socket.send(message),
            // Pings and the client's end are answered by the next read.
            _ => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
}

fn frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(code),
        reason: Utf8Bytes::from(reason),
    }
}

/// A gateway with such an instance, and a client at it.
fn open() -> (tempfile::TempDir, Running, Controller, Socket) {
    let dir = tempfile::tempdir().expect("a folder");
    let clusters = vec![cluster("chat", Protocol::Http1, &[instance()])];
    let (running, controller) = serving(dir.path(), &snapshot(vec![route("/", "chat")], vec![], clusters));
    let mut request =
        tungstenite::ClientRequestBuilder::new(format!("ws://{}/live?room=1", running.gateway).parse().expect("a URL"));
    for protocol in ["soap", "chat"] {
        request = request.with_sub_protocol(protocol);
    }
    let (socket, response) = tungstenite::client(request, running.client()).expect("a handshake");
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    (dir, running, controller, socket)
}

/// The next message that is none of the protocol's own.
fn hear(socket: &mut Socket) -> Message {
    loop {
        match socket.read().expect("a message") {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

#[test]
fn messages_of_every_length_come_back_as_they_were() {
    let (_dir, running, _controller, mut socket) = open();
    // Around each form of a length, and more than all buffers on the way.
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 4 << 20] {
        for message in [
            Message::binary(vec![0x81; length]),
            Message::text("온".repeat(length / 3)),
        ] {
            // Both directions are full at once with the largest, so one thread reads what another writes.
            let mut other = WebSocket::from_raw_socket(
                socket.get_ref().try_clone().expect("another descriptor"),
                tungstenite::protocol::Role::Client,
                None,
            );
            let sent = message.clone();
            std::thread::scope(|scope| {
                scope.spawn(move || other.send(sent).expect("sent"));
                assert!(hear(&mut socket) == message, "{length} bytes");
            });
        }
    }
    socket.close(Some(frame(1000, "done"))).expect("sent");
    assert_eq!(
        socket.read().expect("its echo"),
        Message::Close(Some(frame(1000, "done")))
    );
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    drop(socket);
    running.stop();
}

#[test]
fn fragments_with_pings_between_them_are_one_message() {
    let (_dir, running, _controller, mut socket) = open();
    let piece = |text: &'static str, code, last| Message::Frame(Frame::message(text, OpCode::Data(code), last));
    socket.send(piece("one ", Data::Text, false)).expect("sent");
    socket.send(Message::Ping(Bytes::from_static(b"there?"))).expect("sent");
    assert_eq!(
        socket.read().expect("a pong"),
        Message::Pong(Bytes::from_static(b"there?"))
    );
    socket.send(piece("", Data::Continue, false)).expect("sent");
    socket.send(piece("two", Data::Continue, true)).expect("sent");
    assert_eq!(hear(&mut socket), Message::text("one two"));
    drop(socket);
    running.stop();
}

#[test]
fn either_side_ends_with_its_own_code_and_reason() {
    let (_dir, running, _controller, mut socket) = open();
    socket.send(Message::text("end")).expect("sent");
    assert_eq!(hear(&mut socket), Message::Close(Some(frame(4321, "as asked"))));
    while socket.read().is_ok() {}
    drop(socket);
    running.stop();
}

#[test]
fn what_breaks_the_protocol_is_ended_by_the_instance_and_not_mended_on_the_way() {
    for (message, code) in [
        (
            Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true),
            CloseCode::Invalid,
        ),
        (
            Frame::message("x", OpCode::Data(Data::Continue), true),
            CloseCode::Protocol,
        ),
        (
            Frame::message("x", OpCode::Data(Data::Reserved(3)), true),
            CloseCode::Protocol,
        ),
    ] {
        let (_dir, running, _controller, mut socket) = open();
        socket.send(Message::Frame(message)).expect("sent");
        match socket.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, code),
            // tungstenite's server ends the connection without a word.
            Err(Error::Protocol(_) | Error::ConnectionClosed | Error::Io(_)) => {}
            other => panic!("{other:?}"),
        }
        drop(socket);
        running.stop();
    }
}
