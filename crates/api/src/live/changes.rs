//! What changed lately: releases, restarts, health, scale, configuration, and what people did.
//!
//! [`Watcher`] sees the difference between two states of the system; it is pure. [`Changes`] keeps the last
//! [`MAX_KEPT`] in memory. What people did is read back from the audit at a start of the controller; the rest begins
//! anew, and starts with the lives of the instances that run.

use ondol_core::clock::Timestamp;
use ondol_core::engine::{Order, RowFilter, SharedEngine, Table};
use ondol_core::wire::supervision::{Exit, InstanceFact};
use ondol_deploy::status::{ServiceState, ServiceStatus, SystemStatus};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes kept.
pub(crate) const MAX_KEPT: usize = 200;
/// Entries of the audit that a start reads back.
const MAX_AUDIT: u32 = 50;

/// What kind of change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A service came up for the first time in this life of the system.
    Started,
    /// Another release of a service is wanted.
    Release,
    /// An instance ended by itself and was started again.
    Restart,
    /// A service is not well.
    Unwell,
    /// It is well again.
    Recovered,
    /// Another number of instances is wanted.
    Scale,
    /// The manifests were taken over anew.
    Config,
    /// The whole does not work, or works again.
    Problem,
    /// Something works and will not always, or that is over.
    Warning,
    /// The controller began.
    Controller,
    /// A person acted.
    Action,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Change {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) kind: Kind,
    /// The service, instance, saga or subscription.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subject: String,
    /// What was before, or what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// What is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Change {
    pub(crate) fn new(at: Timestamp, kind: Kind, subject: impl ToString) -> Self {
        let (from, to, why) = (None, None, None);
        Self {
            at,
            kind,
            subject: subject.to_string(),
            from,
            to,
            why,
        }
    }

    fn between(mut self, from: impl ToString, to: impl ToString) -> Self {
        (self.from, self.to) = (Some(from.to_string()), Some(to.to_string()));
        self
    }

    pub(crate) fn to(mut self, to: impl ToString) -> Self {
        self.to = Some(to.to_string());
        self
    }

    pub(crate) fn why(mut self, why: Option<String>) -> Self {
        self.why = why;
        self
    }
}

/// Sees changes between two looks at the system.
#[derive(Default)]
pub(crate) struct Watcher {
    last: Option<Arc<SystemStatus>>,
    /// Services that have had an instance.
    started: BTreeSet<String>,
    /// Told to be unwell and not yet to be well again.
    unwell: BTreeSet<String>,
}

impl Watcher {
    pub(crate) fn look(&mut self, new: &Arc<SystemStatus>, now: Timestamp) -> Vec<Change> {
        let old = self.last.replace(new.clone());
        let mut out = Vec::new();
        for service in &new.services {
            let before = old
                .as_ref()
                .and_then(|old| old.services.iter().find(|s| s.service == service.service));
            self.service(before, service, now, &mut out);
        }
        let problem = old.as_ref().and_then(|old| old.problem.clone());
        if new.problem != problem {
            out.push(Change::new(now, Kind::Problem, "").why(new.problem.clone()));
        }
        let before = old.as_ref().map_or(&[][..], |old| &old.warnings);
        let warning = |text: &String| Change::new(now, Kind::Warning, "").why(Some(text.clone()));
        let come = new.warnings.iter().filter(|text| !before.contains(text));
        out.extend(come.map(warning));
        let over = before.iter().filter(|text| !new.warnings.contains(text));
        out.extend(over.map(|text| warning(text).to("over")));
        out
    }

    fn service(&mut self, old: Option<&ServiceStatus>, new: &ServiceStatus, now: Timestamp, out: &mut Vec<Change>) {
        let name = &new.service;
        let none: &[InstanceFact] = &[];
        let before = old.map_or(none, |old| &old.instances);
        let first = new.instances.iter().filter_map(|fact| fact.started_at).min();
        if let Some(at) = first
            && self.started.insert(name.to_string())
        {
            out.push(Change::new(at, Kind::Started, name).to(new.release.clone().unwrap_or_default()));
        }
        if let Some(old) = old {
            if let (Some(from), Some(to)) = (&old.release, &new.release)
                && from != to
            {
                out.push(Change::new(now, Kind::Release, name).between(from, to));
            }
            if old.wanted != new.wanted && old.release.is_some() {
                out.push(Change::new(now, Kind::Scale, name).between(old.wanted, new.wanted));
            }
        }
        for fact in &new.instances {
            let known = before
                .iter()
                .find(|known| known.id == fact.id)
                .map_or(0, |known| known.restarts);
            if fact.restarts > known {
                let at = fact.started_at.unwrap_or(fact.since);
                out.push(Change::new(at, Kind::Restart, &fact.id).why(fact.last_exit.as_ref().map(words)));
            }
        }
        self.health(new, now, out);
    }

    fn health(&mut self, new: &ServiceStatus, now: Timestamp, out: &mut Vec<Change>) {
        let name = new.service.as_str();
        let is_unwell = matches!(
            new.state,
            ServiceState::Failing | ServiceState::BuildFailed | ServiceState::Degraded
        );
        if is_unwell && self.unwell.insert(name.to_owned()) {
            let change = Change::new(now, Kind::Unwell, name).to(word(new.state));
            out.push(change.why(new.reason.clone()));
        }
        if new.state == ServiceState::Ready && self.unwell.remove(name) {
            out.push(Change::new(now, Kind::Recovered, name));
        }
    }
}

fn word(state: ServiceState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn words(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::OutOfMemory => "out of memory".into(),
        Exit::NotReady => "not ready in time".into(),
        Exit::Told => "told to".into(),
        Exit::Spawn(why) => format!("could not be started: {why}"),
    }
}

/// The last changes, oldest first. A clone is the same list.
#[derive(Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    list: VecDeque<Value>,
    /// How many there ever were.
    count: u64,
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, change: &Change) {
        let mut kept = self.lock();
        kept.count += 1;
        let mut value = serde_json::to_value(change).unwrap_or_default();
        value["n"] = kept.count.into();
        kept.list.push_back(value);
        if kept.list.len() > MAX_KEPT {
            kept.list.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        self.lock().list.iter().cloned().collect()
    }

    /// Those after the first `count`, and how many there are.
    pub(crate) fn after(&self, count: u64) -> (Vec<Value>, u64) {
        let kept = self.lock();
        let new = usize::try_from(kept.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let skip = kept.list.len().saturating_sub(new);
        (kept.list.iter().skip(skip).cloned().collect(), kept.count)
    }

    /// What people did before this start of the controller.
    pub(crate) async fn read_audit(&self, engine: &SharedEngine) {
        let rows = engine
            .rows(Table::Audit, RowFilter::default(), Order::Descending, None, MAX_AUDIT)
            .await;
        let rows = rows.inspect_err(|error| tracing::warn!(%error, "the audit cannot be read back"));
        for row in rows.unwrap_or_default().iter().rev() {
            let entry: Value = serde_json::from_slice(&row.body).unwrap_or_default();
            let text = |name: &str| entry[name].as_str().map(str::to_owned);
            self.add(&Change {
                from: text("step"),
                why: text("reason"),
                ..Change::new(row.updated_at, Kind::Action, &row.detail).to(&row.name)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::wire::supervision::{Containment, Phase};

    fn fact(start: u64, restarts: u32) -> InstanceFact {
        InstanceFact {
            id: "orders.1".parse().expect("valid"),
            phase: Phase::Ready,
            pid: Some(1),
            port: 1,
            release: "a".into(),
            start,
            since: Timestamp(5),
            started_at: Some(Timestamp(4)),
            restarts,
            last_exit: (restarts > 0).then_some(Exit::Signal(9)),
            reason: None,
            until: None,
            containment: Containment::Group,
        }
    }

    fn status(state: ServiceState, release: Option<&str>, instances: Vec<InstanceFact>) -> Arc<SystemStatus> {
        let service = ServiceStatus {
            service: "orders".parse().expect("valid"),
            state,
            reason: None,
            release: release.map(Into::into),
            wanted: 1,
            ready: 1,
            instances,
            build: None,
            depends_on: vec![],
            team: None,
            about: None,
        };
        Arc::new(SystemStatus {
            services: vec![service],
            ..SystemStatus::default()
        })
    }

    #[test]
    fn a_life_of_a_service_is_told_without_noise() {
        use ServiceState::*;
        let mut watcher = Watcher::default();
        let mut kinds = |status| {
            watcher
                .look(&status, Timestamp(9))
                .iter()
                .map(|c| c.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(status(Building, None, vec![])), []);
        assert_eq!(kinds(status(Waiting, Some("a"), vec![])), []);
        assert_eq!(kinds(status(Starting, Some("a"), vec![fact(1, 0)])), [Kind::Started]);
        assert_eq!(kinds(status(Ready, Some("a"), vec![fact(1, 0)])), []);
        assert_eq!(
            kinds(status(Failing, Some("a"), vec![fact(2, 1)])),
            [Kind::Restart, Kind::Unwell]
        );
        assert_eq!(kinds(status(Failing, Some("a"), vec![fact(2, 1)])), []);
        assert_eq!(kinds(status(Starting, Some("a"), vec![fact(2, 1)])), []);
        assert_eq!(kinds(status(Ready, Some("a"), vec![fact(2, 1)])), [Kind::Recovered]);
        assert_eq!(kinds(status(Replacing, Some("b"), vec![fact(2, 1)])), [Kind::Release]);
    }

    #[test]
    fn a_warning_is_told_when_it_comes_and_when_it_is_over() {
        let mut watcher = Watcher::default();
        let mut told = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            let status = SystemStatus {
                warnings,
                ..SystemStatus::default()
            };
            let changes = watcher.look(&Arc::new(status), Timestamp(9)).into_iter();
            let told = changes.map(|change| (change.kind, change.to, change.why.unwrap_or_default()));
            told.collect::<Vec<_>>()
        };
        let warning = |over: Option<&str>, text: &str| (Kind::Warning, over.map(str::to_owned), text.to_owned());
        assert_eq!(told(&["a"]), [warning(None, "a")]);
        assert_eq!(told(&["a", "b"]), [warning(None, "b")]);
        assert_eq!(told(&["b"]), [warning(Some("over"), "a")]);
    }

    #[test]
    fn the_list_is_bounded_and_says_what_is_new() {
        let changes = Changes::default();
        let change = Change::new(Timestamp(1), Kind::Config, "");
        (0..MAX_KEPT + 5).for_each(|_| changes.add(&change));
        assert_eq!(changes.all().len(), MAX_KEPT);
        let (new, count) = changes.after(MAX_KEPT as u64 + 3);
        assert_eq!((new.len(), count), (2, MAX_KEPT as u64 + 5));
        assert_eq!(changes.after(count).0, Vec::<Value>::new());
    }
}
