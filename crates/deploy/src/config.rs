//! The system as declared, lowered from the manifests: what to build, what to run, who may call whom.
//!
//! `ondol-manifest` makes it; `ondol-deploy` turns it into jobs and instance specs for the supervisor, and
//! `ondol-discovery` into the proxy's snapshot. Nothing here is a template any more, but for the instance variables
//! `${PORT}`, `${DATABASE_URL}`, `${ONDOL_DATA}`, `${NAME_URL}` … in `run` and `env`.

use crate::arguments;
use ondol_core::id::{ServiceName, SystemName, ZoneName};
use ondol_core::wire::proxy;
use ondol_core::wire::supervision::{Readiness, SocketMode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The whole system.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SystemPlan {
    /// `system:`.
    pub system: String,
    /// The folder of `ondol.yaml`, absolute.
    pub root: PathBuf,
    /// `${file:…}` and the manifests themselves: what `--watch` looks at beside the inputs.
    pub manifests: Vec<PathBuf>,
    /// By name.
    pub builds: BTreeMap<String, BuildPlan>,
    /// In order of dependency: what is depended on comes first.
    pub services: Vec<ServicePlan>,
    /// Gateway listeners: name and bind address.
    pub gateways: Vec<(String, String)>,
    /// Those of them that speak TLS, by name.
    #[serde(default)]
    pub tls: BTreeMap<String, proxy::Tls>,
    /// Where the console and the admin API listen.
    pub console: String,
    /// `sqlite:/absolute/path` or `postgres://…`.
    pub store: String,
    /// CIDRs.
    pub trusted_proxies: Vec<String>,
    /// By the name that routes use.
    pub issuers: BTreeMap<String, proxy::Issuer>,
    /// Policies of edges of the built-in caller and to the built-in target.
    pub built_in_policy: proxy::Policy,
    /// Other systems; `None`: this one stands alone.
    #[serde(default)]
    pub mesh: Option<MeshPlan>,
}

/// Calls to and from other systems.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeshPlan {
    /// This system's name.
    pub domain: SystemName,
    /// Where its proxy is.
    #[serde(default)]
    pub zone: Option<ZoneName>,
    /// Where others come in.
    pub bind: Option<String>,
    /// Milliseconds that a certificate holds.
    pub certificate_lifetime_ms: u64,
    /// The others.
    pub peers: Vec<PeerPlan>,
}

/// Another system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerPlan {
    /// Its name.
    pub system: SystemName,
    /// A PEM file, absolute.
    pub authorities: PathBuf,
    /// Where its proxies let others in.
    pub addresses: Vec<SocketAddr>,
    /// Zones of those of which one is known.
    #[serde(default)]
    pub zones: BTreeMap<SocketAddr, ZoneName>,
    /// Services of its own that are called from here.
    pub services: Vec<PeerService>,
}

/// A service of another system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerService {
    /// Its name, here and there.
    pub service: ServiceName,
    /// How it speaks.
    pub protocol: proxy::Protocol,
}

/// A service of another system that may call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// Which system.
    pub system: SystemName,
    /// Which service of it.
    pub service: ServiceName,
}

impl SystemPlan {
    /// Services of other systems that can be called from here, and whose they are.
    pub fn elsewhere(&self) -> impl Iterator<Item = (&PeerPlan, &PeerService)> {
        let peers = self.mesh.iter().flat_map(|mesh| &mesh.peers);
        peers.flat_map(|peer| peer.services.iter().map(move |service| (peer, service)))
    }
}

/// A plan that was kept before anybody noted it may have them, so it counts as one that has.
fn unknown() -> bool {
    true
}

/// A build: shared, or of one service (then it has the service's name).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildPlan {
    /// Its name; job `build/NAME`.
    pub name: String,
    /// Words, no shell.
    pub argv: Vec<String>,
    /// Absolute.
    pub dir: PathBuf,
    /// Globs, absolute, whose files' content the cache key covers.
    pub inputs: Vec<String>,
    /// A tool that locks its folder, such as `cargo` with the target folder: builds with the same lock run one by one.
    pub lock: Option<String>,
    /// Values of variables or files stand in `argv`: it is shown to nobody.
    #[serde(default = "unknown")]
    pub refers: bool,
}

impl BuildPlan {
    /// Its command in one line, for people.
    pub fn shown(&self) -> String {
        arguments::command(&self.argv, self.refers).join(" ")
    }
}

/// One service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its name.
    pub service: ServiceName,
    /// The folder of its `service.yaml`, absolute.
    pub folder: PathBuf,
    /// Key of [`SystemPlan::builds`].
    pub build: Option<String>,
    /// Globs, absolute: what belongs to this service, for services that nothing compiles.
    pub inputs: Vec<String>,
    /// Words, with instance variables.
    pub run: Vec<String>,
    /// Values of variables or files stand in `run` or in the command of `ready`: their arguments are shown to nobody.
    #[serde(default = "unknown")]
    pub refers: bool,
    /// Absolute.
    pub dir: PathBuf,
    /// With instance variables.
    pub env: BTreeMap<String, String>,
    /// How it listens.
    pub socket: SocketMode,
    /// How it speaks.
    pub protocol: proxy::Protocol,
    /// How to see that it is ready.
    pub ready: Readiness,
    /// Milliseconds.
    pub ready_interval_ms: u64,
    /// Milliseconds.
    pub ready_timeout_ms: u64,
    /// Milliseconds.
    pub start_within_ms: u64,
    /// Active health checks.
    pub health: Option<proxy::HealthCheck>,
    /// Requests at once.
    #[serde(default)]
    pub concurrency: proxy::Concurrency,
    /// Milliseconds.
    pub drain_ms: u64,
    /// Milliseconds.
    pub stop_within_ms: u64,
    /// Instances.
    pub scale_min: u32,
    /// Instances.
    pub scale_max: u32,
    /// Old and new generation may run together.
    pub overlap: bool,
    /// `sqlite:///absolute/path` or `postgres://…`, for `DATABASE_URL`.
    pub database: Option<String>,
    /// Edges to open, with their policies.
    pub depends_on: Vec<Dependency>,
    /// Callers of other systems.
    #[serde(default)]
    pub callers: Vec<Caller>,
    /// How they call.
    #[serde(default)]
    pub caller_policy: Option<proxy::Policy>,
    /// Gateway routes.
    pub routes: Vec<proxy::Route>,
    /// Stream families it owns.
    pub streams: Vec<String>,
    /// Sagas it owns.
    pub sagas: Vec<ondol_core::id::SagaName>,
    /// `Some`: it cannot run here; the line says what to install.
    pub skipped: Option<String>,
    /// Who owns it, for people.
    pub team: Option<String>,
    /// What it is, for people.
    pub about: Option<String>,
}

/// An edge that a service asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Dependency {
    /// The target.
    pub service: ServiceName,
    /// Its absence skips, its start delays.
    pub required: bool,
    /// Of the edge.
    pub policy: proxy::Policy,
}

#[cfg(test)]
mod tests {
    use crate::config::{BuildPlan, ServicePlan};
    use crate::fixtures;
    use serde_json::{Value, json};

    /// As it was kept before `refers` was.
    fn old(mut kept: Value) -> Value {
        kept.as_object_mut()
            .expect("an object")
            .remove("refers")
            .expect("it is kept");
        kept
    }

    #[test]
    fn arguments_of_a_plan_kept_by_an_older_version_are_shown_to_nobody() {
        let service = fixtures::service("a");
        assert!(!service.refers);
        let service: ServicePlan = serde_json::from_value(old(json!(service))).expect("a plan");
        assert!(service.refers);
        let build = json!({"name": "a", "argv": [], "dir": "/", "inputs": [], "lock": null, "refers": false});
        let build: BuildPlan = serde_json::from_value(old(build)).expect("a plan");
        assert!(build.refers);
    }
}
