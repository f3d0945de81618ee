//! Active checks: asks each instance straight, on its own connection, whether it is well. Counted as no traffic.
//!
//! One task per instance with a check, ended when the instance or its check changes. The first check comes after a
//! random part of the interval, so that instances that started together are not asked together.

use super::{Clusters, Endpoint, probe};
use ondol_core::entropy::SharedEntropy;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::proxy::{HealthCheck, Protocol};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Two checks of one instance are at least this far apart, whatever the manifest says.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

struct Running {
    check: (HealthCheck, Protocol),
    task: JoinHandle<Option<()>>,
}

/// Keeps every instance checked until the family stops. Spawn once per proxy.
pub async fn run(clusters: Arc<Clusters>, tasks: Tasks, entropy: SharedEntropy) {
    let mut applied = clusters.applied.subscribe();
    let mut running = HashMap::<u64, Running>::new();
    loop {
        let wanted = wanted(&clusters);
        running.retain(|id, running| {
            let stays = wanted.get(id).is_some_and(|(_, check)| *check == running.check);
            if !stays {
                running.task.abort();
            }
            stays
        });
        for (id, (endpoint, check)) in wanted {
            running.entry(id).or_insert_with(|| {
                let one = check_one(clusters.clone(), endpoint, check.clone(), entropy.clone());
                Running {
                    check,
                    task: tasks.spawn(Kind::Health, one),
                }
            });
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

type Wanted = HashMap<u64, (Arc<Endpoint>, (HealthCheck, Protocol))>;

fn wanted(clusters: &Clusters) -> Wanted {
    let by_name = super::lock(&clusters.by_name);
    let views = by_name.values().map(|cluster| cluster.view());
    let checks = views.filter_map(|view| Some((view.health.clone()?, view)));
    checks
        .flat_map(|(check, view)| {
            let one = |endpoint: &Arc<Endpoint>| (endpoint.id, (endpoint.clone(), (check.clone(), view.protocol)));
            view.endpoints
                .iter()
                .filter(|endpoint| !endpoint.is_draining())
                .map(one)
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn check_one(
    clusters: Arc<Clusters>,
    endpoint: Arc<Endpoint>,
    (check, protocol): (HealthCheck, Protocol),
    entropy: SharedEntropy,
) {
    let interval = Duration::from_millis(check.interval_ms).max(SHORTEST_INTERVAL);
    let timeout = Duration::from_millis(check.timeout_ms.max(1));
    tokio::time::sleep(entropy.jitter(interval)).await;
    loop {
        let asked = probe::get(endpoint.address, protocol, &check.path);
        let answer = tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or_else(|_| Err("no answer in time".into()));
        let well = matches!(answer, Ok(status) if (200..300).contains(&status));
        if endpoint.check(well) {
            let answer = answer.map_or_else(|error| error.to_string(), |status| format!("status {status}"));
            tracing::warn!(instance = %endpoint.instance, well, path = check.path, answer, "health changed");
            clusters.shared.news.notify_one();
        }
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
