//! Other systems that keep events, run beside Ondol on the same machine: RabbitMQ (a quorum queue, confirms), NATS JetStream
//! (`sync_interval: always`) and Redis (a stream, `appendfsync always`). Each is set so that a confirmed message is synced,
//! with its data in a folder of its own, and is skipped with a line where it is not installed.
//!
//! The clients are the least that speaks each protocol: one connection on one thread, requests written together, as many
//! open as the window allows. A library would cost the peer part of two cores.

mod amqp;
mod link;
mod nats;
mod redis;

use self::amqp::Amqp;
use self::link::{Link, Load, Protocol, Purpose};
use self::nats::Nats;
use self::redis::Redis;
use crate::report::{Latency, Published};
use crate::system::{free_port, free_ports, workplace};
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server has to be up within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a run whose end is a number of messages.
const LONG: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    RabbitMq,
    Nats,
    Redis,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::RabbitMq, Self::Nats, Self::Redis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::Nats => "NATS",
            Self::Redis => "Redis",
        }
    }

    /// The server's program; `None`: it is not installed.
    fn program(self) -> Option<PathBuf> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let places = match self {
            Self::RabbitMq => vec!["/usr/lib/rabbitmq/bin/rabbitmq-server".into()],
            Self::Nats => vec![home.join("go/bin/nats-server"), "/usr/sbin/nats-server".into()],
            Self::Redis => vec!["/usr/bin/redis-server".into()],
        };
        places.into_iter().find(|path| path.is_file())
    }
}

/// A server that runs. Dropping it ends it.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    program: PathBuf,
    port: u16,
    server: Child,
}

impl Peer {
    /// Starts it with an empty folder, and waits until it answers. `None`: it is not installed.
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Option<Self>> {
        let Some(program) = kind.program() else { return Ok(None) };
        let folder = workplace().join("bench-peers").join(kind.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        // RabbitMQ needs two more: for its nodes, and for Erlang's name server.
        let port = free_ports(free_port()? + 600, 3)?;
        let server = spawn(kind, &program, &folder, port, true)?;
        let peer = Self {
            kind,
            folder,
            program,
            port,
            server,
        };
        peer.wait()?;
        Ok(Some(peer))
    }

    /// Where that can be chosen and would take minutes, a server that does not sync until its next start, for filling it.
    pub(crate) fn relax(&mut self) -> anyhow::Result<()> {
        if self.kind == Kind::Nats {
            self.kill();
            self.server = spawn(self.kind, &self.program, &self.folder, self.port, false)?;
            self.wait()?;
        }
        Ok(())
    }

    /// Kills it, starts it again, and waits until a message can be published: how long that took.
    pub(crate) fn restart(&mut self, queue: &str) -> anyhow::Result<Duration> {
        self.kill();
        let began = Instant::now();
        self.server = spawn(self.kind, &self.program, &self.folder, self.port, true)?;
        let load = Load {
            window: 1,
            bytes: 300,
            messages: 1,
            time: LONG,
            rate: None,
        };
        loop {
            match self.load(queue, load) {
                Ok(_) => return Ok(began.elapsed()),
                Err(error) => ensure!(began.elapsed() < PATIENCE, "{}: {error:#}", self.kind.name()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Publishes as fast as `window` unconfirmed messages allow.
    pub(crate) fn publish(&self, queue: &str, window: u64, bytes: usize, time: Duration) -> anyhow::Result<Published> {
        let load = Load {
            window,
            bytes,
            messages: u64::MAX,
            time,
            rate: None,
        };
        let (latency, took) = self.load(queue, load)?;
        Ok(Published {
            events: latency.len(),
            seconds: took.as_secs_f64(),
            latency: Latency::of(&latency),
        })
    }

    /// Publishes so many.
    pub(crate) fn fill(&self, queue: &str, messages: u64, bytes: usize) -> anyhow::Result<()> {
        let load = Load {
            window: 6_400,
            bytes,
            messages,
            time: LONG,
            rate: None,
        };
        self.load(queue, load).map(drop)
    }

    /// Messages per second that a consumer takes and acknowledges, `window` of them under way.
    pub(crate) fn deliver(&self, queue: &str, messages: u64, window: u16) -> anyhow::Result<f64> {
        let (_, took) = self.drain(queue, messages, window)?;
        Ok((messages - 1) as f64 / took.as_secs_f64())
    }

    /// From the moment a message is due to be published until its consumer has it, at a steady rate.
    pub(crate) fn latency(&self, queue: &str, rate: u32, bytes: usize, time: Duration) -> anyhow::Result<Latency> {
        let messages = (f64::from(rate) * time.as_secs_f64()) as u64;
        let load = Load {
            window: u64::MAX,
            bytes,
            messages,
            time: LONG,
            rate: Some(f64::from(rate)),
        };
        // The queue is made before both begin.
        runtime()?.block_on(self.open(queue, Purpose::Publish))?;
        let taken = std::thread::scope(|scope| {
            let consumer = scope.spawn(|| self.drain(queue, messages, 64));
            self.load(queue, load)?;
            consumer.join().map_err(|_| anyhow::anyhow!("the consumer ended"))?
        });
        Ok(Latency::of(&taken?.0))
    }

    fn load(&self, queue: &str, load: Load) -> anyhow::Result<(Histogram<u64>, Duration)> {
        runtime()?.block_on(async {
            let mut link = self.open(queue, Purpose::Publish).await?;
            link::publish(&mut link, load).await
        })
    }

    fn drain(&self, queue: &str, messages: u64, window: u16) -> anyhow::Result<(Histogram<u64>, Duration)> {
        runtime()?.block_on(async {
            let mut link = self.open(queue, Purpose::Consume(window)).await?;
            link::consume(&mut link, messages).await
        })
    }

    async fn open(&self, queue: &str, purpose: Purpose) -> anyhow::Result<Link> {
        let protocol: Box<dyn Protocol> = match self.kind {
            Kind::RabbitMq => Box::new(Amqp::new(queue, purpose)),
            Kind::Nats => Box::new(Nats::new(queue, purpose)),
            Kind::Redis => Box::new(Redis::new(queue, purpose)),
        };
        Link::open(self.port, protocol).await.context(self.kind.name())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = runtime()?.block_on(self.open("ready", Purpose::Publish)) {
            ensure!(Instant::now() < end, "it is not up within {PATIENCE:?}: {error:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Its processes are a group of their own.
    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            // One that has ended already is what was wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.server.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
        if self.kind == Kind::RabbitMq {
            // Erlang's name server outlives what started it.
            let mut end = Command::new("epmd");
            end.args(["-port", &(self.port + 2).to_string(), "-kill"]);
            end.env("ERL_EPMD_RELAXED_COMMAND_CHECK", "1");
            let _ = end.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// As a client is: everything on one thread.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn spawn(kind: Kind, program: &Path, folder: &Path, port: u16, synced: bool) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    match kind {
        Kind::RabbitMq => drop(
            command
                .env("HOME", folder)
                .env("RABBITMQ_NODENAME", format!("ondol-bench-{port}@localhost"))
                .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_NODE_PORT", port.to_string())
                .env("RABBITMQ_DIST_PORT", (port + 1).to_string())
                .env("ERL_EPMD_PORT", (port + 2).to_string())
                .env("ERL_EPMD_RELAXED_COMMAND_CHECK", "1")
                .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
                .env("RABBITMQ_LOG_BASE", folder)
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins")),
        ),
        Kind::Nats => {
            let config = folder.join("nats.conf");
            let (store, sync) = (folder.join("data"), if synced { "always" } else { "2m" });
            let text = format!(
                "jetstream {{ store_dir: \"{}\", sync_interval: {sync} }}\n",
                store.display()
            );
            std::fs::write(&config, text)?;
            command
                .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"])
                .arg(config);
        }
        Kind::Redis => drop(
            command
                .args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port.to_string(),
                    "--save",
                    "",
                    "--dir",
                ])
                .arg(folder)
                .args(["--appendonly", "yes", "--appendfsync", "always"]),
        ),
    }
    let log = std::fs::File::create(folder.join("server.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0).spawn().context(kind.name())
}

/// Bytes of a folder's files.
pub(crate) fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += match () {
            () if kind.is_dir() => size(&entry.path())?,
            () if kind.is_file() => std::os::unix::fs::MetadataExt::blocks(&entry.metadata()?) * 512,
            () => 0,
        };
    }
    Ok(bytes)
}
