//! Who may ask the two APIs what.

use crate::http::{self, Fields};
use crate::system::{System, free_port};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// A line that is seen although the test passes.
pub fn skip(what: &str) {
    // Written past the test harness, which keeps what passing tests print.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

const SAGA: &str = "
saga: book
steps:
  - seat: { call: \"PUT hello/part/seat/{saga.id}\", body: {}, compensate: \"DELETE hello/part/seat/{saga.id}\" }
";

#[test]
fn a_service_may_do_only_what_its_manifest_names_and_only_with_its_own_token() {
    let hello = "streams: [order]\nsagas: [book.saga.yaml]\ndepends_on: { other: required }\n\
                 routes: [ { name: book, match: { path: /book }, start: { saga: book } } ]";
    let system = System::new("", &[("hello", hello), ("other", "")]);
    system.write("services/hello/book.saga.yaml", SAGA);
    let system = system.up();
    let (url, other) = (
        system.variable("hello.1", "ONDOL_URL"),
        system.variable("other.1", "ONDOL_URL"),
    );
    let (own, foreign) = (
        system.variable("hello.1", "ONDOL_TOKEN"),
        system.variable("other.1", "ONDOL_TOKEN"),
    );
    assert_ne!((&url, &own), (&other, &foreign));
    let status = |url: &str, token: &str, method: &str, path: &str, body: &str| {
        let token = format!("Bearer {token}");
        let fields = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            ("ondol-caller", "hello"),
        ];
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        http::ask(address, method, path, &fields, body.as_bytes())
            .expect("an answer")
            .status()
    };
    let start = r#"{"saga":"book","key":"k","input":{},"wait":"5s"}"#;
    let cases = [
        ("its own stream", &url, &own, "GET", "/v1/streams/order-1", "", 200),
        ("its own saga", &url, &own, "POST", "/v1/sagas", start, 200),
        ("another's token", &url, &foreign, "GET", "/v1/streams/order-1", "", 403),
        (
            "its token on another's edge",
            &other,
            &own,
            "GET",
            "/v1/streams/order-1",
            "",
            403,
        ),
        (
            "a made-up token",
            &url,
            &"0".repeat(own.len()),
            "GET",
            "/v1/streams/order-1",
            "",
            401,
        ),
        (
            "a stream that is not its own",
            &url,
            &own,
            "GET",
            "/v1/streams/bill-1",
            "",
            403,
        ),
        (
            "a saga that is not its own",
            &other,
            &foreign,
            "POST",
            "/v1/sagas",
            start,
            403,
        ),
        (
            "a start as the gateway",
            &url,
            &own,
            "POST",
            "/v1/starts/book",
            "{}",
            403,
        ),
    ];
    for (name, url, token, method, path, body, expected) in cases {
        assert_eq!(status(url, token, method, path, body), expected, "{name}");
    }
    // The edge to what it depends on; the other direction has none.
    let edge = system.variable("hello.1", "OTHER_URL");
    let seen = http::ask(edge.trim_start_matches("http://"), "GET", "/echo", &[], b"")
        .expect("an answer")
        .expect(200)
        .json();
    assert_eq!(seen["fields"]["ondol-caller"], "hello", "{seen}");
    let environment = std::fs::read(format!("/proc/{}/environ", system.processes()["other.1"])).expect("readable");
    assert!(!String::from_utf8_lossy(&environment).contains("HELLO_URL="));
}

#[test]
fn the_admin_api_is_for_who_holds_the_token_and_lists_what_it_serves() {
    let system = System::new(
        "",
        &[(
            "hello",
            "env: { SECRET: hunter2 }\nroutes: [ { match: { prefix: /work } } ]",
        )],
    )
    .up();
    let mode = std::fs::metadata(system.folder.join(".ondol/token"))
        .expect("a token")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let bearer = format!("Bearer {}", system.token());
    let (auth, wrong) = (("authorization", bearer.as_str()), ("authorization", "Bearer 0"));
    let (own, foreign) = (
        format!("http://{}", system.console),
        format!("http://127.0.0.1:{}", free_port()),
    );
    let cases: [(&str, &str, Fields, u16); 9] = [
        ("with the token", "/v1/services", &[auth], 200),
        ("from its own origin", "/v1/services", &[auth, ("origin", &own)], 200),
        ("without a token", "/v1/services", &[], 401),
        ("with another", "/v1/services", &[wrong], 401),
        (
            "by another name",
            "/v1/services",
            &[auth, ("host", "evil.example")],
            403,
        ),
        (
            "from another origin",
            "/v1/services",
            &[auth, ("origin", &foreign)],
            403,
        ),
        ("of no origin", "/v1/services", &[auth, ("origin", "null")], 403),
        ("is it alive", "/healthz", &[], 200),
        ("is it ready", "/readyz", &[], 200),
    ];
    for (name, path, fields, expected) in cases {
        let answer = http::ask(&system.console, "GET", path, fields, b"").expect("an answer");
        assert_eq!(answer.status(), expected, "{name}: {}", answer.text());
    }

    let document = system.admin("GET", "/openapi.json", "").expect(200).json();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 10, "{paths:?}");
    // One leads elsewhere, the other never ends.
    let others = ["/sign-in", "/v1/live"];
    for (path, item) in paths
        .iter()
        .filter(|(path, item)| !path.contains('{') && item.get("get").is_some())
        .filter(|(path, _)| !others.contains(&path.as_str()))
    {
        assert_eq!(system.admin("GET", path, "").status(), 200, "{path}: {item}");
    }
    let config = system.admin("GET", "/v1/config", "").text();
    assert!(!config.contains("hunter2"), "{config}");
    assert_eq!(
        system.admin("GET", "/v1/services/nobody", "").expect(404).json()["code"],
        "AP-004"
    );
    assert_eq!(
        system.admin("GET", "/v1/nothing", "").expect(404).json()["code"],
        "AP-004"
    );
    let unreadable = [
        ("PUT", "/v1/services/hello/scale", "{\"count\":", 400),
        ("PUT", "/v1/services/hello/scale", "{\"number\":1}", 422),
        ("GET", "/v1/services/NO%20NAME", "", 400),
        ("GET", "/v1/sagas?colour=red", "", 400),
    ];
    for (method, path, body, expected) in unreadable {
        let problem = system.admin(method, path, body).expect(expected);
        assert_eq!(
            problem.field("content-type"),
            Some("application/problem+json"),
            "{path}: {}",
            problem.text()
        );
        assert_eq!(problem.json()["code"], "AP-001", "{path}");
    }
}

#[test]
fn the_metrics_are_what_prometheus_reads() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /work } } ]")]).up();
    system.get("/work").expect(200);
    let metrics = system.admin("GET", "/metrics", "").expect(200).text();
    assert!(metrics.contains("# TYPE "), "{metrics}");
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        return skip("`promtool check metrics`: install promtool (Debian: prometheus)");
    };
    check
        .stdin
        .take()
        .expect("a pipe")
        .write_all(metrics.as_bytes())
        .expect("promtool reads");
    let said = check.wait_with_output().expect("promtool ends");
    assert!(
        said.status.success(),
        "{}\n{metrics}",
        String::from_utf8_lossy(&said.stderr)
    );
}
