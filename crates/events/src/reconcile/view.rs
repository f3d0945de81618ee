//! A reconciliation as people see it.

use super::config::{Reconciliation, Source};
use super::machine::{Drift, Machine, Repaired};
use ondol_core::clock::Timestamp;
use ondol_core::id::SagaName;
use ondol_core::unit::show_duration;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What is known of the compared services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The last run judged every key that was at rest, and nothing is reported.
    Pass,
    /// Something is reported.
    Fail,
    /// The last run could not be finished, or there was none yet.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Unknown];

    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// A reconciliation in lists.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Who declares it.
    pub service: String,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Such as `1m`.
    pub every: String,
    /// Such as `30s`.
    pub settle: String,
    /// What is compared: `orders/internal/reconcile/orders`, `sagas of place-order`.
    pub sources: BTreeMap<String, String>,
    /// What is known.
    pub state: State,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A run goes on.
    pub running: bool,
    /// When the last run began.
    pub last_run: Option<Timestamp>,
    /// When the next one begins.
    pub next_run: Timestamp,
    /// Keys of the last run.
    pub keys: u64,
    /// Those of them that had changed too lately to be judged.
    pub moving: u64,
    /// Keys that one run has found not to fit, and no second one yet.
    pub suspected: usize,
    /// Keys that are reported: all of them, however many are listed.
    pub reported: usize,
    /// Keys that do not fit and are not kept, since so many are.
    pub more: u64,
    /// Reported keys, in their order.
    pub drifts: Vec<DriftView>,
}

/// A reported key.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DriftView {
    /// Of what.
    pub key: String,
    /// When it was first found so.
    pub since: Timestamp,
    /// How many runs have found it so.
    pub seen: u32,
    /// What was expected and is not so.
    pub why: Vec<String>,
    /// What the services say.
    pub values: BTreeMap<String, Value>,
    /// What mends it; `null`: nothing is declared.
    pub repair: Option<RepairView>,
}

/// How far the mending is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RepairView {
    /// By a saga of this definition.
    pub saga: SagaName,
    /// The one that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why none could be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl View {
    pub(super) fn of(
        config: &Reconciliation,
        machine: &Machine,
        running: bool,
        after: Option<&str>,
        limit: usize,
    ) -> Self {
        let last = machine.last.as_ref();
        let tally = last.map(|last| last.tally).unwrap_or_default();
        let reported = machine.reported().count();
        let state = match last {
            Some(last) if last.unknown.is_none() => match reported {
                0 => State::Pass,
                _ => State::Fail,
            },
            _ => State::Unknown,
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = machine.drifts.range::<str, _>((from, Bound::Unbounded));
        let listed = listed.filter(|(_, drift)| drift.is_reported()).take(limit);
        let sources = config.sources.iter().map(|(name, source)| (name.clone(), told(source)));
        Self {
            name: config.name.clone(),
            service: config.service.to_string(),
            about: config.about.clone(),
            every: show_duration(config.every),
            settle: show_duration(config.settle),
            sources: sources.collect(),
            state,
            reason: last.and_then(|last| last.unknown.clone()),
            running,
            last_run: last.map(|last| last.at),
            next_run: machine.wake_at,
            keys: tally.keys,
            moving: tally.moving,
            suspected: machine.drifts.len() - reported,
            reported,
            more: tally.more,
            drifts: listed.map(|(key, drift)| DriftView::of(key, drift)).collect(),
        }
    }
}

fn told(source: &Source) -> String {
    match source {
        Source::Path { service, path } => format!("{service}{path}"),
        Source::Sagas(saga) => format!("sagas of {saga}"),
    }
}

impl DriftView {
    fn of(key: &str, drift: &Drift) -> Self {
        let repair = drift.finding.mend.as_ref().map(|mend| {
            let (id, refused) = match &drift.repaired {
                Repaired::Not => (None, None),
                Repaired::Started(id) => (Some(id.clone()), None),
                Repaired::Refused(why) => (None, Some(why.clone())),
            };
            let saga = mend.saga.clone();
            RepairView { saga, id, refused }
        });
        Self {
            key: key.to_owned(),
            since: drift.since,
            seen: drift.seen,
            why: drift.finding.why.clone(),
            values: drift.finding.values.clone(),
            repair,
        }
    }
}
