//! `ondol events subscriptions`: who gets which events, and how far each is; `pause`, `resume`, `reset` and `replay` of one.

use super::admin::{Admin, segment};
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use anyhow::{Context, bail};
use http::Method;
use ondol_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Longest wait for what is under way to a subscriber; its own timeout may be longer.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
    pub(super) fn run(self, admin: &Admin, action: Value, as_json: bool) -> anyhow::Result<ExitCode> {
        let now = self.ask(admin, action)?;
        self.tell(&now, as_json)
    }

    /// Pauses it, waits until nothing is under way, goes back to the position `from` and lets it go on. One that was paused
    /// before stays so. After a failure it goes on where it was.
    pub(super) fn replay(self, admin: &Admin, from: u64, as_json: bool) -> anyhow::Result<ExitCode> {
        let reset = || {
            self.drained(admin)?;
            self.ask(admin, json!({ "action": "reset", "position": from }))
        };
        if self.see(admin)?["state"] == "paused" {
            let now = reset()?;
            anstream::eprintln!("it was paused before and still is; `ondol events resume` lets it go on");
            return self.tell(&now, as_json);
        }
        let paused = self.ask(admin, json!({ "action": "pause" }));
        let reset = paused.and_then(|_| reset());
        // A pause that was answered by an error may hold all the same.
        let resumed = self.ask(admin, json!({ "action": "resume" })).with_context(|| {
            format!(
                "{} may still be paused; `ondol events resume` lets it go on",
                self.subscription
            )
        });
        reset?;
        self.tell(&resumed?, as_json)
    }

    fn drained(&self, admin: &Admin) -> anyhow::Result<()> {
        let end = SystemClock.mono() + DRAIN;
        loop {
            let flying = self.see(admin)?["in_flight"].as_u64().unwrap_or(0);
            if flying == 0 {
                return Ok(());
            }
            if SystemClock.mono() > end {
                bail!(
                    "{flying} events are still under way to {} after {} s; its position is as it was, try again later",
                    self.subscription,
                    DRAIN.as_secs()
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn path(&self) -> String {
        format!("/v1/subscriptions/{}", segment(&self.subscription))
    }

    fn see(&self, admin: &Admin) -> anyhow::Result<Value> {
        admin.get(&self.path())
    }

    fn ask(&self, admin: &Admin, mut action: Value) -> anyhow::Result<Value> {
        action["reason"] = self.reason.as_str().into();
        admin.ask(Method::POST, &format!("{}/actions", self.path()), Some(action))
    }

    fn tell(&self, now: &Value, as_json: bool) -> anyhow::Result<ExitCode> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(now)?);
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
