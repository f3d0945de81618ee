//! `ondol upgrade`: the controller and the proxy run by another program from now on. No connection is refused and no request
//! fails.
//!
//! The controller first: a proxy leaves a newer controller's snapshots that it cannot read, and serves on by its last one, and the next
//! proxy understands them. What does not come up is put back to the program that it ran by before.
//!
//! Not here: how the proxies hand over (`ondol_supervisor`), services (they run on), the supervisor (it runs until `down`).

use super::admin::Admin;
use super::show::{FAINT, GOOD, RESET};
use crate::home::Home;
use anyhow::{Context, bail};
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::ServiceName;
use ondol_core::wire::supervision::{Facts, HandOver, InstanceFact, Phase};
use ondol_core::wire::supervision_client::SupervisorClient;
use ondol_deploy::status::SystemStatus;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// For the new controller to answer and the new proxy to serve.
const COMES_UP: Duration = Duration::from_secs(60);
/// A controller that ended so often since is not waited for.
const ENDS: u32 = 3;
/// For one answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// This program instead of the one that is running now.
    #[arg(long, value_name = "PROGRAM")]
    to: Option<PathBuf>,
    /// Seconds for what the old proxy has begun, such as WebSockets and streams; what still goes on then is cut.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    drain: u64,
    /// Come back only once the old proxy has ended.
    #[arg(long)]
    wait: bool,
}

pub(crate) fn run(home: &Home, args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let program = match &args.to {
        Some(program) => program
            .canonicalize()
            .with_context(|| format!("looking for {}", program.display()))?,
        None => std::env::current_exe().context("finding this program")?,
    };
    let upgrade = Upgrade {
        home,
        supervisor: home.supervisor(),
        program,
        json,
    };
    let before = upgrade.supervisor.facts();
    let before = before.map_err(|_| anyhow::anyhow!(super::down::NOT_RUNNING))?;
    upgrade.tell(&format!("{FAINT}to {}{RESET}", upgrade.program.display()));
    upgrade.controller(&before)?;
    upgrade.proxy(&before, Duration::from_secs(args.drain))?;
    let leaving = upgrade.leaving()?;
    if args.wait {
        upgrade.wait_for(&leaving)?;
    } else if !leaving.is_empty() {
        upgrade.tell(&format!(
            "{FAINT}the old proxy ends with the last of what it has begun, in {} s at the latest{RESET}",
            args.drain
        ));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&upgrade.supervisor.facts()?.roles)?);
    }
    Ok(ExitCode::SUCCESS)
}

struct Upgrade<'h> {
    home: &'h Home,
    supervisor: SupervisorClient,
    program: PathBuf,
    json: bool,
}

impl Upgrade<'_> {
    fn tell(&self, text: &str) {
        if !self.json {
            anstream::eprintln!("{text}");
        }
    }

    /// Ends the controller and starts it by this program; back to the one before if it does not answer.
    fn controller(&self, before: &Facts) -> anyhow::Result<()> {
        let (role, began) = (role("controller")?, SystemClock.mono());
        self.supervisor.upgrade(&role, &self.program, None)?;
        if self.answers(&role) {
            self.done(&role, "answers", began);
            return Ok(());
        }
        let why = self.reason(&role);
        let back = self.put_back(&role, before)?;
        bail!(
            "CL-005: the controller does not answer by {}: {why}; it runs by {} again, `ondol logs controller` has its words",
            self.program.display(),
            back.display()
        )
    }

    /// Starts a proxy by this program, which takes over; back to the controller from before if it does not come to serve.
    fn proxy(&self, before: &Facts, drain: Duration) -> anyhow::Result<()> {
        let (role, began) = (role("proxy")?, SystemClock.mono());
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let how = HandOver {
            serve_within_ms: millis(COMES_UP),
            drain_ms: millis(drain),
        };
        let Err(error) = self.supervisor.upgrade(&role, &self.program, Some(how)) else {
            self.done(&role, "serves", began);
            return Ok(());
        };
        let back = self.put_back(&self::role("controller")?, before)?;
        bail!(
            "CL-005: {error}; the proxy from before serves on, and the controller runs by {} again; `ondol logs proxy` has its words",
            back.display()
        )
    }

    fn done(&self, role: &ServiceName, does: &str, began: Duration) {
        let took = SystemClock.mono().saturating_sub(began).as_secs_f64();
        self.tell(&format!("{GOOD}{role}{RESET} {does} after {took:.1} s"));
    }

    /// Whether the controller comes to answer.
    fn answers(&self, role: &ServiceName) -> bool {
        let restarts = || self.fact(role).map_or(0, |fact| fact.restarts);
        let (end, first) = (SystemClock.mono() + COMES_UP, restarts());
        loop {
            let asked = Admin::of(self.home).map(|admin| admin.within(ANSWER));
            let asked = asked.and_then(|admin| admin.get::<SystemStatus>("/v1/services"));
            if asked.is_ok() || SystemClock.mono() >= end || restarts() >= first + ENDS {
                return asked.is_ok();
            }
            std::thread::sleep(LOOK);
        }
    }

    fn fact(&self, role: &ServiceName) -> Option<InstanceFact> {
        let roles = self.supervisor.facts().ok()?.roles;
        roles.into_iter().find(|fact| &fact.id.service == role)
    }

    fn reason(&self, role: &ServiceName) -> String {
        let reason = self.fact(role).and_then(|fact| fact.reason);
        reason.unwrap_or_else(|| "it runs and says nothing".into())
    }

    fn put_back(&self, role: &ServiceName, before: &Facts) -> anyhow::Result<PathBuf> {
        let was = before.roles.iter().find(|fact| &fact.id.service == role);
        let program = Path::new(&was.context("there was no such role")?.release).to_owned();
        self.supervisor.upgrade(role, &program, None)?;
        Ok(program)
    }

    /// Roles that have begun to end.
    fn leaving(&self) -> anyhow::Result<Vec<InstanceFact>> {
        let roles = self.supervisor.facts()?.roles.into_iter();
        Ok(roles.filter(|fact| fact.phase == Phase::Stopping).collect())
    }

    fn wait_for(&self, leaving: &[InstanceFact]) -> anyhow::Result<()> {
        for facts in self.supervisor.watch()? {
            let facts = facts?;
            let lives = |fact: &InstanceFact| facts.roles.iter().any(|now| now.start == fact.start);
            if !leaving.iter().any(lives) {
                self.tell(&format!("{GOOD}the old proxy has ended{RESET}"));
                return Ok(());
            }
        }
        bail!("the supervisor ended meanwhile")
    }
}

fn role(name: &str) -> anyhow::Result<ServiceName> {
    Ok(name.parse()?)
}
