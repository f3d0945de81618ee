//! `up --watch`: what changes is rebuilt and replaced, that one service only, without a failed request.

use crate::load::without_a_failed_request;
use crate::system::{System, free_port, until};
use std::net::{TcpListener, TcpStream};

/// A "compiler" that refuses what it does not know, and makes a program that answers with its source.
const BUILD: &str = "\
set -e
if grep -q MISTAKE source.txt; then echo 'error: source.txt has a MISTAKE' >&2; exit 1; fi
mkdir -p target
printf '#!/bin/sh\\nANSWER=\"%s\" exec \"$SERVICE\" --ignored --exact service::service --nocapture\\n' \"$(cat source.txt)\" > target/half
chmod +x target/half
mv target/half target/made
";

#[test]
fn changes_replace_that_one_service_without_a_failed_request_and_mistakes_change_nothing() {
    let program = std::env::current_exe().expect("this program");
    let made = format!(
        "build: sh build.sh\ninputs: [source.txt, build.sh]\nrun: target/made\nenv: {{ SERVICE: \"{}\" }}\nready: {{ http: /health }}\n\
         routes: [ {{ match: {{ prefix: /work }} }}, {{ match: {{ prefix: /env }} }} ]",
        program.display()
    );
    let system = System::new("", &[("made", &made), ("other", "")]);
    system.write("services/made/build.sh", BUILD);
    system.write("services/made/source.txt", "one");
    system.ondol(&["up", "--detach", "--watch"]).good();
    assert_eq!(system.get("/work").expect(200).text(), "one");
    let other = system.processes()["other.1"];

    without_a_failed_request(&system.gateway, "/work", |_| {
        system.write("services/made/source.txt", "two");
        until("the changed source serves", || {
            (system.get("/work").text() == "two").then_some(())
        });

        let serving = system.service("made")["release"].clone();
        system.write("services/made/source.txt", "a MISTAKE");
        let failed = until("the failed build is shown", || {
            let now = system.service("made");
            (now["build"]["state"] == "failed").then_some(now)
        });
        assert_eq!(
            (&failed["state"], &failed["release"]),
            (&"ready".into(), &serving),
            "{failed}"
        );
        let logs = system.ondol(&["logs", "build/made"]).good();
        assert!(logs.contains("source.txt has a MISTAKE"), "{logs}");
        assert_eq!(system.get("/work").text(), "two");

        system.write("services/made/source.txt", "three");
        until("the mended source serves", || {
            (system.get("/work").text() == "three").then_some(())
        });

        // The manifest too.
        let text = made.replace("env: { ", "env: { GREETING: moin, ");
        system.write("services/made/service.yaml", &format!("service: made\n{text}\n"));
        until("the new variable is there", || {
            (system.get("/env/GREETING").text() == "moin").then_some(())
        });
        system.write(
            "services/made/service.yaml",
            &format!("service: made\ndrian: 10s\n{text}\n"),
        );
        until("the mistake is shown", || {
            let status = system.ondol(&["status"]);
            (status.out.contains("did you mean `drain`") && status.code == Some(1)).then_some(())
        });
        system.write("services/made/service.yaml", &format!("service: made\n{text}\n"));
        until("all is well again", || {
            (system.ondol(&["status"]).code == Some(0)).then_some(())
        });
    });
    assert_eq!(system.processes()["other.1"], other, "nobody touched the other service");
}

#[test]
fn a_failed_build_blocks_its_dependants_until_it_succeeds() {
    let made = "build: sh build.sh\ninputs: [source.txt]\nrun: target/made".to_owned();
    let system = System::new("", &[("made", &made), ("user", "depends_on: { made: required }")]);
    let program = std::env::current_exe().expect("this program");
    system.write("services/made/build.sh", BUILD);
    system.write("services/made/source.txt", "a MISTAKE");
    let text = format!("service: made\nenv: {{ SERVICE: \"{}\" }}\n{made}\n", program.display());
    system.write("services/made/service.yaml", &text);
    let up = system.ondol(&["up", "--detach", "--watch"]);
    assert_eq!(
        (
            up.code,
            up.err.contains("built again when its inputs or the manifests change")
        ),
        (Some(1), true),
        "{up:?}"
    );
    assert_eq!(system.service("user")["reason"], "blocked by made: build failed");
    system.write("services/made/source.txt", "mended");
    until("all is well", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
}

#[test]
fn an_edge_that_is_gone_from_the_manifest_refuses_connections() {
    let system = System::new("", &[("hello", "depends_on: { other: required }"), ("other", "")]);
    system.ondol(&["up", "--detach", "--watch"]).good();
    let edge = system.variable("hello.1", "OTHER_URL");
    let edge = edge.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let other = system.variable("hello.1", "ONDOL_URL");
    assert!(TcpStream::connect(&edge).is_ok());
    let text = std::fs::read_to_string(system.folder.join("services/hello/service.yaml")).expect("its manifest");
    system.write(
        "services/hello/service.yaml",
        &text.replace("depends_on: { other: required }", ""),
    );
    until("nobody listens there any more", || TcpStream::connect(&edge).err());
    let other = other.trim_start_matches("http://").trim_end_matches('/');
    assert!(TcpStream::connect(other).is_ok(), "what stays declared stays open");
}

#[test]
fn the_console_moves_with_its_manifest_and_stays_while_it_cannot() {
    let mut system = System::new("", &[("hello", "")]);
    system.ondol(&["up", "--detach", "--watch"]).good();
    let (old, manifest) = (system.console.clone(), system.folder.join("ondol.yaml"));
    let text = std::fs::read_to_string(manifest).expect("the manifest");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("its address");
    let held = format!("port {} is held", address.port());
    system.write("ondol.yaml", &text.replace(&old, &address.to_string()));
    until("the taken port is told", || {
        system.ondol(&["status"]).out.contains(&held).then_some(())
    });
    assert_eq!(system.admin("GET", "/v1/services", "").status(), 200, "where it was");

    // Once it can, it does, though nobody touches the manifest.
    drop(taken);
    until("it has moved", || TcpStream::connect(&old).err());
    system.console = address.to_string();
    assert_eq!(system.admin("GET", "/v1/services", "").status(), 200);

    let new = format!("127.0.0.1:{}", free_port());
    system.write("ondol.yaml", &text.replace(&old, &new));
    until("it has moved on", || {
        (system.ondol(&["status"]).code == Some(0) && TcpStream::connect(address).is_err()).then_some(())
    });
    system.console = new;
    assert_eq!(system.admin("GET", "/v1/services", "").status(), 200);
}

#[test]
fn sources_that_nobody_watches_are_named_once() {
    let system = System::new("", &[("script", "run: sh start.sh"), ("named", "inputs: [\"*.sh\"]")]);
    let program = std::env::current_exe().expect("this program");
    let start = format!(
        "exec '{}' --ignored --exact service::service --nocapture",
        program.display()
    );
    system.write("services/script/start.sh", &start);
    let err = system.ondol(&["up", "--detach", "--watch"]).err;
    assert_eq!(err.matches("not watched:").count(), 1, "{err}");
    assert!(err.contains("the sources of script,"), "{err}");
}
