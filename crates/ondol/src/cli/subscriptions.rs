//! `ondol events subscriptions`: who gets which events, and how far each is; `pause`, `resume` and `reset` of one.

use super::admin::{Admin, segment};
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use http::Method;
use serde_json::Value;
use std::process::ExitCode;

/// What is done to one.
#[derive(clap::Args)]
pub(super) struct Act {
    /// Such as points.orders.
    subscription: String,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
}

impl Act {
    /// `action` is the API's body without the reason.
    pub(super) fn run(self, admin: &Admin, mut action: Value, as_json: bool) -> anyhow::Result<ExitCode> {
        let path = format!("/v1/subscriptions/{}/actions", segment(&self.subscription));
        action["reason"] = self.reason.into();
        let now: Value = admin.ask(Method::POST, &path, Some(action))?;
        if as_json {
            println!("{}", serde_json::to_string_pretty(&now)?);
        } else {
            let state = now["state"].as_str().unwrap_or_default();
            anstream::println!(
                "{GOOD}done{RESET}: {} is {state} at position {} of {}",
                self.subscription,
                now["position"],
                now["head"]
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn list(admin: &Admin, as_json: bool) -> anyhow::Result<ExitCode> {
    let answer: Value = admin.get("/v1/subscriptions")?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let all = answer["subscriptions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if all.is_empty() {
        anstream::eprintln!("no subscriptions; a service names the events that it wants in `events.subscribes`");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!(
        "{BOLD}{:28} {:14} {:>9} {:>8} {:>9} {:>7} {:>10}  TYPES{RESET}",
        "SUBSCRIPTION",
        "STATE",
        "LAG",
        "FLYING",
        "RETRYING",
        "PARKED",
        "DELIVERED"
    );
    for one in all {
        let state = one["state"].as_str().unwrap_or_default();
        let style = match state {
            "running" => GOOD,
            "paused" => FAINT,
            "waiting" => BUSY,
            _ => BAD,
        };
        let types: Vec<&str> = one["types"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        anstream::println!(
            "{:28} {style}{state:14}{RESET} {:>9} {:>8} {:>9} {:>7} {:>10}  {}",
            one["name"].as_str().unwrap_or_default(),
            one["lag"],
            one["in_flight"],
            one["retrying_keys"],
            one["parked_keys"],
            one["delivered"],
            types.join(", ")
        );
        if let Some(reason) = one["reason"].as_str() {
            anstream::println!("{:28} {FAINT}{}{RESET}", "", show::cut(reason, 90));
        }
    }
    Ok(ExitCode::SUCCESS)
}
