//! The access log: written by the proxy, read by `ondol logs`.

use crate::system::{System, until};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Requests in `ondol logs ARGS --json`, by path, oldest first.
fn paths(system: &System, args: &[&str]) -> Vec<String> {
    let said = system.ondol(&[&["logs", "--json"], args].concat()).good();
    said.lines().filter_map(path_of).collect()
}

fn path_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let text: Value = serde_json::from_str(line["text"].as_str()?).ok()?;
    text["path"].as_str().map(Into::into)
}

#[test]
fn requests_are_read_back_over_lives_of_the_proxy_and_never_pass_the_supervisor() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /echo } } ]")]).up();
    let logged = |path: &str, args: &[&str]| {
        system.get(path);
        until(path, || {
            paths(&system, args)
                .last()
                .is_some_and(|last| last == path)
                .then_some(())
        });
    };
    logged("/echo/first", &["proxy"]);
    logged("/echo/second", &["-n", "5000"]);
    assert_eq!(paths(&system, &["hello"]), [""; 0]);
    assert_eq!(paths(&system, &["access/hello"]), ["/echo/first", "/echo/second"]);
    assert_eq!(paths(&system, &["access/hello", "-n", "1"]), ["/echo/second"]);
    assert_eq!(paths(&system, &["access/nobody"]), [""; 0]);
    let shown = system.ondol(&["logs", "access/hello", "-n", "1"]).good();
    assert!(
        shown.contains("hello.1") && shown.contains("GET /echo/second 200 "),
        "{shown}"
    );

    system.signal("proxy", Signal::KILL);
    // Waits in the listening socket for the next proxy.
    logged("/echo/third", &["proxy"]);
    assert_eq!(
        paths(&system, &["proxy", "-n", "5000"]),
        ["/echo/first", "/echo/second", "/echo/third"]
    );
    let files = std::fs::read_dir(system.folder.join(".ondol/access")).expect("a folder");
    assert_eq!(files.count(), 1, "the next proxy continues the file");

    for part in std::fs::read_dir(system.folder.join(".ondol/logs/proxy"))
        .into_iter()
        .flatten()
    {
        let text = std::fs::read_to_string(part.expect("listed").path()).expect("readable");
        assert!(!text.contains("/echo/"), "{text}");
    }
}

#[test]
fn who_follows_sees_requests_as_they_come() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /echo } } ]")]).up();
    let following = system
        .command(&["logs", "--json", "-f", "-n", "100"])
        .stdout(Stdio::piped())
        .spawn();
    let mut following = following.expect("ondol runs");
    let mut lines = BufReader::new(following.stdout.take().expect("a pipe")).lines();
    let mut seen = |path: &str| lines.any(|line| path_of(&line.expect("a line")).is_some_and(|seen| seen == path));
    for path in ["/echo/one", "/echo/two"] {
        system.get(path);
        assert!(seen(path), "{path}");
    }
    following.kill().expect("it runs");
    following.wait().expect("it ended");
}
