//! What a request costs the proxy: processor time per request, memory per idle connection, beside HAProxy, nginx and Caddy.
//!
//! Everybody gets one core, the same origin and the same work: a JSON line per request in an access log, a request id, a
//! trace context, counters. The core is the proxies' alone; origin and clients have another. Rounds are interleaved, so that a
//! slower minute is slower for all; the figures are processor time, which a busy neighbour changes less than requests per second.
//! A proxy that is not installed is skipped with a line.

mod clients;
mod cpu;
pub(crate) mod origin;
mod rival;

use crate::memory::pss_kib;
use crate::report::Report;
use crate::system::System;
use anyhow::{Context, ensure};
use clients::Load;
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
    /// Only this part: keep-alive, connections, http2, bodies, idle.
    #[arg(long)]
    part: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

const SYSTEM: &str = r#"system: bench
services: [origin]
gateway: { listeners: { web: { bind: 127.0.0.1:8080 } } }
console: { bind: 127.0.0.1:7070 }
"#;

const SERVICE: &str = r#"service: origin
run: PROGRAM origin
routes:
  - match: { prefix: / }
    timeout: 60s
"#;

/// Name, unit, path, load; the figure is processor time per request.
struct Part {
    name: &'static str,
    title: &'static str,
    path: &'static str,
    load: fn(&Args) -> Load,
}

const PARTS: [Part; 5] = [
    Part {
        name: "keep-alive",
        title: "HTTP/1.1, 64 connections kept, 291 B",
        path: "/small",
        load: |args| Load::Http1 {
            requests: args.requests,
            connections: 64,
        },
    },
    Part {
        name: "connections",
        title: "a new connection for each request, 291 B",
        path: "/small",
        load: |args| Load::NewConnections {
            requests: args.requests / 4,
        },
    },
    Part {
        name: "http2",
        title: "h2c, 4 connections of 16 streams, 291 B",
        path: "/small",
        load: |args| Load::Http2 {
            requests: args.requests,
            connections: 4,
            streams: 16,
        },
    },
    Part {
        name: "bodies",
        title: "HTTP/1.1, answers of 100 KiB",
        path: "/100k",
        load: |args| Load::Http1 {
            requests: args.requests / 10,
            connections: 16,
        },
    },
    Part {
        name: "bodies",
        title: "HTTP/1.1, answers of 10 MiB",
        path: "/10m",
        load: |args| Load::Http1 {
            requests: (args.requests / 1_000).max(4),
            connections: 4,
        },
    },
];

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let known = PARTS.iter().map(|part| part.name).chain(["idle"]);
    let wanted = |name: &str| args.part.as_deref().is_none_or(|part| part == name);
    ensure!(
        known.clone().any(wanted),
        "there is no part `{}`",
        args.part.as_deref().unwrap_or_default()
    );
    cpu::most_files()?;
    let system = ours()?;
    let origin = origin_port(&system)?;
    let mut contenders = vec![Contender::ondol(&system)?];
    for kind in Kind::ALL {
        match Contender::start(kind, origin)? {
            Some(contender) => contenders.push(contender),
            None => eprintln!(
                "SKIPPED: {}; install the Debian package {}",
                kind.name(),
                kind.package()
            ),
        }
    }
    cpu::pin(None, CORES.1)?;
    let mut report = Report::default();
    for part in PARTS.iter().filter(|part| wanted(part.name)) {
        measure(part, &args, &contenders, &mut report)?;
    }
    if wanted("idle") {
        idle(&args, &contenders, &mut report)?;
    }
    match args.json {
        true => println!("{}", report.json()),
        false => print!("{}", report.table()),
    }
    Ok(())
}

/// Ondol on the proxies' core; the origin moves away from it by itself.
fn ours() -> anyhow::Result<System> {
    let system = System::write("bench-proxies", SYSTEM, Default::default())?;
    let folder = system.folder.join("origin");
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    let text = SERVICE.replace("PROGRAM", &program.to_string_lossy());
    std::fs::write(folder.join("service.yaml"), text)?;
    cpu::pin(None, CORES.0)?;
    system.up()?;
    Ok(system)
}

fn origin_port(system: &System) -> anyhow::Result<u16> {
    let pid = *system.pids()?.get("origin.1").context("no origin runs")?;
    let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
    let vars = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let port = vars.filter_map(|var| var.strip_prefix("PORT=")?.parse().ok()).next();
    port.context("the origin has no port")
}

fn measure(part: &Part, args: &Args, contenders: &[Contender], report: &mut Report) -> anyhow::Result<()> {
    let load = (part.load)(args);
    for round in 0..=args.rounds {
        for contender in contenders {
            let Some(port) = contender.port_for(&load) else {
                continue;
            };
            let before = cpu::spent(&contender.pids)?;
            let requests = load.run(port, part.path).with_context(|| contender.name.to_owned())?;
            let spent = cpu::spent(&contender.pids)?.saturating_sub(before);
            // The first round warms everybody up.
            if round > 0 {
                tell(
                    report,
                    part.title,
                    "µs of processor",
                    contender,
                    micros(spent) / requests as f64,
                );
            }
        }
    }
    Ok(())
}

fn idle(args: &Args, contenders: &[Contender], report: &mut Report) -> anyhow::Result<()> {
    for contender in contenders {
        let before = memory_kib(contender)?;
        let held = clients::hold(contender.port, args.idle)?;
        let kib = memory_kib(contender)?.saturating_sub(before);
        tell(
            report,
            "an idle connection",
            "KiB",
            contender,
            kib as f64 / held.len() as f64,
        );
        drop(held);
    }
    Ok(())
}

fn memory_kib(contender: &Contender) -> anyhow::Result<u64> {
    contender.pids.iter().map(|pid| pss_kib(*pid)).sum()
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
