//! A real PostgreSQL of Debian's package, with its data in a temporary folder and `fsync` on.

use crate::system::{free_port, workplace};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server; dropping it ends it.
pub(crate) struct Postgres {
    server: Child,
    port: u16,
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed (Debian package `postgresql`)")?;
    let mut found: Vec<_> = versions
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|p| p.is_file())
        .collect();
    found.sort();
    found.pop().with_context(|| format!("PostgreSQL has no {name}"))
}

/// The program as a user that may run it: PostgreSQL refuses root.
fn as_user(program: &PathBuf) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    /// With these databases, empty.
    pub(crate) fn start(databases: &[&str]) -> anyhow::Result<Self> {
        let port = free_port()? + 500;
        let data = std::env::temp_dir().join(format!("ondol-postgres-{}", std::process::id()));
        std::fs::create_dir_all(&data)?;
        if rustix::process::geteuid().is_root() {
            let status = Command::new("chown").arg("postgres:postgres").arg(&data).status()?;
            anyhow::ensure!(status.success(), "chown of {}", data.display());
        }
        let init = as_user(&program("initdb")?)
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "-D"])
            .arg(&data)
            .current_dir("/")
            .stdout(Stdio::null())
            .status()?;
        anyhow::ensure!(init.success(), "initdb in {}", data.display());
        std::fs::create_dir_all(workplace())?;
        let log = std::fs::File::create(workplace().join("postgres.log"))?;
        let server = as_user(&program("postgres")?)
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "max_connections=200",
            ])
            .args(["-c", "max_wal_size=256MB", "-c", "unix_socket_directories="])
            .current_dir("/")
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let server = Self { server, port };
        for database in databases {
            server.create(database)?;
        }
        Ok(server)
    }

    fn create(&self, database: &str) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if self.run("postgres", &format!("CREATE DATABASE {database}")).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("PostgreSQL did not answer within 30 s");
    }

    /// Runs statements by `psql`.
    pub(crate) fn run(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let mut psql = Command::new(program("psql")?);
        psql.args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &self.port.to_string(),
            "-d",
            database,
            "-qc",
            sql,
        ]);
        let output = psql.output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What the manifests of the shop and of the witness read.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let url = |database: &str| self.url(database);
        BTreeMap::from([
            ("ONDOL_STORE_URL".to_owned(), url("ondol")),
            ("USERS_DATABASE_URL".to_owned(), url("users")),
            ("PAYMENTS_DATABASE_URL".to_owned(), url("payments")),
            ("WITNESS_DATABASE_URL".to_owned(), url("witness")),
        ])
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed with its children: the data is thrown away.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
