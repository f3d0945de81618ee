//! `ondol events …`: types of events, the log as it grows, one event with its causes and effects, a flow as a tree.

use super::admin::{Admin, segment};
use super::show::{BAD, BOLD, BUSY, FAINT, GOOD, RESET};
use super::subscriptions::Act;
use crate::home::Home;
use anstyle::Style;
use clap::Subcommand;
use ondol_core::clock::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Types of events: who publishes them, who gets them, how many there are.
    List,
    /// The newest events, and then each as it comes.
    Tail(Tail),
    /// One event, what led to it, what it led to, and where it stands with its subscribers.
    Show {
        /// Its id.
        id: String,
    },
    /// Who gets which events, and how far each is.
    Subscriptions,
    /// Deliver nothing to a subscription until `resume`; its events wait.
    Pause(Act),
    /// Go on where it was paused.
    Resume(Act),
    /// Deliver everything after a position anew, or pass over what is before it. The subscription must be paused.
    Reset {
        #[command(flatten)]
        act: Act,
        /// The log's position after which it goes on; 0: from the beginning.
        #[arg(long)]
        to: u64,
    },
    /// Deliver everything after a position anew: pause, reset and resume in one.
    Replay {
        #[command(flatten)]
        act: Act,
        /// The log's position after which it begins; 0: from the first event.
        #[arg(long)]
        from: u64,
    },
    /// Outboxes: how far each is relayed, and what waits for a person.
    Outboxes,
    /// Everything that one correlation id ties together, as a tree.
    Flow {
        /// The correlation id; for a saga that began by itself its own id.
        id: String,
    },
}

#[derive(clap::Args)]
struct Tail {
    /// Only these types, exact or with one trailing *: `order.*`.
    types: Vec<String>,
    /// Begin with so many of the newest.
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
    /// End after them instead of waiting for more.
    #[arg(long)]
    no_follow: bool,
}

pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    match args.what {
        What::List => list(&admin, as_json),
        What::Subscriptions => super::subscriptions::list(&admin, as_json),
        What::Pause(act) => act.run(&admin, json!({ "action": "pause" }), as_json),
        What::Resume(act) => act.run(&admin, json!({ "action": "resume" }), as_json),
        What::Reset { act, to } => act.run(&admin, json!({ "action": "reset", "position": to }), as_json),
        What::Replay { act, from } => act.replay(&admin, from, as_json),
        What::Outboxes => super::outboxes::list(&admin, as_json),
        What::Tail(tail) => follow(&admin, &tail, as_json),
        What::Show { id } => one(&admin, &id, as_json),
        What::Flow { id } => flow(&admin, &id, as_json),
    }
}

fn list(admin: &Admin, json: bool) -> anyhow::Result<ExitCode> {
    let answer: Value = admin.get("/v1/topics")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let topics = items(&answer, "topics");
    if topics.is_empty() {
        anstream::eprintln!("no events; a service names the types that it publishes in `events.publishes`");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!(
        "{BOLD}{:32} {:>9}  {:19}  {:14} SUBSCRIPTIONS{RESET}",
        "TYPE",
        "EVENTS",
        "LAST",
        "PUBLISHER"
    );
    for topic in topics {
        let subscriptions: Vec<&str> = items(topic, "subscriptions").iter().filter_map(Value::as_str).collect();
        anstream::println!(
            "{:32} {:>9}  {FAINT}{:19}{RESET}  {:14} {}",
            text(topic, "type"),
            topic["events"],
            time(&topic["last_at"]).get(..19).unwrap_or_default(),
            text(topic, "publisher"),
            subscriptions.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn follow(admin: &Admin, tail: &Tail, json: bool) -> anyhow::Result<ExitCode> {
    let types = match &tail.types[..] {
        [] => String::new(),
        types => format!("&types={}", segment(&types.join(","))),
    };
    let mut out = anstream::stdout().lock();
    let mut events: Vec<Value> = match tail.limit {
        0 => Vec::new(),
        limit => admin.get(&format!("/v1/all?order=desc&limit={limit}{types}"))?,
    };
    events.reverse();
    let mut after = match events.last() {
        Some(last) => last["position"].as_u64().unwrap_or(0),
        None => {
            let newest: Vec<Value> = admin.get("/v1/all?order=desc&limit=1")?;
            newest.first().and_then(|event| event["position"].as_u64()).unwrap_or(0)
        }
    };
    loop {
        for event in &events {
            match write_event(&mut out, event, json) {
                // Whoever read along, such as `head`, has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                other => other?,
            }
            after = event["position"].as_u64().unwrap_or(after);
        }
        if tail.no_follow {
            return Ok(ExitCode::SUCCESS);
        }
        events = admin.get(&format!("/v1/all?after={after}&wait=20s{types}"))?;
    }
}

fn write_event(out: &mut impl Write, event: &Value, json: bool) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, event)?;
        return writeln!(out);
    }
    let about = match text(event, "subject") {
        "" => text(event, "stream"),
        subject => subject,
    };
    writeln!(
        out,
        "{FAINT}{:>8} {}{RESET}  {BOLD}{:28}{RESET} {:36}  {FAINT}{}{RESET}",
        event["position"],
        text(event, "time").get(11..19).unwrap_or_default(),
        text(event, "type"),
        about,
        text(event, "id")
    )
}

fn one(admin: &Admin, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let answer: Value = admin.get(&format!("/v1/events/{}", segment(id)))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let event = &answer["event"];
    anstream::println!("{BOLD}{}{RESET} {}", text(event, "type"), text(event, "id"));
    let attributes = event.as_object().into_iter().flatten();
    for (name, value) in attributes.filter(|(name, _)| !matches!(name.as_str(), "type" | "id" | "data" | "specversion"))
    {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        anstream::println!("  {FAINT}{name:16}{RESET} {value}");
    }
    if let Some(data) = event.get("data") {
        anstream::println!("\n{}", serde_json::to_string_pretty(data)?);
    }
    for (title, name) in [("caused by", "causes"), ("led to", "effects")] {
        for link in items(&answer, name) {
            let what = if text(link, "kind") == "step" {
                "a saga's call"
            } else {
                text(link, "type")
            };
            anstream::println!("{title:10} {what} {FAINT}{}{RESET}", text(link, "id"));
        }
    }
    if answer["truncated"] == true {
        anstream::println!("{FAINT}there may be more that it led to{RESET}");
    }
    for delivery in items(&answer, "deliveries") {
        let state = text(delivery, "state");
        anstream::println!(
            "{:10} {} {}{state}{RESET}",
            "delivery",
            text(delivery, "subscription"),
            style(state)
        );
    }
    if let Some(flow) = event["correlationid"].as_str() {
        anstream::println!("{FAINT}`ondol events flow {flow}` shows the whole story{RESET}");
    }
    Ok(ExitCode::SUCCESS)
}

fn flow(admin: &Admin, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let answer: Value = admin.get(&format!("/v1/flows/{}", segment(id)))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    for line in Tree::of(&answer).lines() {
        anstream::println!("{line}");
    }
    if answer["truncated"] == true {
        anstream::eprintln!("{FAINT}there is more than a graph holds{RESET}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A flow's graph as a tree: each node under the first that led to it.
struct Tree<'f> {
    nodes: BTreeMap<&'f str, &'f Value>,
    under: BTreeMap<&'f str, Vec<&'f str>>,
    roots: Vec<&'f str>,
}

impl<'f> Tree<'f> {
    fn of(flow: &'f Value) -> Self {
        let nodes: BTreeMap<&str, &Value> = items(flow, "nodes")
            .iter()
            .map(|node| (text(node, "id"), node))
            .collect();
        let mut under: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut placed: HashSet<&str> = HashSet::new();
        for edge in items(flow, "edges") {
            let (from, to) = (text(edge, "from"), text(edge, "to"));
            if placed.insert(to) {
                under.entry(from).or_default().push(to);
            }
        }
        let moment = |id: &&str| nodes.get(id).and_then(|node| node["at"].as_i64()).unwrap_or(i64::MAX);
        under.values_mut().for_each(|children| children.sort_by_key(moment));
        let mut roots: Vec<&str> = nodes.keys().copied().filter(|id| !placed.contains(id)).collect();
        roots.sort_by_key(moment);
        Self { nodes, under, roots }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.nodes.len());
        let mut seen = HashSet::new();
        for root in &self.roots {
            self.walk(root, "", "", &mut seen, &mut lines);
        }
        lines
    }

    /// Each node once: causes that run in a circle must not make this one run for ever.
    fn walk(&self, id: &'f str, branch: &str, indent: &str, seen: &mut HashSet<&'f str>, lines: &mut Vec<String>) {
        let Some(node) = self.nodes.get(id).filter(|_| seen.insert(id)) else {
            return;
        };
        let state = text(node, "state");
        let retries = match node["retries"].as_u64() {
            None | Some(0) => String::new(),
            Some(retries) => format!(" {BUSY}tried again {retries}×{RESET}"),
        };
        lines.push(format!(
            "{FAINT}{:12}{RESET}  {branch}{FAINT}{:8}{RESET} {BOLD}{}{RESET} {} {}{state}{RESET}{retries}",
            time(&node["at"]).get(11..23).unwrap_or_default(),
            text(node, "kind"),
            text(node, "label"),
            text(node, "service"),
            style(state),
        ));
        let children = self.under.get(id).map(Vec::as_slice).unwrap_or_default();
        for (index, child) in children.iter().enumerate() {
            let last = index + 1 == children.len();
            let (branch, below) = if last { ("└ ", "  ") } else { ("├ ", "│ ") };
            self.walk(
                child,
                &format!("{indent}{branch}"),
                &format!("{indent}{below}"),
                seen,
                lines,
            );
        }
    }
}

fn style(state: &str) -> Style {
    match state {
        "done" | "delivered" | "published" | "appended" => GOOD,
        "failed" | "stuck" | "parked" | "held" | "aborted" => BAD,
        _ => BUSY,
    }
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn time(value: &Value) -> String {
    value.as_i64().map(|ms| Timestamp(ms).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_flow_is_a_tree_by_what_led_to_what_and_a_circle_ends() {
        let node = |id: &str, at: i64| json!({"id": id, "kind": "event", "label": id, "state": "published", "at": at});
        let edge = |from: &str, to: &str| json!({"from": from, "to": to, "kind": "caused"});
        let flow = json!({
            "nodes": [node("a", 1), node("c", 3), node("b", 2), node("d", 4), node("x", 5), node("y", 6)],
            "edges": [edge("a", "b"), edge("b", "d"), edge("a", "c"), edge("c", "d"), edge("x", "y"), edge("y", "x")],
        });
        let tree = Tree::of(&flow);
        let plain = |line: &String| anstream::adapter::strip_str(line).to_string();
        let lines: Vec<String> = tree.lines().iter().map(plain).collect();
        let shape: Vec<&str> = lines
            .iter()
            .map(|line| line.get(14..).unwrap_or_default().trim_end())
            .collect();
        let claim = [
            "event    a  published",
            "├ event    b  published",
            "│ └ event    d  published",
            "└ event    c  published",
        ];
        assert_eq!(shape, claim);
    }
}
