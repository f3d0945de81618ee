//! A checked system → what the rooms run: `ondol_deploy`'s plan, `ondol_saga`'s definitions, `ondol_events`' configs.
//!
//! Nothing is decided here that a check could refuse; defaults are already in the documents, so this only renames,
//! makes paths absolute and merges policies.

mod events;
mod mesh;
mod reconcile;
mod route;
mod saga;
mod service;
mod traffic;

pub use route::{longest_timeout_ms, matches, route_name, route_policy};
pub use saga::kind as step_kind;

use crate::doc::system::{BuildDoc, SystemDoc};
use crate::load::Loaded;
use crate::policy::{Effective, merge};
use crate::source::join;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{CertificateFiles, ClientCertificates, Issuer, Tls};
use ondol_deploy::config::{BuildPlan, SystemPlan};
use ondol_events::config::PublishedType;
use ondol_events::reconcile::config::Reconciliation;
use ondol_events::relay::config::Outbox;
use ondol_events::subscription::Subscription;
use ondol_saga::config::Definition;
use std::collections::BTreeMap;
use std::path::Path;

/// Where the gateway listens when nothing says otherwise.
pub const DEFAULT_GATEWAY: &str = "127.0.0.1:8080";
/// Where the console listens when nothing says otherwise.
pub const DEFAULT_CONSOLE: &str = "127.0.0.1:7070";

/// The system as the rooms run it.
#[derive(Clone, PartialEq, Debug)]
pub struct Lowered {
    /// What to build and to run, and who may call whom.
    pub plan: SystemPlan,
    /// By name.
    pub sagas: Vec<Definition>,
    /// Who publishes which types of events.
    pub published: Vec<PublishedType>,
    /// What is delivered to whom.
    pub subscriptions: Vec<Subscription>,
    /// Whose databases hold events to be published.
    pub outboxes: Vec<Outbox>,
    /// What is compared.
    pub reconciliations: Vec<Reconciliation>,
}

impl Loaded {
    /// The rooms' configs. Pure.
    pub fn lower(&self) -> Lowered {
        let mut builds: BTreeMap<String, BuildPlan> = BTreeMap::new();
        for (name, build) in self.system.builds.iter() {
            let refers = self.is_reference(build.run.at);
            let build = shared_build(&self.root, &name.value, build);
            builds.insert(name.value.clone(), BuildPlan { refers, ..build });
        }
        let mut services = Vec::with_capacity(self.services.len());
        for at in crate::graph::start_order(&self.services) {
            let service = &self.services[at];
            builds.extend(self.own_build(service).map(|build| (build.name.clone(), build)));
            services.push(self.service_plan(service));
        }
        let mut built_in_policy = system_policy(&self.system).policy();
        // Sagas, pushes and key fetches try again on their own; two layers of retries would multiply.
        built_in_policy.retries = 0;
        // What they ask and what the controller answers is how things are now, and nobody else's answer.
        (built_in_policy.cache, built_in_policy.fallback) = (None, None);
        let plan = SystemPlan {
            system: self.system.system.value.clone(),
            root: self.root.clone(),
            manifests: self.files.clone(),
            builds,
            services,
            gateways: gateways(&self.system),
            tls: self.tls(),
            console: self
                .system
                .console
                .as_ref()
                .map_or(DEFAULT_CONSOLE.into(), |console| console.bind.value.0.to_string()),
            store: store(&self.root, &self.system.store.value),
            trusted_proxies: self.gateway_list(|gateway| {
                gateway
                    .trusted_proxies
                    .iter()
                    .map(|cidr| cidr.value.0.clone())
                    .collect()
            }),
            issuers: self.issuers(),
            built_in_policy,
            mesh: mesh::mesh(&self.root, &self.system),
        };
        let published: Vec<_> = self.services.iter().flat_map(events::published).collect();
        let subscriptions = self.services.iter();
        Lowered {
            plan,
            sagas: self.sagas.iter().map(saga::definition).collect(),
            subscriptions: subscriptions
                .flat_map(|service| events::subscriptions(service, &published))
                .collect(),
            published,
            outboxes: self
                .services
                .iter()
                .filter_map(|service| self.outbox(service))
                .collect(),
            reconciliations: self.reconciliations().collect(),
        }
    }

    /// Those of a service that cannot run here would find all that it has missing.
    fn reconciliations(&self) -> impl Iterator<Item = Reconciliation> {
        let runs = |name: &ServiceName| {
            let mut services = self.services.iter();
            services.any(|service| service.name == *name && service.skipped.is_none())
        };
        let files = self.reconciliations.iter().filter(move |file| runs(&file.owner));
        files.map(reconcile::reconciliation)
    }

    fn gateway_list(&self, get: impl Fn(&crate::doc::system::GatewayDoc) -> Vec<String>) -> Vec<String> {
        self.system.gateway.as_ref().map(get).unwrap_or_default()
    }

    fn tls(&self) -> BTreeMap<String, Tls> {
        let file = |written: &str| join(&self.root, written);
        let listeners = self.system.gateway.iter().flat_map(|gateway| gateway.listeners.iter());
        let secured = listeners.filter_map(|(name, doc)| Some((name, doc.tls.as_ref()?)));
        let lowered = secured.map(|(name, doc)| {
            let certificates = doc.certificates.value.iter().map(|pair| CertificateFiles {
                cert: file(&pair.cert.value),
                key: file(&pair.key.value),
            });
            let client = doc.client.as_ref().map(|client| ClientCertificates {
                ca: file(&client.ca.value),
                require: client.require.value,
            });
            let tls = Tls {
                certificates: certificates.collect(),
                client,
                min_version: doc.min_version.value.0,
            };
            (name.value.clone(), tls)
        });
        lowered.collect()
    }

    fn issuers(&self) -> BTreeMap<String, Issuer> {
        let issuers = self.system.gateway.iter().flat_map(|gateway| gateway.issuers.iter());
        issuers
            .filter_map(|(name, doc)| {
                let (jwks_service, jwks_path) = svc(&doc.jwks.value)?;
                let issuer = Issuer {
                    issuer: doc.issuer.value.clone(),
                    audience: doc.audience.value.clone(),
                    algorithms: doc
                        .algorithms
                        .value
                        .iter()
                        .map(|algorithm| algorithm.value.name().to_owned())
                        .collect(),
                    jwks_service,
                    jwks_path,
                };
                Some((name.value.clone(), issuer))
            })
            .collect()
    }
}

/// Policies of the system alone.
pub fn system_policy(system: &SystemDoc) -> Effective {
    let layers: Vec<_> = system.defaults.iter().map(|defaults| defaults.layer()).collect();
    merge(&layers)
}

/// Listeners by name; one at the usual port when none is written.
pub fn gateways(system: &SystemDoc) -> Vec<(String, String)> {
    let listeners = system.gateway.iter().flat_map(|gateway| gateway.listeners.iter());
    let mut out: Vec<_> = listeners
        .map(|(name, doc)| (name.value.clone(), doc.bind.value.0.to_string()))
        .collect();
    if out.is_empty() {
        out.push(("web".into(), DEFAULT_GATEWAY.into()));
    }
    out
}

/// `svc://users/keys` as a service and a path. `None`: not of that form.
pub fn svc(text: &str) -> Option<(ServiceName, String)> {
    let (service, path) = text.strip_prefix("svc://")?.split_once('/')?;
    Some((service.parse().ok()?, format!("/{path}")))
}

/// `sqlite:FILE` below `.ondol/`, or what is written.
fn store(root: &Path, written: &str) -> String {
    match written.strip_prefix("sqlite:") {
        Some(file) => format!("sqlite:{}", join(&root.join(".ondol"), file).display()),
        None => written.into(),
    }
}

fn shared_build(root: &Path, name: &str, doc: &BuildDoc) -> BuildPlan {
    let dir = join(root, &doc.dir.value);
    let globs: Vec<String> = doc.inputs.iter().map(|glob| glob.value.clone()).collect();
    build(
        name.into(),
        doc.run.value.words.clone(),
        dir.clone(),
        inputs(root, &dir, &globs),
    )
}

fn build(name: String, argv: Vec<String>, dir: std::path::PathBuf, inputs: Vec<String>) -> BuildPlan {
    let tool = argv
        .first()
        .map(|program| program.rsplit('/').next().unwrap_or(program));
    let lock = match tool {
        // Services of one workspace share a target folder that cargo locks; two builds at once would only wait there.
        Some("cargo") => Some("cargo".to_owned()),
        Some(tool @ ("npm" | "pnpm" | "yarn" | "mvn" | "gradle")) => Some(format!("{tool}:{}", dir.display())),
        _ => None,
    };
    BuildPlan {
        name,
        argv,
        dir,
        inputs,
        lock,
        refers: false,
    }
}

/// Globs made absolute: what is written, else what the tool's own file in `base` or `dir` tells.
fn inputs(base: &Path, dir: &Path, written: &[String]) -> Vec<String> {
    let absolute = |folder: &Path, glob: &str| join(folder, glob).display().to_string();
    if !written.is_empty() {
        return written.iter().map(|glob| absolute(base, glob)).collect();
    }
    let folder = [base, dir]
        .into_iter()
        .find(|folder| crate::kind::of(folder).is_some())
        .unwrap_or(base);
    let globs = crate::kind::of(folder).map(|kind| kind.inputs()).unwrap_or_default();
    globs.iter().map(|glob| absolute(folder, glob)).collect()
}
