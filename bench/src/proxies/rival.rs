//! The proxies: ours as a system runs it, the others with what a team would set, each on one core.

use super::Entrance;
use super::ours::Behind;
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

    /// How it is told of the instances of a service, without a word on how to choose among them.
    fn servers(self, ports: &[u16]) -> String {
        let one = |(index, port): (usize, &u16)| match self {
            Self::HaProxy => format!("server s{index} 127.0.0.1:{port} check\n    "),
            Self::Nginx => format!("server 127.0.0.1:{port}; "),
            Self::Caddy => format!("127.0.0.1:{port} "),
        };
        ports.iter().enumerate().map(one).collect()
    }
}

/// Fills a file of settings in: `@HTTP1@` and so on is an entrance's address, `@HTTP1_SERVERS@` who is behind it.
fn settings<'a>(kind: Kind, port: impl Fn(Entrance) -> u16, instances: impl Fn(Entrance) -> &'a [u16]) -> String {
    let mut text = kind.file().1.to_owned();
    for entrance in Entrance::ALL {
        let name = format!("{entrance:?}").to_uppercase();
        text = text
            .replace(&format!("@{name}@"), &format!("127.0.0.1:{}", port(entrance)))
            .replace(&format!("@{name}_SERVERS@"), &kind.servers(instances(entrance)));
    }
    text
}

/// One of those that are measured. Dropping it ends it.
pub(super) struct Contender {
    /// `None`: ours.
    pub(super) kind: Option<Kind>,
    pub(super) name: &'static str,
    pub(super) pids: Vec<u32>,
    ports: Ports,
    server: Option<Child>,
}

/// Where it is asked.
enum Ports {
    /// Ours: one for everything in the clear, and one for TLS.
    Ours { clear: u16, secure: u16 },
    /// One for each entrance, from this one on, in their order.
    From(u16),
}

impl Contender {
    pub(super) fn ondol(system: &System, secure: u16) -> anyhow::Result<Self> {
        let pid = *system.pids()?.get("proxy").context("no proxy runs")?;
        let clear = system.gateway.rsplit(':').next().and_then(|port| port.parse().ok());
        let clear = clear.context("the gateway has no port")?;
        Ok(Self {
            kind: None,
            name: "Ondol",
            pids: vec![pid],
            ports: Ports::Ours { clear, secure },
            server: None,
        })
    }

    /// Starts it on this thread's core, and waits until it answers. `None`: it is not installed.
    pub(super) fn start(kind: Kind, behind: &Behind) -> anyhow::Result<Option<Self>> {
        let words = kind.words();
        if !Path::new(words[0]).is_file() {
            return Ok(None);
        }
        let folder = workplace().join("bench-proxies-of-others").join(kind.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let ports = Ports::From(free_ports(free_port()? + 700, Entrance::ALL.len() as u16)?);
        let (cert, key) = (&behind.certificate.cert, &behind.certificate.key);
        for (name, text) in [
            (
                kind.file().0,
                settings(
                    kind,
                    |entrance| ports.of(entrance),
                    |entrance| behind.instances(entrance),
                ),
            ),
            ("bench.crt", cert.clone()),
            ("bench.key", key.clone()),
            ("bench.pem", format!("{cert}{key}")),
        ] {
            std::fs::write(folder.join(name), text)?;
        }
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
            ports,
            server: Some(server),
        };
        contender.wait(&folder)?;
        Ok(Some(contender))
    }

    fn wait(&mut self, folder: &Path) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        let (port, master) = (self.port(Entrance::Http1), self.pids[0]);
        loop {
            let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
            let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
            let workers = children.split(' ').filter_map(|pid| pid.trim().parse::<u32>().ok());
            // nginx listens before it has the worker that does the work.
            if listens && (self.kind != Some(Kind::Nginx) || workers.clone().count() > 0) {
                self.pids.extend(workers);
                return Ok(());
            }
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
    }

    /// Where it is asked for this.
    pub(super) fn port(&self, entrance: Entrance) -> u16 {
        self.ports.of(entrance)
    }
}

impl Ports {
    fn of(&self, entrance: Entrance) -> u16 {
        match (self, entrance) {
            (Self::Ours { secure, .. }, Entrance::Tls) => *secure,
            (Self::Ours { clear, .. }, _) => *clear,
            (Self::From(first), entrance) => first + entrance as u16,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_every_entrance_and_whoever_is_behind_it() {
        for kind in Kind::ALL {
            let ports = [[41_000, 41_001], [42_000, 42_001]];
            let text = settings(
                kind,
                |entrance| 40_000 + entrance as u16,
                |entrance| &ports[usize::from(entrance == Entrance::Late)],
            );
            assert!(!text.contains('@'), "{kind:?}: {text}");
            let wanted = (40_000..40_006).chain([41_000, 41_001, 42_000, 42_001]);
            for port in wanted {
                assert!(text.contains(&format!("127.0.0.1:{port}")), "{kind:?}: {port}");
            }
        }
    }
}
