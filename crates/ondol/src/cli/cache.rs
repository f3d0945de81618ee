//! `ondol cache purge`: kept answers of services go, in every proxy.

use super::admin::Admin;
use super::show;
use crate::home::Home;
use http::Method;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::Purge;
use serde::Deserialize;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Drop kept answers, and say how many have gone. Without an option: all of them.
    Purge {
        /// Only those of this service.
        #[arg(long, value_name = "SERVICE")]
        service: Option<ServiceName>,
        /// Only those of this path, whatever the query, or with `/*` at its end of all paths below it; as the service gets it.
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
    },
}

#[derive(Deserialize)]
struct Told {
    dropped: u64,
}

pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let Command::Purge { service, path } = args.command;
    let purge = serde_json::to_value(Purge { service, path })?;
    let told: Value = Admin::of(home)?.ask(Method::POST, "/v1/cache/purge", Some(purge))?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        let told: Told = serde_json::from_value(told)?;
        let count = usize::try_from(told.dropped).unwrap_or(usize::MAX);
        println!("{} dropped", show::count(count, "kept answer"));
    }
    Ok(ExitCode::SUCCESS)
}
