//! The codec, however its bytes are cut. The request's side is held against the slow reader of `fuzzing/grpc_web.rs`.

use super::*;
use crate::fuzzing;
use crate::message::{BodyError, Fields, Frame, PIECE, ResponseHead, Source};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::task::{Context, Poll};

struct Pieces(VecDeque<Result<Frame, BodyError>>);

impl Source for Pieces {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn of(pieces: impl IntoIterator<Item = Frame>) -> Body<'static> {
    Body::stream(Pieces(pieces.into_iter().map(Ok).collect()), None)
}

/// Whole pieces of a body that never waits, and its error.
fn read(mut body: Body<'_>) -> (Vec<Bytes>, Option<BodyError>) {
    let mut pieces = Vec::new();
    loop {
        match body.frame().now_or_never().expect("it never waits") {
            Some(Ok(Frame::Data(data))) => pieces.push(data),
            Some(Ok(Frame::Trailers(fields))) => panic!("no browser reads {fields:?}"),
            Some(Err(error)) => {
                assert!(body.frame().now_or_never().expect("it never waits").is_none());
                return (pieces, Some(error));
            }
            None => return (pieces, None),
        }
    }
}

fn message(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[0], &length[..], payload].concat()
}

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new(Method::POST, "shop", "/p.S/M").expect("valid");
    fields.iter().for_each(|(name, value)| head.fields.push(name, value));
    head
}

fn dialect(kind: &str) -> Dialect {
    Dialect::of(&head(&[("content-type", kind)])).expect("gRPC-Web")
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let (mut left, mut pieces, mut sizes) = (Bytes::copy_from_slice(bytes), Vec::new(), sizes.iter().cycle());
    while !left.is_empty() {
        let size = sizes.next().map_or(left.len(), |size| left.len().min(*size));
        pieces.push(Frame::Data(left.split_to(size)));
    }
    pieces
}

proptest! {
    #[test]
    fn messages_arrive_as_they_were_written_however_they_are_padded_and_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        parts in prop::collection::vec(1..30_usize, 1..5),
        sizes in prop::collection::vec(1..20_usize, 0..5),
    ) {
        let plain: Vec<u8> = payloads.iter().flat_map(|payload| message(payload)).collect();
        let mut text = String::new();
        for part in cut(&plain, &parts) {
            let Frame::Data(part) = part else { unreachable!("bytes alone are cut") };
            text.push_str(&text::encode(&part));
        }
        for (kind, body) in [("application/grpc-web", plain.as_slice()), ("application/grpc-web-text", text.as_bytes())] {
            let (pieces, error) = read(dialect(kind).upload(of(cut(body, &sizes))));
            prop_assert_eq!((pieces.concat(), error), (plain.clone(), None));
        }
    }

    #[test]
    fn whatever_is_read_the_slow_reader_reads(
        first in any::<u8>(),
        rest in prop::collection::vec(prop::sample::select(b"AAAAAAAEQg+/9=\n\0\0\0\x01\x05-".to_vec()), 0..60),
    ) {
        fuzzing::run("grpc_web", &[&[first & 15], rest.as_slice()].concat());
    }

    #[test]
    fn an_answer_is_its_messages_and_a_frame_of_trailers_however_it_is_cut(
        body in prop::collection::vec(any::<u8>(), 0..200),
        sizes in prop::collection::vec(1..50_usize, 0..5),
        again in prop::collection::vec(1..20_usize, 0..5),
        message in "[ -~]{0,30}",
    ) {
        let trailers = Fields::from_iter([("Grpc-Status", "0"), ("grpc-message", message.as_str())]);
        let block = format!("grpc-status: 0\r\ngrpc-message: {message}\r\n");
        let frame = [&[0x80, 0, 0, 0, block.len() as u8], block.as_bytes()].concat();
        let expected = [body.as_slice(), &frame].concat();
        let pieces = || of(cut(&body, &sizes).into_iter().chain([Frame::Trailers(trailers.clone())]));
        let (bytes, error) = read(answer::download(pieces(), false));
        prop_assert_eq!((bytes.concat(), error), (expected.clone(), None));
        let (text, error) = read(answer::download(pieces(), true));
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in cut(&text.concat(), &again) {
            let Frame::Data(piece) = piece else { unreachable!("bytes alone are cut") };
            decoder.read(&piece, &mut out).expect("base64");
        }
        prop_assert_eq!((out, error, decoder.finish()), (expected, None, Ok(())));
    }
}

#[test]
fn a_large_piece_stays_a_piece_though_text_is_longer() {
    let large = vec![7; PIECE];
    let (pieces, _) = read(answer::download(of([Frame::Data(large.clone().into())]), true));
    assert!(pieces.len() == 2 && pieces.iter().all(|piece| piece.len() <= PIECE));
    assert_eq!(
        text::encode(&large),
        String::from_utf8(pieces.concat()).expect("text"),
        "one part"
    );
}

#[test]
fn a_body_that_is_no_grpc_web_breaks_off() {
    for (kind, body) in [
        ("application/grpc-web", &b"\x80\0\0\0\0"[..]), // Trailers.
        ("application/grpc-web", b"\0\0\0\0\x02x"),
        ("application/grpc-web", b"\0\0\0"),
        ("application/grpc-web-text", b"AAAAA"),
        ("application/grpc-web-text", b"AAAAAAE"),
        ("application/grpc-web-text", b"AAAA\r\nAAA="),
        ("application/grpc-web-text", b"AAAAAB=="),
        ("application/grpc-web-text", b"A==="),
        ("application/grpc-web-text", b"AAAA_-__"),
    ] {
        let (_, error) = read(dialect(kind).upload(of(cut(body, &[]))));
        assert!(
            matches!(error, Some(BodyError::Malformed(_))),
            "{}: {error:?}",
            body.escape_ascii()
        );
    }
}

#[test]
fn a_body_that_is_cut_stays_one_that_is_cut() {
    let broken = || {
        let pieces = [
            Ok(Frame::Data(message(b"one").into())),
            Err(BodyError::Cut("gone".into())),
        ];
        Body::stream(Pieces(pieces.into_iter().collect()), None)
    };
    for body in [
        dialect("application/grpc-web").upload(broken()),
        answer::download(broken(), false),
    ] {
        assert_eq!(
            read(body),
            (vec![message(b"one").into()], Some(BodyError::Cut("gone".into())))
        );
    }
}

#[test]
fn a_small_text_is_known_to_be_small() {
    let text = Body::stream(Pieces(VecDeque::new()), Some(20));
    let body = dialect("application/grpc-web-text").upload(text);
    assert_eq!((body.length(), body.most()), (None, Some(20)));
    let bytes = Body::stream(Pieces(VecDeque::new()), Some(20));
    assert_eq!(dialect("application/grpc-web").upload(bytes).length(), Some(20));
}

#[test]
fn a_dialect_is_read_from_content_type_and_accept() {
    for (kind, accept, answers) in [
        ("application/grpc-web", None, "application/grpc-web"),
        ("application/grpc-web+proto", Some("*/*"), "application/grpc-web+proto"),
        (
            "Application/gRPC-Web+JSON; charset=utf-8",
            None,
            "application/grpc-web+json",
        ),
        ("application/grpc-web-text", None, "application/grpc-web-text"),
        (
            "application/grpc-web-text+proto",
            Some("application/grpc-web-text"),
            "application/grpc-web-text+proto",
        ),
        (
            "application/grpc-web+proto",
            Some("text/plain, application/grpc-web-text;q=1"),
            "application/grpc-web-text+proto",
        ),
        (
            "application/grpc-web-text+proto",
            Some("application/grpc-web+proto"),
            "application/grpc-web+proto",
        ),
    ] {
        let mut head = head(&[("content-type", kind)]);
        accept.iter().for_each(|accept| head.fields.push("accept", accept));
        let answered = Dialect::of(&head).map(|dialect| dialect.content_type(""));
        assert_eq!(answered.as_deref(), Some(answers), "{kind} {accept:?}");
    }
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webx",
        "application/grpc-web+",
        "application/grpc-web-textual",
        "application/grpc-web+a b",
        "text/plain",
        "",
    ] {
        assert_eq!(Dialect::of(&head(&[("content-type", kind)])), None, "{kind}");
    }
}

#[test]
fn the_service_gets_grpc_and_the_client_keeps_its_own_head() {
    let asked = head(&[("content-type", "application/grpc-web-text+proto"), ("x-grpc-web", "1")]);
    let head = dialect("application/grpc-web-text+proto").request(&asked);
    assert_eq!(head.fields.get_str("content-type"), Some("application/grpc+proto"));
    assert_eq!((head.fields.get_str("te"), head.target()), (Some("trailers"), "/p.S/M"));
    assert_eq!(
        asked.fields.get_str("content-type"),
        Some("application/grpc-web-text+proto")
    );
}

fn answered(status: StatusCode, fields: &[(&str, &str)], body: Body<'static>) -> Response<'static> {
    let mut head = ResponseHead::new(status);
    fields.iter().for_each(|(name, value)| head.fields.push(name, value));
    Response {
        head,
        body,
        tunnel: None,
    }
}

#[test]
fn a_status_in_the_head_stays_there_and_no_frame_follows() {
    let fields = [("content-type", "application/grpc"), ("grpc-status", "5")];
    // The end of a stream may be told after its head, and trailers may be none at all.
    for body in [Body::Empty, of([]), of([Frame::Trailers(Fields::new())])] {
        let response = dialect("application/grpc-web+proto").answer(answered(StatusCode::OK, &fields, body));
        let field = |name| response.head.fields.get_str(name);
        assert_eq!(
            (field("content-type"), field("grpc-status")),
            (Some("application/grpc-web+proto"), Some("5"))
        );
        assert_eq!(read(response.body), (vec![], None));
    }
}

#[test]
fn an_answer_that_is_no_grpc_stays_as_it_is() {
    let body = Body::Full(Bytes::from_static(b"no such page"));
    let response = answered(StatusCode::NOT_FOUND, &[("content-type", "text/plain")], body);
    let response = dialect("application/grpc-web-text").answer(response);
    assert_eq!(response.head.fields.get_str("content-type"), Some("text/plain"));
    assert_eq!(read(response.body).0.concat(), b"no such page");
}
