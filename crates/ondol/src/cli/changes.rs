//! How differences between two configurations look: `+` what comes, `-` what goes, `~` what changes, each with its line.

use super::show::{self, BAD, BUSY, FAINT, GOOD, RESET};
use anstyle::Style;
use ondol_manifest::Diff;
use ondol_manifest::diff::{KeyChange, Op};
use ondol_manifest::facts::{Kind, Subject};

/// Prints them, and a line that sums them up; `none`: what is said where there are none.
pub(crate) fn show(diff: &Diff, none: &str) {
    for line in lines(diff) {
        anstream::println!("{line}");
    }
    anstream::println!("{}", summary(diff).unwrap_or_else(|| none.to_owned()));
}

fn summary(diff: &Diff) -> Option<String> {
    let (added, changed, removed) = diff.counts();
    (!diff.is_empty()).then(|| format!("{added} added, {changed} changed, {removed} removed"))
}

fn lines(diff: &Diff) -> Vec<String> {
    let mut out = Vec::new();
    for change in &diff.changes {
        let (style, sign) = sign(change.op);
        out.push(format!("{style}{sign} {}{RESET}", subject(&change.subject)));
        let told: Vec<_> = change.keys.iter().map(|key| (key, words(key))).collect();
        let width = told
            .iter()
            .map(|(_, words)| words.chars().count())
            .max()
            .unwrap_or(0)
            .min(72);
        for (key, words) in told {
            let (style, sign) = self::sign(key.op);
            let place = key.origin.as_ref().map(|place| format!("  {FAINT}{place}{RESET}"));
            let gap = " ".repeat(width.saturating_sub(words.chars().count()));
            let gap = if place.is_some() { gap.as_str() } else { "" };
            out.push(format!(
                "    {style}{sign}{RESET} {words}{gap}{}",
                place.unwrap_or_default()
            ));
        }
    }
    out
}

fn sign(op: Op) -> (Style, char) {
    match op {
        Op::Add => (GOOD, '+'),
        Op::Change => (BUSY, '~'),
        Op::Remove => (BAD, '-'),
    }
}

fn subject(subject: &Subject) -> String {
    let kind = match subject.kind {
        Kind::System => "system",
        Kind::Build => "build",
        Kind::Service => "service",
        Kind::Route => "route",
        Kind::Saga => "saga",
        Kind::Reconciliation => "reconciliation",
    };
    let of = subject.service.as_deref().filter(|service| *service != subject.name);
    let of = of.map(|service| format!(" of {service}")).unwrap_or_default();
    format!("{kind} {}{of}", subject.name)
}

fn words(change: &KeyChange) -> String {
    let key = &change.key;
    let value = |value: &Option<String>| show::cut(value.as_deref().unwrap_or_default(), 60);
    match (change.op, change.hidden) {
        _ if key.is_empty() => "something that no key says".into(),
        (Op::Change, true) => format!("{key}: changed, not shown"),
        (_, true) => format!("{key}: not shown"),
        (Op::Add, false) => format!("{key}: {}", value(&change.to)),
        (Op::Remove, false) => format!("{key}: {}", value(&change.from)),
        (Op::Change, false) => format!("{key}: {} -> {}", value(&change.from), value(&change.to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_line_says_what_becomes_of_which_key_and_where_it_is_written() {
        let diff = json!({ "changes": [
            { "service": "a", "kind": "service", "name": "a", "op": "change", "keys": [
                { "key": "scale.min", "op": "change", "from": "1", "to": "2",
                  "origin": { "file": "a/service.yaml", "line": 3, "column": 9 } },
                { "key": "env.KEY", "op": "change", "hidden": true },
            ] },
            { "service": "a", "kind": "route", "name": "new", "op": "add", "keys": [
                { "key": "match.prefix", "op": "add", "to": "/new" },
            ] },
            { "service": null, "kind": "build", "name": "old", "op": "remove", "keys": [] },
        ] });
        let diff: Diff = serde_json::from_value(diff).expect("a diff");
        let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
        let lines: Vec<_> = lines(&diff).into_iter().map(plain).collect();
        let want = [
            "~ service a",
            "    ~ scale.min: 1 -> 2            a/service.yaml:3",
            "    ~ env.KEY: changed, not shown",
            "+ route new of a",
            "    + match.prefix: /new",
            "- build old",
        ];
        assert_eq!(lines, want);
        assert_eq!(summary(&diff).as_deref(), Some("1 added, 1 changed, 1 removed"));
        assert_eq!(summary(&Diff::default()), None);
    }
}
