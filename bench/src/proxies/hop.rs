//! What one hop adds to a request at low load: the median through a proxy, less the median straight to the service.
//!
//! One client asks one request at a time, in turns straight and through the proxy, so that both meet the same moments; proxy after
//! proxy, since one that was asked in between has emptied the caches. Ondol is asked at the edge that another service calls, the
//! others at their listener.
//!
//! A core that sleeps until a request comes takes its time to wake up and finds its caches cold, with a proxy and without. So it is
//! measured in three ways: all on one core that stays awake, the same with pauses, and with the proxy on a core of its own.

use super::answer::Answer;
use super::{Bench, CORES, Entrance, cpu, tell};
use crate::goal::Goal;
use anyhow::ensure;
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// A way to ask.
struct Way {
    /// Of the row with the whole request straight to the service.
    straight: &'static str,
    /// Of the row with what the hop adds.
    hop: &'static str,
    /// The proxies'.
    core: usize,
    /// Between two requests.
    pause: Duration,
}

const WAYS: [Way; 3] = [
    Way {
        straight: "straight to a service, one request after the other: p50",
        hop: "what a hop adds, all on one core: p50",
        core: CORES.1,
        pause: Duration::ZERO,
    },
    Way {
        straight: "straight, after a pause of 1 ms: p50",
        hop: "what a hop adds, all on one core, after a pause of 1 ms: p50",
        core: CORES.1,
        pause: Duration::from_millis(1),
    },
    Way {
        straight: "straight, again one after the other: p50",
        hop: "what a hop adds that has to wake up another core: p50",
        core: CORES.0,
        pause: Duration::ZERO,
    },
];

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let mut straight = Client::new(bench.behind.origin)?;
    // The first round warms everybody up.
    for round in 0..=bench.args.rounds {
        for way in &WAYS {
            for contender in &bench.contenders {
                cpu::move_to(&contender.pids, way.core)?;
                let port = match contender.kind {
                    None => bench.behind.edge,
                    Some(_) => contender.port(Entrance::Http1),
                };
                let (without, with) = medians(&mut straight, &mut Client::new(port)?, bench.args.hops, way.pause)?;
                if round == 0 {
                    continue;
                }
                if contender.kind.is_none() {
                    bench.report.ours(way.straight, "µs", without);
                }
                tell(&mut bench.report, way.hop, "µs", contender, with - without);
            }
        }
    }
    for way in &WAYS {
        bench.report.goal(way.hop, Goal::AtMost(40.0));
    }
    Ok(())
}

/// Microseconds of so many requests of each.
fn medians(straight: &mut Client, through: &mut Client, count: u32, pause: Duration) -> anyhow::Result<(f64, f64)> {
    let turn = |client: &mut Client, seen: &mut Histogram<u64>| -> anyhow::Result<()> {
        seen.saturating_record(client.ask()?.as_nanos() as u64);
        if pause > Duration::ZERO {
            std::thread::sleep(pause);
        }
        Ok(())
    };
    let (mut without, mut with) = (histogram()?, histogram()?);
    for _ in 0..count {
        turn(straight, &mut without)?;
        turn(through, &mut with)?;
    }
    let micros = |seen: Histogram<u64>| seen.value_at_quantile(0.5) as f64 / 1e3;
    Ok((micros(without), micros(with)))
}

/// Of nanoseconds up to a minute.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

/// One kept connection.
struct Client {
    port: u16,
    stream: TcpStream,
}

impl Client {
    fn new(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { port, stream })
    }

    /// Asks once; how long it took. A connection that the server closes is made anew, outside of that time.
    fn ask(&mut self) -> anyhow::Result<Duration> {
        let (mut buf, mut len) = ([0; 4 << 10], 0);
        let began = Instant::now();
        self.stream.write_all(REQUEST)?;
        let answer = loop {
            let n = self.stream.read(&mut buf[len..])?;
            ensure!(n > 0, "a connection ended before its answer");
            len += n;
            if let Some(answer) = Answer::read(&buf[..len])?.filter(|answer| len >= answer.length) {
                break answer;
            }
        };
        let took = began.elapsed();
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&buf[..len]));
        if answer.closes {
            *self = Self::new(self.port)?;
        }
        Ok(took)
    }
}
