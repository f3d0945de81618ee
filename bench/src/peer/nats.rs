//! NATS JetStream: one stream in files, acknowledged publishes; or a durable pull consumer that acknowledges each message.
//! Pulled in halves of the window, so that one half is under way while the other is worked on.
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

/// Nanoseconds that a pull stands.
const FOR_EVER: u64 = 3_600_000_000_000;

pub(super) struct Nats {
    stream: String,
    purpose: Purpose,
    /// Where answers go: of the administration, of publishes, and messages.
    api: String,
    confirms: String,
    deliveries: String,
    /// The consumer is asked for.
    asked: bool,
    /// Messages of the half that is being taken.
    taken: u16,
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
            taken: 0,
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
            (0..2).for_each(|_| self.pull(most / 2, out));
            return Ok(Came::Ready);
        }
        let config = json!({ "stream_name": self.stream, "config": { "durable_name": "bench",
            "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": most } });
        ask(
            out,
            &format!("$JS.API.CONSUMER.DURABLE.CREATE.{}.bench", self.stream),
            &self.api,
            config.to_string().as_bytes(),
        );
        Ok(Came::Other)
    }

    /// Asks for so many more messages, as long as it takes.
    fn pull(&self, messages: u16, out: &mut Vec<u8>) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.bench", self.stream);
        let wanted = json!({ "batch": messages, "expires": FOR_EVER });
        ask(out, &subject, &self.deliveries, wanted.to_string().as_bytes());
    }

    /// One message is taken, and acknowledged to `reply`.
    fn took(&mut self, reply: &str, out: &mut Vec<u8>) {
        ask(out, reply, "", b"+ACK");
        let Purpose::Consume(most) = self.purpose else { return };
        self.taken += 1;
        if self.taken == most / 2 {
            self.taken = 0;
            self.pull(most / 2, out);
        }
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
        let headers = match line.starts_with("HMSG") {
            true => body.split_to(number(words.get(words.len() - 2))?),
            false => Bytes::new(),
        };
        Ok(Some(match words.get(1) {
            Some(subject) if *subject == self.api => self.administered(&body, out)?,
            Some(subject) if *subject == self.confirms && (body.starts_with(b"{\"error\"") || body.is_empty()) => {
                bail!("NATS did not keep a message: {}", String::from_utf8_lossy(&body))
            }
            Some(subject) if *subject == self.confirms => Came::Confirmed(1),
            // A message has a reply subject; what the server says of a pull has none.
            _ if words.len() == if line.starts_with("HMSG") { 6 } else { 5 } => {
                self.took(words.get(3).context("where to acknowledge")?, out);
                Came::Delivered(vec![body])
            }
            _ => bail!("NATS ended a pull: {}", String::from_utf8_lossy(&headers)),
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
