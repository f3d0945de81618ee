//! `ondol upgrade`: another program takes over, under load, and nobody notices.

use crate::load::without_a_failed_request;
use crate::system::{Ended, System, until};
use ondol_core::wire::supervision::{Facts, InstanceFact, Phase};
use ondol_core::wire::supervision_client::SupervisorClient;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn system() -> System {
    System::new(
        "",
        &[
            (
                "hello",
                "scale: { min: 2 }\nroutes:\n  - { match: { path: /work } }\n  - { match: { path: /socket }, stream: true }",
            ),
            ("other", ""),
        ],
    )
    .up()
}

fn facts(system: &System) -> Facts {
    SupervisorClient::new(&system.folder).facts().expect("facts")
}

fn role(system: &System, id: &str) -> Option<InstanceFact> {
    let roles = facts(system).roles.into_iter();
    roles.into_iter().find(|fact| fact.id.to_string() == id)
}

/// The same program at another place, as a newer version would be.
fn newer(system: &System) -> PathBuf {
    let program = system.folder.join("ondol-newer");
    std::fs::copy(&system.program, &program).expect("copied");
    program
}

/// Runs `PROGRAM upgrade`.
fn upgrade(system: &mut System, program: PathBuf, words: &[&str]) -> Ended {
    let before = std::mem::replace(&mut system.program, program);
    let ended = system.ondol(&[&["upgrade"], words].concat());
    system.program = before;
    ended
}

/// A WebSocket through the gateway, opened and not spoken on yet.
fn tunnel(system: &System) -> TcpStream {
    let mut stream = TcpStream::connect(&system.gateway).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    stream.write_all(UPGRADE.as_bytes()).expect("written");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    stream
}

fn say(tunnel: &mut TcpStream, text: &str) {
    tunnel.write_all(text.as_bytes()).expect("written");
    let mut back = vec![0; text.len()];
    tunnel.read_exact(&mut back).expect("an echo");
    assert_eq!(back, text.as_bytes());
}

#[test]
fn nobody_is_refused_and_what_was_begun_goes_on() {
    let mut system = system();
    let (before, program) = (facts(&system), newer(&system));
    let mut long = tunnel(&system);
    say(&mut long, "before");
    let gateway = system.gateway.clone();
    without_a_failed_request(&gateway, "/work", |seen| {
        let ended = upgrade(&mut system, program.clone(), &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("proxy serves after"), "{ended:?}");
        seen.wait_for(200);
        say(&mut long, "meanwhile");
        let old = role(&system, "proxy.1").expect("it still has a tunnel");
        assert_eq!((old.phase, old.pid), (Phase::Stopping, before.roles[1].pid));
        for id in ["controller.1", "proxy.2"] {
            let fact = role(&system, id).expect("it runs");
            assert_eq!(
                (fact.phase, fact.release.as_str()),
                (Phase::Ready, program.to_str().expect("text"))
            );
        }
        let status = system.ondol(&["status"]).out;
        assert!(status.contains("proxy.1 ends with the last"), "{status}");
        // Applies and restarts do not wait for the one that leaves.
        system.ondol(&["restart", "other"]).good();
        say(&mut long, "at last");
        drop(long);
        until("the old proxy has ended", || {
            role(&system, "proxy.1").is_none().then_some(())
        });
        // And back, by the program from before.
        let ended = upgrade(
            &mut system,
            before.roles[1].release.clone().into(),
            &["--wait", "--json"],
        );
        let roles: Vec<InstanceFact> = serde_json::from_str(&ended.out).expect("JSON");
        assert_eq!(roles.len(), 2, "{ended:?}");
    });
    let after = facts(&system);
    assert_eq!(before.pid, after.pid, "the supervisor is the same");
    system.ondol(&["down"]).good();
}

/// A program that ends where it should run this role, and is the true one otherwise.
fn broken(system: &System, role: &str) -> String {
    let program = system.folder.join(format!("broken-{role}"));
    let text = format!(
        "#!/bin/sh\n[ \"$2\" = {role} ] && exit 7\nexec '{}' \"$@\"\n",
        system.program.display()
    );
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    program.display().to_string()
}

#[test]
fn a_program_that_does_not_come_up_leaves_everything_as_it_was() {
    let system = system();
    let before = facts(&system);
    let gateway = system.gateway.clone();
    without_a_failed_request(&gateway, "/work", |_| {
        for role in ["controller", "proxy"] {
            let ended = system.ondol(&["upgrade", "--to", &broken(&system, role)]);
            let told = ended.err.contains("CL-005") && ended.err.contains("exited with code 7");
            assert!(ended.code == Some(1) && told, "{role}: {ended:?}");
            // It said nothing, and what the one that serves writes is none of its reasons.
            assert!(role != "proxy" || !ended.err.contains("its last line"), "{ended:?}");
        }
    });
    let after = facts(&system);
    assert_eq!(after.roles[1].pid, before.roles[1].pid, "the proxy noticed nothing");
    assert_eq!(after.roles[0].release, before.roles[0].release);
    until("the controller answers again", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
    assert_eq!(system.ondol(&["upgrade", "--drain", "0"]).code, Some(2));
    let missing = system.ondol(&["upgrade", "--to", "no/such/program"]);
    assert!(
        missing.code == Some(1) && missing.err.contains("no/such/program"),
        "{missing:?}"
    );
}

#[test]
fn a_killed_successor_comes_back_and_an_unfinished_leave_ends_with_the_system() {
    let mut system = system();
    let (mut long, program) = (tunnel(&system), newer(&system));
    upgrade(&mut system, program.clone(), &[]).good();
    say(&mut long, "meanwhile");
    let pid = role(&system, "proxy.2").and_then(|fact| fact.pid).expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("killed");
    until("it serves again", || {
        let fact = role(&system, "proxy.2").filter(|fact| fact.restarts == 1 && fact.phase == Phase::Ready)?;
        assert_eq!(fact.release, program.display().to_string());
        let answer = crate::http::ask(&system.gateway, "GET", "/work", &[], b"").ok()?;
        (answer.status() == 200).then_some(())
    });
    say(&mut long, "still");
    system.ondol(&["down"]).good();
    assert!(system.processes().is_empty(), "{:?}", system.processes());
}

#[test]
fn nothing_is_upgraded_where_nothing_runs() {
    let system = System::new("", &[("hello", "")]);
    let ended = system.ondol(&["upgrade"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("CL-003"), "{ended:?}");
}
