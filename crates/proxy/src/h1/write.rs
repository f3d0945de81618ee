//! HTTP/1 heads and chunks to bytes. Framing is chosen here and nowhere else, from the body that is really there.

use super::head::Length;
use crate::digits::push_decimal;
use crate::message::{Fields, RequestHead, ResponseHead};

fn push_fields(fields: &Fields, out: &mut Vec<u8>) {
    fields.lines().for_each(|lines| out.extend_from_slice(lines));
}

fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_length(length: Length, out: &mut Vec<u8>) {
    match length {
        Length::Exact(n) => {
            out.extend_from_slice(b"content-length: ");
            push_decimal(n, out);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::UntilClose => {}
    }
}

/// Writes a request's head behind what is in `out`. `host` is used where the request named none.
pub fn request(head: &RequestHead, host: &str, length: Length, websocket: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = if head.authority().is_empty() {
        host
    } else {
        head.authority()
    };
    push_field(b"host", authority.as_bytes(), out);
    push_fields(&head.fields, out);
    // A length of zero says something only where a body could be expected.
    let bodiless = matches!(
        head.method,
        http::Method::GET | http::Method::HEAD | http::Method::OPTIONS
    );
    if !(length == Length::Exact(0) && (bodiless || head.method == http::Method::DELETE)) {
        push_length(length, out);
    }
    if websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a response's head behind what is in `out`. `length` is `None` for an answer that can have no body.
pub fn response(head: &ResponseHead, length: Option<Length>, close: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    push_fields(&head.fields, out);
    if let Some(length) = length {
        push_length(length, out);
    }
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    } else if close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A piece up to this is copied behind its head: to send one run of bytes costs the system less than a list of them.
pub const JOINED: usize = 2 << 10;

/// What comes after a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes a chunk's size line.
pub fn chunk_size(size: usize, out: &mut Vec<u8>) {
    let (mut n, mut digits, mut at) = (size, [0; 16], 16);
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[n & 15];
        n >>= 4;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(CHUNK_END);
}

/// Writes the last chunk with its trailers.
pub fn last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(fields) = trailers {
        push_fields(fields, out);
    }
    out.extend_from_slice(CHUNK_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, StatusCode};

    #[test]
    fn a_request_is_written_with_its_own_framing() {
        let mut head = RequestHead::new(Method::POST, "a:80", "/x?y").expect("valid");
        head.fields.push("accept", "*/*");
        let mut out = Vec::new();
        request(&head, "b", Length::Exact(120), false, &mut out);
        assert_eq!(
            out,
            b"POST /x?y HTTP/1.1\r\nhost: a:80\r\naccept: */*\r\ncontent-length: 120\r\n\r\n"
        );
        out.clear();
        head.method = Method::GET;
        request(&head, "b", Length::Exact(0), true, &mut out);
        let want =
            "GET /x?y HTTP/1.1\r\nhost: a:80\r\naccept: */*\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(out, want.as_bytes());
    }

    #[test]
    fn numbers_are_written_in_their_base() {
        for n in [0, 9, 10, 255, 65_536, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(n, &mut out);
            assert_eq!(out, n.to_string().as_bytes());
        }
        for n in [0, 15, 16, 65_536] {
            let mut out = Vec::new();
            chunk_size(n, &mut out);
            assert_eq!(out, format!("{n:x}\r\n").as_bytes());
        }
    }

    #[test]
    fn an_answer_that_can_have_no_body_has_no_framing() {
        let mut out = Vec::new();
        response(&ResponseHead::new(StatusCode::NO_CONTENT), None, true, &mut out);
        assert_eq!(out, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    }
}
