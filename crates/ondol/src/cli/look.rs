//! Looking on while a system starts and runs: a live table on a terminal, a line per change elsewhere.

use super::admin::Admin;
use super::show::{self, BAD, FAINT, RESET};
use super::{down, role_line, table, up};
use crate::home::Home;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::ServiceName;
use ondol_core::wire::supervision::Exit;
use ondol_core::wire::supervision_client::LogQuery;
use ondol_deploy::status::{ServiceState, ServiceStatus, SystemStatus};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);

/// How to look on.
pub(crate) struct Manner {
    /// Come back when all is ready, or something cannot become so.
    pub(crate) detach: bool,
    /// Print the last status as JSON, nothing else.
    pub(crate) json: bool,
    /// This command started the system: Ctrl-C stops it, and so does a start that cannot come to an end.
    pub(crate) owns: bool,
}

impl Manner {
    /// What Ctrl-C does, for people.
    pub(crate) fn of_interrupt(&self) -> &'static str {
        if self.owns {
            "Ctrl-C stops everything in order"
        } else {
            "Ctrl-C ends the looking on; the system goes on until `ondol down`"
        }
    }
}

/// Looks on until told otherwise.
pub(crate) fn on(home: &Home, manner: Manner) -> anyhow::Result<ExitCode> {
    let interrupts = interrupts()?;
    let began = SystemClock.mono();
    let (mut view, mut greeted, mut admin) = (View::new(&manner), false, None);
    loop {
        if interrupts.load(Ordering::Relaxed) > 0 {
            view.end();
            return match manner {
                Manner { owns: true, .. } => up::interrupted(home),
                // Whoever waits for "everything is ready" has not heard it.
                Manner { detach: true, .. } => Ok(ExitCode::FAILURE),
                _ => Ok(ExitCode::SUCCESS),
            };
        }
        if home.supervisor().facts().is_err() {
            view.end();
            anstream::eprintln!("the system has stopped");
            return Ok(if manner.detach {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        if admin.is_none() {
            admin = Admin::of(home).ok();
        }
        let status = admin
            .as_ref()
            .and_then(|admin| admin.get::<SystemStatus>("/v1/services").ok());
        let Some(status) = status else {
            // The controller is starting, or starting again: the address may have changed with it.
            admin = None;
            let trouble = Trouble::of(home);
            view.away(trouble.as_ref());
            if manner.detach && trouble.is_some_and(|trouble| trouble.ended) {
                view.end();
                anstream::eprintln!("{FAINT}it is tried again and again; `ondol down` ends that{RESET}");
                if manner.json {
                    println!("{}", serde_json::json!({ "running": true, "controller": false }));
                }
                return Ok(ExitCode::FAILURE);
            }
            std::thread::sleep(LOOK);
            continue;
        };
        view.show(&status);
        if status.is_up() && !greeted {
            greeted = true;
            if !manner.json {
                view.end();
                up::greet(&status, admin.as_ref(), SystemClock.mono() - began);
                if !manner.detach {
                    anstream::eprintln!("{FAINT}{}{RESET}", manner.of_interrupt());
                }
            }
        }
        let over = if manner.detach {
            is_stuck(&status)
        } else {
            is_hopeless(&status)
        };
        if !greeted && over || greeted && manner.detach {
            view.end();
            if manner.json {
                println!("{}", serde_json::to_string_pretty(&status)?);
            } else if !greeted {
                up::lament(&status, manner.owns);
            }
            if !greeted && manner.owns {
                down::stop(home, !manner.json)?;
            }
            return Ok(if greeted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether a service will not become ready by waiting.
pub(crate) fn is_broken(service: &ServiceStatus) -> bool {
    use ondol_core::wire::supervision::Phase;
    let hopeless = |phase| matches!(phase, Phase::CrashLoop | Phase::Failed);
    match service.state {
        ServiceState::BuildFailed | ServiceState::Blocked => true,
        ServiceState::Failing => service.instances.is_empty() || service.instances.iter().all(|f| hopeless(f.phase)),
        _ => false,
    }
}

fn is_stuck(status: &SystemStatus) -> bool {
    let settled = |s: &ServiceStatus| {
        matches!(
            s.state,
            ServiceState::Ready | ServiceState::Skipped | ServiceState::Stopped
        ) || is_broken(s)
    };
    status.problem.is_some() || (status.services.iter().all(settled) && status.services.iter().any(is_broken))
}

/// Whether nothing that goes on can bring what is missing: a build failed, and none will follow. Crashes may pass, and so
/// may a taken port.
fn is_hopeless(status: &SystemStatus) -> bool {
    let failed = |s: &ServiceStatus| s.state == ServiceState::BuildFailed;
    !status.watch && status.problem.is_none() && is_stuck(status) && status.services.iter().any(failed)
}

/// Counts SIGINT and SIGTERM on a thread of its own; the second ends this process at once.
fn interrupts() -> anyhow::Result<Arc<AtomicU8>> {
    let count = Arc::new(AtomicU8::new(0));
    let seen = count.clone();
    ondol_core::task::Tasks::thread("signals", move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
                return;
            };
            loop {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                if seen.fetch_add(1, Ordering::Relaxed) > 0 {
                    std::process::exit(1);
                }
            }
        });
    })?;
    Ok(count)
}

/// What fits the screen, since what scrolled off cannot be drawn over. The rest is counted.
fn fitting(mut lines: Vec<String>, height: usize) -> Vec<String> {
    // The cursor's own line stays free.
    let room = height.saturating_sub(1).max(2);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("{FAINT}… {more} more lines: `ondol status`{RESET}"));
    }
    lines
}

fn terminal_height() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_row > 0 => size.ws_row as usize,
        _ => usize::MAX,
    }
}

/// The terminal's width; 100 where there is none.
pub(crate) fn terminal_width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col as usize,
        _ => 100,
    }
}

/// Why the controller does not answer.
struct Trouble {
    why: String,
    /// It ended by itself, and will again.
    ended: bool,
}

impl Trouble {
    /// What the supervisor knows of it, or else the last error that this life of it wrote.
    fn of(home: &Home) -> Option<Self> {
        let roles = home.supervisor().facts().ok()?.roles;
        let controller = roles
            .into_iter()
            .find(|role| role.id.service.as_str() == "controller")?;
        if let Some(why) = controller.reason {
            let ended = matches!(controller.last_exit, Some(Exit::Code(_)));
            return Some(Self { why, ended });
        }
        let query = LogQuery {
            sources: vec!["controller".into()],
            tail: 20,
            ..LogQuery::default()
        };
        let lines = home.supervisor().logs(query).ok()?.filter_map(Result::ok);
        let of_this_life = lines.filter(|line| controller.started_at.is_some_and(|start| line.at >= start));
        let last = of_this_life
            .filter(|line| line.level.as_deref() == Some("error"))
            .last()?;
        Some(Self {
            why: role_line::words(&last.text),
            ended: false,
        })
    }
}

/// What is on the screen.
struct View {
    live: bool,
    quiet: bool,
    /// Lines drawn last, to be drawn over.
    drawn: usize,
    last: BTreeMap<ServiceName, String>,
    problem: Option<String>,
}

impl View {
    fn new(manner: &Manner) -> Self {
        let live = std::io::stderr().is_terminal();
        Self {
            live,
            quiet: manner.json,
            drawn: 0,
            last: BTreeMap::new(),
            problem: None,
        }
    }

    fn show(&mut self, status: &SystemStatus) {
        match (self.quiet, self.live) {
            (true, _) => {}
            (_, true) => self.redraw(status),
            _ => self.changes(status),
        }
    }

    fn redraw(&mut self, status: &SystemStatus) {
        let mut lines = table::lines(status, terminal_width());
        if let Some(problem) = &status.problem {
            lines.extend(show::wrap(&format!("{BAD}problem:{RESET} {problem}"), terminal_width()));
        }
        self.draw(&fitting(lines, terminal_height()));
    }

    fn draw(&mut self, lines: &[String]) {
        let mut out = anstream::stderr().lock();
        // A lost terminal must not stop the looking on.
        let _ = if self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)
        } else {
            Ok(())
        };
        for line in lines {
            let _ = writeln!(out, "\r\x1b[2K{line}");
        }
        let _ = write!(out, "\x1b[0J");
        let _ = out.flush();
        self.drawn = lines.len();
    }

    fn changes(&mut self, status: &SystemStatus) {
        for service in &status.services {
            let word = show::word(service.state);
            let why = service
                .reason
                .as_deref()
                .map(|why| format!(": {}", show::cut(why, 160)))
                .unwrap_or_default();
            // A build's every line is for the live view; here only its start and end.
            let line = if service.state == ServiceState::Building {
                word
            } else {
                format!("{word}{why}")
            };
            if self.last.get(&service.service) != Some(&line) {
                anstream::eprintln!("{} {}{line}{RESET}", service.service, show::style(service.state));
                self.last.insert(service.service.clone(), line);
            }
        }
        if status.problem != self.problem {
            if let Some(problem) = &status.problem {
                anstream::eprintln!("{BAD}problem:{RESET} {problem}");
            }
            self.problem.clone_from(&status.problem);
        }
    }

    fn away(&mut self, trouble: Option<&Trouble>) {
        let (Some(Trouble { why, .. }), false) = (trouble, self.quiet) else {
            return;
        };
        let line = format!("{BAD}the controller does not answer:{RESET} {why}");
        if self.live {
            self.draw(&show::wrap(&line, terminal_width()));
        } else if self.problem.as_ref() != Some(why) {
            anstream::eprintln!("{line}");
            self.problem = Some(why.clone());
        }
    }

    /// Leaves what is drawn as it is.
    fn end(&mut self) {
        self.drawn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_longer_than_the_screen_is_cut_and_says_so() {
        let lines: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(fitting(lines.clone(), 11), lines);
        let cut = fitting(lines, 6);
        assert_eq!(cut.len(), 5);
        assert!(cut[4].contains("6 more lines"), "{cut:?}");
    }

    fn service(name: &str, state: ServiceState) -> ServiceStatus {
        ServiceStatus {
            service: name.parse().expect("valid"),
            state,
            reason: None,
            release: None,
            wanted: 1,
            ready: 0,
            instances: vec![],
            build: None,
            depends_on: vec![],
            team: None,
            about: None,
        }
    }

    #[test]
    fn a_start_is_over_when_a_build_failed_and_nothing_else_goes_on() {
        use ServiceState::{Blocked, BuildFailed, Building, Failing, Ready, Starting, Waiting};
        let cases = [
            (vec![BuildFailed, Blocked, Ready], true),
            (vec![BuildFailed, Starting], false),
            (vec![BuildFailed, Building], false),
            (vec![BuildFailed, Waiting], false),
            // It may get over it.
            (vec![Failing, Ready], false),
            (vec![Ready, Ready], false),
        ];
        for (states, over) in cases {
            let services = states.iter().map(|state| service("a", *state)).collect();
            let mut status = SystemStatus {
                services,
                ..SystemStatus::default()
            };
            assert_eq!(is_hopeless(&status), over, "{states:?}");
            status.watch = true;
            assert!(!is_hopeless(&status), "a change may mend it");
        }
    }
}
