//! AMQP 0-9-1 as RabbitMQ speaks it: one channel, one quorum queue, confirms on; or a consumer that acknowledges each message.
//!
//! Source: the AMQP 0-9-1 specification, and RabbitMQ's `confirm.select`.

use super::link::{Came, Protocol, Purpose};
use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;

pub(super) struct Amqp {
    queue: String,
    purpose: Purpose,
    /// Publishes that were confirmed.
    confirmed: u64,
    /// The delivery whose frames are coming.
    tag: u64,
    left: u64,
    body: Vec<u8>,
}

impl Amqp {
    pub(super) fn new(queue: &str, purpose: Purpose) -> Self {
        Self {
            queue: queue.to_owned(),
            purpose,
            confirmed: 0,
            tag: 0,
            left: 0,
            body: Vec::new(),
        }
    }

    fn method(&mut self, mut frame: Bytes, out: &mut Vec<u8>) -> anyhow::Result<Came> {
        let (class, method) = (frame.try_get_u16()?, frame.try_get_u16()?);
        match (class, method) {
            // Start; the answer is `start-ok`: no properties, PLAIN as guest.
            (10, 10) => send(
                out,
                0,
                (10, 11),
                &[
                    &[0; 4],
                    short("PLAIN").as_slice(),
                    &long(b"\0guest\0guest"),
                    &short("en_US"),
                ],
            ),
            // Tune; `tune-ok` with its channels and frames and no heartbeat, then `open`.
            (10, 30) => {
                send(out, 0, (10, 31), &[&frame[..6], &[0, 0]]);
                send(out, 0, (10, 40), &[&short("/"), &[0, 0]]);
            }
            (10, 41) => send(out, 1, (20, 10), &[&[0]]),
            // The channel is open: a durable quorum queue.
            (20, 11) => {
                let kind = [short("x-queue-type").as_slice(), b"S", &long(b"quorum")].concat();
                send(
                    out,
                    1,
                    (50, 10),
                    &[&[0, 0], short(&self.queue).as_slice(), &[2], &long(&kind)],
                );
            }
            (50, 11) => match self.purpose {
                Purpose::Publish => send(out, 1, (85, 10), &[&[0]]),
                Purpose::Consume(most) => send(out, 1, (60, 10), &[&[0; 4], &most.to_be_bytes(), &[0]]),
            },
            (60, 11) => send(
                out,
                1,
                (60, 20),
                &[&[0, 0], short(&self.queue).as_slice(), &[0], &[0], &[0; 4]],
            ),
            (85, 11) | (60, 21) => return Ok(Came::Ready),
            (60, 80) => return self.confirm(&mut frame),
            (60, 60) => {
                let tag = usize::from(frame.try_get_u8()?);
                frame = frame.slice(tag..);
                self.tag = frame.try_get_u64()?;
            }
            (10, 50) | (20, 40) => bail!("RabbitMQ closed: {}", String::from_utf8_lossy(&frame[2..])),
            (60, 120) => bail!("RabbitMQ took a message and did not keep it"),
            other => bail!("RabbitMQ said {other:?}"),
        }
        Ok(Came::Other)
    }

    /// `ack`: of one message, or of all up to it. Of one queue they come in order.
    fn confirm(&mut self, frame: &mut Bytes) -> anyhow::Result<Came> {
        let (tag, _multiple) = (frame.try_get_u64()?, frame.try_get_u8()?);
        let more = tag.checked_sub(self.confirmed).context("confirms out of order")?;
        self.confirmed = tag;
        Ok(Came::Confirmed(more))
    }

    fn delivered(&mut self, out: &mut Vec<u8>) -> Came {
        if self.left > 0 {
            return Came::Other;
        }
        send(out, 1, (60, 80), &[&self.tag.to_be_bytes(), &[0]]);
        Came::Delivered(vec![Bytes::from(std::mem::take(&mut self.body))])
    }
}

impl Protocol for Amqp {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"AMQP\0\0\x09\x01");
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        send(out, 1, (60, 40), &[&[0, 0, 0], short(&self.queue).as_slice(), &[0]]);
        // Class, weight, length of the body, and of the properties only that the message is to last.
        let length = (body.len() as u64).to_be_bytes();
        frame(out, HEADER, 1, &[&[0, 60, 0, 0], &length, &[0x10, 0, 2]]);
        frame(out, BODY, 1, &[body]);
    }

    fn next(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<Option<Came>> {
        if input.len() < 7 {
            return Ok(None);
        }
        let size = u32::from_be_bytes([input[3], input[4], input[5], input[6]]) as usize;
        if input.len() < size + 8 {
            return Ok(None);
        }
        let kind = input[0];
        let mut content = input.split_to(size + 8).freeze().slice(7..7 + size);
        Ok(Some(match kind {
            METHOD => self.method(content, out)?,
            HEADER => {
                content.advance(4);
                self.left = content.try_get_u64()?;
                self.delivered(out)
            }
            BODY => {
                self.left = self
                    .left
                    .checked_sub(content.len() as u64)
                    .context("a body that is too long")?;
                self.body.extend_from_slice(&content);
                self.delivered(out)
            }
            _ => Came::Other,
        }))
    }
}

fn send(out: &mut Vec<u8>, channel: u16, (class, method): (u16, u16), parts: &[&[u8]]) {
    let head = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(out, METHOD, channel, &[&[head.as_slice()], parts].concat());
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, parts: &[&[u8]]) {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(size as u32).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(FRAME_END);
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}
