//! `ondol diff`, `apply` and `rollback`: another configuration for a system that runs, whole or not at all.

use crate::load::without_a_failed_request;
use crate::system::{System, until};
use rustix::process::Signal;
use serde_json::Value;

const HELLO: &str =
    "ready: { http: /health }\nenv: { GREETING: moin }\nroutes:\n  - { name: work, match: { prefix: /work } }";
const MORE: &str = "\n  - { name: env, match: { prefix: /env } }";

fn system() -> System {
    let system = System::new("", &[("hello", HELLO), ("other", "")]);
    write(&system, HELLO);
    system.up()
}

/// Writes the manifest of `hello`.
fn write(system: &System, more: &str) {
    let program = std::env::current_exe().expect("this program");
    let run = format!(
        "run: \"'{}' --ignored --exact service::service --nocapture\"",
        program.display()
    );
    system.write(
        "services/hello/service.yaml",
        &format!("service: hello\n{run}\n{more}\n"),
    );
}

#[test]
fn a_listener_that_cannot_be_bound_is_refused_and_holds_up_nothing() {
    let system = system();
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("its address").to_string();
    let before = (running(&system), history(&system));
    let manifest = std::fs::read_to_string(system.folder.join("ondol.yaml")).expect("the manifest");
    let web = format!("web: {{ bind: {} }}", system.gateway);
    assert!(manifest.contains(&web), "{manifest}");
    let more = format!("{web}, more: {{ bind: '{taken}' }}");
    system.write("ondol.yaml", &manifest.replace(&web, &more));
    let refused = system.ondol(&["apply"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let port = format!("port {} ", held.local_addr().expect("its address").port());
    for part in ["DP-021", &port, &format!("held by process {}", std::process::id())] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    system.get("/work").expect(200);
    assert_eq!((running(&system), history(&system)), before);
    // Another change goes through while the port is still held.
    system.write("ondol.yaml", &manifest);
    write(&system, &format!("{HELLO}{MORE}"));
    system.ondol(&["apply"]).good();
    system.get("/env/GREETING").expect(200);
    drop(held);
    system.write("ondol.yaml", &manifest.replace(&web, &more));
    system.ondol(&["apply"]).good();
    std::net::TcpStream::connect(&taken).expect("it listens there now");
    system.ondol(&["down"]).good();
}

/// What runs, by its number; and what it was taken back to.
fn running(system: &System) -> (u64, Option<u64>) {
    let config = system.admin("GET", "/v1/config", "").expect(200).json();
    let revision = config["revision"].as_u64().expect("a revision");
    (revision, config["rolled_back_to"].as_u64())
}

/// `by` of each revision, the oldest first.
fn history(system: &System) -> Vec<String> {
    let list = system.json(&["rollback", "--list"]);
    let by = list
        .as_array()
        .expect("a list")
        .iter()
        .rev()
        .map(|one| one["by"].clone());
    by.map(|by| by.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn a_change_is_shown_then_taken_and_no_request_fails_meanwhile() {
    let system = system();
    let before = system.processes();
    let none = system.ondol(&["diff", "--exit-code"]).good();
    assert!(none.contains("nothing would change"), "{none}");
    without_a_failed_request(&system.gateway, "/work", |_| {
        write(&system, &format!("{HELLO}{MORE}"));
        let diff = system.ondol(&["diff"]).good();
        for part in [
            "+ route env of hello",
            "+ match.prefix: /env",
            "services/hello/service.yaml:7",
            "1 added",
        ] {
            assert!(diff.contains(part), "{part}: {diff}");
        }
        assert_eq!(system.ondol(&["diff", "--exit-code"]).code, Some(1));
        assert_eq!(system.ondol(&["apply", "--dry-run"]).good(), diff);
        system.get("/env/GREETING").expect(404);
        assert_eq!(running(&system), (1, None));

        let applied = system.ondol(&["apply"]);
        assert!(applied.err.contains("revision 2 runs"), "{applied:?}");
        assert_eq!(applied.good(), diff);
        // Every proxy has it when the command ends.
        assert_eq!(system.get("/env/GREETING").expect(200).text(), "moin");
    });
    let after = system.processes();
    for name in ["hello.1", "other.1", "controller", "proxy"] {
        assert_eq!(after[name], before[name], "{name} was not touched");
    }
    assert_eq!(running(&system), (2, None));
    let changes = system.admin("GET", "/v1/changes", "").expect(200).json();
    let told = |change: &Value| change["kind"] == "action" && change["to"] == "apply, revision 2";
    assert!(changes.as_array().expect("a list").iter().any(told), "{changes}");
    // Once more changes nothing and makes no revision.
    let again = system.ondol(&["apply"]).good();
    assert!(again.contains("nothing changes"), "{again}");
    assert_eq!(history(&system), ["start", "apply"]);
}

#[test]
fn a_changed_variable_replaces_its_service_alone_and_its_value_is_never_shown() {
    let system = system();
    let before = system.processes();
    write(&system, &format!("{HELLO}{MORE}").replace("moin", "hunter2"));
    for args in [&["diff"][..], &["diff", "--json"], &["apply"]] {
        let ended = system.ondol(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("env.GREETING"), "{ended:?}");
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
    until("the new variable is there", || {
        (system.get("/env/GREETING").text() == "hunter2").then_some(())
    });
    assert_eq!(system.processes()["other.1"], before["other.1"]);
}

#[test]
fn broken_manifests_change_nothing_and_every_error_is_told() {
    let system = system();
    write(&system, &format!("{HELLO}\ndrian: 10s\nscael: {{ min: 1 }}"));
    for args in [&["diff"][..], &["apply", "--dry-run"], &["apply"]] {
        let ended = system.ondol(args);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.out, "", "nothing is shown as a change");
        let check = system.ondol(&["check"]);
        assert_eq!(ended.err, check.err, "as `ondol check` shows them");
    }
    assert_eq!(system.ondol(&["diff", "--exit-code"]).code, Some(2));
    let findings = system.json(&["apply"])["findings"].clone();
    assert_eq!(findings[0]["file"], "services/hello/service.yaml", "{findings}");
    let refused = system.admin("POST", "/v1/config", "{}").expect(422).json();
    assert_eq!(refused["code"], "DP-016");
    assert_eq!(
        (running(&system), history(&system)),
        ((1, None), vec!["start".to_owned()])
    );
    system.get("/work").expect(200);
    assert_eq!(system.ondol(&["status"]).code, Some(0));
}

#[test]
fn a_rollback_leaves_the_files_and_outlives_a_killed_controller() {
    let system = system();
    write(&system, &format!("{HELLO}{MORE}"));
    system.ondol(&["apply"]).good();
    without_a_failed_request(&system.gateway, "/work", |_| {
        let back = system.ondol(&["rollback"]);
        assert!(back.err.contains("revision 3 runs"), "{back:?}");
        assert!(back.good().contains("- route env of hello"));
        system.get("/env/GREETING").expect(404);
        system.signal("controller", Signal::KILL);
        until("the controller is back", || {
            (system.ondol(&["status"]).code == Some(0)).then_some(())
        });
        system.get("/env/GREETING").expect(404);
    });
    assert_eq!(running(&system), (3, Some(1)));
    assert_eq!(history(&system), ["start", "apply", "rollback"]);
    let status = system.ondol(&["status"]).good();
    assert!(
        status.contains("revision 3, rolled back to 1: not what the files say"),
        "{status}"
    );
    let diff = system.ondol(&["diff"]);
    assert!(diff.err.contains("the files say otherwise"), "{diff:?}");
    assert!(diff.good().contains("+ route env of hello"));
    // There is nothing before the first one.
    let refused = system.ondol(&["rollback"]);
    assert!(refused.code == Some(1) && refused.err.contains("DP-017"), "{refused:?}");
    let refused = system.ondol(&["rollback", "--to", "9"]);
    assert!(refused.err.contains("these are kept: 1, 2, 3"), "{refused:?}");
    // Forth again, by number, and then what the files say is what runs.
    system.ondol(&["rollback", "--to", "2"]).good();
    assert_eq!(running(&system), (4, None));
    system.get("/env/GREETING").expect(200);
    system.ondol(&["diff", "--exit-code"]).good();
}

#[test]
fn under_watch_a_rollback_stays_until_the_files_change_and_after_down_and_up_they_count_again() {
    let system = System::new("", &[("hello", HELLO)]);
    write(&system, HELLO);
    system.ondol(&["up", "--detach", "--watch"]).good();
    write(&system, &format!("{HELLO}{MORE}"));
    let there = |path: &str| system.get(path).status() == 200;
    until("the watcher took it", || there("/env/GREETING").then_some(()));
    assert_eq!(history(&system), ["start", "watch"]);
    system.ondol(&["rollback"]).good();
    assert!(!there("/env/GREETING"));
    system.signal("controller", Signal::KILL);
    until("the controller is back", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
    // The same again says nothing new; what is really another is taken.
    write(&system, &format!("# A word more.\n{HELLO}{MORE}"));
    assert_eq!(running(&system), (3, Some(1)));
    write(
        &system,
        &format!("{HELLO}{MORE}\n  - {{ name: slow, match: {{ prefix: /slow }} }}"),
    );
    until("the watcher took the files again", || {
        there("/env/GREETING").then_some(())
    });
    assert_eq!(running(&system), (4, None));

    system.ondol(&["rollback", "--to", "1"]).good();
    system.ondol(&["down"]).good();
    system.ondol(&["up", "--detach"]).good();
    assert!(there("/env/GREETING"), "a start takes the files");
    assert_eq!(
        history(&system),
        ["start", "watch", "rollback", "watch", "rollback", "start"]
    );
}

#[test]
fn a_request_is_tried_without_a_system_that_runs_and_examples_are_checked_with_the_manifests() {
    let system = System::new("", &[("hello", ""), ("other", "")]);
    let examples = "examples: [hello.examples.yaml]";
    write(&system, &format!("{HELLO}\n{examples}"));
    let example =
        "examples:\n  - { request: GET /work/x?y=1, expect: { route: work, service: hello, path: /work/x?y=1 } }\n";
    system.write("services/hello/hello.examples.yaml", example);
    system.ondol(&["check"]).good();
    let told = system.ondol(&["test", "GET", "/work/../work/x", "-H", "X-A: b"]).good();
    for part in ["/work/x", "work of hello", "prefix /work", "x-a: b", "timeout 15s"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = system.json(&["test", "GET", "/nowhere"]);
    assert_eq!(
        (&told["end"]["status"], &told["end"]["code"]),
        (&404.into(), &"GW-010".into()),
        "{told}"
    );
    assert_eq!(system.ondol(&["test", "GET", "nowhere"]).code, Some(2));
    assert_eq!(system.ondol(&["test", "GET", "/", "--listener", "no"]).code, Some(2));

    write(&system, &format!("{}\n{examples}", HELLO.replace("/work", "/works")));
    let failing = system.ondol(&["check"]);
    assert_eq!(failing.code, Some(1));
    for part in [
        "MF-027",
        "hello.examples.yaml:2",
        "no route takes this request",
        "ondol test GET /work/x?y=1",
    ] {
        assert!(failing.err.contains(part), "{part}: {failing:?}");
    }
}
