//! `ondol logs`: lines that the supervisor kept, from services, builds and roles.

use super::down;
use super::show::{BAD, FAINT, RESET};
use crate::home::Home;
use ondol_core::wire::supervision::LogLine;
use ondol_core::wire::supervision_client::{ClientError, LogQuery};
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Services, instances (`orders.1`), builds (`build/rust`), `proxy` or `controller`; none: everything.
    sources: Vec<String>,
    /// Go on with new lines as they come.
    #[arg(short, long)]
    follow: bool,
    /// Start with at most so many kept lines.
    #[arg(short = 'n', long, default_value_t = 200, value_name = "LINES")]
    tail: u32,
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let asked = args.sources.join(", ");
    let query = LogQuery {
        sources: args.sources,
        tail: args.tail,
        after: None,
        follow: args.follow,
    };
    let lines = match home.supervisor().logs(query) {
        Err(ClientError::Absent { .. }) => anyhow::bail!(down::NOT_RUNNING),
        other => other?,
    };
    let mut out = anstream::stdout().lock();
    let mut silent = true;
    for line in lines {
        silent = false;
        match write(&mut out, &line?, json) {
            // Whoever read along, such as `head`, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other?,
        }
    }
    if silent && !asked.is_empty() {
        anstream::eprintln!("{FAINT}nothing is kept of {asked}; `ondol status` says what there is{RESET}");
    }
    Ok(ExitCode::SUCCESS)
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
    writeln!(
        out,
        "{FAINT}{time} {:16}{RESET} {style}{}{RESET}{more}",
        line.source, line.text
    )
}
