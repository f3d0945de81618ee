//! Measurements and long runs: programs of the `bench` crate, built as they are run.

use crate::sh::{self, cargo, root};
use crate::{console, up};
use anyhow::bail;
use std::process::Command;

/// Each with what it measures.
const BENCHES: [(&str, &str); 8] = [
    (
        "proxies",
        "what a request, a token, a handshake and a hop cost the proxy, and what it is worth when backends fail; beside HAProxy, nginx and Caddy where installed",
    ),
    (
        "sagas",
        "two-step sagas per second, started by HTTP, each step through the proxy",
    ),
    (
        "events",
        "events published, delivered and relayed, a million of them stored; beside RabbitMQ, NATS and Redis where installed",
    ),
    (
        "backlog",
        "a subscriber that comes back to a million events, while others publish a thousand a second",
    ),
    (
        "first-order",
        "from `ondol up` with everything built to the first confirmed order",
    ),
    ("memory", "the three roles together, idle, as a sum of PSS"),
    (
        "resilience",
        "each policy of the proxy in a simulated storm, and the same storm without it",
    ),
    (
        "console",
        "frames of the console with 10,000 sagas and 1,000 log lines a second, in Chromium",
    ),
];

pub(crate) fn run(name: Option<&str>, args: &[String]) -> anyhow::Result<()> {
    match name {
        Some("console") => console::bench(),
        Some("resilience") => storms(args),
        Some(name) if BENCHES.iter().any(|(known, _)| *known == name) => tool(name, args),
        Some(name) => bail!(
            "there is no bench `{name}`; there are {}",
            BENCHES.map(|(name, _)| name).join(", ")
        ),
        None => {
            BENCHES.iter().for_each(|(name, what)| println!("{name:12} {what}"));
            Ok(())
        }
    }
}

/// Plays the storms of the resilience room, beside whose policies they lie.
fn storms(args: &[String]) -> anyhow::Result<()> {
    let words = [
        "run",
        "--quiet",
        "--release",
        "-p",
        "ondol-resilience",
        "--example",
        "storms",
        "--",
    ];
    sh::run(cargo(&words).args(args))
}

/// Runs a program of the `bench` crate against the Ondol that `ONDOL` names, or one built as `up` builds it.
pub(crate) fn tool(name: &str, args: &[String]) -> anyhow::Result<()> {
    let ondol = match std::env::var_os("ONDOL") {
        Some(given) => given.into(),
        None => {
            up::build()?;
            up::ondol()
        }
    };
    sh::run(&mut cargo(&["build", "--release", "-p", "ondol-bench"]))?;
    let mut command = Command::new(root().join("target/release/ondol-bench"));
    command.arg(name).args(args).current_dir(root()).env("ONDOL", ondol);
    sh::run(&mut command)
}
