//! A supervisor in a folder of its own, ended with everything it started when the test ends.

use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::InstanceId;
use ondol_core::wire::supervision::{
    Facts, InstanceFact, InstanceSpec, JobSpec, LogLine, Phase, Readiness, SocketMode,
};
use ondol_core::wire::supervision_client::{LogQuery, SupervisorClient};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program that plays supervisor and children.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_supervisor-bed");

pub struct Bed {
    pub folder: tempfile::TempDir,
    pub client: SupervisorClient,
    supervisor: Child,
}

impl Bed {
    pub fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let supervisor = supervise(folder.path(), options);
        let bed = Self {
            client: SupervisorClient::new(folder.path()),
            folder,
            supervisor,
        };
        bed.listening();
        bed
    }

    /// Started by another program, which gets the supervisor's argv behind its own.
    pub fn through(starter: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut command = Command::new(starter[0]);
        command
            .args(&starter[1..])
            .arg(PROGRAM)
            .arg("supervise")
            .arg(folder.path())
            .stdin(Stdio::null());
        let supervisor = command.spawn().expect("supervisor");
        let bed = Self {
            client: SupervisorClient::new(folder.path()),
            folder,
            supervisor,
        };
        bed.listening();
        bed
    }

    /// Kills the supervisor, and nothing else.
    pub fn kill(&mut self) {
        self.supervisor.kill().expect("kill");
        self.supervisor.wait().expect("wait");
    }

    /// Starts a successor.
    pub fn again(&mut self, options: &[&str]) {
        self.supervisor = supervise(self.folder.path(), options);
        self.listening();
    }

    /// Starts one more while this one runs; its end.
    pub fn second(&self) -> Output {
        command(self.folder.path(), &[]).output().expect("a second supervisor")
    }

    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    pub fn wait_for_end(&mut self) -> std::process::ExitStatus {
        wait("the supervisor's end", || self.supervisor.try_wait().expect("wait"))
    }

    fn listening(&self) {
        wait("a supervisor that listens", || self.client.facts().ok());
    }

    pub fn start(&self, spec: InstanceSpec) {
        self.client.start(spec).expect("start");
    }

    pub fn facts(&self) -> Facts {
        self.client.facts().expect("facts")
    }

    pub fn fact(&self, id: &str) -> Option<InstanceFact> {
        let facts = self.facts();
        facts
            .instances
            .into_iter()
            .chain(facts.roles)
            .find(|fact| fact.id.to_string() == id)
    }

    /// Waits until this is true of an instance.
    pub fn until(&self, id: &str, what: &str, holds: impl Fn(&InstanceFact) -> bool) -> InstanceFact {
        wait(&format!("{id} {what}"), || self.fact(id).filter(&holds))
    }

    pub fn ready(&self, id: &str) -> InstanceFact {
        self.until(id, "ready", |fact| fact.phase == Phase::Ready)
    }

    /// Kept lines of a source, without the supervisor's own.
    pub fn lines(&self, source: &str) -> Vec<LogLine> {
        let query = LogQuery {
            sources: vec![source.into()],
            tail: 100_000,
            ..LogQuery::default()
        };
        let lines = self.client.logs(query).expect("logs").map(|line| line.expect("line"));
        lines.filter(|line| line.stream != "sup").collect()
    }

    /// Waits for a line that begins with this; the rest of it.
    pub fn line(&self, source: &str, prefix: &str) -> String {
        wait(&format!("{source} writes {prefix}"), || {
            self.lines(source)
                .iter()
                .find_map(|line| line.text.strip_prefix(prefix).map(str::to_owned))
        })
    }

    /// Waits for `count` processes that said `nap PID`.
    pub fn naps(&self, source: &str, count: usize) -> Vec<u32> {
        wait(&format!("{count} processes of {source}"), || {
            let pids = |line: &LogLine| line.text.strip_prefix("nap ").map(|pid| pid.parse().expect("pid"));
            let pids: Vec<u32> = self.lines(source).iter().filter_map(pids).collect();
            (pids.len() == count).then_some(pids)
        })
    }

    pub fn port(&self, id: &str) -> u16 {
        self.client.ports(vec![instance(id)]).expect("ports")[0].1
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Ok(facts) = self.client.shutdown() {
            facts.for_each(drop);
        }
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

fn command(root: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("supervise").arg(root).args(options).stdin(Stdio::null());
    command
}

fn supervise(root: &Path, options: &[&str]) -> Child {
    command(root, options).spawn().expect("supervisor")
}

/// Looks until there is something; a state is waited for, never a time.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = SystemClock.mono();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(SystemClock.mono() - start < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn instance(id: &str) -> InstanceId {
    id.parse().expect("instance")
}

/// True while a process of this number exists and has not ended.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn gone(pid: u32) {
    wait(&format!("the end of process {pid}"), || (!alive(pid)).then_some(()));
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

/// An instance that runs this, ready when a line of its output matches.
pub fn spec(id: &str, argv: &[&str], line: &str) -> InstanceSpec {
    InstanceSpec {
        id: instance(id),
        argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env(),
        dir: "/".into(),
        socket: None,
        port: 0,
        ready: Readiness::Log(line.into()),
        ready_interval_ms: 100,
        ready_timeout_ms: 2_000,
        start_within_ms: 20_000,
        stop_within_ms: 10_000,
        rank: 0,
        release: "r1".into(),
    }
}

/// An instance of the program that behaves like this.
pub fn behaving(id: &str, behaviour: &str, line: &str) -> InstanceSpec {
    spec(id, &[PROGRAM, behaviour], line)
}

/// An HTTP server on `port`.
pub fn serving(id: &str, port: u16, ready: Readiness) -> InstanceSpec {
    InstanceSpec {
        socket: Some(SocketMode::Port),
        port,
        ready,
        ..behaving(id, "http", "")
    }
}

pub fn shell(id: &str, script: &str, line: &str) -> InstanceSpec {
    spec(id, &["sh", "-c", script], line)
}

pub fn job(name: &str, argv: &[&str]) -> JobSpec {
    JobSpec {
        name: name.into(),
        argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env(),
        dir: "/".into(),
        timeout_ms: 20_000,
    }
}

fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("PATH".into(), std::env::var("PATH").expect("PATH"))])
}
