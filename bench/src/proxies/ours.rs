//! Ondol as it is measured, with the services behind it, which the other proxies pass to as well.

use super::tls::Certificate;
use super::tokens::{self, Issuer};
use super::{CORES, Entrance, cpu};
use crate::system::{System, free_port, free_ports};
use anyhow::Context;

/// Whose tokens are known: less than what a proxy remembers (16,384).
pub(super) const USERS: u64 = 1_000;

const SYSTEM: &str = r#"system: bench
services: [origin, late, failing, bounded, caller]
gateway:
  listeners:
    web: { bind: 127.0.0.1:8080 }
    secure: { bind: 127.0.0.1:SECURE, tls: { certificates: [{ cert: bench.crt, key: bench.key }], min_version: 1.3 } }
  issuers:
    bench: { issuer: ISSUER, jwks: "svc://origin/jwks", algorithms: [EdDSA], audience: ISSUER }
console: { bind: 127.0.0.1:7070 }
"#;

/// The figures of `late` and `failing` are those of `bad_backend`.
const SERVICES: [(&str, &str); 5] = [
    (
        "origin",
        r#"run: PROGRAM origin
env: { JWKS: jwks.json }
routes:
  - match: { prefix: / }
    timeout: 60s
  - match: { prefix: /guarded }
    timeout: 60s
    auth: { issuer: bench }
    limit: { rate: 100000/s, burst: 1000000, by: subject }
"#,
    ),
    (
        "late",
        r#"run: PROGRAM origin --workers 4 --takes 20 --late 400
scale: { min: 5 }
routes: [ { match: { prefix: /late } } ]
"#,
    ),
    (
        "failing",
        r#"run: PROGRAM origin --workers 4 --takes 20 --fails
scale: { min: 5 }
routes: [ { match: { prefix: /failing } } ]
"#,
    ),
    (
        "bounded",
        r#"run: PROGRAM origin --workers 16 --takes 40
routes: [ { match: { prefix: /bounded }, timeout: 1s } ]
"#,
    ),
    ("caller", "run: PROGRAM origin\ndepends_on: { origin: required }\n"),
];

/// What stands behind the proxies, by its ports.
pub(super) struct Behind {
    pub(super) origin: u16,
    late: Vec<u16>,
    failing: Vec<u16>,
    pub(super) bounded: u16,
    /// Of the edge from `caller` to `origin`.
    pub(super) edge: u16,
    /// Of the gateway's listener with TLS.
    pub(super) secure: u16,
    pub(super) certificate: Certificate,
    pub(super) issuer: Issuer,
}

impl Behind {
    /// The instances that an entrance leads to.
    pub(super) fn instances(&self, entrance: Entrance) -> &[u16] {
        match entrance {
            Entrance::Http1 | Entrance::Http2 | Entrance::Tls => std::slice::from_ref(&self.origin),
            Entrance::Late => &self.late,
            Entrance::Failing => &self.failing,
            Entrance::Bounded => std::slice::from_ref(&self.bounded),
        }
    }
}

/// Ondol on the proxies' core; the services move away from it by themselves.
pub(super) fn start() -> anyhow::Result<(System, Behind)> {
    let (issuer, certificate) = (Issuer::new()?, Certificate::new()?);
    // Beyond the two that the system takes for itself.
    let secure = free_ports(free_port()? + 10, 1)?;
    let manifest = SYSTEM
        .replace("SECURE", &secure.to_string())
        .replace("ISSUER", tokens::NAME);
    let system = System::write("bench-proxies", &manifest, Default::default())?;
    std::fs::write(system.folder.join("bench.crt"), &certificate.cert)?;
    std::fs::write(system.folder.join("bench.key"), &certificate.key)?;
    let program = std::env::current_exe()?;
    for (name, text) in SERVICES {
        let folder = system.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let text = text.replace("PROGRAM", &program.to_string_lossy());
        std::fs::write(folder.join("service.yaml"), format!("service: {name}\n{text}"))?;
    }
    std::fs::write(system.folder.join("origin/jwks.json"), issuer.key_set())?;
    cpu::pin(None, CORES.0)?;
    system.up()?;
    let five = |name: &str| -> anyhow::Result<Vec<u16>> {
        (1..=5).map(|n| port(&system, &format!("{name}.{n}"), "PORT")).collect()
    };
    let behind = Behind {
        origin: port(&system, "origin.1", "PORT")?,
        late: five("late")?,
        failing: five("failing")?,
        bounded: port(&system, "bounded.1", "PORT")?,
        edge: port(&system, "caller.1", "ORIGIN_URL")?,
        secure,
        certificate,
        issuer,
    };
    Ok((system, behind))
}

/// The port in a variable of an instance: a port, or a URL that ends with one.
fn port(system: &System, instance: &str, variable: &str) -> anyhow::Result<u16> {
    let pid = *system
        .pids()?
        .get(instance)
        .with_context(|| format!("no {instance} runs"))?;
    let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
    let vars = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let values = vars.filter_map(|var| Some(var.strip_prefix(variable)?.strip_prefix('=')?.to_owned()));
    let port = values.filter_map(|value| value.rsplit(':').next()?.parse().ok()).next();
    port.with_context(|| format!("{instance} has no port in {variable}"))
}
