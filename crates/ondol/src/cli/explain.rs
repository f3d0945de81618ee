//! `ondol explain route NAME`: each effective value with the file and line it came from.

use super::check;
use crate::home::Home;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A gateway route.
    Route {
        /// Its name; `ondol explain route ?` lists them all.
        name: String,
    },
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let What::Route { name } = args.what;
    let loaded = match check::load(home, json)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    if name == "?" {
        for route in loaded.lower().plan.services.iter().flat_map(|service| &service.routes) {
            println!("{}", route.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let explanation =
        ondol_manifest::explain_route(&loaded, &name).map_err(|error| anyhow::anyhow!("{}: {error}", error.code()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&explanation.json())?);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{explanation}");
    Ok(ExitCode::SUCCESS)
}
