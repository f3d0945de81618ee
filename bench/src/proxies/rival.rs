//! The proxies: ours as a system runs it, the others with what a team would set, each on one core.

use super::clients::Load;
use crate::system::{System, free_port, free_ports, workplace};
use anyhow::{Context, ensure};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server has to be up within this.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    HaProxy,
    Nginx,
    Caddy,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::HaProxy, Self::Nginx, Self::Caddy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
        }
    }

    pub(super) fn package(self) -> &'static str {
        match self {
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx-light",
            Self::Caddy => "caddy",
        }
    }

    /// Its program and the words that start it in the foreground, from its folder.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::HaProxy => &["/usr/sbin/haproxy", "-db", "-f", "haproxy.cfg"],
            Self::Nginx => &["/usr/sbin/nginx", "-p", ".", "-c", "nginx.conf", "-e", "error.log"],
            Self::Caddy => &[
                "/usr/bin/caddy",
                "run",
                "--config",
                "Caddyfile",
                "--adapter",
                "caddyfile",
            ],
        }
    }

    /// The file that it reads.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::HaProxy => ("haproxy.cfg", include_str!("haproxy.cfg")),
            Self::Nginx => ("nginx.conf", include_str!("nginx.conf")),
            Self::Caddy => ("Caddyfile", include_str!("Caddyfile")),
        }
    }
}

/// One of those that are measured. Dropping it ends it.
pub(super) struct Contender {
    /// `None`: ours.
    pub(super) kind: Option<Kind>,
    pub(super) name: &'static str,
    pub(super) pids: Vec<u32>,
    pub(super) port: u16,
    /// Where it speaks HTTP/2 and HTTP/1 not at one port.
    http2: u16,
    server: Option<Child>,
}

impl Contender {
    pub(super) fn ondol(system: &System) -> anyhow::Result<Self> {
        let pid = *system.pids()?.get("proxy").context("no proxy runs")?;
        let port = system.gateway.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.context("the gateway has no port")?;
        Ok(Self {
            kind: None,
            name: "Ondol",
            pids: vec![pid],
            port,
            http2: port,
            server: None,
        })
    }

    /// Starts it on this thread's core, and waits until it answers. `None`: it is not installed.
    pub(super) fn start(kind: Kind, origin: u16) -> anyhow::Result<Option<Self>> {
        let words = kind.words();
        if !Path::new(words[0]).is_file() {
            return Ok(None);
        }
        let folder = workplace().join("bench-proxies-of-others").join(kind.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let port = free_ports(free_port()? + 700, 2)?;
        let http2 = if kind == Kind::Nginx { port + 1 } else { port };
        let (file, text) = kind.file();
        let text = text
            .replace("ORIGIN", &format!("127.0.0.1:{origin}"))
            .replace("HTTP2", &format!("127.0.0.1:{http2}"))
            .replace("HTTP1", &format!("127.0.0.1:{port}"));
        std::fs::write(folder.join(file), text)?;
        let log = std::fs::File::create(folder.join("output.log"))?;
        let server = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&folder)
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        let mut contender = Self {
            kind: Some(kind),
            name: kind.name(),
            pids: vec![server.id()],
            port,
            http2,
            server: Some(server),
        };
        contender.wait(&folder)?;
        Ok(Some(contender))
    }

    fn wait(&mut self, folder: &Path) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let server = self.server.as_mut().context("a server")?;
            let ended = server.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < end,
                "{} does not start; see {}",
                self.name,
                folder.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let parent = self.pids[0];
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        self.pids
            .extend(children.split(' ').filter_map(|pid| pid.trim().parse::<u32>().ok()));
        Ok(())
    }

    /// Where it takes this.
    pub(super) fn port_for(&self, load: &Load) -> Option<u16> {
        Some(if load.is_http2() { self.http2 } else { self.port })
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Of nginx the worker ends with its master; a bench that fails leaves nothing behind that matters.
            let _ = Command::new("kill").arg(server.id().to_string()).status();
            let _ = server.wait();
        }
    }
}
