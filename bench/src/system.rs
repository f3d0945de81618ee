//! A system of its own for a run: the shop's services under another `ondol.yaml` with free ports and fresh state, so
//! that a run neither disturbs nor needs the shop that a person has running.

use crate::http::Client;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A system's folder and addresses. Dropping it stops the system.
pub(crate) struct System {
    pub(crate) folder: PathBuf,
    pub(crate) gateway: String,
    pub(crate) console: String,
    /// Only these services; none: all.
    services: Vec<String>,
    env: BTreeMap<String, String>,
}

/// What needs Rust alone.
const CHECKOUT: [&str; 9] = [
    "audit",
    "bank-north",
    "bank-south",
    "inventory",
    "orders",
    "payments",
    "products",
    "shipping",
    "users",
];

/// What else keeps something. Where a toolchain is missing its service is skipped.
pub(crate) const KEEPERS: [&str; 4] = ["carriers", "media", "notifications", "points"];

/// How much of the shop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What needs Rust alone.
    Checkout,
    /// That, and what of the rest keeps something and can run here.
    Kept,
    /// Everything that can run here.
    Whole,
}

/// The repository: the current folder, or the one this was built in.
pub(crate) fn repository() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    [std::env::current_dir().ok(), built]
        .into_iter()
        .flatten()
        .find(|path| path.join("shop/ondol.yaml").is_file())
        .unwrap_or_else(|| PathBuf::from("."))
}

/// Where runs keep their systems and data: `ONDOL_BENCH_DIR`, or the repository's `target`.
pub(crate) fn workplace() -> PathBuf {
    std::env::var_os("ONDOL_BENCH_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// The `ondol` program.
pub(crate) fn ondol() -> PathBuf {
    std::env::var_os("ONDOL").map_or_else(|| repository().join("target/release/ondol"), PathBuf::from)
}

/// A loopback port that nobody listens on, below the range of outgoing connections.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    free_ports(10_000 + (std::process::id() % 10_000) as u16, 1)
}

/// The first of so many neighbouring ones, at or after a port.
pub(crate) fn free_ports(from: u16, count: u16) -> anyhow::Result<u16> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free = |port: &u16| (*port..*port + count).all(free);
    (from..32_000).find(all_free).context("no free port")
}

impl System {
    /// The shop under `target/NAME`, with fresh state: its services' paths begin there.
    pub(crate) fn shop(name: &str, part: Part, env: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let repository = repository();
        let text = std::fs::read_to_string(repository.join("shop/ondol.yaml"))?;
        let (mut paths, mut out) = (false, Vec::new());
        for line in text.lines() {
            // Paths of the shop's file are relative to it; this one lies two folders deeper, beside `shop/`.
            paths = if line.trim_start().starts_with("inputs:") {
                true
            } else {
                paths && line.trim_start().starts_with("- ")
            };
            let line = match line.trim_start() {
                item if paths && item.starts_with("- ") => line.replacen("- ", "- ../../shop/", 1),
                "services: [services/*]" => "services: [../../shop/services/*]".to_owned(),
                "dir: .." => line.replace("dir: ..", "dir: ../.."),
                _ => line.to_owned(),
            };
            out.push(line);
        }
        let mut system = Self::at(repository.join("target").join(name), &out.join("\n"), env)?;
        let further: &[&str] = match part {
            Part::Checkout => &[],
            Part::Kept => &KEEPERS,
            Part::Whole => return Ok(system),
        };
        let names = CHECKOUT.iter().chain(further);
        system.services = names.map(|name| (*name).to_owned()).collect();
        Ok(system)
    }

    /// A system under `NAME` in the work place with this `ondol.yaml`, whose ports are replaced by free ones.
    pub(crate) fn write(name: &str, manifest: &str, env: BTreeMap<String, String>) -> anyhow::Result<Self> {
        Self::at(workplace().join(name), manifest, env)
    }

    fn at(folder: PathBuf, manifest: &str, env: BTreeMap<String, String>) -> anyhow::Result<Self> {
        if folder.join("ondol.yaml").is_file() {
            // What an earlier run left.
            let _ = Command::new(ondol())
                .arg("-C")
                .arg(&folder)
                .arg("down")
                .stderr(Stdio::null())
                .status();
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let gateway = free_port()?;
        let console = free_ports(gateway + 1, 1)?;
        let manifest = manifest.replace("127.0.0.1:8080", &format!("127.0.0.1:{gateway}"));
        std::fs::write(
            folder.join("ondol.yaml"),
            manifest.replace("127.0.0.1:7070", &format!("127.0.0.1:{console}")),
        )?;
        Ok(Self {
            folder,
            gateway: format!("127.0.0.1:{gateway}"),
            console: format!("127.0.0.1:{console}"),
            services: Vec::new(),
            env,
        })
    }

    /// Adds a service of its own beside the shop's.
    pub(crate) fn add(&mut self, name: &str, manifest: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("service.yaml"), manifest)?;
        let file = self.folder.join("ondol.yaml");
        let services = "services: [../../shop/services/*";
        let text = std::fs::read_to_string(&file)?.replace(services, &format!("{services}, {name}"));
        std::fs::write(file, text)?;
        self.services.push(name.to_owned());
        Ok(())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ondol());
        command
            .arg("-C")
            .arg(&self.folder)
            .args(args)
            .envs(&self.env)
            .env_remove("CARGO_TARGET_DIR");
        command
    }

    /// Starts it and waits until everything is ready.
    pub(crate) fn up(&self) -> anyhow::Result<()> {
        let status = self.command(&["up", "--detach"]).args(&self.services).status()?;
        if !status.success() {
            bail!("`ondol up --detach` in {} ended with {status}", self.folder.display());
        }
        Ok(())
    }

    /// A client of the gateway.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.gateway)
    }

    /// What `ondol ARGS --json` prints.
    pub(crate) fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let output = self.command(&[args, &["--json"]].concat()).output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "`ondol {}` printed no JSON: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// Processes of the system by name: instances, roles and `supervisor`.
    pub(crate) fn pids(&self) -> anyhow::Result<BTreeMap<String, u32>> {
        let id = std::fs::read_to_string(self.folder.join(".ondol/id"))?;
        let mark = format!("ONDOL_BOOT={}:", id.trim());
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let vars: Vec<_> = environment.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
            let instance = vars.iter().find_map(|var| var.strip_prefix("ONDOL_INSTANCE="));
            let role = ["controller", "proxy"]
                .into_iter()
                .find(|role| command.contains(&format!(" role {role} ")));
            let ours = vars.iter().any(|var| var.starts_with(&mark));
            match (ours, instance, role) {
                (true, Some(instance), _) => drop(found.insert(instance.to_owned(), pid)),
                (true, None, Some(role)) => drop(found.insert(role.to_owned(), pid)),
                _ if command.contains(" role supervisor ") && command.contains(&*self.folder.to_string_lossy()) => {
                    found.insert("supervisor".to_owned(), pid);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Stops it in order.
    pub(crate) fn down(&self) -> anyhow::Result<()> {
        let status = self.command(&["down"]).stderr(Stdio::null()).status()?;
        if status.success() {
            Ok(())
        } else {
            bail!("`ondol down` ended with {status}")
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // The run's own result matters more than a failed clean-up; the next run cleans up again.
        let _ = self.down();
    }
}

/// Asks until `probe` gives something or `patience` ends.
pub(crate) async fn eventually<T, F>(what: &str, patience: Duration, mut probe: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let end = Instant::now() + patience;
    let mut last = None;
    while Instant::now() < end {
        match probe().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    match last {
        Some(error) => Err(error.context(format!("{what}: not within {patience:?}"))),
        None => bail!("{what}: not within {patience:?}"),
    }
}
