//! `ondol mesh authority`: what other systems need to believe this one's certificates. Runs without the system.

use crate::home::Home;
use anyhow::Context;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::SystemName;
use ondol_deploy::identities;
use ondol_discovery::authority::{Authority, AuthorityError};
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
    Authority {
        /// Make the next authority, once, and print both: peers that have both believe this system before the switch and after it.
        #[arg(long)]
        next: bool,
        /// Put the next authority in the place of the present one, and print it. Certificates are made anew by it at once. Do so when
        /// all peers have both.
        #[arg(long, conflicts_with = "next")]
        switch: bool,
    },
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let Command::Authority { next, switch } = args.command;
    let domain: SystemName = ondol_manifest::system_name(&home.root, &OsEnv)?;
    let now = SystemClock.wall();
    let folder = identities::made_folder(&home.root).context("DP-020: the authority of this system cannot be made")?;
    let present = match switch {
        true => Authority::switch(&folder, &domain, now).map_err(|error| {
            let what = match error {
                AuthorityError::Unsynced { .. } => "DP-020: the authority is switched",
                _ => "DP-020: the authority stays as it is",
            };
            anyhow::Error::new(error).context(what)
        })?,
        false => {
            Authority::open(&folder, &domain, now).context("DP-020: the authority of this system cannot be made")?
        }
    };
    let next = next.then(|| Authority::open_next(&folder, &domain, now));
    let next = next.transpose().context("DP-020: the next authority cannot be made")?;
    if json {
        let mut told =
            serde_json::json!({ "system": domain, "authority": present.pem(), "ends": present.ends().to_string() });
        if let Some(next) = &next {
            told["next"] = next.pem().into();
        }
        println!("{told}");
    } else {
        print!("{}{}", present.pem(), next.as_ref().map_or("", Authority::pem));
    }
    Ok(ExitCode::SUCCESS)
}
