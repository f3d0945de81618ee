//! Redis streams: `XADD` as a pipeline; or a consumer group that reads a page, acknowledges it and asks for the next.
//!
//! Source: the Redis serialisation protocol (RESP2).

use super::link::{Came, Protocol, Purpose};
use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use std::io::Write as _;

pub(super) struct Redis {
    stream: String,
    purpose: Purpose,
}

/// A reply.
enum Reply<'i> {
    Bytes(&'i [u8]),
    Number,
    Array(Vec<Reply<'i>>),
    Nothing,
}

impl Redis {
    pub(super) fn new(stream: &str, purpose: Purpose) -> Self {
        Self {
            stream: stream.to_owned(),
            purpose,
        }
    }

    fn read_group(&self, out: &mut Vec<u8>) {
        if let Purpose::Consume(most) = self.purpose {
            let most = most.to_string();
            let words = [
                "XREADGROUP",
                "GROUP",
                "bench",
                "bench",
                "COUNT",
                &most,
                "BLOCK",
                "0",
                "STREAMS",
                &self.stream,
                ">",
            ];
            command(out, &words.map(str::as_bytes));
        }
    }

    /// `[[stream, [[id, [field, body]], …]]]`.
    fn page(&self, reply: Reply<'_>, out: &mut Vec<u8>) -> anyhow::Result<Came> {
        let stream = array(reply)?.into_iter().next().context("a stream")?;
        let entries = array(stream)?.into_iter().nth(1).context("entries")?;
        let (mut ids, mut bodies) = (Vec::new(), Vec::new());
        for entry in array(entries)? {
            let mut parts = array(entry)?.into_iter();
            ids.push(bytes(parts.next())?);
            let body = array(parts.next().context("fields")?)?.into_iter().nth(1);
            bodies.push(Bytes::copy_from_slice(bytes(body)?));
        }
        let head: [&[u8]; 3] = [b"XACK", self.stream.as_bytes(), b"bench"];
        let words: Vec<&[u8]> = head.into_iter().chain(ids).collect();
        command(out, &words);
        self.read_group(out);
        Ok(Came::Delivered(bodies))
    }
}

impl Protocol for Redis {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let words = ["XGROUP", "CREATE", &self.stream, "bench", "0", "MKSTREAM"];
        command(out, &words.map(str::as_bytes));
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        command(out, &[b"XADD", self.stream.as_bytes(), b"*", b"d", body]);
    }

    fn next(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<Option<Came>> {
        let mut rest = &input[..];
        let Some(reply) = read(&mut rest)? else { return Ok(None) };
        let came = match reply {
            // Of the group: made now, or there before.
            Reply::Nothing => {
                self.read_group(out);
                Came::Ready
            }
            Reply::Bytes(_) => Came::Confirmed(1),
            Reply::Number => Came::Other,
            page @ Reply::Array(_) => self.page(page, out)?,
        };
        let left = rest.len();
        input.advance(input.len() - left);
        Ok(Some(came))
    }
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    // A `Vec` takes everything.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads one reply if all of it is there.
fn read<'i>(input: &mut &'i [u8]) -> anyhow::Result<Option<Reply<'i>>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = &input[..end];
    *input = &input[end + 2..];
    let (kind, rest) = line.split_first().context("an empty line")?;
    let rest = std::str::from_utf8(rest)?;
    Ok(Some(match kind {
        b'+' => Reply::Nothing,
        b'-' if rest.starts_with("BUSYGROUP") => Reply::Nothing,
        b'-' => bail!("Redis: {rest}"),
        b':' => Reply::Number,
        b'$' => {
            let length: usize = rest.parse()?;
            if input.len() < length + 2 {
                return Ok(None);
            }
            let bytes = &input[..length];
            *input = &input[length + 2..];
            Reply::Bytes(bytes)
        }
        b'*' => {
            let mut items = Vec::new();
            for _ in 0..rest.parse::<usize>()? {
                let Some(item) = read(input)? else { return Ok(None) };
                items.push(item);
            }
            Reply::Array(items)
        }
        _ => bail!("Redis said {rest:?}"),
    }))
}

fn array(reply: Reply<'_>) -> anyhow::Result<Vec<Reply<'_>>> {
    match reply {
        Reply::Array(items) => Ok(items),
        _ => bail!("Redis: an array was expected"),
    }
}

fn bytes<'i>(reply: Option<Reply<'i>>) -> anyhow::Result<&'i [u8]> {
    match reply {
        Some(Reply::Bytes(bytes)) => Ok(bytes),
        _ => bail!("Redis: a text was expected"),
    }
}
