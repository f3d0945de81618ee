//! `ondol logs`: lines that the supervisor kept, from services, builds and roles, and among the proxy's its access log.
//!
//! The access log is read where the proxy writes it, `.ondol/access/`. What is kept of both is put in order of time; while
//! following, lines of the two may be out of order by [`LOOK`].

use super::show::{BAD, FAINT, RESET};
use super::{down, role_line};
use crate::home::Home;
use ondol_core::task::Tasks;
use ondol_core::wire::supervision::LogLine;
use ondol_core::wire::supervision_client::{ClientError, LogQuery, Stream};
use ondol_proxy::report::access::reader::{Reader, service_of};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Between two looks for new access lines.
const LOOK: Duration = Duration::from_millis(200);
/// The supervisor's lines that may wait to be written.
const WAITING: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Services, instances (`orders.1`), builds (`build/rust`), `proxy` with all requests, `access/orders` for those that a
    /// service answered, or `controller`; none: everything.
    sources: Vec<String>,
    /// Go on with new lines as they come.
    #[arg(short, long)]
    follow: bool,
    /// Start with at most so many kept lines.
    #[arg(short = 'n', long, default_value_t = 200, value_name = "LINES")]
    tail: u32,
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    let mut silent = true;
    let mut show = |line: &LogLine| {
        silent = false;
        write(&mut out, line, json)
    };
    match read(home, &args, &mut show) {
        // Whoever read along, such as `head`, has seen enough.
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
        other => other?,
    }
    if silent && !args.sources.is_empty() {
        let asked = args.sources.join(", ");
        anstream::eprintln!("{FAINT}nothing is kept of {asked}; `ondol status` says what there is{RESET}");
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The latest `tail` lines of both logs together, then those that come.
fn read(home: &Home, args: &Args, show: &mut impl FnMut(&LogLine) -> io::Result<()>) -> anyhow::Result<()> {
    let tail = args.tail as usize;
    let mut access = requests_of(&args.sources)
        .map(|services| Reader::at_latest(home.access(), &services, tail))
        .transpose()?;
    let kept = ask(home, args, None, false)?.collect::<Result<VecDeque<_>, _>>()?;
    let last = kept.back().map(|line| line.seq);
    let mut requests = VecDeque::new();
    while let Some(line) = next(&mut access)? {
        requests.push_back(line);
    }
    let surplus = (kept.len() + requests.len()).saturating_sub(tail);
    for line in merged(kept, requests).skip(surplus) {
        show(&line)?;
    }
    if args.follow {
        follow(ask(home, args, last, true)?, access, show)?;
    }
    Ok(())
}

/// The services whose requests are wanted, none for all; `None`: no requests are wanted.
fn requests_of(sources: &[String]) -> Option<Vec<String>> {
    if sources.is_empty() || sources.iter().any(|source| source == "proxy") {
        return Some(Vec::new());
    }
    let services = sources.iter().filter_map(|source| service_of(source));
    let services: Vec<_> = services.map(str::to_owned).collect();
    (!services.is_empty()).then_some(services)
}

/// Asks the supervisor for its lines: the latest, or all after the one numbered `after`.
fn ask(home: &Home, args: &Args, after: Option<u64>, follow: bool) -> anyhow::Result<Stream<LogLine>> {
    let query = LogQuery {
        sources: args.sources.clone(),
        tail: if after.is_some() { u32::MAX } else { args.tail },
        after,
        follow,
    };
    match home.supervisor().logs(query) {
        Err(ClientError::Absent { .. }) => anyhow::bail!(down::NOT_RUNNING),
        other => Ok(other?),
    }
}

/// The next request, if they are wanted.
fn next(access: &mut Option<Reader>) -> io::Result<Option<LogLine>> {
    access.as_mut().map_or(Ok(None), Reader::next_line)
}

/// Both in order of time, each in its own order.
fn merged(mut kept: VecDeque<LogLine>, mut requests: VecDeque<LogLine>) -> impl Iterator<Item = LogLine> {
    std::iter::from_fn(move || match (kept.front(), requests.front()) {
        (Some(line), Some(request)) if request.at < line.at => requests.pop_front(),
        (None, _) => requests.pop_front(),
        _ => kept.pop_front(),
    })
}

/// Shows both as they come, until the supervisor ends.
fn follow(
    lines: Stream<LogLine>,
    mut access: Option<Reader>,
    show: &mut impl FnMut(&LogLine) -> io::Result<()>,
) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let hand_over = move || lines.into_iter().try_for_each(|line| sender.send(line).ok());
    Tasks::thread("log-lines", hand_over)?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(line) => show(&line?)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Some(line) = next(&mut access)? {
            show(&line)?;
        }
    }
}

fn write(out: &mut impl Write, line: &LogLine, json: bool) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, line)?;
        return writeln!(out);
    }
    let time = line.at.to_string();
    let time = time.get(11..23).unwrap_or_default();
    let style = if line.level.as_deref() == Some("error") {
        BAD
    } else {
        anstyle::Style::new()
    };
    let more = if line.continued { "…" } else { "" };
    let text = match role_line::show(line) {
        Some(words) => words,
        None => format!("{style}{}{RESET}", line.text),
    };
    writeln!(out, "{FAINT}{time} {:16}{RESET} {text}{more}", line.source)
}
