//! `up --watch`: what changes is rebuilt and replaced, that one service only, without a failed request.

use crate::load::without_a_failed_request;
use crate::system::{System, until};

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
