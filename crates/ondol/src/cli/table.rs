//! The table of services, for `status` and the live view of `up`.

use super::show::{self, BOLD, FAINT, RESET};
use ondol_core::clock::{Clock, SystemClock};
use ondol_deploy::status::{ServiceStatus, SystemStatus};
use std::fmt::Write;

/// Lines of the table, each at most `width` characters wide but for colour.
pub(crate) fn lines(status: &SystemStatus, width: usize) -> Vec<String> {
    let name_width = status
        .services
        .iter()
        .map(|s| s.service.as_str().len())
        .max()
        .unwrap_or(0)
        .max(7);
    let head = format!(
        "{:name_width$}  {:12} {:>5} {:>8} {:>8}  {}",
        "SERVICE", "STATE", "READY", "RESTARTS", "AGE", ""
    );
    let mut out = vec![format!("{BOLD}{}{RESET}", head.trim_end())];
    out.extend(status.services.iter().map(|service| line(service, name_width, width)));
    out
}

fn line(service: &ServiceStatus, name_width: usize, width: usize) -> String {
    let restarts: u32 = service.instances.iter().map(|fact| fact.restarts).sum();
    let started = service.instances.iter().filter_map(|fact| fact.started_at).max();
    let age = started
        .map(|at| show::age(SystemClock.wall().since(at)))
        .unwrap_or_default();
    let mut line = String::new();
    let (style, word) = (show::style(service.state), show::word(service.state));
    let count = if service.wanted == 0 {
        String::new()
    } else {
        format!("{}/{}", service.ready, service.wanted)
    };
    let _ = write!(
        line,
        "{:name_width$}  {style}{word:12}{RESET} {count:>5} {restarts:>8} {age:>8}",
        service.service
    );
    if let Some(reason) = &service.reason {
        // Beside the other columns; a wrapped line could not be drawn over.
        let room = width.saturating_sub(name_width + 42);
        if room >= 8 {
            let _ = write!(line, "  {FAINT}{}{RESET}", show::cut(reason, room));
        }
    }
    line
}
