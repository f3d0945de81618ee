//! `ondol status`: what the controller says; while it is away, what the supervisor knows.

use super::admin::{Admin, Away};
use super::show::{BAD, FAINT, RESET};
use super::{down, look, show, table, upgrade};
use crate::home::Home;
use ondol_core::clock::{Clock, SystemClock, Timestamp};
use ondol_core::wire::proxy::PeerReport;
use ondol_core::wire::supervision::Facts;
use ondol_deploy::status::SystemStatus;
use std::process::ExitCode;

pub(crate) fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let Ok(facts) = home.supervisor().facts() else {
        if json {
            println!("{}", serde_json::json!({ "running": false }));
        } else {
            anstream::eprintln!("{}", down::NOT_RUNNING);
        }
        return Ok(ExitCode::FAILURE);
    };
    match Admin::of(home).and_then(|admin| admin.get::<SystemStatus>("/v1/services")) {
        Ok(status) => {
            if json {
                println!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                show_all(&status);
                show_leaving(&facts);
            }
            Ok(if status.is_up() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Err(error) if error.downcast_ref::<Away>().is_some() => {
            if json {
                println!("{}", serde_json::to_string_pretty(&facts)?);
            } else {
                anstream::eprintln!("{BAD}the controller is away{RESET}; this is what the supervisor knows:");
                show_facts(&facts);
            }
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    }
}

fn show_all(status: &SystemStatus) {
    for line in table::lines(status, look::terminal_width()) {
        anstream::println!("{line}");
    }
    for (name, url) in &status.gateways {
        anstream::println!("{FAINT}gateway {name}{RESET} {url}");
    }
    if let Some(mesh) = &status.mesh {
        anstream::println!("{FAINT}mesh{RESET} {mesh}, for other systems");
    }
    for peer in &status.peers {
        show_peer(peer, SystemClock.wall());
    }
    if let Some(to) = status.configuration.rolled_back_to {
        let revision = status.configuration.revision;
        anstream::println!(
            "{FAINT}configuration{RESET} revision {revision}, rolled back to {to}: not what the files say; `ondol diff` says how they \
             differ, `ondol apply` takes them"
        );
    }
    if let Some(problem) = &status.problem {
        anstream::println!("{BAD}problem:{RESET} {problem}");
    }
    for warning in &status.warnings {
        anstream::println!("{BAD}warning:{RESET} {warning}");
    }
}

/// How connections to another system went last.
fn show_peer(peer: &PeerReport, now: Timestamp) {
    let ago = |at: Timestamp| format!("{} ago", show::age(now.since(at)));
    let reached = peer.reached.map(ago);
    match &peer.failed {
        Some((at, why)) if peer.is_failing() => {
            let before = reached.map_or("never reached".to_owned(), |reached| format!("reached {reached}"));
            anstream::println!(
                "{BAD}peer {}{RESET} not reached {}: {why}; {before}",
                peer.system,
                ago(*at)
            );
        }
        _ => {
            let reached = reached.map_or("not called yet".to_owned(), |reached| format!("reached {reached}"));
            anstream::println!("{FAINT}peer {}{RESET} {reached}", peer.system);
        }
    }
}

/// Proxies that have handed over and not ended yet.
fn show_leaving(facts: &Facts) {
    for fact in facts.roles.iter().filter(|fact| upgrade::is_leaving(fact)) {
        anstream::println!(
            "{FAINT}{}{RESET} ends with the last of what it has begun; it runs by {}",
            fact.id,
            fact.release
        );
    }
}

fn show_facts(facts: &Facts) {
    for fact in facts.roles.iter().chain(&facts.instances) {
        let phase = serde_json::to_value(fact.phase)
            .ok()
            .and_then(|v| v.as_str().map(String::from))
            .unwrap_or_default();
        let reason = fact.reason.clone().unwrap_or_default();
        anstream::println!("{:24} {phase:12} {FAINT}{reason}{RESET}", fact.id.to_string());
    }
}
