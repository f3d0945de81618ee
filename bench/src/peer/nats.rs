//! NATS JetStream: one stream in files, acknowledged publishes; or a durable push consumer that acknowledges each message.
//!
//! Source: the NATS client protocol, and the JetStream wire API.

use super::link::{Came, Protocol, Purpose};
use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// Numbers the connections: each has subjects of its own.
static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

pub(super) struct Nats {
    stream: String,
    purpose: Purpose,
    /// Where answers go: of the administration, of publishes, and messages.
    api: String,
    confirms: String,
    deliveries: String,
    /// The consumer is asked for.
    asked: bool,
}

impl Nats {
    pub(super) fn new(stream: &str, purpose: Purpose) -> Self {
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let inbox = |what: &str| format!("_INBOX.{number}.{what}");
        Self {
            stream: stream.to_owned(),
            purpose,
            api: inbox("api"),
            confirms: inbox("confirms"),
            deliveries: inbox("deliveries"),
            asked: false,
        }
    }

    /// An answer of the administration: first that the stream is there, then that its consumer is.
    fn administered(&mut self, answer: &[u8], out: &mut Vec<u8>) -> anyhow::Result<Came> {
        let answer: Value = serde_json::from_slice(answer)?;
        if let Some(error) = answer.get("error") {
            bail!("NATS: {error}");
        }
        let Purpose::Consume(most) = self.purpose else {
            return Ok(Came::Ready);
        };
        if std::mem::replace(&mut self.asked, true) {
            return Ok(Came::Ready);
        }
        let config = json!({ "stream_name": self.stream, "config": { "durable_name": "bench", "deliver_subject": self.deliveries,
            "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": most } });
        ask(
            out,
            &format!("$JS.API.CONSUMER.DURABLE.CREATE.{}.bench", self.stream),
            &self.api,
            config.to_string().as_bytes(),
        );
        Ok(Came::Other)
    }

    fn message(
        &mut self,
        line: &str,
        input: &mut BytesMut,
        head: usize,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<Came>> {
        // MSG SUBJECT SID [REPLY] LENGTH, and with headers HMSG SUBJECT SID [REPLY] HEADERS LENGTH.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok()).context("a length");
        let length = number(words.last())?;
        if input.len() < head + length + 2 {
            return Ok(None);
        }
        input.advance(head);
        let mut body = input.split_to(length).freeze();
        input.advance(2);
        if line.starts_with("HMSG") {
            body = body.slice(number(words.get(words.len() - 2))?..);
        }
        Ok(Some(match words.get(1) {
            Some(subject) if *subject == self.api => self.administered(&body, out)?,
            Some(subject) if *subject == self.confirms && (body.starts_with(b"{\"error\"") || body.is_empty()) => {
                bail!("NATS did not keep a message: {}", String::from_utf8_lossy(&body))
            }
            Some(subject) if *subject == self.confirms => Came::Confirmed(1),
            _ => {
                ask(out, words.get(3).context("where to acknowledge")?, "", b"+ACK");
                Came::Delivered(vec![body])
            }
        }))
    }
}

impl Protocol for Nats {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
        );
        for (sid, subject) in (1..).zip([&self.api, &self.confirms, &self.deliveries]) {
            // A `Vec` takes everything.
            let _ = write!(out, "SUB {subject} {sid}\r\n");
        }
        let config = json!({ "name": self.stream, "subjects": [self.stream], "storage": "file", "num_replicas": 1 });
        ask(
            out,
            &format!("$JS.API.STREAM.CREATE.{}", self.stream),
            &self.api,
            config.to_string().as_bytes(),
        );
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        ask(out, &self.stream, &self.confirms, body);
    }

    fn next(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<Option<Came>> {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let line = Bytes::copy_from_slice(&input[..end]);
        let line = std::str::from_utf8(&line)?;
        if line.starts_with("MSG ") || line.starts_with("HMSG ") {
            return self.message(line, input, end + 2, out);
        }
        input.advance(end + 2);
        match line.split(' ').next() {
            Some("PING") => out.extend_from_slice(b"PONG\r\n"),
            Some("-ERR") => bail!("NATS: {line}"),
            _ => {}
        }
        Ok(Some(Came::Other))
    }
}

fn ask(out: &mut Vec<u8>, subject: &str, reply: &str, body: &[u8]) {
    let _ = write!(out, "PUB {subject} {reply} {}\r\n", body.len());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}
