//! `ondol reconcile …`: what was found by comparing services, and a run by hand.

use super::admin::{Admin, segment};
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use crate::home::Home;
use anstyle::Style;
use clap::Subcommand;
use http::Method;
use ondol_core::clock::{Clock, SystemClock, Timestamp};
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every declared reconciliation and what it has found.
    List,
    /// One of them with what does not fit.
    Show {
        /// Its name.
        name: String,
    },
    /// Compare now. What does not fit is reported once two runs have found it.
    Run {
        /// Its name.
        name: String,
    },
}

/// With `run`, something that does not fit or cannot be told ends with 1.
pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let path = |name: &str| format!("/v1/reconciliations/{}", segment(name));
    match args.what {
        What::List => {
            let answer: Value = admin.get("/v1/reconciliations")?;
            print(&answer, as_json, list)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Show { name } => {
            let answer: Value = admin.get(&format!("{}?limit=1000", path(&name)))?;
            print(&answer, as_json, one)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Run { name } => {
            let answer: Value = admin.ask(Method::POST, &format!("{}/run", path(&name)), None)?;
            print(&answer, as_json, one)?;
            let passed = answer["state"] == "pass" && answer["running"] == false;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn print(answer: &Value, as_json: bool, show: fn(&Value)) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        show(answer);
    }
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn style(state: &str) -> Style {
    match state {
        "pass" => GOOD,
        "fail" => BAD,
        _ => BUSY,
    }
}

/// How long ago a run was.
fn ago(at: &Value) -> String {
    match at.as_i64() {
        Some(at) => format!("{} ago", show::age(SystemClock.wall().since(Timestamp(at)))),
        None => "never".to_owned(),
    }
}

fn list(answer: &Value) {
    let all = answer["reconciliations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if all.is_empty() {
        anstream::eprintln!("no reconciliations; a service names its files in `reconcile:`");
        return;
    }
    anstream::println!(
        "{BOLD}{:28} {:8} {:>7} {:>9} {:>8} {:>8}  {}{RESET}",
        "RECONCILIATION",
        "STATE",
        "DRIFTS",
        "SUSPECTED",
        "KEYS",
        "MOVING",
        "LAST RUN"
    );
    for one in all {
        // A JSON value would take no width.
        let (state, number) = (text(one, "state"), |name: &str| one[name].as_u64().unwrap_or(0));
        anstream::println!(
            "{:28} {}{state:8}{RESET} {:>7} {:>9} {:>8} {:>8}  {}",
            text(one, "name"),
            style(state),
            number("reported"),
            number("suspected"),
            number("keys"),
            number("moving"),
            ago(&one["last_run"])
        );
        if let Some(reason) = one["reason"].as_str() {
            anstream::println!("{:28} {FAINT}{}{RESET}", "", show::cut(reason, 90));
        }
    }
}

fn one(one: &Value) {
    let state = text(one, "state");
    anstream::println!("{BOLD}{}{RESET}  {}{state}{RESET}", text(one, "name"), style(state));
    for line in [one["about"].as_str(), one["reason"].as_str()].into_iter().flatten() {
        anstream::println!("  {}", show::cut(line, 160));
    }
    for (name, source) in one["sources"].as_object().into_iter().flatten() {
        anstream::println!("  {FAINT}{name}: {}{RESET}", source.as_str().unwrap_or_default());
    }
    anstream::println!(
        "  every {}, settle {}; last run {}: {} keys, {} moving, {} suspected, {} reported",
        text(one, "every"),
        text(one, "settle"),
        ago(&one["last_run"]),
        one["keys"],
        one["moving"],
        one["suspected"],
        one["reported"]
    );
    if let Some(more @ 1..) = one["more"].as_u64() {
        anstream::println!("  {BAD}and {more} more that are only counted{RESET}");
    }
    for drift in one["drifts"].as_array().into_iter().flatten() {
        drifted(drift);
    }
}

fn drifted(drift: &Value) {
    let since = drift["since"].as_i64().map(Timestamp).unwrap_or_default();
    anstream::println!(
        "\n{BAD}{}{RESET}  since {since}, seen {} times",
        text(drift, "key"),
        drift["seen"]
    );
    for why in drift["why"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        anstream::println!("  {why}");
    }
    for (name, value) in drift["values"].as_object().into_iter().flatten() {
        anstream::println!("  {FAINT}{name} = {value}{RESET}");
    }
    let repair = &drift["repair"];
    match (
        repair["saga"].as_str(),
        repair["id"].as_str(),
        repair["refused"].as_str(),
    ) {
        (Some(saga), Some(id), _) => anstream::println!("  mended by {saga} {id}"),
        (Some(saga), None, Some(why)) => anstream::println!("  {BAD}{saga} could not be started: {why}{RESET}"),
        (Some(saga), None, None) => anstream::println!("  to be mended by {saga}"),
        (None, _, _) => {}
    }
}
