//! The project's own commands: `cargo xtask up`, `cargo xtask test`, and what those are made of.
//!
//! It imports no room; it runs programs. Each command is one file.

mod bench;
mod console;
mod docs;
mod fuzz;
mod install;
mod judges;
mod sh;
mod test;
mod tidy;
mod up;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Builds, runs, tests and measures this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is needed and run the shop on Ondol.
    Up {
        /// Passed on to `ondol up`, such as --detach or --watch.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what tests need and run them; `--long` adds the runs that take hours.
    Test {
        /// The long runs too.
        #[arg(long)]
        long: bool,
    },
    /// What continuous integration runs: the same as `test`.
    Ci,
    /// Check what compilers do not: imports between rooms, module heads, error pages, paths in docs, banned crates.
    Tidy,
    /// Measure: without a name, say what there is.
    Bench {
        /// Which measurement.
        name: Option<String>,
        /// Passed on to it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Kill everything at random under load, then check the shop's laws.
    Torture {
        /// Passed on: --short, --kills N, --postgres, --seed N.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Customers at a steady rate against a running shop, with a live table and an audit at the end.
    Load {
        /// Passed on: --rate N, --seconds N.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Cut the power under the store at random points of a file layer that forgets what was not synced.
    Powercut {
        /// How many cuts.
        #[arg(long, default_value_t = 1_000)]
        rounds: u32,
    },
    /// Feed the data plane's parsers with hostile bytes: one target of fuzz/fuzz_targets, or all.
    Fuzz {
        /// Which target.
        target: Option<String>,
        /// How long for each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Run the commands of the guides with a system of their own; with `--gateway` those of `docs/getting-started.md` first.
    #[command(hide = true)]
    DocsWalk {
        /// The gateway of a shop that is up.
        #[arg(long)]
        gateway: Option<String>,
        /// The folder of its `ondol.yaml`; without it the shop's own.
        #[arg(long)]
        system: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up { args } => up::run(&args),
        Command::Test { long } => test::run(long),
        Command::Ci => test::run(false),
        Command::Tidy => tidy::run(),
        Command::Bench { name, args } => bench::run(name.as_deref(), &args),
        Command::Torture { args } => bench::tool("torture", &args),
        Command::Load { args } => bench::tool("load", &args),
        Command::Powercut { rounds } => test::powercut(rounds),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::DocsWalk { gateway, system } => {
            let system = system.unwrap_or_else(|| sh::root().join("shop"));
            gateway
                .map_or(Ok(()), |gateway| docs::run_walk(&gateway, &up::ondol(), &system))
                .and_then(|()| docs::run_guides(&up::ondol()))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
