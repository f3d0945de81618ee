//! Listeners that move while the system runs: gateways by `ondol apply`, back again, two that change places, the console; and
//! what is killed or stands still meanwhile.

use crate::http::Connection;
use crate::load::without_a_failed_request;
use crate::system::{System, free_port, until};
use rustix::process::Signal;
use serde_json::json;
use std::net::TcpStream;
use std::process::Stdio;

const HELLO: &str = "ready: { http: /health }\nroutes:\n  - { name: work, match: { prefix: /work } }";

fn system() -> System {
    System::new("", &[("hello", HELLO)]).up()
}

/// Writes these listeners into `ondol.yaml`.
fn listen(system: &System, listeners: &[(&str, &str)]) {
    let manifest = std::fs::read_to_string(system.folder.join("ondol.yaml")).expect("the manifest");
    let old = manifest
        .lines()
        .find(|line| line.contains("listeners:"))
        .expect("a line");
    let all: Vec<_> = listeners
        .iter()
        .map(|(name, bind)| format!("{name}: {{ bind: '{bind}' }}"))
        .collect();
    let new = format!("  listeners: {{ {} }}", all.join(", "));
    system.write("ondol.yaml", &manifest.replace(old, &new));
}

fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The status of an answer on a connection of its own.
fn ask(address: &str) -> Option<u16> {
    let answer = Connection::open(address).ok()?.ask("GET", "/work", &[], b"").ok()?;
    Some(answer.status())
}

fn is_closed(address: &str) {
    until("nobody listens there any more", || TcpStream::connect(address).err());
}

#[test]
fn a_gateway_moves_by_apply_and_back_while_kept_connections_are_served_and_then_end() {
    let system = system();
    let (old, new) = (system.gateway.clone(), address());
    let mut kept = Connection::open(&old).expect("connected");
    assert_eq!(kept.ask("GET", "/work", &[], b"").expect("an answer").status(), 200);

    listen(&system, &[("web", &new)]);
    system.ondol(&["apply"]).good();
    assert_eq!(ask(&new), Some(200), "as soon as the command ends");
    is_closed(&old);
    let last = kept.ask("GET", "/work", &[], b"").expect("an answer");
    assert_eq!((last.status(), last.field("connection")), (200, Some("close")));

    listen(&system, &[("web", &old)]);
    system.ondol(&["apply"]).good();
    assert_eq!(ask(&old), Some(200));
    is_closed(&new);
    // Without waiting for anything in between.
    system.ondol(&["rollback"]).good();
    system.ondol(&["rollback", "--to", "1"]).good();
    assert_eq!(ask(&old), Some(200));
    is_closed(&new);
}

#[test]
fn two_gateways_change_places_and_no_request_fails_meanwhile() {
    let system = system();
    let (first, second) = (system.gateway.clone(), address());
    listen(&system, &[("web", &first), ("more", &second)]);
    system.ondol(&["apply"]).good();
    assert_eq!(ask(&second), Some(200));
    without_a_failed_request(&first, "/work", |_| {
        listen(&system, &[("web", &second), ("more", &first)]);
        system.ondol(&["apply"]).good();
        let gateways = &system.json(&["status"])["gateways"];
        let swapped = [("web", &second), ("more", &first)].map(|(name, at)| json!([name, format!("http://{at}")]));
        assert_eq!(*gateways, json!(swapped));
        assert_eq!((ask(&first), ask(&second)), (Some(200), Some(200)));
    });
}

#[test]
fn the_console_moves_and_who_asked_for_it_is_answered_and_it_takes_no_gateways_place_in_one_step() {
    let mut system = system();
    let (gateway, console, other) = (system.gateway.clone(), system.console.clone(), address());
    let manifest = std::fs::read_to_string(system.folder.join("ondol.yaml")).expect("the manifest");
    let swapped = manifest.replace(&gateway, "GATEWAY").replace(&console, &gateway);
    system.write("ondol.yaml", &swapped.replace("GATEWAY", &console));
    let refused = system.ondol(&["apply"]);
    assert!(refused.code == Some(1) && refused.err.contains("DP-021"), "{refused:?}");
    assert!(refused.err.contains("move one of them first"), "{refused:?}");
    assert_eq!(ask(&gateway), Some(200));

    system.write("ondol.yaml", &manifest.replace(&console, &other));
    system.ondol(&["apply"]).good();
    is_closed(&console);
    system.console = other;
    assert_eq!(system.admin("GET", "/v1/services", "").status(), 200);
    system.write(
        "ondol.yaml",
        &manifest.replace(&console, &system.console).replace(&gateway, &console),
    );
    system.ondol(&["apply"]).good();
    assert_eq!(ask(&console), Some(200), "the address is free at once");
}

#[test]
fn a_move_that_cannot_be_written_down_leaves_the_listener_where_it_was() {
    let system = system();
    let (old, new) = (system.gateway.clone(), address());
    // Where the next revision would be.
    let blocked = system.folder.join(".ondol/revisions/2.json");
    std::fs::create_dir_all(blocked.join("in the way")).expect("a folder");
    listen(&system, &[("web", &new)]);
    let refused = system.ondol(&["apply"]);
    assert!(refused.code == Some(1) && refused.err.contains("DP-018"), "{refused:?}");
    is_closed(&new);
    assert_eq!(ask(&old), Some(200));
    let status = system.ondol(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");

    std::fs::remove_dir_all(blocked).expect("removed");
    system.ondol(&["apply"]).good();
    assert_eq!(ask(&new), Some(200));
    is_closed(&old);
}

#[test]
fn what_a_killed_controller_had_not_closed_yet_is_closed_by_the_next_one() {
    let system = system();
    let (old, new) = (system.gateway.clone(), address());
    // It can tell nobody that it has left the old address.
    system.signal("proxy", Signal::STOP);
    listen(&system, &[("web", &new)]);
    let mut apply = system.command(&["apply"]);
    let mut apply = apply
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    until("the plan is taken", || {
        system.folder.join(".ondol/revisions/2.json").exists().then_some(())
    });
    system.signal("controller", Signal::KILL);
    system.signal("proxy", Signal::CONT);
    apply.wait().expect("it ends");
    is_closed(&old);
    assert_eq!(ask(&new), Some(200));
}

#[test]
fn who_goes_back_before_the_proxy_has_moved_gets_the_old_address_back() {
    let system = system();
    let (old, new) = (system.gateway.clone(), address());
    let without_a_word = |args: &[&str]| {
        let mut command = system.command(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs")
    };
    let is_taken = |revision: &str| {
        let file = system.folder.join(".ondol/revisions").join(revision);
        until("the plan is taken", || file.exists().then_some(()));
    };
    system.signal("proxy", Signal::STOP);
    listen(&system, &[("web", &new)]);
    let mut apply = without_a_word(&["apply"]);
    is_taken("2.json");
    let mut rollback = without_a_word(&["rollback"]);
    is_taken("3.json");
    system.signal("proxy", Signal::CONT);
    assert!(rollback.wait().expect("it ends").success());
    apply.wait().expect("it ends");
    assert_eq!(ask(&old), Some(200));
    is_closed(&new);
}
