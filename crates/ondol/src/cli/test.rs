//! `ondol test METHOD URL`: what the gateway would do with a request, from the manifests, without a network.

use super::check;
use super::show::{self, BAD, BOLD, FAINT, GOOD, RESET};
use crate::home::Home;
use ondol_core::unit::{show_duration, show_size};
use ondol_core::wire::proxy::Policy;
use ondol_manifest::Loaded;
use ondol_manifest::doc::examples::RequestLine;
use ondol_manifest::examples::Front;
use ondol_proxy::dry::{Decision, End};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Such as `GET`.
    method: String,
    /// A path, or a URL for a host of its own.
    url: String,
    /// A header field, as `Name: value`. A bearer token is taken for good, whatever it is.
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = field)]
    headers: Vec<(String, String)>,
    /// The gateway's listener that it comes to; the first one where none is named.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not `Name: value`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn run(home: &Home, args: Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let line = match RequestLine::parse(&args.method, &args.url) {
        Ok(line) => line,
        Err(why) => {
            anstream::eprintln!("{BAD}error:{RESET} {why}");
            return Ok(ExitCode::from(2));
        }
    };
    let loaded = match check::load(home, as_json)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let front = Front::new(&loaded)?;
    let decision = match front.decide(&line, args.listener.as_deref(), args.headers) {
        Ok(decision) => front.without_secrets(decision),
        Err(why) => {
            anstream::eprintln!("{BAD}error:{RESET} {why}");
            return Ok(ExitCode::from(2));
        }
    };
    let policy = policy(&loaded, &decision);
    if as_json {
        let mut all = json!(decision);
        all["policy"] = json!(policy);
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        lines(&decision, policy.as_ref())
            .iter()
            .for_each(|line| anstream::println!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What holds for the route, where the request goes on.
fn policy(loaded: &Loaded, decision: &Decision) -> Option<Policy> {
    let (name, _) = decision.route.as_ref()?;
    let services = loaded.lower().plan.services;
    let route = services
        .into_iter()
        .flat_map(|service| service.routes)
        .find(|route| &route.name == name)?;
    matches!(decision.end, End::Forwarded { .. } | End::Started { .. }).then_some(route.policy)
}

fn lines(decision: &Decision, policy: Option<&Policy>) -> Vec<String> {
    let mut out = Vec::new();
    let mut line = |what: &str, says: &str| out.push(format!("{FAINT}{what:<16}{RESET}  {says}"));
    if let Some(path) = &decision.path {
        line("path", path);
    }
    match &decision.route {
        Some((route, service)) => line(
            "route",
            &format!(
                "{BOLD}{route}{RESET} of {service}, by {}",
                decision.conditions.join("; ")
            ),
        ),
        None if decision.path.is_some() => line("route", "none takes it"),
        None => {}
    }
    for near in &decision.near {
        line("nearly", &format!("{}: {}", near.route, near.but));
    }
    for step in &decision.steps {
        line(step.filter, &step.does);
    }
    match &decision.end {
        End::Answered {
            status,
            code,
            detail,
            headers,
        } => {
            let style = if *status < 400 { GOOD } else { BAD };
            let why = [code.as_ref().map(ToString::to_string), detail.clone()];
            let why: Vec<_> = why.into_iter().flatten().collect();
            line("answer", &format!("{style}{status}{RESET} {}", why.join(": ")));
            for (name, value) in headers {
                line("", &format!("{name}: {value}"));
            }
        }
        End::Started { saga, wait_ms } => {
            let wait = show_duration(Duration::from_millis(*wait_ms));
            line(
                "start",
                &format!("the saga {BOLD}{saga}{RESET}; the answer waits at most {wait} for its end"),
            );
        }
        End::Forwarded { backends, sent } => {
            let sum: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
            for backend in backends.iter().filter(|backend| backend.weight > 0) {
                let share = if backends.len() > 1 {
                    format!(" (weight {} of {sum})", backend.weight)
                } else {
                    String::new()
                };
                line("goes to", &format!("{BOLD}{}{RESET}{share}", backend.service));
            }
            line("as", &format!("{} {} at {}", sent.method, sent.target, sent.host));
            for (name, value) in &sent.headers {
                line("", &format!("{name}: {value}"));
            }
        }
    }
    if let Some(policy) = policy {
        line("policy", &policy_words(policy));
    }
    out
}

fn policy_words(policy: &Policy) -> String {
    let span = |ms| show_duration(Duration::from_millis(ms));
    let time = match policy.stream {
        true => "no deadline (stream)".to_owned(),
        false => format!("timeout {}", span(policy.timeout_ms)),
    };
    let percent = |share: f64| (share * 1e6).round() / 1e4;
    let retries = match policy.retries {
        1 => "1 retry".to_owned(),
        count => format!("{count} retries"),
    };
    let hedges = match policy.hedge_share {
        share if share > 0.0 => format!(", hedges up to {} %", percent(share)),
        _ => String::new(),
    };
    format!(
        "{time}, {retries}{hedges}, breaker opens at {} % of {} for {}, bodies up to {}, priority {}, balance {}",
        percent(policy.breaker.failure_ratio),
        show::count(policy.breaker.minimum as usize, "call"),
        span(policy.breaker.open_ms),
        show_size(policy.body_limit),
        policy.priority.as_str(),
        policy.balance,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_proxy::dry::{Near, Step};

    #[test]
    fn a_field_is_a_name_and_a_value() {
        assert_eq!(field("X-A:  b: c"), Ok(("X-A".into(), "b: c".into())));
        assert!(field("X-A").is_err());
    }

    #[test]
    fn what_is_decided_is_told_line_by_line() {
        let decision = Decision {
            path: Some("/cart".into()),
            route: None,
            conditions: vec![],
            near: vec![Near {
                route: "cart".parse().expect("a name"),
                but: "its methods are GET, not POST".into(),
            }],
            steps: vec![Step {
                filter: "limit",
                does: "5/s".into(),
            }],
            end: End::Answered {
                status: 404,
                code: None,
                detail: Some("no route takes it".into()),
                headers: vec![("x".into(), "y".into())],
            },
        };
        let plain = |line: &String| anstream::adapter::strip_str(line).to_string();
        let lines: Vec<_> = lines(&decision, None).iter().map(plain).collect();
        let want = [
            "path              /cart",
            "route             none takes it",
            "nearly            cart: its methods are GET, not POST",
            "limit             5/s",
            "answer            404 no route takes it",
            "                  x: y",
        ];
        assert_eq!(lines, want);
    }
}
