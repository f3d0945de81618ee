//! What people are told about each service: one word, the reason, the instances. Pure.

use crate::config::{PeerPlan, ServicePlan, SystemPlan};
use crate::configuration::Running;
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{PeerReport, Report};
use ondol_core::wire::supervision::{Facts, InstanceFact, Phase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One word for a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Cannot run here; the reason says what to install.
    Skipped,
    /// Its build runs or waits.
    Building,
    /// Its build failed and nothing runs.
    BuildFailed,
    /// Waits for a required service.
    Waiting,
    /// Waits for a required service that will not start by waiting; the reason names it.
    Blocked,
    /// Runs, not ready yet.
    Starting,
    /// As many as wanted are ready.
    Ready,
    /// The next generation comes while the old one serves.
    Replacing,
    /// Some are ready, fewer than wanted.
    Degraded,
    /// None is ready: it crashes, fails or cannot be started.
    Failing,
    /// Told to stop.
    Stopped,
}

/// What a build is doing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildStatus {
    /// Which build.
    pub build: String,
    /// How far.
    pub state: BuildState,
    /// Since when.
    pub since: Timestamp,
    /// The last line it wrote, or why it failed.
    pub line: String,
}

/// How far a build is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// For another that holds the same lock.
    Waiting,
    /// Now.
    Running,
    /// The inputs were built before.
    Cached,
    /// With success.
    Done,
    /// The line says why.
    Failed,
}

/// A service, declared and observed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Which.
    pub service: ServiceName,
    /// One word.
    pub state: ServiceState,
    /// Why, where it is not plainly ready.
    pub reason: Option<String>,
    /// What should run.
    pub release: Option<String>,
    /// How many should run.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
    /// What runs.
    pub instances: Vec<InstanceFact>,
    /// Its build.
    pub build: Option<BuildStatus>,
    /// Whom it calls.
    pub depends_on: Vec<ServiceName>,
    /// Who owns it.
    pub team: Option<String>,
    /// What it is.
    pub about: Option<String>,
}

/// The whole system.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SystemStatus {
    /// `system:`.
    pub system: String,
    /// Gateway listeners: name and URL.
    pub gateways: Vec<(String, String)>,
    /// Where proxies of other systems come in.
    #[serde(default)]
    pub mesh: Option<String>,
    /// Other systems that can be called, and how connections to them went; one that nobody has called says nothing yet.
    #[serde(default)]
    pub peers: Vec<PeerReport>,
    /// Services in order of dependency.
    pub services: Vec<ServiceStatus>,
    /// What keeps the whole from working, such as a port that somebody else holds.
    pub problem: Option<String>,
    /// The generation that the proxy serves by, once it has acknowledged one.
    pub generation: Option<u64>,
    /// Whether what changes is built and replaced by itself.
    #[serde(default)]
    pub watch: bool,
    /// Of the newest snapshot.
    #[serde(default)]
    pub configuration: Running,
    /// What works and will not always: certificates that end or could not be replaced, services of which nearly no
    /// instance is well.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl SystemStatus {
    /// True when every service is ready or skipped, the proxy serves, and nothing is wrong.
    pub fn is_up(&self) -> bool {
        let settled = |s: &ServiceStatus| matches!(s.state, ServiceState::Ready | ServiceState::Skipped);
        self.problem.is_none()
            && self.generation.is_some()
            && !self.services.is_empty()
            && self.services.iter().all(settled)
    }
}

/// What proxies say of their certificates, of services in panic mode and of those at rest; one sentence for each, whichever proxy says it.
pub(crate) fn warnings<'a>(reports: &[Report], of_identities: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut all: BTreeSet<String> = of_identities.map(Into::into).collect();
    for tls in reports.iter().flat_map(|report| &report.tls) {
        let wrong = tls.certificates.iter().filter_map(|certificate| {
            let problem = certificate.problem.as_ref()?;
            let of = if tls.listener == "mesh" { "" } else { "gateway " };
            Some(format!("{of}{}: {}: {problem}", tls.listener, certificate.file))
        });
        all.extend(wrong);
    }
    let panics = reports.iter().flat_map(|report| &report.panics);
    all.extend(panics.map(|service| {
        format!("service {service}: fewer than three in ten of its instances are well, so requests go to all of them")
    }));
    let breakers = reports.iter().flat_map(|report| &report.breakers);
    let open = breakers.filter(|(_, state)| state == "open");
    let resting: BTreeSet<_> = open.map(|(service, _)| service).collect();
    all.extend(resting.into_iter().map(|service| {
        format!("service {service}: it fails, so its circuit breaker is open: most requests are answered without it")
    }));
    all.into_iter().collect()
}

/// Peers that have addresses, with what all proxies say of them.
pub(crate) fn peers(plan: &SystemPlan, reports: &[Report]) -> Vec<PeerReport> {
    let peers = plan.mesh.iter().flat_map(|mesh| &mesh.peers);
    let one = |peer: &PeerPlan| {
        let mut all = PeerReport {
            system: peer.system.clone(),
            reached: None,
            failed: None,
        };
        let told = reports.iter().flat_map(|report| &report.peers);
        told.filter(|one| one.system == peer.system)
            .for_each(|one| all.merge(one));
        all
    };
    peers.filter(|peer| !peer.addresses.is_empty()).map(one).collect()
}

/// What else is known about one service.
pub(crate) struct Known<'a> {
    pub(crate) release: Option<&'a str>,
    pub(crate) wanted: u32,
    pub(crate) build: Option<&'a BuildStatus>,
    pub(crate) waits_for: Vec<&'a ServiceName>,
    /// Those before it in order of dependency, so all that it requires.
    pub(crate) before: &'a [ServiceStatus],
}

/// A service's status.
pub(crate) fn of(plan: &ServicePlan, facts: &Facts, known: Known<'_>) -> ServiceStatus {
    let instances: Vec<_> = facts
        .of(&plan.service)
        .filter(|fact| fact.phase != Phase::Stopped)
        .cloned()
        .collect();
    let current = |fact: &&InstanceFact| Some(fact.release.as_str()) == known.release;
    let ready = instances
        .iter()
        .filter(current)
        .filter(|fact| fact.phase == Phase::Ready)
        .count();
    let (state, reason) = judge(plan, &instances, ready, &known);
    ServiceStatus {
        service: plan.service.clone(),
        state,
        reason,
        release: known.release.map(Into::into),
        wanted: known.wanted,
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        instances,
        build: known.build.cloned(),
        depends_on: plan.depends_on.iter().map(|edge| edge.service.clone()).collect(),
        team: plan.team.clone(),
        about: plan.about.clone(),
    }
}

fn judge(
    plan: &ServicePlan,
    instances: &[InstanceFact],
    ready: usize,
    known: &Known<'_>,
) -> (ServiceState, Option<String>) {
    use ServiceState::*;
    if let Some(why) = &plan.skipped {
        return (Skipped, Some(why.clone()));
    }
    let serving = instances.iter().any(|fact| fact.phase == Phase::Ready);
    let failed_build = known.build.filter(|build| build.state == BuildState::Failed);
    match (known.release, failed_build) {
        (_, Some(build)) if !serving => return (BuildFailed, Some(build.line.clone())),
        (None, None) if !serving => return (Building, known.build.map(|build| build.line.clone())),
        (None, None) => return (Replacing, Some("building".into())),
        _ => {}
    }
    let build_note = failed_build.map(|build| format!("the last build failed, the one before serves: {}", build.line));
    if known.wanted == 0 {
        return (if instances.is_empty() { Stopped } else { Replacing }, None);
    }
    if ready >= known.wanted as usize {
        return (Ready, build_note);
    }
    let why = instances.iter().find_map(|fact| fact.reason.clone());
    let old_serves = instances
        .iter()
        .any(|f| f.phase == Phase::Ready && Some(f.release.as_str()) != known.release);
    let failing = |fact: &InstanceFact| matches!(fact.phase, Phase::BackingOff | Phase::CrashLoop | Phase::Failed);
    if instances.is_empty() {
        return waits(known);
    }
    match (old_serves, ready, instances.iter().any(failing)) {
        (true, ..) => (Replacing, build_note.or(why)),
        (false, 0, true) => (Failing, why),
        (false, 0, false) => (Starting, why),
        (false, _, _) => (Degraded, why),
    }
}

/// Whether time alone will bring what it waits for.
fn waits(known: &Known<'_>) -> (ServiceState, Option<String>) {
    let waits_for = |status: &&ServiceStatus| known.waits_for.contains(&&status.service);
    if let Some(reason) = known.before.iter().filter(waits_for).find_map(blocks) {
        return (ServiceState::Blocked, Some(reason));
    }
    let names: Vec<_> = known.waits_for.iter().map(|name| name.as_str()).collect();
    let reason = (!names.is_empty()).then(|| format!("waits for {}", names.join(", ")));
    (ServiceState::Waiting, reason)
}

/// Why nobody need wait for this service; of a chain, what is at its root.
fn blocks(status: &ServiceStatus) -> Option<String> {
    let why = match status.state {
        ServiceState::Blocked => return status.reason.clone(),
        ServiceState::BuildFailed => "build failed",
        ServiceState::Stopped => "scaled to 0",
        ServiceState::Failing if status.instances.is_empty() => "cannot be started",
        _ => return None,
    };
    Some(format!("blocked by {}: {why}", status.service))
}

/// The status before anything is known.
pub(crate) fn blank(plan: &SystemPlan) -> SystemStatus {
    SystemStatus {
        system: plan.system.clone(),
        ..SystemStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use ServiceState::*;
    use ondol_core::id::BootId;

    #[test]
    fn of_a_peer_the_last_word_of_all_proxies_counts_and_one_that_nobody_called_says_nothing() {
        let peer = |name: &str, addresses| PeerPlan {
            system: name.parse().expect("valid"),
            authorities: "a.pem".into(),
            addresses,
            zones: Default::default(),
            services: vec![],
        };
        let at = vec![([10, 0, 0, 5], 7_443).into()];
        let mut plan = fixtures::system(vec![]);
        plan.mesh = Some(crate::config::MeshPlan {
            domain: "shop".parse().expect("valid"),
            zone: None,
            bind: None,
            certificate_lifetime_ms: 1,
            peers: vec![peer("depot", at.clone()), peer("bank", at), peer("caller", vec![])],
        });
        let says = |name: &str, reached: Option<i64>, failed: Option<(i64, &str)>| Report {
            peers: vec![PeerReport {
                system: name.parse().expect("valid"),
                reached: reached.map(Timestamp),
                failed: failed.map(|(at, why)| (Timestamp(at), why.into())),
            }],
            ..Report::default()
        };
        let reports = [
            says("depot", Some(5), None),
            says("gone", Some(9), None),
            says("depot", Some(3), Some((4, "refused"))),
            says("depot", None, Some((2, "too late"))),
        ];
        let told = peers(&plan, &reports);
        let silent = says("bank", None, None).peers.remove(0);
        let depot = says("depot", Some(5), Some((4, "refused"))).peers.remove(0);
        assert!(!depot.is_failing() && !silent.is_failing());
        assert_eq!(told, [depot, silent]);
        let failing = peers(&plan, &[says("depot", Some(5), Some((6, "refused")))]).remove(0);
        assert!(failing.is_failing());
    }

    #[test]
    fn a_service_in_panic_mode_is_one_warning_whichever_proxy_says_it() {
        let report = || Report {
            panics: vec!["bank".parse().expect("valid")],
            ..Report::default()
        };
        let told = warnings(&[report(), Report::default(), report()], std::iter::empty());
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("service bank: "), "{told:?}");
    }

    #[test]
    fn a_service_at_rest_is_one_warning_while_its_breaker_is_open_or_half_open() {
        let report = |state: &str| Report {
            breakers: vec![("bank".parse().expect("valid"), state.into())],
            ..Report::default()
        };
        let told = warnings(&[report("open"), report("half-open")], std::iter::empty());
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("breaker"), "{told:?}");
        assert!(warnings(&[Report::default()], std::iter::empty()).is_empty());
    }

    /// The states of `bank`, `orders` and `shop`, of which each requires the one before and has no instance.
    fn chain(bank: BuildState, waits: bool) -> Vec<(ServiceState, Option<String>)> {
        let names = ["bank", "orders", "shop"].map(|name| name.parse::<ServiceName>().expect("valid"));
        let facts = Facts {
            boot: BootId {
                system: "s".into(),
                boot: "b".into(),
            },
            version: 0,
            pid: 1,
            roles: vec![],
            instances: vec![],
            jobs: vec![],
            stopping: false,
        };
        let mut before = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let build = BuildStatus {
                build: name.to_string(),
                state: if index == 0 { bank } else { BuildState::Done },
                since: Timestamp(0),
                line: "DP-002: no luck".into(),
            };
            let built = build.state == BuildState::Done;
            let known = Known {
                release: built.then_some("r"),
                wanted: 1,
                build: Some(&build),
                waits_for: names[..index].iter().rev().take(usize::from(waits)).collect(),
                before: &before,
            };
            let status = of(&fixtures::service(name.as_str()), &facts, known);
            before.push(status);
        }
        before.into_iter().map(|status| (status.state, status.reason)).collect()
    }

    #[test]
    fn a_failed_build_blocks_all_who_wait_for_it_and_is_named_to_each() {
        let states = chain(BuildState::Failed, true);
        let by = || Some("blocked by bank: build failed".to_owned());
        assert_eq!(states[0], (BuildFailed, Some("DP-002: no luck".into())));
        assert_eq!(states[1..], [(Blocked, by()), (Blocked, by())]);
    }

    #[test]
    fn who_waits_for_a_build_that_goes_on_or_for_nobody_is_not_blocked() {
        let states = chain(BuildState::Running, true);
        assert_eq!(states[1], (Waiting, Some("waits for bank".into())));
        assert_eq!(states[2], (Waiting, Some("waits for orders".into())));
        assert_eq!(chain(BuildState::Failed, false)[1], (Waiting, None));
    }
}
