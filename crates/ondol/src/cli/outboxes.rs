//! `ondol events outboxes`: whose rows become events, and how far each is.

use super::admin::Admin;
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use serde_json::Value;
use std::process::ExitCode;

pub(super) fn list(admin: &Admin, as_json: bool) -> anyhow::Result<ExitCode> {
    let answer: Value = admin.get("/v1/outboxes")?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let all = answer["outboxes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        anstream::eprintln!("no outboxes; a service with a table `ondol_outbox` says `outbox: true`");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!(
        "{BOLD}{:28} {:10} {:>10} {:>9} {:>9}{RESET}",
        "OUTBOX",
        "STATE",
        "RELAYED",
        "PENDING",
        "POISONED"
    );
    for one in all {
        let state = one["state"].as_str().unwrap_or_default();
        let style = match state {
            "running" => GOOD,
            "waiting" => BUSY,
            _ => BAD,
        };
        // Unknown while the database does not answer.
        let pending = one["pending"]
            .as_u64()
            .map_or("?".to_owned(), |pending| pending.to_string());
        anstream::println!(
            "{:28} {style}{state:10}{RESET} {:>10} {pending:>9} {:>9}",
            format!("{}.outbox", one["service"].as_str().unwrap_or_default()),
            one["relayed"],
            one["poisoned"]
        );
        if let Some(reason) = one["reason"].as_str() {
            anstream::println!("{:28} {FAINT}{}{RESET}", "", show::cut(reason, 90));
        }
    }
    Ok(ExitCode::SUCCESS)
}
