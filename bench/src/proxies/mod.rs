//! Ondol beside HAProxy, nginx and Caddy: what a request, a handshake and an idle connection cost the proxy, what it is worth when
//! one of its backends is bad or all are asked too much, and what a hop of the mesh adds.
//!
//! Everybody gets one core, the same services behind it and the same work: a JSON line per request in an access log, a request id,
//! a trace context, counters. The core is the proxies' alone; services and clients have another. Rounds are interleaved, so that a
//! slower minute is slower for all. Costs are processor time, which a busy neighbour changes less than requests per second.
//! A proxy that is not installed is skipped with a line.

mod answer;
mod arrivals;
mod backend;
mod bad_backend;
mod clients;
mod cpu;
mod flow;
mod hop;
mod jwt;
mod kept;
pub(crate) mod origin;
mod ours;
mod overload;
mod requests;
mod rival;
mod tls;
mod tokens;
mod workers;

use crate::report::Report;
use crate::system::System;
use ours::Behind;
use rival::{Contender, Kind};
use std::time::Duration;

/// The proxies' core, and that of everybody else.
pub(crate) const CORES: (usize, usize) = (0, 1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; each proxy has its turn in each.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Requests of a turn, of the small ones.
    #[arg(long, default_value_t = 40_000)]
    requests: u64,
    /// Idle connections; HAProxy wants two open files for each, of 20,000 that many systems allow.
    #[arg(long, default_value_t = 9_000)]
    idle: usize,
    /// Of a turn with a bad backend or with too many requests; what warms up comes before it.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Requests of a turn through each hop.
    #[arg(long, default_value_t = 2_000)]
    hops: u32,
    /// Only these parts.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Ondol alone.
    #[arg(long)]
    alone: bool,
    /// JSON with every round instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Part {
    KeepAlive,
    Connections,
    Http2,
    Bodies,
    Idle,
    Jwt,
    Tls,
    BadBackend,
    Overload,
    Hop,
}

/// What a proxy is asked for; each has a port, and ours is asked for several by paths at one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entrance {
    Http1,
    Http2,
    Tls,
    /// Five instances, one of them late.
    Late,
    /// Five instances, one of them failing.
    Failing,
    /// One instance of bounded capacity.
    Bounded,
}

impl Entrance {
    const ALL: [Self; 6] = [
        Self::Http1,
        Self::Http2,
        Self::Tls,
        Self::Late,
        Self::Failing,
        Self::Bounded,
    ];

    /// A small answer's path.
    fn path(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http2 | Self::Tls => "/small",
            Self::Late => "/late/small",
            Self::Failing => "/failing/small",
            Self::Bounded => "/bounded/small",
        }
    }
}

/// Those that are measured, what stands behind them, and what came of it. Ours is the first contender.
struct Bench {
    args: Args,
    // Before what they pass to.
    contenders: Vec<Contender>,
    behind: Behind,
    report: Report,
    /// Ends when this does.
    _system: System,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    cpu::most_files()?;
    let (system, behind) = ours::start()?;
    let mut contenders = vec![Contender::ondol(&system, behind.secure)?];
    for kind in Kind::ALL.into_iter().filter(|_| !args.alone) {
        match Contender::start(kind, &behind)? {
            Some(contender) => contenders.push(contender),
            None => eprintln!("SKIPPED: {}; `apt-get install {}`", kind.name(), kind.package()),
        }
    }
    cpu::pin(None, CORES.1)?;
    let mut bench = Bench {
        args,
        contenders,
        behind,
        report: Report::default(),
        _system: system,
    };
    for part in <Part as clap::ValueEnum>::value_variants() {
        if bench.args.part.is_empty() || bench.args.part.contains(part) {
            bench.measure(*part)?;
        }
    }
    match bench.args.json {
        true => println!("{:#}", bench.report.json()),
        false => print!("{}", bench.report.table()),
    }
    Ok(())
}

impl Bench {
    fn measure(&mut self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::KeepAlive | Part::Connections | Part::Http2 | Part::Bodies => requests::run(self, part),
            Part::Idle => requests::idle(self),
            Part::Jwt => jwt::run(self),
            Part::Tls => tls::run(self),
            Part::BadBackend => bad_backend::run(self),
            Part::Overload => overload::run(self),
            Part::Hop => hop::run(self),
        }
    }
}

fn tell(report: &mut Report, title: &str, unit: &'static str, contender: &Contender, value: f64) {
    match contender.kind {
        None => report.ours(title, unit, value),
        Some(_) => report.peer(title, unit, contender.name, value),
    }
}

fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}
