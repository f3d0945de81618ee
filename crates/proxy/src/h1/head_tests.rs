//! Heads over `conformance/gateway/heads.tsv`, and responses.

use super::*;

/// `conformance/gateway/heads.tsv`: name, head (escaped), then what is made of it.
#[test]
fn every_head_of_the_conformance_table_is_read_or_refused() {
    let table = include_str!("../../../../conformance/gateway/heads.tsv");
    let mut seen = 0;
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut columns = line.split('\t');
        let (Some(name), Some(bytes), Some(want)) = (columns.next(), columns.next(), columns.next()) else {
            panic!("three columns: {line}");
        };
        assert_eq!(describe(&crate::testing::unescape(bytes)), want, "{name}");
        seen += 1;
    }
    assert!(seen > 60);
}

fn describe(bytes: &[u8]) -> String {
    let mut head = RequestHead::default();
    let parsed = find_end(bytes, &mut 0).and_then(|end| match end {
        Some(end) => parse_request(bytes, &mut head).map(|(parsed, length)| {
            assert_eq!(length, end, "the end is where the search finds it");
            Some(parsed)
        }),
        None => Ok(None),
    });
    match parsed {
        Err(error) => format!("{} {error:?}", error.status().as_u16()),
        Ok(None) => "more".into(),
        Ok(Some(parsed)) => {
            let fields = head
                .fields
                .iter()
                .map(|(n, v)| format!(" {n}={}", v.escape_ascii()))
                .collect::<String>();
            let flags = [
                (!parsed.keep_alive, " close"),
                (parsed.expects, " expects"),
                (parsed.websocket, " websocket"),
            ];
            let flags = flags
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, word)| *word)
                .collect::<String>();
            format!(
                "{} {} {} {:?}{flags}{fields}",
                head.method,
                head.authority(),
                head.target(),
                parsed.length
            )
        }
    }
}

fn response(method: &Method, bytes: &[u8]) -> Result<(ParsedResponse, ResponseHead), HeadError> {
    let mut head = ResponseHead::default();
    parse_response(bytes, method, &mut head).map(|(parsed, _)| (parsed, head))
}

#[test]
fn a_response_is_framed_by_its_status_and_its_request() {
    for (method, bytes, length, keep) in [
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
            Length::Exact(3),
            true,
        ),
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
            Length::Exact(0),
            true,
        ),
        (Method::GET, "HTTP/1.1 204\r\n\r\n", Length::Exact(0), true),
        (
            Method::GET,
            "HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n",
            Length::Exact(0),
            true,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Length::Chunked,
            true,
        ),
        (Method::GET, "HTTP/1.1 200 OK\r\n\r\n", Length::UntilClose, false),
        (
            Method::GET,
            "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n",
            Length::Exact(1),
            false,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n",
            Length::Exact(1),
            false,
        ),
    ] {
        let (parsed, _) = response(&method, bytes.as_bytes()).expect(bytes);
        assert_eq!((parsed.length, parsed.keep_alive), (length, keep), "{bytes}");
    }
}

#[test]
fn an_ambiguous_or_broken_response_is_refused() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
    ] {
        assert!(response(&Method::GET, bytes.as_bytes()).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_head_answer_keeps_the_length_that_a_get_would_have() {
    let (_, head) = response(&Method::HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n").expect("valid");
    assert_eq!(head.fields.get_str("content-length"), Some("30"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = describe(&bytes);
        let _ = response(&Method::GET, &bytes);
        let _ = trailers(&bytes);
    }
}

#[test]
fn control_characters_are_found_wherever_they_stand_and_nothing_else_is() {
    for at in 0..20 {
        for byte in 0..=255 {
            for around in [b'x', b'\t', 0x80, 0xff] {
                let mut text = [around; 20];
                text[at] = byte;
                let expected = ((byte < 32 && byte != b'\t') || byte == 127).then_some(at);
                assert_eq!(control(&text), expected, "{byte:#x} at {at} among {around:#x}");
            }
        }
    }
}
