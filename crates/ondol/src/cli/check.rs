//! `ondol check`: every error of the manifests at once.

use super::show::{self, GOOD, RESET};
use crate::home::Home;
use ondol_manifest::{Loaded, OsEnv};
use std::io::IsTerminal;
use std::process::ExitCode;

pub(crate) fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let loaded = match load(home, json)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    if !json {
        warn(&loaded);
    }
    let lowered = loaded.lower();
    let routes: usize = lowered.plan.services.iter().map(|service| service.routes.len()).sum();
    if json {
        println!("{}", loaded.warnings.json());
    } else {
        let (services, sagas) = (lowered.plan.services.len(), lowered.sagas.len());
        anstream::println!(
            "{GOOD}ok{RESET}: {}, {}, {}",
            show::count(services, "service"),
            show::count(routes, "route"),
            show::count(sagas, "saga")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what is taken, but should be otherwise.
pub(crate) fn warn(loaded: &Loaded) {
    if !loaded.warnings.is_empty() {
        anstream::eprint!("{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
}

/// Loads the manifests, or prints all errors and gives the exit code.
pub(crate) fn load(home: &Home, json: bool) -> anyhow::Result<Result<Loaded, ExitCode>> {
    let colour = std::io::stderr().is_terminal();
    match ondol_manifest::load(&home.root, &OsEnv) {
        Ok(loaded) => Ok(Ok(loaded)),
        Err(diagnostics) => {
            if json {
                println!("{}", diagnostics.json());
            } else {
                anstream::eprint!("{}", diagnostics.render(colour));
            }
            Ok(Err(ExitCode::FAILURE))
        }
    }
}
