//! What one hop adds to a request at low load: the median through a proxy, less the median straight to the service.
//!
//! One client asks each in turns, one request after the other with a pause between, so that all meet the same moments. Ondol is
//! asked at the edge that another service calls; the others at their listener.
//!
//! Once with all on one core, and once with the proxies on theirs. At low load a core of its own sleeps until a request comes, and
//! what it takes to wake it up is the machine's: there a hop is mostly that.

use super::answer::Answer;
use super::{Bench, CORES, Entrance, cpu, tell};
use crate::goal::Goal;
use anyhow::ensure;
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
/// The title of the whole request's row, that of the hop's, and the proxies' core.
const LAYOUTS: [(&str, &str, usize); 2] = [
    (
        "a request straight to a service, one at a time: p50",
        "what a hop adds on the same core, p50",
        CORES.1,
    ),
    (
        "the same again: p50",
        "what a hop adds that wakes up another core, p50",
        CORES.0,
    ),
];

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let peers = bench.contenders.iter().skip(1).map(|peer| peer.port(Entrance::Http1));
    let ports: Vec<u16> = [bench.behind.origin, bench.behind.edge]
        .into_iter()
        .chain(peers)
        .collect();
    let mut clients = ports.into_iter().map(Client::new).collect::<anyhow::Result<Vec<_>>>()?;
    // The first round warms everybody up.
    for round in 0..=bench.args.rounds {
        for (straight_title, hop_title, core) in LAYOUTS {
            for contender in &bench.contenders {
                cpu::move_to(&contender.pids, core)?;
            }
            let medians = medians(&mut clients, bench.args.hops)?;
            let Some((straight, through)) = medians.split_first().filter(|_| round > 0) else {
                continue;
            };
            bench.report.ours(straight_title, "µs", *straight);
            for (contender, median) in bench.contenders.iter().zip(through) {
                tell(&mut bench.report, hop_title, "µs", contender, median - straight);
            }
        }
    }
    for (_, hop_title, _) in LAYOUTS {
        bench.report.goal(hop_title, Goal::AtMost(40.0));
    }
    Ok(())
}

/// Microseconds, of each.
fn medians(clients: &mut [Client], count: u32) -> anyhow::Result<Vec<f64>> {
    let mut seen: Vec<Histogram<u64>> = Vec::new();
    for _ in &*clients {
        seen.push(Histogram::new_with_bounds(1, 60_000_000_000, 3)?);
    }
    for _ in 0..count {
        for (client, seen) in clients.iter_mut().zip(&mut seen) {
            seen.saturating_record(client.ask()?.as_nanos() as u64);
            std::thread::sleep(PAUSE);
        }
    }
    Ok(seen
        .iter()
        .map(|seen| seen.value_at_quantile(0.5) as f64 / 1e3)
        .collect())
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
