//! Two configurations from manifests that differ in one thing, and what is told of it.

use super::*;
use crate::facts::Kind;
use crate::testing::FixedEnv;
use std::path::Path;

const SYSTEM: &str = "system: demo\nservices: [a]\ndefaults:\n  retries: 1\n";
const SERVICE: &str = "\
service: a
run: sh -c true
scale: { min: 1, max: 3 }
env: { LOG: info, KEY: \"${env:KEY}\" }
routes:
  - name: one
    match: { prefix: /one }
    timeout: 3s
    request_headers: { set: { x-key: \"${env:KEY}\" } }
  - { name: two, match: { path: /two, methods: [GET, POST] } }
";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// The facts of a system whose files are these, with the variable `KEY`.
fn facts(system: &str, service: &str, key: &str) -> Facts {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), "ondol.yaml", system);
    write(root.path(), "a/service.yaml", service);
    let env = FixedEnv::with(&[("KEY", key)]).programs(&[("sh", "1")]);
    let loaded = crate::load(root.path(), &env).expect("good");
    loaded.facts(&loaded.lower())
}

/// Lines such as `service a: ~ scale.min 1 -> 2 a/service.yaml:3`.
fn lines(old: &Facts, new: &Facts) -> Vec<String> {
    let mut out = Vec::new();
    for change in Diff::between(old, new).changes {
        let kind = serde_json::to_value(change.subject.kind).expect("a word");
        let head = format!("{} {}", kind.as_str().expect("a word"), change.subject.name);
        if change.op != Op::Change {
            out.push(format!("{head}: {:?}", change.op));
        }
        for key in change.keys {
            let value = |value: Option<String>| value.unwrap_or_else(|| if key.hidden { "*" } else { "-" }.into());
            let place = key.origin.map(|place| format!(" {place}")).unwrap_or_default();
            let (from, to) = (value(key.from), value(key.to));
            out.push(format!("{head}: {} {from} -> {to}{place}", key.key));
        }
    }
    out
}

#[test]
fn what_is_the_same_differs_in_nothing_wherever_it_is_written() {
    let one = facts(SYSTEM, SERVICE, "k");
    assert_eq!(lines(&one, &one), Vec::<String>::new());
    let moved = format!("# A word more.\n\n{SERVICE}");
    assert_eq!(lines(&one, &facts(SYSTEM, &moved, "k")), Vec::<String>::new());
}

#[test]
fn each_change_names_the_key_both_values_and_the_line() {
    let one = facts(SYSTEM, SERVICE, "k");
    let other = SERVICE
        .replace("min: 1", "min: 2")
        .replace("timeout: 3s", "timeout: 500ms");
    let want = [
        "service a: scale.min 1 -> 2 a/service.yaml:3",
        "route one: timeout 3s -> 500ms a/service.yaml:8",
    ];
    assert_eq!(lines(&one, &facts(SYSTEM, &other, "k")), want);
}

#[test]
fn a_default_shows_where_it_takes_effect() {
    let one = facts(SYSTEM, SERVICE, "k");
    let system = SYSTEM.replace("retries: 1", "retries: 0");
    let want = [
        "route one: retries 1 -> 0 ondol.yaml:4",
        "route two: retries 1 -> 0 ondol.yaml:4",
    ];
    assert_eq!(lines(&one, &facts(&system, SERVICE, "k")), want);
}

#[test]
fn what_comes_tells_what_is_written_and_what_goes_only_that() {
    let one = facts(SYSTEM, SERVICE, "k");
    let with = format!("{SERVICE}  - {{ name: three, match: {{ prefix: /three }} }}\n");
    let with = facts(SYSTEM, &with, "k");
    let want = [
        "route three: Add",
        "route three: match.prefix - -> /three a/service.yaml:11",
        "route three: retries - -> 1 ondol.yaml:4",
    ];
    assert_eq!(lines(&one, &with), want);
    assert_eq!(lines(&with, &one), ["route three: Remove"]);
}

#[test]
fn a_key_that_comes_or_goes_is_told_as_that() {
    let one = facts(SYSTEM, SERVICE, "k");
    let other = SERVICE.replace("methods: [GET, POST]", "hosts: [a.example]");
    let want = [
        "route two: match.hosts - -> a.example a/service.yaml:10",
        "route two: match.methods GET, POST -> -",
    ];
    assert_eq!(lines(&one, &facts(SYSTEM, &other, "k")), want);
}

#[test]
fn what_the_environment_says_is_never_shown_but_that_it_changed_is() {
    let (one, other) = (facts(SYSTEM, SERVICE, "hunter2"), facts(SYSTEM, SERVICE, "hunter3"));
    let want = [
        "service a: env.KEY * -> * a/service.yaml:4",
        "route one: request_headers.set.x-key * -> * a/service.yaml:9",
    ];
    assert_eq!(lines(&one, &other), want);
    // Also not when the new one is no secret any more.
    let plain = SERVICE.replace("x-key: \"${env:KEY}\"", "x-key: open");
    let told = format!("{:?}", Diff::between(&one, &facts(SYSTEM, &plain, "hunter2")));
    assert!(told.contains("x-key") && !told.contains("hunter"), "{told}");
    assert!(!format!("{one:?}").contains("hunter2: "), "{one:?}");
}

#[test]
fn a_secret_among_the_arguments_of_a_command_is_never_shown() {
    let with = |run: &str| SERVICE.replace("run: sh -c true", run);
    for (run, other) in [
        ("run: sh --token hunter2", "run: sh --token hunter3"),
        ("run: sh --db=http://a:hunter2@b", "run: sh --db=http://a:hunter3@b"),
        ("run: \"sh ${env:KEY}\"", "run: sh"),
    ] {
        let (one, other) = (
            facts(SYSTEM, &with(run), "hunter1"),
            facts(SYSTEM, &with(other), "hunter1"),
        );
        let told = lines(&one, &other);
        assert!(
            told.len() == 1 && told[0].starts_with("service a: run * -> *"),
            "{told:?}"
        );
    }
    let plain = facts(SYSTEM, &with("run: sh --port 2"), "k");
    let told = lines(&plain, &facts(SYSTEM, &with("run: sh --port 3"), "k"));
    assert!(
        told[0].contains("--port, 2") && told[0].contains("--port, 3"),
        "{told:?}"
    );
}

#[test]
fn another_order_of_routes_is_a_change_and_one_more_route_is_none_of_the_service() {
    let one = facts(SYSTEM, SERVICE, "k");
    let (head, routes) = SERVICE.split_once("routes:\n").expect("routes");
    let (first, second) = routes.split_once("  - { name: two").expect("two");
    let swapped = format!("{head}routes:\n  - {{ name: two{second}{first}");
    let told = Diff::between(&one, &facts(SYSTEM, &swapped, "k"));
    assert_eq!(told.changes.len(), 1, "{told:?}");
    assert_eq!(told.changes[0].subject.kind, Kind::Service);
    assert_eq!(told.changes[0].keys[0].from.as_deref(), Some("[one, two]"));
}

#[test]
fn a_diff_is_read_back_as_it_was_written() {
    let diff = Diff::between(
        &facts(SYSTEM, SERVICE, "1"),
        &facts(SYSTEM, &SERVICE.replace("3s", "4s"), "2"),
    );
    let json = serde_json::to_value(&diff).expect("json");
    assert_eq!(json["changes"][0]["kind"], "service");
    assert_eq!(serde_json::from_value::<Diff>(json).expect("read"), diff);
}
