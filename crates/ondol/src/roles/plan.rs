//! Which plan a controller runs: the manifests' at the first start within a supervisor's life, afterwards the one it
//! ran before, so that a controller that dies and comes back changes nothing, whatever was edited meanwhile.

use crate::home::Home;
use crate::whole;
use anyhow::bail;
use ondol_core::id::{BootId, ServiceName};
use ondol_deploy::config::SystemPlan;
use ondol_events::config::PublishedType;
use ondol_events::reconcile::config::Reconciliation;
use ondol_events::relay::config::Outbox;
use ondol_events::subscription::Subscription;
use ondol_manifest::OsEnv;
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
}

/// The form on disk; mode 0600, since connection strings are in it.
#[derive(Serialize, Deserialize)]
struct Kept {
    boot: BootId,
    plan: Plan,
}

fn path(home: &Home) -> PathBuf {
    home.run().join("plan.json")
}

/// The plan kept within this boot.
pub(super) fn kept(home: &Home, boot: &BootId) -> Option<Plan> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(path(home)).ok()?).ok()?;
    (&kept.boot == boot).then_some(kept.plan)
}

/// Keeps the plan for later starts within this boot.
pub(super) fn keep(home: &Home, boot: &BootId, plan: &Plan) -> anyhow::Result<()> {
    let kept = Kept {
        boot: boot.clone(),
        plan: plan.clone(),
    };
    Ok(whole::write(&path(home), &serde_json::to_vec(&kept)?)?)
}

/// Reads the manifests; with `only` reduced to these services and what they require.
pub(super) fn read(home: &Home, only: &[ServiceName]) -> anyhow::Result<Plan> {
    let loaded = match ondol_manifest::load(&home.root, &OsEnv) {
        Ok(loaded) => loaded,
        Err(diagnostics) => bail!("{}", diagnostics.render(false)),
    };
    let lowered = loaded.lower();
    let routes = lowered.plan.services.iter().flat_map(|service| &service.routes);
    // Every route that was lowered can be explained.
    let explained = routes.filter_map(|route| ondol_manifest::explain_route(&loaded, route.name.as_str()).ok());
    let mut plan = Plan {
        routes: explained.map(|explanation| explanation.json()).collect(),
        system: lowered.plan,
        sagas: lowered.sagas,
        published: lowered.published,
        subscriptions: lowered.subscriptions,
        outboxes: lowered.outboxes,
        reconciliations: lowered.reconciliations,
    };
    if !only.is_empty() {
        reduce(&mut plan, only);
    }
    Ok(plan)
}

fn reduce(plan: &mut Plan, only: &[ServiceName]) {
    let mut kept: BTreeSet<ServiceName> = only.iter().cloned().collect();
    // Services come in order of dependency: one pass from the end finds everything that is required.
    for service in plan.system.services.iter().rev() {
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
    plan.system.services.retain(|service| kept.contains(&service.service));
    for service in &mut plan.system.services {
        service
            .depends_on
            .retain(|dependency| kept.contains(&dependency.service));
    }
    let used: BTreeSet<_> = plan
        .system
        .services
        .iter()
        .filter_map(|service| service.build.clone())
        .collect();
    plan.system.builds.retain(|name, _| used.contains(name));
    plan.sagas.retain(|saga| kept.contains(&saga.owner));
    plan.published.retain(|kind| kept.contains(&kind.publisher));
    plan.subscriptions.retain(|one| kept.contains(&one.name.service));
    plan.outboxes.retain(|one| kept.contains(&one.service));
    plan.reconciliations.retain(|one| kept.contains(&one.service));
    let is_kept = |name: &str| kept.iter().any(|service| service.as_str() == name);
    plan.routes
        .retain(|route| route["service"].as_str().is_some_and(is_kept));
}
