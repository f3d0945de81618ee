//! A system in a temporary folder, its commands and its processes. Dropping it ends whatever of it still runs.

use crate::http::{self, Message};
use ondol_core::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for any state; a busy machine may need much of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer; panics when none comes.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = SystemClock.mono() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(SystemClock.mono() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A loopback port that nobody listens on, below those that Ondol gives out and below those of outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + (std::process::id() % 9_000) as u16;
    let ports = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed));
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(1_000).find(free).expect("a free port")
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Asserts that it ended well and gives its output.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }
}

/// A system's folder and addresses.
pub struct System {
    /// Kept for its end.
    _dir: Option<TempDir>,
    pub folder: PathBuf,
    pub gateway: String,
    pub console: String,
    /// Put before `ondol`, such as `setpriv …`.
    pub prefix: Vec<String>,
    pub program: PathBuf,
}

impl System {
    /// Services by name, each with what its `service.yaml` says beyond `service` and `run`. `more` goes into `ondol.yaml`, under
    /// `gateway` where it is indented.
    pub fn new(more: &str, services: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = dir.path().to_owned();
        let program = std::env::current_exe().expect("this program");
        Self::at(Some(dir), folder, &program, more, services)
    }

    /// The same in this folder, with this program as the service.
    pub fn at(dir: Option<TempDir>, folder: PathBuf, service: &Path, more: &str, services: &[(&str, &str)]) -> Self {
        let (gateway, console) = (free_port(), free_port());
        let system = Self {
            _dir: dir,
            folder,
            gateway: format!("127.0.0.1:{gateway}"),
            console: format!("127.0.0.1:{console}"),
            prefix: vec![],
            program: env!("CARGO_BIN_EXE_ondol").into(),
        };
        system.write(
            "ondol.yaml",
            &format!(
                "system: tested\nservices: [services/*]\nconsole: {{ bind: {} }}\ngateway:\n  listeners: {{ web: {{ bind: {} }} }}\n{more}",
                system.console, system.gateway
            ),
        );
        for (name, more) in services {
            let run = format!(
                "run: \"'{}' --ignored --exact service::service --nocapture\"",
                service.display()
            );
            let run = if more.contains("run:") { "" } else { &run };
            system.write(
                &format!("services/{name}/service.yaml"),
                &format!("service: {name}\n{run}\n{more}\n"),
            );
        }
        system
    }

    /// Writes a file of the system, whole or not at all, as editors do.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("a folder");
        let half = folder.join(".half");
        std::fs::write(&half, text).expect("written");
        std::fs::rename(half, path).expect("renamed");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut words: Vec<_> = self.prefix.iter().map(Into::into).collect();
        words.push(self.program.clone().into_os_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("-C")
            .arg(&self.folder)
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs `ondol ARGS` to its end.
    pub fn ondol(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().expect("ondol runs");
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `ondol up --detach`, until all is ready.
    #[track_caller]
    pub fn up(self) -> Self {
        self.ondol(&["up", "--detach"]).good();
        self
    }

    /// What `ondol ARGS --json` prints, however it ends.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.ondol(&[args, &["--json"]].concat());
        serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no JSON: {ended:?}"))
    }

    /// One service in `ondol status --json`.
    #[track_caller]
    pub fn service(&self, name: &str) -> Value {
        let status = self.json(&["status"]);
        let services = status["services"].as_array().expect("services").clone();
        services
            .into_iter()
            .find(|service| service["service"] == name)
            .expect("the service is declared")
    }

    /// A request to the gateway; panics where no answer comes.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, fields: http::Fields, body: &str) -> Message {
        let answer = http::ask(&self.gateway, method, path, fields, body.as_bytes());
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Message {
        self.ask("GET", path, &[], "")
    }

    /// A variable of an instance.
    #[track_caller]
    pub fn variable(&self, instance: &str, name: &str) -> String {
        let pid = self.processes()[instance];
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        let text = String::from_utf8_lossy(&environment).into_owned();
        let prefix = format!("{name}=");
        let found = text.split('\0').find_map(|var| var.strip_prefix(&prefix));
        found.unwrap_or_else(|| panic!("{instance} has no {name}")).to_owned()
    }

    /// The token of the admin API.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.folder.join(".ondol/token")).expect("a token")
    }

    /// A request to the admin API with its token.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Message {
        let token = format!("Bearer {}", self.token());
        let fields = [("authorization", token.as_str()), ("content-type", "application/json")];
        let answer = http::ask(&self.console, method, path, &fields, body.as_bytes());
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The system's processes by name: instances, `controller`, `proxy`, `supervisor`; others by `pid NUMBER`.
    pub fn processes(&self) -> BTreeMap<String, i32> {
        let id = std::fs::read_to_string(self.folder.join(".ondol/id")).unwrap_or_default();
        let mark = format!("ONDOL_BOOT={}:", id.trim());
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let text = |name| {
                let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let (command, environment) = (text("cmdline").replace('\0', " "), text("environ"));
            let role = ["controller", "proxy", "supervisor"]
                .into_iter()
                .find(|role| command.contains(&format!(" role {role} --root {}", self.folder.display())));
            let instance = environment
                .split('\0')
                .find_map(|var| var.strip_prefix("ONDOL_INSTANCE="));
            let ours = !id.is_empty() && environment.split('\0').any(|var| var.starts_with(&mark));
            match (role, instance, ours) {
                (Some(role), _, _) => found.insert(role.to_owned(), pid),
                (None, Some(instance), true) => found.insert(instance.to_owned(), pid),
                (None, None, true) => found.insert(format!("pid {pid}"), pid),
                _ => None,
            };
        }
        found
    }

    /// Sends a signal to one of [`Self::processes`]; its pid.
    #[track_caller]
    pub fn signal(&self, name: &str, signal: Signal) -> i32 {
        let sent = self.signal_if_there(name, signal);
        sent.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The same for a process that may just be between two lives.
    pub fn signal_if_there(&self, name: &str, signal: Signal) -> Option<i32> {
        let pid = self.processes().get(name).copied()?;
        send(pid, signal);
        Some(pid)
    }
}

/// Sends a signal; a process that is gone already is what was wanted.
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for args in [
                ["status", "--json"].as_slice(),
                &["logs", "-n", "40", "controller"],
                &["logs", "-n", "60", "proxy"],
            ] {
                let Ended { out, err, .. } = self.ondol(args);
                eprintln!("--- ondol {}\n{out}{err}", args.join(" "));
            }
        }
        if self.processes().is_empty() {
            return;
        }
        let _ = self
            .command(&["down"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        // The supervisor first, so that it starts nothing again.
        let mut left: Vec<_> = self.processes().into_iter().collect();
        left.sort_by_key(|(name, _)| name != "supervisor");
        left.into_iter().for_each(|(_, pid)| send(pid, Signal::KILL));
    }
}
