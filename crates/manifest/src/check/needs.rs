//! `needs:`: programs that must be there. Without them a service is skipped, and so is what requires it.

use crate::diagnostic::{Code, Diagnostic};
use crate::env::Env;
use crate::load::Service;
use crate::source::At;
use crate::value::Need;
use std::cmp::Ordering;

/// What a need says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    program: String,
    at_least: Option<Vec<u64>>,
}

/// Marks services that cannot run here, and says so once for each.
pub(crate) fn skipped(services: &mut [Service], env: &dyn Env) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for service in services.iter_mut() {
        let reasons: Vec<String> = service
            .doc
            .needs
            .clone()
            .iter()
            .filter_map(|need| missing(need, env, &mut found))
            .collect();
        if !reasons.is_empty() {
            service.skipped = Some(reasons.join("; "));
        }
    }
    // Each round takes in the services that require one of the round before; it ends when none is added.
    while let Some((at, reason)) = next_skipped(services) {
        services[at].skipped = Some(reason);
    }
    for service in services.iter() {
        if let Some(reason) = &service.skipped {
            let message = format!("`{}` is skipped: {reason}", service.name);
            found.push(Diagnostic::warning(Code::Skipped, service.doc.service.at, message));
        }
    }
    found
}

fn next_skipped(services: &[Service]) -> Option<(usize, String)> {
    let skipped = |name: &str| {
        services
            .iter()
            .any(|service| service.name.as_str() == name && service.skipped.is_some())
    };
    services
        .iter()
        .enumerate()
        .filter(|(_, service)| service.skipped.is_none())
        .find_map(|(at, service)| {
            let required = service
                .doc
                .depends_on
                .iter()
                .filter(|(_, need)| need.value == Need::Required);
            let lacking = required.map(|(name, _)| name).find(|name| skipped(name))?;
            Some((at, format!("it requires `{}`, which is skipped", lacking.value)))
        })
}

/// Why a need is not met; `None` when it is, or when it was reported as no need at all.
fn missing(need: &At<String>, env: &dyn Env, found: &mut Vec<Diagnostic>) -> Option<String> {
    let wanted = match parse(need) {
        Ok(wanted) => wanted,
        Err(why) => {
            found.push(
                Diagnostic::error(Code::Value, need.at, why)
                    .hint("write a program, or one with its least version, as `node>=20`"),
            );
            return None;
        }
    };
    let program = &wanted.program;
    let Some(path) = env.program(program) else {
        return Some(format!("`{program}` is not installed ({})", install(program)));
    };
    let at_least = wanted.at_least?;
    let Some(have) = env.version(&path).as_deref().and_then(version_in) else {
        // Unknown is not missing: it may well do.
        let message = format!("`{program}` does not say its version, so whether it is new enough is not known");
        found.push(Diagnostic::warning(Code::Skipped, need.at, message));
        return None;
    };
    let show = |version: &[u64]| version.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
    let old = compare(&have, &at_least) == Ordering::Less;
    old.then(|| {
        format!(
            "`{program}` {} is too old, {} or newer is needed ({})",
            show(&have),
            show(&at_least),
            install(program)
        )
    })
}

fn parse(text: &str) -> Result<Wanted, String> {
    let (program, version) = text
        .split_once(">=")
        .map_or((text, None), |(program, version)| (program, Some(version)));
    let program = program.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    if program.is_empty() || !program.chars().all(plain) {
        return Err(format!("`{text}` is not a need"));
    }
    let at_least = match version {
        None => None,
        Some(version) => Some(numbers(version.trim()).ok_or_else(|| format!("`{}` is not a version", version.trim()))?),
    };
    Ok(Wanted {
        program: program.into(),
        at_least,
    })
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// The first dotted number in what a program says.
fn version_in(said: &str) -> Option<Vec<u64>> {
    let start = said.find(|c: char| c.is_ascii_digit())?;
    let rest = &said[start..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    numbers(rest[..end].trim_end_matches('.'))
}

fn compare(have: &[u64], want: &[u64]) -> Ordering {
    let at = |version: &[u64], place: usize| version.get(place).copied().unwrap_or(0);
    let places = 0..have.len().max(want.len());
    places
        .map(|place| at(have, place).cmp(&at(want, place)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// What to do about a program that is not there.
fn install(program: &str) -> String {
    match program {
        "cargo" | "rustc" => "install Rust from https://rustup.rs".into(),
        "node" | "npm" | "npx" => "install Node.js from https://nodejs.org".into(),
        "go" => "install Go from https://go.dev/dl".into(),
        "python" | "python3" | "pip" | "pip3" => "install Python from https://www.python.org/downloads".into(),
        "java" | "javac" => "install a Java development kit, such as https://adoptium.net".into(),
        "mvn" => "install Maven from https://maven.apache.org".into(),
        other => format!("install `{other}` so that it is on PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say_and_compared_by_number() {
        for (said, want) in [
            ("v18.19.1", vec![18, 19, 1]),
            ("go version go1.22.3 linux/amd64", vec![1, 22, 3]),
            ("Python 3.11.2", vec![3, 11, 2]),
            ("openjdk 17.0.9 2023-10-17", vec![17, 0, 9]),
            ("cargo 1.95.0 (abc 2026)", vec![1, 95, 0]),
        ] {
            assert_eq!(version_in(said), Some(want), "{said}");
        }
        assert_eq!(version_in("no number"), None);
        assert_eq!(compare(&[18, 19], &[20]), Ordering::Less);
        assert_eq!(compare(&[20, 0], &[20]), Ordering::Equal);
        assert_eq!(compare(&[3, 11, 2], &[3, 9]), Ordering::Greater);
    }

    #[test]
    fn a_need_is_a_program_with_at_most_a_least_version() {
        assert_eq!(
            parse("node >= 20.1"),
            Ok(Wanted {
                program: "node".into(),
                at_least: Some(vec![20, 1])
            })
        );
        assert_eq!(
            parse("g++"),
            Ok(Wanted {
                program: "g++".into(),
                at_least: None
            })
        );
        for bad in ["", "node>20", "node>=x", "a b", "node<3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
