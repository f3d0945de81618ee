//! A real PostgreSQL in a temporary folder, reached through a Unix socket there; fsync stays on.
//!
//! A shell that waits for the end of its input guards it: when the test program ends, however it ends, the input closes,
//! and the shell stops the server and removes the folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running server.
pub struct Postgres {
    folder: PathBuf,
    tools: PathBuf,
    root: bool,
    databases: AtomicU32,
    _guard: Child,
}

/// The server that all tests of this program share, each in a database of its own.
pub fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).as_ref()
}

impl Postgres {
    /// Starts a server of one's own; `None`, with a line that says why, where there is none.
    pub fn start() -> Option<Self> {
        let root = run(Command::new("id").arg("-u")).is_ok_and(|output| output.stdout.starts_with(b"0\n"));
        let Some(tools) = tools().or_else(|| if root { install() } else { None }) else {
            eprintln!("SKIPPED: no PostgreSQL here (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("ondol-pg-")
            .tempdir()
            .expect("a folder")
            .keep();
        let text = folder.display().to_string();
        if root {
            run(Command::new("chown").args(["postgres:", &text])).expect("the user postgres");
        }
        let script = r#"cat >/dev/null; "$@" -m immediate stop >/dev/null 2>&1; rm -rf "$0""#;
        let mut guard = Command::new("sh");
        guard
            .args(["-c", script, &text])
            .args(as_owner(root, &tools.join("pg_ctl")))
            .args(["-D", &data(&folder)]);
        let guard = guard.stdin(Stdio::piped()).spawn().expect("a shell");
        let server = Self {
            folder,
            tools,
            root,
            databases: AtomicU32::new(0),
            _guard: guard,
        };
        server.tool(
            "initdb",
            &[
                "-D",
                &data(&server.folder),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
        );
        server.begin();
        Some(server)
    }

    /// Starts the server and waits until it answers.
    pub fn begin(&self) {
        let (data, folder) = (data(&self.folder), self.folder.display());
        let options = format!("-k {folder} -c listen_addresses='' -c shared_buffers=16MB -c max_connections=60");
        let log = format!("{folder}/log");
        self.tool("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
    }

    /// Ends the server as a crash does: without a checkpoint, its clients cut off.
    pub fn crash(&self) {
        self.tool("pg_ctl", &["-D", &data(&self.folder), "-m", "immediate", "-w", "stop"]);
    }

    /// Runs SQL in `database`.
    pub fn sql(&self, database: &str, sql: &str) {
        let host = self.folder.display().to_string();
        self.tool(
            "psql",
            &[
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                &host,
                "-U",
                "postgres",
                "-d",
                database,
                "-c",
                sql,
            ],
        );
    }

    /// Makes a new database; its address.
    pub fn new_database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The address of `database`.
    pub fn url(&self, database: &str) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }

    fn tool(&self, name: &str, args: &[&str]) {
        let line = as_owner(self.root, &self.tools.join(name));
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .args(args)
            .current_dir("/")
            .stdin(Stdio::null());
        run(&mut command).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn data(folder: &Path) -> String {
    folder.join("data").display().to_string()
}

/// PostgreSQL refuses to run as root; the Debian package brings a user for it.
fn as_owner(root: bool, tool: &Path) -> Vec<String> {
    let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"].map(String::from);
    let mut line = if root { user.to_vec() } else { Vec::new() };
    line.push(tool.display().to_string());
    line
}

/// Output to a file, not to a pipe: `pg_ctl` leaves a server behind that would keep a pipe open.
fn run(command: &mut Command) -> Result<Output, String> {
    let mut out = tempfile::tempfile().expect("a file");
    let file = || Stdio::from(out.try_clone().expect("a second handle"));
    let status = command
        .stdout(file())
        .stderr(file())
        .status()
        .map_err(|error| error.to_string())?;
    let mut stdout = Vec::new();
    std::io::Seek::rewind(&mut out).expect("a file rewinds");
    std::io::Read::read_to_end(&mut out, &mut stdout).expect("a file reads");
    let output = Output {
        status,
        stdout,
        stderr: Vec::new(),
    };
    if status.success() {
        Ok(output)
    } else {
        Err(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn tools() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop()
}

fn install() -> Option<PathBuf> {
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "--no-install-recommends", "postgresql"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut apt).ok()?;
    tools()
}
