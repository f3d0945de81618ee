//! One `service.yaml` → its plan.

use super::{build, inputs, route};
use crate::doc::service::{ConcurrencyDoc, ReadyDoc, ServiceDoc};
use crate::load::{Loaded, Service};
use crate::policy::merge;
use crate::source::join;
use crate::value::{Need, Protocol, Socket};
use ondol_core::id::SystemName;
use ondol_core::wire::proxy;
use ondol_core::wire::supervision::{Readiness, SocketMode};
use ondol_deploy::config::{BuildPlan, Caller, Dependency, ServicePlan};

/// Between two health checks of an instance, and for one: a dead instance is seen by its next request anyway.
const HEALTH_MS: u64 = 1_000;

impl Loaded {
    /// The build of a service that shares none.
    pub(super) fn own_build(&self, service: &Service) -> Option<BuildPlan> {
        let doc = &service.doc;
        let written = doc.build.as_ref()?;
        if self.shared_build_of(doc).is_some() {
            return None;
        }
        let dir = join(&service.folder, &doc.dir.value);
        let inputs = inputs(&service.folder, &dir, &globs(doc));
        let argv = written.value.words.clone();
        Some(BuildPlan {
            refers: self.is_reference(written.at),
            ..build(service.name.to_string(), argv, dir, inputs)
        })
    }

    /// The shared build that a service names.
    pub(crate) fn shared_build_of<'d>(&self, doc: &'d ServiceDoc) -> Option<&'d str> {
        match doc.build.as_ref()?.value.words.as_slice() {
            [name] if self.system.builds.get(name).is_some() => Some(name),
            _ => None,
        }
    }

    pub(super) fn service_plan(&self, service: &Service) -> ServicePlan {
        let doc = &service.doc;
        let dir = join(&service.folder, &doc.dir.value);
        let build = doc.build.as_ref().map(|_| {
            self.shared_build_of(doc)
                .map_or(service.name.to_string(), str::to_owned)
        });
        ServicePlan {
            service: service.name.clone(),
            folder: service.folder.clone(),
            build,
            inputs: inputs(&service.folder, &dir, &globs(doc)),
            run: doc.run.value.words.clone(),
            refers: self.is_reference(doc.run.at)
                || doc.ready.exec.as_ref().is_some_and(|exec| self.is_reference(exec.at)),
            dir,
            env: doc
                .env
                .iter()
                .map(|(name, value)| (name.value.clone(), value.value.text.clone()))
                .collect(),
            socket: match doc.socket.value {
                Socket::Port => SocketMode::Port,
                Socket::Fds => SocketMode::Fds,
            },
            protocol: match doc.protocol.value {
                Protocol::Http1 => proxy::Protocol::Http1,
                Protocol::H2c => proxy::Protocol::H2c,
            },
            ready: readiness(&doc.ready),
            ready_interval_ms: doc.ready.interval.value.0,
            ready_timeout_ms: doc.ready.timeout.value.0,
            start_within_ms: doc.ready.start_within.value.0,
            health: doc.health.as_ref().map(|path| proxy::HealthCheck {
                path: path.value.0.clone(),
                interval_ms: HEALTH_MS,
                timeout_ms: HEALTH_MS,
            }),
            concurrency: concurrency(&doc.concurrency),
            drain_ms: doc.drain.value.0.max(route::longest_timeout_ms(&self.system, doc)),
            stop_within_ms: doc.stop_within.value.0,
            scale_min: doc.scale.min.value,
            scale_max: doc.scale.max.map_or(doc.scale.min.value, |max| max.value),
            overlap: doc.overlap.value,
            database: self.database(service),
            depends_on: self.dependencies(doc),
            callers: callers(doc).collect(),
            caller_policy: (callers(doc).next().is_some()).then(|| self.edge_policy(Some(doc))),
            routes: route::routes(&self.system, service),
            streams: doc.streams.iter().map(|family| family.value.0.clone()).collect(),
            sagas: self
                .sagas
                .iter()
                .filter(|saga| saga.owner == service.name)
                .map(|saga| saga.doc.saga.value.clone())
                .collect(),
            skipped: service.skipped.clone(),
            team: owner(doc),
            about: doc.about.as_ref().map(|about| about.value.clone()),
        }
    }

    /// `sqlite:///absolute/path`, or what is written.
    pub(super) fn database(&self, service: &Service) -> Option<String> {
        let written = &service.doc.database.as_ref()?.value;
        let Some(file) = written.strip_prefix("sqlite:") else {
            return Some(written.clone());
        };
        let folder = self.root.join(".ondol/data").join(service.name.as_str());
        Some(format!("sqlite://{}", join(&folder, file).display()))
    }

    /// Edges with their policies: the system's, then those of the service that is called. One of another system is never waited for
    /// at a start: it may come and go without being asked.
    fn dependencies(&self, doc: &ServiceDoc) -> Vec<Dependency> {
        let edges = doc.depends_on.iter().filter_map(|(name, need)| {
            let here = self.services.iter().find(|service| service.name.as_str() == name.value);
            Some(Dependency {
                service: name.value.parse().ok()?,
                required: need.value == Need::Required && here.is_some(),
                policy: self.edge_policy(here.map(|service| &service.doc)),
            })
        });
        edges.collect()
    }

    fn edge_policy(&self, target: Option<&ServiceDoc>) -> proxy::Policy {
        let levels = [
            self.system.defaults.as_ref(),
            target.and_then(|target| target.defaults.as_ref()),
        ];
        let layers: Vec<_> = levels.into_iter().flatten().map(|level| level.layer()).collect();
        merge(&layers).policy()
    }
}

/// Callers of other systems.
fn callers(doc: &ServiceDoc) -> impl Iterator<Item = Caller> {
    let systems = doc
        .callers
        .iter()
        .filter_map(|(system, names)| Some((system.value.parse::<SystemName>().ok()?, names)));
    systems.flat_map(|(system, names)| {
        names.iter().map(move |name| Caller {
            system: system.clone(),
            service: name.value.clone(),
        })
    })
}

/// What is written, and where nothing is the built-in bound that fits it.
fn concurrency(doc: &ConcurrencyDoc) -> proxy::Concurrency {
    let built_in = proxy::Concurrency::default();
    let (min, max) = (doc.min.map(|min| min.value), doc.max.map(|max| max.value));
    proxy::Concurrency {
        min: min.unwrap_or(built_in.min.min(max.unwrap_or(u32::MAX))),
        max: max.unwrap_or(built_in.max.max(min.unwrap_or(0))),
    }
}

fn globs(doc: &ServiceDoc) -> Vec<String> {
    doc.inputs.iter().map(|glob| glob.value.clone()).collect()
}

fn owner(doc: &ServiceDoc) -> Option<String> {
    let owner = doc.owner.as_ref()?;
    match (&owner.team, &owner.contact) {
        (Some(team), Some(contact)) => Some(format!("{} ({})", team.value, contact.value)),
        (Some(one), None) | (None, Some(one)) => Some(one.value.clone()),
        (None, None) => None,
    }
}

fn readiness(doc: &ReadyDoc) -> Readiness {
    match (&doc.http, &doc.log, &doc.exec) {
        (Some(path), _, _) => Readiness::Http(path.value.0.clone()),
        (_, Some(pattern), _) => Readiness::Log(pattern.value.0.clone()),
        (_, _, Some(command)) => Readiness::Exec(command.value.words.clone()),
        _ => Readiness::Tcp,
    }
}
