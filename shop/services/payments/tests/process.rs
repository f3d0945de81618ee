//! Payments as a process: started as the supervisor starts it, killed as a power cut kills it, stopped as a person stops
//! it. The test binds the socket and hands it over (`LISTEN_FDS`), so no port is ever guessed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::{Method, Request};
use bytes::Bytes;
use serde_json::{Value, json};
use shop_kit::{CallError, Client};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shop-payments");
const SOON: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    client: Client,
}

const PLATFORM: [(&str, &str); 2] = [("ONDOL_URL", "http://127.0.0.1:9"), ("ONDOL_TOKEN", "none")];

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it on a socket that is open already: calls wait in the kernel until it accepts.
    fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        // The socket comes as standard input; the shell moves it to descriptor 3 and knows the pid that `exec` keeps.
        let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" 3<&0 </dev/null";
        let child = Command::new("sh")
            .args(["-c", script, PROGRAM])
            .env("DATABASE_URL", format!("sqlite://{}/payments.db", folder.display()))
            // Nobody listens there: rows of the outbox stay, which harms no answer.
            .envs(PLATFORM)
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            client: Client::new(format!("http://{address}")),
        }
    }

    async fn ask(&self, method: Method, path: &str, key: &str, body: Value) -> Result<(u16, Value), CallError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let request = request.header("ondol-subject", "alice").header("idempotency-key", key);
        let response = self
            .client
            .send(request.body(Bytes::from(body.to_string())).unwrap(), SOON)
            .await?;
        Ok((
            response.status().as_u16(),
            serde_json::from_slice(response.body()).unwrap(),
        ))
    }

    async fn charge(&self, round: i32, n: i32) -> Result<u16, CallError> {
        let body = json!({ "customer": "alice", "amount": 10, "currency": "EUR" });
        let (path, key) = (
            format!("/internal/charges/s{round}-{n}"),
            format!("s{round}-{n}.pay.action"),
        );
        self.ask(Method::PUT, &path, &key, body).await.map(|(status, _)| status)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill_and_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    process
        .ask(Method::POST, "/api/wallet/deposits", "k", json!({ "amount": 1_000 }))
        .await
        .unwrap();
    let mut charged = 0;
    for round in 0..5 {
        // The kill comes while the last of these is under way, or just before or after it.
        for n in 0..4 {
            charged += i64::from(process.charge(round, n).await.is_ok());
        }
        let (last, ()) = tokio::join!(process.charge(round, 4), async { process.signal("KILL") });
        charged += i64::from(last.is_ok());
        process = Process::start(folder.path());
        for n in 0..4 {
            assert_eq!(process.charge(round, n).await.unwrap(), 201, "it hears the old answer");
        }
        let (_, totals) = process
            .ask(Method::GET, "/internal/totals", "k", Value::Null)
            .await
            .unwrap();
        // The one that the kill cut into may be there or not; every other is there once.
        let count = totals["charges"]["count"].as_i64().unwrap();
        assert!(
            count == charged || count == charged + 1,
            "{count} charges, {charged} answered"
        );
        assert_eq!(totals["wallets"]["balance"], 1_000 - 10 * count);
        charged = count;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    process.ask(Method::GET, "/health", "k", Value::Null).await.unwrap();
    process.signal("TERM");
    assert!(process.child.wait().unwrap().success());
    assert!(process.ask(Method::GET, "/health", "k", Value::Null).await.is_err());
}

#[test]
fn without_what_it_needs_it_says_what_is_missing() {
    let run = |variables: &[(&str, &str)]| {
        let output = Command::new(PROGRAM)
            .env_clear()
            .envs(PLATFORM)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&[]).contains("the variable DATABASE_URL is not set"));
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/payments.db", folder.path().display());
    assert!(run(&[("DATABASE_URL", &database)]).contains("the variable PORT is not set"));
    assert!(run(&[("DATABASE_URL", &database), ("PORT", "web")]).contains("PORT is \"web\": expected a port number"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = run(&[("DATABASE_URL", &database), ("PORT", &address.port().to_string())]);
    assert!(said.contains(&format!("could not listen on {address}")), "{said}");
}
