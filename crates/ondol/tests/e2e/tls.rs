//! A gateway that speaks TLS, with `curl` as the client and `openssl` as the authority.

use crate::system::{System, until};
use std::path::Path;
use std::process::Command;

const ROUTES: &str = "routes:\n  - match: { prefix: /echo }";

/// Whether both programs are here.
fn has_tools() -> bool {
    let has = |program: &str| Command::new(program).arg("version").output().is_ok();
    let all = has("openssl") && has("curl");
    if !all {
        eprintln!("SKIPPED: TLS from outside; install the Debian packages: openssl curl");
    }
    all
}

/// A certificate for `localhost` that vouches for itself.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost".split(' '),
        )
        .args("-addext subjectAltName=DNS:localhost -keyout server.key -out server.crt".split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
}

/// What `curl` prints for this path; `None` where it has no answer.
fn curl(system: &System, args: &[&str], path: &str) -> Option<String> {
    let port = system.gateway.rsplit(':').next().expect("a port");
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert", "server.crt"])
        .args(args)
        .arg(format!("https://localhost:{port}{path}"))
        .current_dir(&system.folder)
        .output()
        .expect("curl runs");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_system_serves_https_takes_up_a_new_certificate_and_tells_of_a_bad_one() {
    if !has_tools() {
        return;
    }
    let system = System::new("", &[("echo", ROUTES)]);
    certificate(&system.folder);
    let (gateway, console) = (&system.gateway, &system.console);
    let manifest = format!(
        "system: tested\nservices: [services/*]\nconsole: {{ bind: {console} }}\ngateway:\n  listeners:\n    web:\n      \
         bind: {gateway}\n      tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n"
    );
    system.write("ondol.yaml", &manifest);
    let system = system.up();
    let url = format!("https://{}", system.gateway);
    assert_eq!(system.json(&["status"])["gateways"][0][1], url);
    assert_eq!(system.variable("echo.1", "GATEWAY_URL"), url);
    for (args, version) in [
        (&["--http1.1"][..], "1.1"),
        (&["--http1.1", "--tls-max", "1.2"], "1.1"),
        (&["--http2"], "2"),
    ] {
        let args = [args, &["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]].concat();
        assert_eq!(curl(&system, &args, "/echo"), Some(format!("{version} 200")));
    }
    let former = std::fs::read(system.folder.join("server.crt")).expect("the certificate");
    certificate(&system.folder);
    until("the new certificate is served", || curl(&system, &[], "/echo"));
    assert_ne!(
        std::fs::read(system.folder.join("server.crt")).expect("the certificate"),
        former
    );
    std::fs::write(system.folder.join("server.key"), "no key").expect("written");
    until("the bad key is told", || {
        let warnings = system.json(&["status"])["warnings"].to_string();
        warnings.contains("server.key has no private key").then_some(())
    });
    assert!(curl(&system, &[], "/echo").is_some(), "the last good one is served");
    let metrics = system.admin("GET", "/metrics", "").text();
    for part in [
        "ondol_tls_handshakes_total{listener=\"web\",outcome=\"full\"}",
        "ondol_tls_certificate_end_timestamp_seconds{",
    ] {
        assert!(metrics.contains(part), "{part}\nin\n{metrics}");
    }
}
