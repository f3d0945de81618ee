//! `ondol up`: checks the manifests, starts the supervisor in a session of its own, and looks on.
//!
//! If the onlooker dies, the system goes on; Ctrl-C stops everything in order. If the system runs already, it only looks
//! on, and Ctrl-C ends the looking.

use super::admin::Admin;
use super::show::{self, BAD, BUSY, FAINT, GOOD, RESET};
use super::{check, console, down, look};
use crate::home::Home;
use anyhow::{Context, bail};
use ondol_core::clock::{Clock, SystemClock};
use ondol_deploy::config::SystemPlan;
use ondol_deploy::status::{ServiceState, SystemStatus};
use ondol_deploy::watch::unseen;
use std::fs::File;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these services and what they require; none: all.
    services: Vec<ondol_core::id::ServiceName>,
    /// Come back when everything is ready; the system goes on.
    #[arg(short, long)]
    detach: bool,
    /// Rebuild and replace what changes.
    #[arg(short, long)]
    watch: bool,
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    if home.supervisor().facts().is_ok() {
        if !json {
            anstream::eprintln!("{FAINT}this system runs already; looking on{RESET}");
        }
        let manner = look::Manner {
            detach: args.detach,
            json,
            owns: false,
        };
        return look::on(home, manner);
    }
    let loaded = match check::load(home, json)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    if !json {
        check::warn(&loaded);
    }
    for service in &args.services {
        if !loaded
            .lower()
            .plan
            .services
            .iter()
            .any(|known| &known.service == service)
        {
            bail!(
                "there is no service {service} in {}",
                home.root.join("ondol.yaml").display()
            );
        }
    }
    if args.watch && !json {
        tell_unseen(&loaded.lower().plan);
    }
    home.prepare()?;
    start(home, &args)?;
    let manner = look::Manner {
        detach: args.detach,
        json,
        owns: !args.detach,
    };
    if !args.detach && !json {
        anstream::eprintln!("{FAINT}starting; {}{RESET}", manner.of_interrupt());
    }
    look::on(home, manner)
}

/// What `--watch` cannot see must not look as if nothing had changed.
fn tell_unseen(plan: &SystemPlan) {
    let names: Vec<_> = unseen(plan).map(|service| service.service.as_str()).collect();
    if !names.is_empty() {
        anstream::eprintln!(
            "{BUSY}not watched:{RESET} the sources of {}, since Ondol knows no project file there; name them in service.yaml, such as \
             `inputs: [src/**]`",
            names.join(", ")
        );
    }
}

/// Starts a supervisor and waits until it answers.
fn start(home: &Home, args: &Args) -> anyhow::Result<()> {
    // An earlier life's: whoever holds that port now must not be asked, since the token goes with the question.
    let _ = std::fs::remove_file(home.run().join("console"));
    let output = home.state().join("supervisor.out");
    let file = File::create(&output).with_context(|| format!("writing {}", output.display()))?;
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(["role", "supervisor", "--root"]).arg(&home.root);
    if args.watch {
        command.arg("--watch");
    }
    for service in &args.services {
        command.args(["--only", service.as_str()]);
    }
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().context("starting the supervisor")?;
    wait_for(home, &mut child).map_err(|error| {
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        anyhow::anyhow!("{error}\n{}", said.trim_end())
    })
}

fn wait_for(home: &Home, child: &mut Child) -> anyhow::Result<()> {
    let patience = SystemClock.mono() + Duration::from_secs(30);
    while SystemClock.mono() < patience {
        if home.supervisor().facts().is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the supervisor ended at once ({status}); it said:");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("the supervisor does not answer after 30 s; it said:")
}

/// Ctrl-C: stops everything in order.
pub(crate) fn interrupted(home: &Home) -> anyhow::Result<ExitCode> {
    anstream::eprintln!("{FAINT}stopping; once more Ctrl-C leaves it to the supervisor{RESET}");
    down::stop(home, true)?;
    Ok(ExitCode::SUCCESS)
}

/// What `up` says when all is ready.
pub(crate) fn greet(status: &SystemStatus, admin: Option<&Admin>, took: Duration) {
    let ready = status
        .services
        .iter()
        .filter(|s| s.state == ServiceState::Ready)
        .count();
    anstream::eprintln!(
        "{GOOD}{} is up{RESET}: {} ready after {:.1} s",
        status.system,
        show::count(ready, "service"),
        took.as_secs_f64()
    );
    for (name, url) in &status.gateways {
        anstream::eprintln!("  gateway {name:10} {url}");
    }
    if let Some(mesh) = &status.mesh {
        anstream::eprintln!("  mesh               {mesh}  {FAINT}(for other systems){RESET}");
    }
    if let Some(admin) = admin {
        let address = admin.address();
        anstream::eprintln!("  admin API          http://{address}  {FAINT}(token in .ondol/token){RESET}");
        // A controller that goes just now can be asked again by `ondol console`.
        if let Ok(link) = console::link(admin) {
            anstream::eprintln!("  console            {}  {FAINT}(signs in once){RESET}", link.url);
        }
    }
    for service in status.services.iter().filter(|s| s.state == ServiceState::Skipped) {
        let why = service.reason.as_deref().unwrap_or_default();
        anstream::eprintln!("  {FAINT}skipped{RESET} {}: {why}", service.service);
    }
}

/// What `up` says when something cannot become ready; `owns`: it stops what it started.
pub(crate) fn lament(status: &SystemStatus, owns: bool) {
    for service in status.services.iter().filter(|service| look::is_broken(service)) {
        let why = service.reason.as_deref().unwrap_or("no reason known");
        anstream::eprintln!("{BAD}{}{RESET}: {why}", service.service);
        if !service.instances.is_empty() {
            anstream::eprintln!("  {FAINT}ondol logs {}{RESET}", service.service);
        }
    }
    if let Some(problem) = &status.problem {
        anstream::eprintln!("{BAD}problem:{RESET} {problem}");
    }
    if status.services.iter().any(|s| s.state == ServiceState::BuildFailed) {
        let next = match (status.watch, owns) {
            (true, _) => "what failed is built again when its inputs or the manifests change",
            (false, true) => "what failed is built again by the next start: mend it, then `ondol up`",
            (false, false) => "what failed is built again by the next start: mend it, then `ondol down` and `ondol up`",
        };
        anstream::eprintln!("{FAINT}{next}{RESET}");
    }
}
