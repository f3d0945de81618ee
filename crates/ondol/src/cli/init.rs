//! `ondol init`: looks at a folder, explains each guess, and writes the manifests.

use super::show::{FAINT, GOOD, RESET};
use std::path::Path;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only show what would be written.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(folder: &Path, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let proposal = ondol_manifest::init::init(folder).map_err(|error| anyhow::anyhow!("{}: {error}", error.code()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&proposal.json())?);
    } else {
        anstream::print!("{proposal}");
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    for path in proposal.write()? {
        anstream::eprintln!("{GOOD}wrote{RESET} {}", path.display());
    }
    anstream::eprintln!("{FAINT}next: `ondol check`, then `ondol up`{RESET}");
    Ok(ExitCode::SUCCESS)
}
