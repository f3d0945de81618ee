//! `ondol mesh authority`: what other systems need to believe this one's certificates. Runs without the system.

use crate::home::Home;
use anyhow::Context;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::SystemName;
use ondol_deploy::identities;
use ondol_manifest::OsEnv;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print this system's authority, PEM: the file that other systems name as `authorities` of this peer. It is no secret.
    Authority,
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let Command::Authority = args.command;
    let system: SystemName = ondol_manifest::system_name(&home.root, &OsEnv)?;
    let authority = identities::authority(&home.root, &system, SystemClock.wall());
    let authority = authority.context("DP-020: the authority of this system cannot be made")?;
    if json {
        println!(
            "{}",
            serde_json::json!({ "system": system, "authority": authority.pem() })
        );
    } else {
        print!("{}", authority.pem());
    }
    Ok(ExitCode::SUCCESS)
}
