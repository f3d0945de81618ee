//! The command line: one file per command, this one says what there is.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output, everything else to standard error.

mod admin;
mod apply;
mod cache;
mod changes;
mod check;
mod console;
mod dlq;
mod down;
mod events;
mod explain;
mod init;
mod logs;
mod look;
mod mesh;
mod outboxes;
mod reconcile;
mod role_line;
mod saga;
mod scale;
mod schema;
mod show;
mod status;
mod subscriptions;
mod table;
mod test;
mod up;
mod upgrade;

use crate::home::Home;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The floor that a system of microservices stands on: gateway, mesh, supervisor, sagas and event streams in one program.
#[derive(Parser)]
#[command(name = "ondol", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Work on the system in this folder instead of the current one.
    #[arg(
        short = 'C',
        long = "dir",
        global = true,
        value_name = "FOLDER",
        default_value = ".",
        hide_default_value = true
    )]
    dir: PathBuf,
    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start the system, and look on; Ctrl-C stops it in order.
    Up(up::Args),
    /// Stop the system in order.
    Down,
    /// What runs, how well, and why not.
    Status,
    /// What services, builds and roles wrote.
    Logs(logs::Args),
    /// Replace every instance of a service by a new one, without a failed request.
    Restart(scale::RestartArgs),
    /// Set how many instances a service has, within its manifest's bounds.
    Scale(scale::ScaleArgs),
    /// Look at a folder and write `ondol.yaml` and `service.yaml`, explaining each guess.
    Init(init::Args),
    /// Check the manifests: every error at once, with its place.
    Check,
    /// Say what the manifests would change of what runs.
    Diff(apply::DiffArgs),
    /// Take over the manifests, whole or not at all, without a failed request.
    Apply(apply::ApplyArgs),
    /// Go back to what ran before; the files stay as they are.
    Rollback(apply::RollbackArgs),
    /// Run the controller and the proxy by this program from now on, without a failed request.
    Upgrade(upgrade::Args),
    /// Drop answers of services that the proxy keeps.
    Cache(cache::Args),
    /// Let other systems know this one.
    Mesh(mesh::Args),
    /// Say where a route's values come from.
    Explain(explain::Args),
    /// Say what the gateway would do with a request, from the manifests, without sending it.
    Test(test::Args),
    /// Print the JSON Schema of a manifest file, for editors.
    Schema(schema::Args),
    /// Look at sagas and act on those that are stuck.
    Saga(saga::Args),
    /// Look at topics, at events and at what they led to.
    Events(events::Args),
    /// Look at events that could not be delivered; deliver, edit or skip them.
    Dlq(dlq::Args),
    /// Compare what services say of the same things, as declared.
    Reconcile(reconcile::Args),
    /// Print a link that signs a browser in to the console, once.
    Console,
    /// Print a completion script for a shell.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Run one role: what `up` starts by itself.
    #[command(hide = true, subcommand)]
    Role(crate::roles::Role),
}

/// Reads the arguments and does what they say.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Role(_)) {
        end_with_reader();
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}error:{} {error:#}", show::BAD, show::RESET);
            ExitCode::FAILURE
        }
    }
}

/// Ends quietly when whoever reads the output has enough of it, as in `ondol … | head -1`, with the code of a program that
/// SIGPIPE ended. The signal itself is ignored in Rust, and printing panics instead.
fn end_with_reader() {
    let other = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or_default();
        if words.starts_with("failed printing to stdout: ") && words.contains("Broken pipe") {
            std::process::exit(128 + 13);
        }
        other(panic);
    }));
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let home = || Home::find(&cli.dir);
    match cli.command {
        Command::Up(args) => up::run(&home()?, args, cli.json),
        Command::Down => down::run(&home()?, cli.json),
        Command::Status => status::run(&home()?, cli.json),
        Command::Logs(args) => logs::run(&home()?, args, cli.json),
        Command::Restart(args) => scale::restart(&home()?, args, cli.json),
        Command::Scale(args) => scale::scale(&home()?, args, cli.json),
        Command::Init(args) => init::run(&cli.dir, args, cli.json),
        Command::Check => check::run(&home()?, cli.json),
        Command::Diff(args) => apply::diff(&home()?, args, cli.json),
        Command::Apply(args) => apply::apply(&home()?, args, cli.json),
        Command::Rollback(args) => apply::rollback(&home()?, args, cli.json),
        Command::Upgrade(args) => upgrade::run(&home()?, args, cli.json),
        Command::Cache(args) => cache::run(&home()?, args, cli.json),
        Command::Mesh(args) => mesh::run(&home()?, args, cli.json),
        Command::Explain(args) => explain::run(&home()?, args, cli.json),
        Command::Test(args) => test::run(&home()?, args, cli.json),
        Command::Schema(args) => schema::run(args),
        Command::Saga(args) => saga::run(&home()?, args, cli.json),
        Command::Events(args) => events::run(&home()?, args, cli.json),
        Command::Dlq(args) => dlq::run(&home()?, args, cli.json),
        Command::Reconcile(args) => reconcile::run(&home()?, args, cli.json),
        Command::Console => console::run(&home()?, cli.json),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ondol", &mut script);
            print!("{}", String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Role(role) => role.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
