//! `ondol saga …`: look at sagas, and act on those that wait for a person.

use super::admin::Admin;
use super::show::{self, BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use crate::home::Home;
use anstyle::Style;
use clap::Subcommand;
use http::Method;
use ondol_core::clock::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The newest sagas.
    List {
        /// Only in this state: running, compensating, parked, stuck, paused, done, aborted.
        #[arg(long)]
        state: Option<String>,
        /// Only of this definition.
        #[arg(long)]
        saga: Option<String>,
        /// At most so many.
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
    },
    /// One saga with everything that happened to it.
    Show {
        /// Its id.
        id: String,
    },
    /// Try again what waits for a person.
    Retry(OnStep),
    /// Begin no further call until `resume`.
    Pause(OnSaga),
    /// Go on after `pause`.
    Resume(OnSaga),
    /// Turn back; refused once the pivot may have happened.
    Cancel(OnSaga),
    /// Go on without a call.
    Skip(WithReason),
    /// Say what a step answered.
    SetResult {
        #[command(flatten)]
        target: WithReason,
        /// The JSON answer.
        #[arg(long)]
        result: String,
    },
    /// Say that a step's effect is not there.
    ForceCompensate(WithReason),
    /// Say that a step was done by hand.
    ForceComplete(WithReason),
}

#[derive(clap::Args)]
struct OnSaga {
    /// The saga's id.
    id: String,
}

#[derive(clap::Args)]
struct OnStep {
    /// The saga's id.
    id: String,
    /// Which step; without it the one that waits.
    #[arg(long)]
    step: Option<String>,
}

#[derive(clap::Args)]
struct WithReason {
    #[command(flatten)]
    on: OnStep,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
}

pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let on_step = |name: &str, on: OnStep| (on.id, json!({ "action": name, "step": on.step }));
    let reasoned = |name: &str, with: WithReason| {
        (
            with.on.id,
            json!({ "action": name, "step": with.on.step, "reason": with.reason }),
        )
    };
    let on_saga = |name: &str, on: OnSaga| (on.id, json!({ "action": name }));
    let (id, action) = match args.what {
        What::List { state, saga, limit } => return list(&admin, state, saga, limit, as_json),
        What::Show { id } => return show(&admin, &id, as_json),
        What::Retry(on) => on_step("retry", on),
        What::Pause(on) => on_saga("pause", on),
        What::Resume(on) => on_saga("resume", on),
        What::Cancel(on) => on_saga("cancel", on),
        What::Skip(with) => reasoned("skip", with),
        What::ForceCompensate(with) => reasoned("force-compensate", with),
        What::ForceComplete(with) => reasoned("force-complete", with),
        What::SetResult { target, result } => {
            let result: Value = serde_json::from_str(&result)?;
            let (id, mut action) = reasoned("set-result", target);
            action["result"] = result;
            (id, action)
        }
    };
    let done: Value = admin.ask(Method::POST, &format!("/v1/sagas/{id}/actions"), Some(action))?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&done)?);
    } else {
        anstream::println!("{GOOD}done{RESET}; `ondol saga show {id}` shows what follows");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(
    admin: &Admin,
    state: Option<String>,
    saga: Option<String>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut path = format!("/v1/sagas?limit={limit}");
    for (name, value) in [("state", state), ("saga", saga)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    let page: Value = admin.get(&path)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&page)?);
        return Ok(ExitCode::SUCCESS);
    }
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        anstream::eprintln!("no sagas; a route with `start:` starts them");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("{BOLD}{:36}  {:20} {:13} STEP{RESET}", "ID", "SAGA", "STATE");
    for item in items {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let (style, state) = (style(&text("state")), text("state"));
        anstream::println!(
            "{}  {:20} {style}{state:13}{RESET} {}",
            text("id"),
            text("saga"),
            text("step")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn show(admin: &Admin, id: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let saga: Value = admin.get(&format!("/v1/sagas/{id}"))?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&saga)?);
        return Ok(ExitCode::SUCCESS);
    }
    let state = text(&saga, "state");
    anstream::println!(
        "{BOLD}{}{RESET} {} {}{state}{RESET}",
        text(&saga, "saga"),
        text(&saga, "id"),
        style(&state)
    );
    let failure = saga.pointer("/failure/reason").and_then(Value::as_str);
    if let Some(reason) = failure {
        anstream::println!("turned back: {reason}");
    }
    anstream::println!(
        "\n{BOLD}{:16} {:13} {:>8}  {:13}{RESET}",
        "STEP",
        "CALL",
        "ATTEMPTS",
        "COMPENSATION"
    );
    for step in list_of(&saga, "steps") {
        let why = step["why"].as_str().map(|why| show::cut(why, 100)).unwrap_or_default();
        let doubt = if step["in_doubt"] == true { " in doubt" } else { "" };
        let (name, action, undo) = (text(step, "name"), text(step, "action"), text(step, "compensate"));
        anstream::println!(
            "{name:16} {action:13} {:>8}  {undo:13} {BAD}{doubt}{RESET}{FAINT}{why}{RESET}",
            step["attempts"]
        );
    }
    anstream::println!("\n{BOLD}{:12}  {:14} {}{RESET}", "TIME", "EVENT", "DETAILS");
    for moment in list_of(&saga, "history") {
        let at = moment["at"]
            .as_i64()
            .map(|ms| Timestamp(ms).to_string())
            .unwrap_or_default();
        let time = at.get(11..23).unwrap_or_default();
        anstream::println!(
            "{FAINT}{time}{RESET}  {:14} {}",
            text(moment, "e"),
            show::cut(&details(moment), 160)
        );
    }
    if saga["history_cut"] == true {
        anstream::println!("{FAINT}what happened after that is not shown: the history is too long{RESET}");
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list_of<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// An event's other members: the step first, then `name=value`.
fn details(moment: &Value) -> String {
    let step = moment["step"].as_str().unwrap_or_default().to_owned();
    let named = |name: &str| ["position", "at", "e", "step"].contains(&name);
    let members = moment
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !named(name));
    let members = members.map(|(name, _)| format!("{name}={}", text(moment, name)));
    std::iter::once(step)
        .filter(|step| !step.is_empty())
        .chain(members)
        .collect::<Vec<_>>()
        .join(" ")
}

fn style(state: &str) -> Style {
    match state {
        "done" => GOOD,
        "stuck" | "parked" => BAD,
        "aborted" => FAINT,
        _ => BUSY,
    }
}
