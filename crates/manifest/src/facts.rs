//! A configuration as facts: what is set, to what, and which line says so. Two of them are compared by `diff.rs`.
//!
//! They are made of what the rooms run, not of what is written, so that a default that another level sets, or a variable of the
//! environment, shows where it takes effect; keys are called as a manifest calls them. Facts are kept with the configuration,
//! since a later one is compared with them when the files have long changed.
//!
//! Invariants
//! - What is run differently has a different fact: a route, whose facts are its explanation, has what it was lowered to beside them.
//! - A value that may be a secret is marked where it is made, so that nobody who compares has to know which are.

mod flatten;
mod places;

use crate::explain::{Explanation, explain_route};
use crate::load::Loaded;
use crate::lower::Lowered;
use crate::source::Place;
pub(crate) use flatten::ROUTE_ORDER;
use flatten::{Values, flatten};
use ondol_core::id::ServiceName;
use ondol_deploy::arguments;
use ondol_deploy::config::{MeshPlan, ServicePlan, SystemPlan};
use places::Places;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// What a fact is about, in the order in which people are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `ondol.yaml`.
    System,
    /// A shared build, or the one of a service.
    Build,
    /// A service, with the edges that it opens and the events that it publishes and takes.
    Service,
    /// A gateway route.
    Route,
    /// A saga's definition.
    Saga,
    /// A reconciliation.
    Reconciliation,
}

/// One thing that is configured. The service comes first, so that what belongs together is told together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Whose it is; `None`: the whole system's.
    pub service: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// One value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// As a manifest would write it.
    pub value: String,
    /// It may be a secret: it is never shown.
    #[serde(default)]
    pub secret: bool,
    /// A file says so; else it is built in, or follows from something else.
    #[serde(default)]
    pub written: bool,
    /// The line that says so, or the nearest one around it.
    #[serde(default)]
    pub origin: Option<Place>,
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.secret { "…" } else { &self.value };
        write!(f, "{shown} ({:?})", self.origin)
    }
}

/// Everything about one subject.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub subject: Subject,
    /// By key, such as `scale.min`.
    pub facts: BTreeMap<String, Fact>,
    /// All of it as it is run, where that may be more than the facts say.
    #[serde(default)]
    pub(crate) whole: Option<Value>,
}

/// A whole configuration, by subject.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Facts(pub(crate) Vec<Entry>);

impl Loaded {
    /// The facts of `lowered`, which is this system or a part of it.
    ///
    /// Cost: each manifest is parsed once more, for the places.
    pub fn facts(&self, lowered: &Lowered) -> Facts {
        let mut make = Maker {
            loaded: self,
            places: Places::new(self),
            root: format!("{}/", self.root.display()),
            out: Vec::new(),
        };
        make.system(&lowered.plan);
        for service in &lowered.plan.services {
            make.service(service, lowered);
            service.routes.iter().for_each(|route| make.route(service, route));
        }
        for saga in &lowered.sagas {
            make.saga(saga);
        }
        for one in &lowered.reconciliations {
            let mut all = json!(one);
            take(&mut all, &["name", "service"]);
            make.add(Some(&one.service), Kind::Reconciliation, &one.name, &all);
        }
        make.out.sort_by(|a, b| a.subject.cmp(&b.subject));
        Facts(make.out)
    }
}

/// What an environment or a connection string says is nobody's business, wherever it came from.
fn is_secret(kind: Kind, key: &str, value: &str) -> bool {
    let by_key = match kind {
        Kind::System => key == "store",
        Kind::Service => key.starts_with("env.") || matches!(key, "database" | "outbox"),
        _ => false,
    };
    let is_command = matches!(kind, Kind::Service | Kind::Build) && (key == "run" || key.starts_with("ready"));
    let has_password = value.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    by_key || has_password || (is_command && arguments::shown(&[value.to_owned()]) != [value])
}

struct Maker<'a> {
    loaded: &'a Loaded,
    places: Places,
    /// The system's folder with its slash: paths are told from there.
    root: String,
    out: Vec<Entry>,
}

impl Maker<'_> {
    fn add(&mut self, service: Option<&ServiceName>, kind: Kind, name: &str, all: &Value) {
        let mut values = Values::new();
        flatten("", all, &mut values);
        let fact = |(key, value): (String, String)| {
            let found = self.places.find(service, kind, name, &key);
            let fact = Fact {
                value: value.replace(&self.root, ""),
                secret: is_secret(kind, &key, &value) || found.is_some_and(|(at, _)| self.loaded.is_reference(at)),
                written: found.is_some_and(|(_, exact)| exact),
                origin: found.and_then(|(at, _)| self.loaded.sources.place(at)),
            };
            (key, fact)
        };
        self.out.push(Entry {
            subject: Subject {
                service: service.map(ToString::to_string),
                kind,
                name: name.to_owned(),
            },
            facts: values.into_iter().map(fact).collect(),
            whole: None,
        });
    }

    fn system(&mut self, plan: &SystemPlan) {
        let listeners = plan.gateways.iter().map(|(name, bind)| {
            let listener = json!({ "bind": bind, "tls": plan.tls.get(name) });
            (name.clone(), listener)
        });
        let all = json!({
            "gateway": {
                "listeners": listeners.collect::<Map<_, _>>(),
                "trusted_proxies": plan.trusted_proxies,
                "issuers": plan.issuers,
            },
            "console": { "bind": plan.console },
            "store": plan.store,
            "defaults": plan.built_in_policy,
            "mesh": plan.mesh.as_ref().map(mesh),
        });
        self.add(None, Kind::System, &plan.system, &all);
        for build in plan.builds.values() {
            let all = json!({ "run": build.argv, "dir": build.dir, "inputs": build.inputs });
            let mut services = plan.services.iter();
            let own = services.find(|service| service.service.as_str() == build.name);
            self.add(own.map(|service| &service.service), Kind::Build, &build.name, &all);
        }
    }

    fn service(&mut self, service: &ServicePlan, lowered: &Lowered) {
        let mut all = json!(service);
        take(&mut all, &["service", "routes", "sagas", "refers"]);
        let edges = service.depends_on.iter().map(|edge| {
            let mut policy = json!(edge.policy);
            policy[""] = json!(if edge.required { "required" } else { "optional" });
            (edge.service.to_string(), policy)
        });
        all["depends_on"] = Value::Object(edges.collect());
        take(&mut all, &["caller_policy"]);
        all["callers"] = callers(service);
        if let Some(health) = &service.health {
            all["health"] =
                json!({ "": health.path, "interval_ms": health.interval_ms, "timeout_ms": health.timeout_ms });
        }
        let name = &service.service;
        let published = lowered.published.iter().filter(|kind| &kind.publisher == name);
        let published = published.map(|kind| (kind.kind.clone(), json!({ "": "published", "schema": kind.schema })));
        let taken = lowered.subscriptions.iter().filter(|one| &one.name.service == name);
        let taken = taken.map(|one| {
            let mut all = json!(one);
            take(&mut all, &["name"]);
            (one.name.name.to_string(), all)
        });
        all["events"] = json!({
            "publishes": published.collect::<Map<_, _>>(), "subscribes": taken.collect::<Map<_, _>>(),
        });
        let mut outboxes = lowered.outboxes.iter();
        all["outbox"] = json!(outboxes.find(|one| &one.service == name).map(|one| &one.database));
        all[ROUTE_ORDER] = json!(service.routes.iter().map(|route| &route.name).collect::<Vec<_>>());
        self.add(Some(name), Kind::Service, name.as_str(), &all);
    }

    fn route(&mut self, service: &ServicePlan, route: &ondol_core::wire::proxy::Route) {
        // Every route that was lowered can be explained.
        let Ok(Explanation { lines, .. }) = explain_route(self.loaded, route.name.as_str()) else {
            return;
        };
        let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
        for line in lines {
            let secret = line.reference || is_secret(Kind::Route, &line.key, &line.value);
            match facts.get_mut(&line.key) {
                // A list has a line for each of its items.
                Some(fact) => {
                    fact.value = format!("{}, {}", fact.value, line.value);
                    fact.secret |= secret;
                }
                None => {
                    let fact = Fact {
                        value: line.value,
                        secret,
                        written: line.origin.is_some(),
                        origin: line.origin,
                    };
                    facts.insert(line.key, fact);
                }
            }
        }
        self.out.push(Entry {
            subject: Subject {
                service: Some(service.service.to_string()),
                kind: Kind::Route,
                name: route.name.to_string(),
            },
            facts,
            whole: Some(json!(route)),
        });
    }

    fn saga(&mut self, saga: &ondol_saga::config::Definition) {
        let mut all = json!(saga);
        take(&mut all, &["saga", "owner", "stages"]);
        let steps = saga.stages.iter().flat_map(|stage| {
            let group = stage.group.as_ref().map(ToString::to_string);
            stage.steps.iter().map(move |step| (group.clone(), step))
        });
        let steps = steps.enumerate().map(|(index, (group, step))| {
            let mut all = json!(step);
            take(&mut all, &["name"]);
            // Its place counts: steps run in order.
            (all["position"], all["parallel"]) = (json!(index + 1), json!(group));
            (step.name.to_string(), all)
        });
        all["steps"] = Value::Object(steps.collect());
        self.add(Some(&saga.owner), Kind::Saga, saga.saga.as_str(), &all);
    }
}

/// By the other system, as it is written.
fn callers(service: &ServicePlan) -> Value {
    let mut by_system: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for caller in &service.callers {
        by_system
            .entry(caller.system.to_string())
            .or_default()
            .push(caller.service.as_str());
    }
    json!(by_system)
}

fn mesh(mesh: &MeshPlan) -> Value {
    let peers = mesh.peers.iter().map(|peer| {
        let services = peer
            .services
            .iter()
            .map(|one| (one.service.to_string(), json!({ "protocol": one.protocol })));
        let all = json!({
            "authorities": peer.authorities, "addresses": peer.addresses, "zones": peer.zones, "services": services.collect::<Map<_, _>>(),
        });
        (peer.system.to_string(), all)
    });
    json!({
        "bind": mesh.bind, "zone": mesh.zone, "certificate_lifetime_ms": mesh.certificate_lifetime_ms, "peers": peers.collect::<Map<_, _>>(),
    })
}

fn take(object: &mut Value, names: &[&str]) {
    if let Value::Object(map) = object {
        names.iter().for_each(|name| drop(map.remove(*name)));
    }
}
