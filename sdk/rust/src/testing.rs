//! A real PostgreSQL for tests, started in a temporary folder and gone with the value. `fsync` stays on.
//!
//! Only its Unix socket is open, so there is no port to collide on. As root the server runs as the user `postgres`,
//! since it refuses root.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// A running server with an empty database.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: PathBuf,
}

impl Postgres {
    /// Starts one. `None`, with a line on standard error, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// When it is installed and does not start: that is a failure, not a reason to skip.
    pub fn start() -> Option<Self> {
        let Some(tools) = tools() else {
            eprintln!("SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = temporary_folder();
        let data = folder.join("data");
        let made = as_server(&tools.join("initdb"))
            .args([
                "--auth=trust",
                "--username=test",
                "--encoding=UTF8",
                "--no-instructions",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut server = as_server(&tools.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "max_connections=60", "-c"])
            .arg(format!("unix_socket_directories={}", folder.display()))
            .env("LC_ALL", "C")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres runs");
        wait_until_ready(BufReader::new(server.stderr.take().expect("its log")));
        Some(Self { server, folder })
    }

    /// Of its empty database.
    pub fn url(&self) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://test@{host}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Reads the server's log until it says so; a log that ends before is a server that has ended. The rest of the log is
/// read on a thread of its own, so that the server never waits for a reader.
fn wait_until_ready(mut log: BufReader<ChildStderr>) {
    let mut said = String::new();
    while !said.contains("ready to accept connections") {
        assert!(log.read_line(&mut said).expect("its log") > 0, "postgres ended: {said}");
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
}

/// The newest installed server's programs: on PATH, or where Debian puts them.
fn tools() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|entry| entry.path().join("bin")).collect();
    debian.sort();
    std::env::split_paths(&path)
        .chain(debian.into_iter().rev())
        .find(|folder| folder.join("initdb").is_file())
}

fn temporary_folder() -> PathBuf {
    let mut output = as_server(Path::new("mktemp"));
    // The socket's path must fit into 108 bytes, so the folder is short.
    let output = output
        .args(["-d", "/tmp/ondol-pg-XXXXXX"])
        .output()
        .expect("mktemp runs");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// The program as somebody who is not root.
fn as_server(program: &Path) -> Command {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program);
    command.current_dir("/tmp");
    command
}
