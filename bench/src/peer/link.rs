//! One connection to a peer, driven as a good client drives it: requests are written as fast as the window allows, and
//! answers are taken as they come, on one thread without a lock.

use crate::moment::Moment;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Messages are published, and the server confirms each when it is durable.
    Publish,
    /// Messages are delivered and acknowledged one by one, at most so many unacknowledged.
    Consume(u16),
}

/// What the server said.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// The connection is ready for its purpose.
    Ready,
    /// So many more messages are durable, the oldest first.
    Confirmed(u64),
    /// Messages; their acknowledgement is on its way.
    Delivered(Vec<Bytes>),
    /// Nothing of interest.
    Other,
}

/// A server's protocol, as far as it is needed. Pure: bytes in, bytes out.
pub(super) trait Protocol: Send {
    /// What the client says first.
    fn begin(&mut self, out: &mut Vec<u8>);
    /// Writes one message to be published.
    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>);
    /// Takes one thing of what has come, if all of it is there; answers that it asks for are written to `out`.
    fn next(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<Option<Came>>;
}

/// A connection that is ready.
pub(super) struct Link {
    stream: TcpStream,
    protocol: Box<dyn Protocol>,
    input: BytesMut,
    out: Vec<u8>,
    written: usize,
}

impl Link {
    pub(super) async fn open(port: u16, protocol: Box<dyn Protocol>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            protocol,
            input: BytesMut::new(),
            out: Vec::new(),
            written: 0,
        };
        link.protocol.begin(&mut link.out);
        let end = Instant::now() + PATIENCE;
        loop {
            match link.next(end).await? {
                Some(Came::Ready) => return Ok(link),
                Some(_) => {}
                None => bail!("the server did not get ready within {PATIENCE:?}"),
            }
        }
    }

    /// The next thing that comes, while everything that is to be written is; `None`: none until `end`.
    async fn next(&mut self, end: Instant) -> anyhow::Result<Option<Came>> {
        loop {
            if let Some(came) = self.protocol.next(&mut self.input, &mut self.out)? {
                return Ok(Some(came));
            }
            let more = self.written < self.out.len();
            tokio::select! {
                ready = self.stream.readable() => {
                    ready?;
                    self.input.reserve(64 << 10);
                    match self.stream.try_read_buf(&mut self.input) {
                        Ok(0) => bail!("the server closed the connection"),
                        Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                        _ => {}
                    }
                }
                ready = self.stream.writable(), if more => {
                    ready?;
                    self.write()?;
                }
                () = tokio::time::sleep_until(end.into()) => return Ok(None),
            }
        }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        match self.stream.try_write(&self.out[self.written..]) {
            Ok(count) => self.written += count,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => {}
        }
        if self.written == self.out.len() {
            (self.written, _) = (0, self.out.clear());
        }
        Ok(())
    }
}

/// What is to be published on one connection.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Messages without a confirmation at most.
    pub(super) window: u64,
    /// Bytes of each.
    pub(super) bytes: usize,
    /// Ends after so many messages, or after so long.
    pub(super) messages: u64,
    pub(super) time: Duration,
    /// Messages per second at fixed moments, whatever the server does; `None`: as fast as the window allows.
    pub(super) rate: Option<f64>,
}

/// Publishes; microseconds of each message until it was confirmed, and how long all took. With a rate they count from
/// the moment at which the message was due, so that a server that stands still is not spared.
pub(super) async fn publish(link: &mut Link, load: Load) -> anyhow::Result<(Histogram<u64>, Duration)> {
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let (began, mut sent, mut open) = (Instant::now(), 0, VecDeque::new());
    let due = |sent: u64| {
        load.rate
            .map(|rate| began + Duration::from_secs_f64(sent as f64 / rate))
    };
    loop {
        let now = Instant::now();
        let over = sent >= load.messages || now - began >= load.time;
        while !over && sent < load.messages && (open.len() as u64) < load.window && due(sent).is_none_or(|at| at <= now)
        {
            let from = due(sent).unwrap_or(now);
            link.protocol
                .publish(&crate::moment::body(Moment::of(from), load.bytes), &mut link.out);
            open.push_back(from);
            sent += 1;
        }
        if over && open.is_empty() {
            return Ok((latency, began.elapsed()));
        }
        let end = due(sent).filter(|_| !over).unwrap_or(now + PATIENCE);
        match link.next(end).await? {
            Some(Came::Confirmed(count)) => {
                let now = Instant::now();
                for _ in 0..count {
                    let from: Instant = open.pop_front().context("a confirmation of nothing")?;
                    latency.saturating_record((now - from).as_micros() as u64);
                }
            }
            None if load.rate.is_none() => bail!("no confirmation within {PATIENCE:?}"),
            _ => {}
        }
    }
}

/// Takes `messages` messages; microseconds of each since the moment in it, and how long they took, the first not counted.
pub(super) async fn consume(link: &mut Link, messages: u64) -> anyhow::Result<(Histogram<u64>, Duration)> {
    let mut latency = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?;
    let mut first = None;
    loop {
        let Some(came) = link.next(Instant::now() + PATIENCE).await? else {
            bail!(
                "{} of {messages} messages, and no more within {PATIENCE:?}",
                latency.len()
            );
        };
        let Came::Delivered(bodies) = came else { continue };
        let (now, moment) = (Instant::now(), Moment::now());
        for body in bodies {
            let at = Moment::of_body(&body).context("a message of somebody else's")?;
            latency.saturating_record(moment.since(at).as_micros() as u64);
        }
        let first = *first.get_or_insert(now);
        if latency.len() >= messages {
            return Ok((latency, now - first));
        }
    }
}
