//! A taken port: `up` says who holds it, and ends with 1.

use crate::system::System;
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
