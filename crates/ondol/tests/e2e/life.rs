//! From `up` to `down`.

use crate::http;
use crate::load::without_a_failed_request;
use crate::system::{System, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Child, Stdio};

fn pids(service: &Value) -> Vec<i64> {
    let instances = service["instances"].as_array().expect("instances");
    instances
        .iter()
        .filter_map(|instance| instance["pid"].as_i64())
        .collect()
}

#[test]
fn a_system_is_restarted_and_scaled_without_a_failed_request_and_goes_without_a_trace() {
    let hello = "scale: { min: 1, max: 3 }\nready: { http: /health }\nhealth: /health\nroutes: [ { match: { prefix: /work } } ]";
    let system = System::new("", &[("hello", hello)]).up();

    let status = system.json(&["status"]);
    assert_eq!(status["system"], "tested");
    assert_eq!(
        status["gateways"][0][1],
        format!("http://{}", system.gateway),
        "{status}"
    );
    let before = system.service("hello");
    assert_eq!(
        (&before["state"], &before["ready"]),
        (&"ready".into(), &1.into()),
        "{before}"
    );

    without_a_failed_request(&system.gateway, "/work", |seen| {
        let after: Value = system.json(&["restart", "hello"]);
        assert_ne!(after["release"], before["release"]);
        assert_ne!(pids(&after), pids(&before), "the process is another");
        for count in ["3", "1"] {
            let scaled = system.json(&["scale", "hello", count]);
            assert_eq!(pids(&scaled).len().to_string(), count, "{scaled}");
            seen.wait_for(50);
        }
    });
    let refused = system.ondol(&["scale", "hello", "9"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains('3'), "says the bound: {}", refused.err);

    system.ondol(&["down"]).good();
    assert!(system.processes().is_empty(), "left: {:?}", system.processes());
    assert!(http::ask(&system.gateway, "GET", "/work", &[], b"").is_err());
    let status = system.ondol(&["status"]);
    assert_eq!(
        (status.code, status.err.contains("CL-003")),
        (Some(1), true),
        "{status:?}"
    );
}

#[test]
fn a_second_up_looks_on_and_a_second_supervisor_refuses() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /work } } ]")]).up();
    let before = system.processes();

    let second = system.ondol(&["up", "--detach"]);
    assert_eq!(
        (second.code, second.err.contains("runs already")),
        (Some(0), true),
        "{second:?}"
    );

    let folder = system.folder.to_string_lossy().into_owned();
    let supervisor = system.ondol(&["role", "supervisor", "--root", &folder]);
    assert_eq!(
        (supervisor.code, supervisor.err.contains("SV-001")),
        (Some(1), true),
        "{supervisor:?}"
    );
    assert_eq!(system.processes(), before);
    system.get("/work").expect(200);
}

#[test]
fn a_service_that_cannot_start_is_told_and_up_ends_with_1() {
    let system = System::new("", &[("broken", "run: sh -c 'echo the oven is cold; exit 3'")]);
    let up = system.ondol(&["up", "--detach"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(up.err.contains("broken"), "{up:?}");
    let logs = system.ondol(&["logs", "broken"]).good();
    assert!(logs.contains("the oven is cold"), "{logs}");
}

#[test]
fn a_failed_build_is_told_to_all_who_wait_for_it_and_up_ends_instead_of_waiting() {
    let bank = "build: sh -c 'echo the vault is locked; exit 3'\ninputs: [lock]\nrun: ./bank";
    let needs = |what: &str| format!("depends_on: {{ {what}: required }}");
    let (orders, shop) = (needs("bank"), needs("orders"));
    let system = System::new(
        "",
        &[("bank", bank), ("orders", &orders), ("shop", &shop), ("alone", "")],
    );

    let up = system.ondol(&["up", "--detach"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    for service in ["orders", "shop"] {
        let status = system.service(service);
        let shown = (&status["state"], &status["reason"]);
        assert_eq!(shown, (&"blocked".into(), &"blocked by bank: build failed".into()));
        assert!(
            up.err.contains(&format!("{service}: blocked by bank: build failed")),
            "{up:?}"
        );
    }
    assert!(
        up.err.contains("ondol logs build/bank") && up.err.contains("`ondol down` and `ondol up`"),
        "{up:?}"
    );
    let table = system.ondol(&["status"]).out;
    assert!(table.contains("blocked by bank: build failed"), "{table}");
    let restart = system.ondol(&["restart", "shop"]);
    assert_eq!(restart.code, Some(1), "it does not wait either: {restart:?}");
    assert_eq!(system.service("alone")["state"], "ready");
    system.ondol(&["down"]).good();

    // In the foreground it stops what it started.
    let up = system.ondol(&["up"]);
    assert_eq!((up.code, up.err.contains("blocked by bank")), (Some(1), true), "{up:?}");
    assert!(system.processes().is_empty(), "{:?}", system.processes());
}

#[test]
fn up_says_what_ctrl_c_does() {
    let system = System::new("", &[("hello", "")]);
    let err = system.folder.join("err");
    let file = std::fs::File::create(&err).expect("a file");
    let up = system.command(&["up"]).stdout(Stdio::null()).stderr(file).spawn();
    let mut up = up.expect("ondol runs");
    let says = |what: &str| {
        until(what, || {
            std::fs::read_to_string(&err).ok()?.contains(what).then_some(())
        });
    };
    says("Ctrl-C stops everything in order");
    says("tested is up");
    let file = std::fs::File::create(&err).expect("a file");
    let looks = system.command(&["up"]).stdout(Stdio::null()).stderr(file).spawn();
    let mut looks = looks.expect("ondol runs");
    says("Ctrl-C ends the looking on");
    for child in [&mut looks, &mut up] {
        interrupt(child);
        child.wait().expect("it ends");
    }
}

/// `ondol up` in the foreground, once the gateway serves.
fn look_on(system: &System) -> Child {
    let up = system
        .command(&["up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let up = up.expect("ondol runs");
    until("all is ready", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
    up
}

/// Ctrl-C, once the process would notice.
fn interrupt(process: &Child) {
    until("it handles SIGINT", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & (1 << (Signal::INT.as_raw() - 1)) != 0).then_some(())
    });
    let pid = Pid::from_raw(process.id().cast_signed()).expect("a pid");
    kill_process(pid, Signal::INT).expect("it lives");
}

#[test]
fn an_onlooker_that_dies_leaves_the_system_and_an_interrupted_one_takes_it_along_if_it_started_it() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /work } } ]")]);
    let mut first = look_on(&system);
    let before = system.processes();
    first.kill().expect("it lives");
    first.wait().expect("it ends");
    system.get("/work").expect(200);
    let mut second = look_on(&system);
    interrupt(&second);
    assert!(second.wait().expect("it ends").success(), "looking ends");
    assert_eq!(system.processes(), before, "the system goes on");
    system.ondol(&["down"]).good();

    let mut starter = look_on(&system);
    interrupt(&starter);
    starter.wait().expect("it ends");
    assert!(system.processes().is_empty(), "{:?}", system.processes());
}

#[test]
fn an_interrupted_up_detach_does_not_say_that_all_is_ready() {
    let system = System::new("", &[("late", "run: sleep 1000")]);
    let up = system.command(&["up", "--detach"]).stderr(Stdio::null()).spawn();
    let mut up = up.expect("ondol runs");
    until("it starts", || system.processes().contains_key("late.1").then_some(()));
    interrupt(&up);
    assert_eq!(up.wait().expect("it ends").code(), Some(1));
    assert!(system.processes().contains_key("late.1"), "the system goes on");
}
