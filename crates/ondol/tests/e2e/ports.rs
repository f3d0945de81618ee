//! A taken port: `up` says who holds it, and ends with 1.

use crate::system::{System, free_port, until};
use std::net::TcpListener;

#[track_caller]
fn says_who_holds_it(system: &System, address: &str) {
    let held = TcpListener::bind(address).expect("the port is free");
    let up = system.ondol(&["up", "--detach"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    let program = std::env::current_exe().expect("this program");
    let program = program.file_name().expect("a name").to_string_lossy().into_owned();
    // The kernel cuts names at 15 bytes.
    let name = &program[..program.len().min(15)];
    let port = address.rsplit(':').next().expect("a port");
    for part in [port, &std::process::id().to_string(), name] {
        assert!(up.err.contains(part), "says {part}: {up:?}");
    }
    held.set_nonblocking(true).expect("a socket");
    assert!(held.accept().is_err(), "nobody asks the stranger, with a token at that");
    system.ondol(&["down"]).good();
}

#[test]
fn a_taken_port_is_told_with_its_holder_and_up_ends_with_1() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /work } } ]")]);
    says_who_holds_it(&system, &system.gateway);
    says_who_holds_it(&system, &system.console);
    let system = system.up();
    system.get("/work").expect(200);
}

#[test]
fn a_taken_console_port_is_mended_by_another_in_the_manifest() {
    let mut system = System::new("", &[("hello", "routes: [ { match: { prefix: /work } } ]")]);
    let _held = TcpListener::bind(&system.console).expect("the port is free");
    assert_eq!(system.ondol(&["up", "--detach"]).code, Some(1));
    let text = std::fs::read_to_string(system.folder.join("ondol.yaml")).expect("the manifest");
    let free = format!("127.0.0.1:{}", free_port());
    system.write("ondol.yaml", &text.replace(&system.console, &free));
    system.console = free;
    until("the next controller takes it", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
    system.get("/work").expect(200);
}
