//! What requests and idle connections cost: processor time per request for several kinds of load, memory per connection.

use super::clients::{self, Load};
use super::rival::Contender;
use super::{Args, Bench, Entrance, Part, cpu, micros, tell};
use crate::goal::Goal;
use crate::memory::pss_kib;
use anyhow::Context;

const UNIT: &str = "µs of processor";
const IDLE: &str = "an idle connection";

/// A kind of load, and which times of whose figure it is to stay below.
struct Row {
    part: Part,
    title: &'static str,
    path: &'static str,
    load: fn(&Args) -> Load,
    goals: &'static [(&'static str, f64)],
}

const ROWS: [Row; 5] = [
    Row {
        part: Part::KeepAlive,
        title: "HTTP/1.1, 64 connections kept, 291 B",
        path: "/small",
        load: |args| Load::Http1 {
            requests: args.requests,
            connections: 64,
        },
        goals: &[("Caddy", 0.2), ("HAProxy", 0.85), ("nginx", 0.8)],
    },
    Row {
        part: Part::Connections,
        title: "a new connection for each request, 291 B",
        path: "/small",
        load: |args| Load::NewConnections {
            requests: args.requests / 4,
        },
        goals: &[("nginx", 1.0)],
    },
    Row {
        part: Part::Http2,
        title: "h2c, 4 connections of 16 streams, 291 B",
        path: "/small",
        load: |args| Load::Http2 {
            requests: args.requests,
            connections: 4,
            streams: 16,
        },
        goals: &[("HAProxy", 1.0)],
    },
    Row {
        part: Part::Bodies,
        title: "HTTP/1.1, answers of 100 KiB",
        path: "/100k",
        load: |args| Load::Http1 {
            requests: args.requests / 10,
            connections: 16,
        },
        goals: &[("nginx", 1.0)],
    },
    Row {
        part: Part::Bodies,
        title: "HTTP/1.1, answers of 10 MiB",
        path: "/10m",
        load: |args| Load::Http1 {
            requests: (args.requests / 1_000).max(4),
            connections: 4,
        },
        goals: &[("nginx", 1.0)],
    },
];

pub(super) fn run(bench: &mut Bench, part: Part) -> anyhow::Result<()> {
    ROWS.iter()
        .filter(|row| row.part == part)
        .try_for_each(|row| measure(bench, row))
}

fn measure(bench: &mut Bench, row: &Row) -> anyhow::Result<()> {
    let load = (row.load)(&bench.args);
    for round in 0..=bench.args.rounds {
        for contender in &bench.contenders {
            let cost = cost(contender, |port| load.run(port, row.path), load.entrance())?;
            // The first round warms everybody up.
            if round > 0 {
                tell(&mut bench.report, row.title, UNIT, contender, cost);
            }
        }
    }
    for (peer, most) in row.goals {
        bench.report.goal(row.title, Goal::Times(peer, *most));
    }
    Ok(())
}

/// Microseconds of a proxy's processor time for each of the requests whose number `load` gives.
pub(super) fn cost(
    contender: &Contender,
    load: impl FnOnce(u16) -> anyhow::Result<u64>,
    entrance: Entrance,
) -> anyhow::Result<f64> {
    let before = cpu::spent(&contender.pids)?;
    let requests = load(contender.port(entrance)).context(contender.name)?;
    let spent = cpu::spent(&contender.pids)?.saturating_sub(before);
    Ok(micros(spent) / requests as f64)
}

/// Once: memory that idle connections have taken is not given back whole.
pub(super) fn idle(bench: &mut Bench) -> anyhow::Result<()> {
    for contender in &bench.contenders {
        let before = memory_kib(contender)?;
        let held = clients::hold(contender.port(Entrance::Http1), bench.args.idle)?;
        let kib = memory_kib(contender)?.saturating_sub(before);
        let each = kib as f64 / held.len() as f64;
        tell(&mut bench.report, IDLE, "KiB", contender, each);
    }
    bench.report.goal(IDLE, Goal::AtMost(4.0));
    Ok(())
}

fn memory_kib(contender: &Contender) -> anyhow::Result<u64> {
    contender.pids.iter().map(|pid| pss_kib(*pid)).sum()
}
