//! `ondol dlq …`: events that could not be delivered, and what to do about them.

use super::admin::{Admin, segment};
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use crate::home::Home;
use anyhow::Context;
use clap::Subcommand;
use http::Method;
use ondol_core::clock::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Keys asked for at a time.
const PAGE: usize = 500;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Keys that wait, of one subscription, of one outbox or of all.
    List {
        /// Such as points.orders, or users.outbox.
        subscription: Option<String>,
        /// parked, retrying or delayed.
        #[arg(long, default_value = "parked")]
        state: String,
    },
    /// One key with the events that wait under it.
    Show(Key),
    /// Deliver parked keys anew, each in its order.
    Redrive {
        /// Such as points.orders.
        subscription: String,
        /// Only these keys; may be given again and again.
        #[arg(long = "key")]
        keys: Vec<String>,
        /// Only keys whose first event is of this type.
        #[arg(long = "type")]
        kind: Option<String>,
        /// Events a second, on average.
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
        /// Only say what it would reach.
        #[arg(long)]
        dry_run: bool,
        /// Why, for the audit.
        #[arg(long, required_unless_present = "dry_run")]
        reason: Option<String>,
    },
    /// Put other data in the place of an event's; `redrive` then delivers it.
    Edit {
        #[command(flatten)]
        event: Event,
        /// The data, as JSON.
        #[arg(long)]
        data: String,
    },
    /// Pass an event over for good; the key's later events go on.
    Skip(Event),
}

#[derive(clap::Args)]
struct Key {
    /// Such as points.orders.
    subscription: String,
    /// The key, such as order-42.
    key: String,
}

impl Key {
    fn path(&self) -> String {
        format!(
            "/v1/subscriptions/{}/keys/{}",
            segment(&self.subscription),
            segment(&self.key)
        )
    }
}

#[derive(clap::Args)]
struct Event {
    #[command(flatten)]
    key: Key,
    /// The event's position in the log; without it the key's first event is meant.
    #[arg(long)]
    position: Option<u64>,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
}

pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    match args.what {
        What::List { subscription, state } => list(&admin, subscription, &state, as_json),
        What::Show(key) => show(&admin, &key, as_json),
        What::Redrive {
            subscription,
            keys,
            kind,
            rate,
            dry_run,
            reason,
        } => {
            let keys = (!keys.is_empty()).then_some(keys);
            let body = json!({ "keys": keys, "type": kind, "rate": rate, "dry_run": dry_run, "reason": reason.unwrap_or_default() });
            redrive(&admin, &subscription, body, as_json)
        }
        What::Edit { event, data } => {
            let data: Value = serde_json::from_str(&data).context("--data is no JSON")?;
            act(&admin, &event, json!({ "action": "edit", "data": data }), as_json)
        }
        What::Skip(event) => act(&admin, &event, json!({ "action": "skip" }), as_json),
    }
}

fn list(admin: &Admin, subscription: Option<String>, state: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let names = match subscription {
        Some(name) => vec![name],
        None => {
            let (all, outboxes): (Value, Value) = (admin.get("/v1/subscriptions")?, admin.get("/v1/outboxes")?);
            let outboxes = items(&outboxes, "outboxes").iter();
            let outboxes = outboxes.map(|one| format!("{}.outbox", text(one, "service")));
            let all = items(&all, "subscriptions")
                .iter()
                .map(|one| text(one, "name").to_owned());
            all.chain(outboxes).collect()
        }
    };
    let mut found = Vec::new();
    for name in &names {
        for mut key in keys(admin, name, state)? {
            key["subscription"] = name.as_str().into();
            found.push(key);
        }
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&json!({ "keys": found }))?);
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        anstream::eprintln!(
            "no {state} keys: every event was delivered, or is on its way (`ondol events subscriptions`)"
        );
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!(
        "{BOLD}{:24} {:32} {:>7} {:>8}  {:24} ERROR{RESET}",
        "SUBSCRIPTION",
        "KEY",
        "EVENTS",
        "ATTEMPTS",
        "FIRST"
    );
    for key in &found {
        let first = key["first"]["type"].as_str().unwrap_or_default();
        anstream::println!(
            "{:24} {:32} {:>7} {:>8}  {first:24} {BAD}{}{RESET}",
            text(key, "subscription"),
            text(key, "key"),
            key["events"],
            key["attempts"],
            show::cut(text(key, "error"), 80)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// All keys of one subscription in one state.
fn keys(admin: &Admin, name: &str, state: &str) -> anyhow::Result<Vec<Value>> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!(
            "/v1/subscriptions/{}/keys?state={}&limit={PAGE}{after}",
            segment(name),
            segment(state)
        );
        let page: Value = admin.get(&path)?;
        let keys = items(&page, "keys");
        let Some(last) = keys.last() else { return Ok(found) };
        after = format!("&after={}", segment(text(last, "key")));
        found.extend(keys.iter().cloned());
    }
}

fn show(admin: &Admin, key: &Key, as_json: bool) -> anyhow::Result<ExitCode> {
    let found: Value = admin.get(&key.path())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let (state, since) = (text(&found, "state"), moment(&found["since"]));
    let style = if state == "parked" { BAD } else { BUSY };
    anstream::println!(
        "{BOLD}{}{RESET} of {} is {style}{state}{RESET} since {since}",
        key.key,
        key.subscription
    );
    if let Some(error) = found["error"].as_str() {
        anstream::println!("after {} attempts: {error}", found["attempts"]);
    }
    if !found["wake_at"].is_null() {
        anstream::println!("next attempt at {}", moment(&found["wake_at"]));
    }
    let (queue, events) = (items(&found, "queue"), found["events"].as_u64().unwrap_or(0));
    anstream::println!("\n{BOLD}{:>10}  {:28} {:36} DATA{RESET}", "POSITION", "TYPE", "ID");
    for one in queue {
        let (event, edited) = (&one["event"], one.get("edited").is_some());
        let data = if edited { &one["edited"] } else { &event["data"] };
        let mark = if edited { " (edited)" } else { "" };
        anstream::println!(
            "{:>10}  {:28} {:36} {FAINT}{}{RESET}{BUSY}{mark}{RESET}",
            one["position"],
            text(event, "type"),
            text(event, "id"),
            show::cut(&data.to_string(), 100)
        );
    }
    if events > queue.len() as u64 {
        anstream::println!("{FAINT}and {} more{RESET}", events - queue.len() as u64);
    }
    Ok(ExitCode::SUCCESS)
}

fn redrive(admin: &Admin, subscription: &str, body: Value, as_json: bool) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/subscriptions/{}/redrive", segment(subscription));
    let done: Value = admin.ask(Method::POST, &path, Some(body))?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&done)?);
        return Ok(ExitCode::SUCCESS);
    }
    let number = |name: &str| usize::try_from(done[name].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let what = format!(
        "{} with {}",
        show::count(number("keys"), "key"),
        show::count(number("events"), "event")
    );
    if done["dry_run"] == true {
        anstream::println!("would try {what}; nothing was done");
    } else {
        anstream::println!("{GOOD}trying{RESET} {what}; `ondol dlq list {subscription}` shows what stays");
    }
    Ok(ExitCode::SUCCESS)
}

fn act(admin: &Admin, event: &Event, mut body: Value, as_json: bool) -> anyhow::Result<ExitCode> {
    let path = event.key.path();
    let position = match event.position {
        Some(position) => position,
        None => {
            let found: Value = admin.get(&path)?;
            let first = found["first"]["position"].as_u64();
            first.context("the key has no event in the log; name a --position")?
        }
    };
    (body["position"], body["reason"]) = (position.into(), event.reason.as_str().into());
    let done: Value = admin.ask(Method::POST, &format!("{path}/actions"), Some(body))?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&done)?);
    } else {
        anstream::println!("{GOOD}done{RESET}: position {position} of {}", event.key.key);
    }
    Ok(ExitCode::SUCCESS)
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn moment(value: &Value) -> String {
    value.as_i64().map(|ms| Timestamp(ms).to_string()).unwrap_or_default()
}
