//! Where an HTTP/1.1 answer ends, as far as measured proxies need it: a head and a body of the length that it names. Pure.

use anyhow::{Context, ensure};

/// The longest head that is taken, bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// An answer whose head has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of head and body, bytes.
    pub(super) length: usize,
    /// Whether the server closes the connection after it.
    pub(super) closes: bool,
}

impl Answer {
    /// The answer that begins a buffer; `None`: more of its head has to come.
    ///
    /// # Errors
    /// It is no HTTP/1.1, names no length, or its head is longer than 16 KiB.
    pub(super) fn read(buf: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = buf.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(buf.len() < LONGEST_HEAD, "an answer's head has no end");
            return Ok(None);
        };
        let head = std::str::from_utf8(&buf[..end]).context("an answer's head is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let (mut body, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body = value.trim().parse::<usize>().ok();
            }
            closes |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
        }
        Ok(Some(Self {
            status: status.with_context(|| format!("not an HTTP/1.1 answer: {head}"))?,
            length: end + 4 + body.with_context(|| format!("an answer without a length: {head}"))?,
            closes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says_however_its_bytes_come() {
        let text = b"HTTP/1.1 503 No\r\ncontent-LENGTH: 5\r\nConnection: Close\r\n\r\nhelloHTTP/1.1 200 OK\r\n";
        let head = text.windows(4).position(|four| four == b"\r\n\r\n").expect("an end") + 4;
        for cut in 0..=text.len() {
            let expected = (cut >= head).then_some(Answer {
                status: 503,
                length: head + 5,
                closes: true,
            });
            assert_eq!(Answer::read(&text[..cut]).expect("an answer"), expected, "{cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_not_waited_for() {
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 2\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(Answer::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Answer::read(&[b'x'; LONGEST_HEAD]).is_err());
    }
}
