//! Which plan a controller runs: the manifests' at the first start within a supervisor's life, afterwards the one it
//! ran before, so that a controller that dies and comes back changes nothing, whatever was edited meanwhile.

use crate::home::Home;
use ondol_core::id::{BootId, ServiceName};
use ondol_core::whole;
use ondol_deploy::config::SystemPlan;
use ondol_deploy::configuration::NotTaken;
use ondol_events::config::PublishedType;
use ondol_events::reconcile::config::Reconciliation;
use ondol_events::relay::config::Outbox;
use ondol_events::subscription::Subscription;
use ondol_manifest::{Facts, Lowered, OsEnv};
use ondol_saga::config::Definition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What is run.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) system: SystemPlan,
    pub(super) sagas: Vec<Definition>,
    #[serde(default)]
    pub(super) published: Vec<PublishedType>,
    #[serde(default)]
    pub(super) subscriptions: Vec<Subscription>,
    #[serde(default)]
    pub(super) outboxes: Vec<Outbox>,
    #[serde(default)]
    pub(super) reconciliations: Vec<Reconciliation>,
    /// What holds for each route and which line says so. Empty in plans that an earlier version kept.
    #[serde(default)]
    pub(super) routes: Vec<serde_json::Value>,
    /// All of it as keys and values, to be compared with another. Empty in plans that an earlier version kept.
    #[serde(default)]
    pub(super) facts: Facts,
}

/// The form on disk; mode 0600, since connection strings are in it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) boot: BootId,
    pub(super) plan: Plan,
    /// 0: kept by a version that counted none.
    #[serde(default)]
    pub(super) revision: u64,
    /// `Some`: it was taken back, and is not what the files say.
    #[serde(default)]
    pub(super) rolled_back: Option<RolledBack>,
}

/// A configuration that was taken back.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RolledBack {
    /// The revision that it is a copy of.
    pub(super) to: u64,
    /// What the files said then: only another thing is a change of them. `None`: they were broken.
    pub(super) files: Option<Facts>,
}

fn path(home: &Home) -> PathBuf {
    home.run().join("plan.json")
}

/// What was kept last, in whichever life of the supervisor.
pub(super) fn kept(home: &Home) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(path(home)).ok()?).ok()
}

/// Keeps it for later starts within this boot.
pub(super) fn keep(home: &Home, kept: &Kept) -> Result<(), whole::Unwritten> {
    let bytes = serde_json::to_vec(kept).map_err(|error| whole::Unwritten::at(&path(home))(error.into()))?;
    whole::write(&path(home), &bytes)
}

/// Reads the manifests; with `only` reduced to these services and what they require.
pub(super) fn read(home: &Home, only: &[ServiceName]) -> Result<Plan, NotTaken> {
    let loaded = ondol_manifest::load(&home.root, &OsEnv).map_err(|found| NotTaken::Broken {
        words: found.render(false),
        findings: found.json(),
    })?;
    let mut lowered = loaded.lower();
    if !only.is_empty() {
        reduce(&mut lowered, only);
    }
    let routes = lowered.plan.services.iter().flat_map(|service| &service.routes);
    // Every route that was lowered can be explained.
    let explained = routes.filter_map(|route| ondol_manifest::explain_route(&loaded, route.name.as_str()).ok());
    Ok(Plan {
        routes: explained.map(|explanation| explanation.json()).collect(),
        facts: loaded.facts(&lowered),
        system: lowered.plan,
        sagas: lowered.sagas,
        published: lowered.published,
        subscriptions: lowered.subscriptions,
        outboxes: lowered.outboxes,
        reconciliations: lowered.reconciliations,
    })
}

fn reduce(lowered: &mut Lowered, only: &[ServiceName]) {
    let mut kept: BTreeSet<ServiceName> = only.iter().cloned().collect();
    // Services come in order of dependency: one pass from the end finds everything that is required.
    for service in lowered.plan.services.iter().rev() {
        if kept.contains(&service.service) {
            kept.extend(
                service
                    .depends_on
                    .iter()
                    .filter(|d| d.required)
                    .map(|d| d.service.clone()),
            );
        }
    }
    lowered.plan.services.retain(|service| kept.contains(&service.service));
    let elsewhere: BTreeSet<_> = lowered
        .plan
        .elsewhere()
        .map(|(_, other)| other.service.clone())
        .collect();
    kept.extend(elsewhere);
    for service in &mut lowered.plan.services {
        service
            .depends_on
            .retain(|dependency| kept.contains(&dependency.service));
    }
    let used: BTreeSet<_> = lowered
        .plan
        .services
        .iter()
        .filter_map(|service| service.build.clone())
        .collect();
    lowered.plan.builds.retain(|name, _| used.contains(name));
    lowered.sagas.retain(|saga| kept.contains(&saga.owner));
    lowered.published.retain(|kind| kept.contains(&kind.publisher));
    lowered.subscriptions.retain(|one| kept.contains(&one.name.service));
    lowered.outboxes.retain(|one| kept.contains(&one.service));
    lowered.reconciliations.retain(|one| kept.contains(&one.service));
}

/// A small plan for tests.
#[cfg(test)]
pub(super) fn fixture(system: &str) -> Plan {
    let dir = tempfile::tempdir().expect("folder");
    std::fs::create_dir(dir.path().join("a")).expect("folder");
    let text = format!("system: {system}\nservices: [a]\n");
    std::fs::write(dir.path().join("ondol.yaml"), text).expect("written");
    std::fs::write(dir.path().join("a/service.yaml"), "service: a\nrun: sh -c true\n").expect("written");
    let home = Home {
        root: dir.path().into(),
    };
    read(&home, &[]).expect("good")
}
