//! Ready is what the instance itself shows.

use crate::bed::{Bed, PROGRAM, behaving, instance, serving, shell, wait};
use ondol_core::wire::supervision::{Exit, InstanceSpec, Phase, Readiness, SocketMode};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

#[test]
fn an_http_answer_of_2xx_is_ready() {
    let bed = Bed::new(&[]);
    bed.start(serving("a.1", bed.port("a.1"), Readiness::Http("/health".into())));
    bed.ready("a.1");
}

#[test]
fn another_http_answer_is_not_ready_and_says_so() {
    let bed = Bed::new(&[]);
    bed.start(serving("a.1", bed.port("a.1"), Readiness::Http("/status/503".into())));
    let says = |reason: &Option<String>| reason.as_ref().is_some_and(|reason| reason.contains("status 503"));
    let fact = bed.until("a.1", "says 503", |fact| says(&fact.reason));
    assert_eq!(fact.phase, Phase::Starting);
}

#[test]
fn an_open_port_is_ready() {
    let bed = Bed::new(&[]);
    bed.start(serving("a.1", bed.port("a.1"), Readiness::Tcp));
    bed.ready("a.1");
}

#[test]
fn a_command_that_exits_with_0_is_ready() {
    let bed = Bed::new(&[]);
    let mark = bed.folder.path().join("mark");
    let argv = ["test", "-e", &mark.display().to_string()].map(str::to_owned).to_vec();
    bed.start(InstanceSpec {
        ready: Readiness::Exec(argv),
        ..behaving("a.1", "nap", "")
    });
    bed.until("a.1", "asked in vain", |fact| fact.reason.is_some());
    assert_eq!(bed.fact("a.1").expect("fact").phase, Phase::Starting);
    std::fs::write(&mark, "").expect("mark");
    bed.ready("a.1");
}

#[test]
fn a_command_that_hangs_is_killed_and_asked_again() {
    let bed = Bed::new(&[]);
    let script = format!(
        "echo x >> {0}; [ $(wc -l < {0}) -gt 1 ] || exec sleep 1000",
        bed.folder.path().join("n").display()
    );
    let ready = Readiness::Exec(["sh", "-c", &script].map(str::to_owned).to_vec());
    bed.start(InstanceSpec {
        ready,
        ready_timeout_ms: 100,
        ..behaving("a.1", "nap", "")
    });
    bed.ready("a.1");
}

#[test]
fn not_ready_in_time_is_killed_and_tried_again() {
    let bed = Bed::new(&[]);
    bed.start(InstanceSpec {
        start_within_ms: 100,
        ..behaving("a.1", "nap", "never")
    });
    let fact = bed.until("a.1", "tried again", |fact| fact.restarts >= 1);
    assert_eq!(fact.last_exit, Some(Exit::NotReady));
}

#[test]
fn a_port_answered_by_another_process_is_not_ready_and_names_it() {
    let bed = Bed::new(&[]);
    let port = bed.port("a.1");
    let spec = InstanceSpec {
        socket: Some(SocketMode::Port),
        port,
        ready: Readiness::Tcp,
        ..behaving("a.1", "nap", "")
    };
    bed.start(spec);
    let _stranger = TcpListener::bind(("127.0.0.1", port)).expect("bind");
    let me = format!("answered by process {} (", std::process::id());
    let fact = bed.until("a.1", "names the stranger", |fact| {
        fact.reason.as_ref().is_some_and(|why| why.contains(&me))
    });
    assert_eq!(fact.phase, Phase::Starting);
}

#[test]
fn a_taken_port_is_refused_and_names_the_holder() {
    let bed = Bed::new(&[]);
    let port = bed.port("a.1");
    let held = TcpListener::bind(("127.0.0.1", port)).expect("bind");
    let spec = serving("a.1", port, Readiness::Tcp);
    let error = bed.client.start(spec.clone()).expect_err("refused");
    assert_eq!(error.code().as_str(), "SV-011");
    assert!(
        error
            .to_string()
            .contains(&format!("port {port} is held by process {} (", std::process::id())),
        "{error}"
    );
    drop(held);
    // A process that another test is just starting may hold a copy for a moment more.
    wait("a free port", || bed.client.start(spec.clone()).ok());
    bed.ready("a.1");
}

#[test]
fn a_child_of_the_instance_may_answer_for_it() {
    for options in [&[][..], &["no-cgroups"]] {
        let bed = Bed::new(options);
        let script = format!("{PROGRAM} http & wait");
        let spec = InstanceSpec {
            socket: Some(SocketMode::Port),
            port: bed.port("a.1"),
            ready: Readiness::Tcp,
            ..shell("a.1", &script, "")
        };
        bed.start(spec);
        bed.ready("a.1");
    }
}

#[test]
fn a_handed_on_socket_keeps_clients_waiting_over_a_restart() {
    let bed = Bed::new(&[]);
    let port = bed.port("a.1");
    bed.start(InstanceSpec {
        socket: Some(SocketMode::Fds),
        ready: Readiness::Http("/".into()),
        ..serving("a.1", port, Readiness::Tcp)
    });
    let first = bed.ready("a.1").pid.expect("pid").to_string();
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .map(|_| text.lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(ask().expect("answer"), first);
    bed.client.restart(&instance("a.1")).expect("restart");
    // Nobody accepts yet, and nobody is refused.
    let second = wait("an answer of the second life", || {
        ask().ok().filter(|pid| !pid.is_empty())
    });
    assert_ne!(second, first);
    bed.client.stop(&instance("a.1")).expect("stop");
    TcpStream::connect(("127.0.0.1", port)).expect_err("refused once it is stopped");
}
