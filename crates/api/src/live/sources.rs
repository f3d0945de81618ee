//! Looks at the rooms. One method per topic; each costs little enough for ten looks a second.

use super::Topic;
use super::changes::Changes;
use super::frame::{Sample, State};
use super::hub::Ports;
use ondol_core::engine::{Order, StoreError, StoredEvent, Wanted};
use ondol_deploy::status::SystemStatus;
use ondol_saga::query::Summary;
use ondol_telemetry::red::Series;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::TryRecvError};

/// Sagas told of at once; of each only its newest state.
const MAX_SAGAS: usize = 500;
/// Events told of at once.
const MAX_EVENTS: u32 = 200;
/// For a question to the store, so that one topic does not hold up the others.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Sources {
    ports: Ports,
    changes: Changes,
    /// How many changes were told.
    changes_told: u64,
    /// The status that was told of last.
    status: Option<Arc<SystemStatus>>,
    /// While sagas are followed.
    sagas: Option<broadcast::Receiver<Summary>>,
    /// The last event told of; `None` before the first look.
    head: Option<u64>,
}

impl Sources {
    pub(super) fn new(ports: Ports, changes: Changes) -> Self {
        Self {
            ports,
            changes,
            changes_told: 0,
            status: None,
            sagas: None,
            head: None,
        }
    }

    /// What is known of a topic; `anew`: nobody followed it until now.
    pub(super) async fn look(&mut self, topic: Topic, anew: bool) -> Sample {
        match topic {
            Topic::System => self.system(),
            Topic::Services => self.services(anew),
            Topic::Traffic => self.traffic(),
            Topic::Sagas => self.sagas(anew),
            Topic::Events => self.events(anew).await,
            Topic::Subscriptions => {
                let all = self.ports.subscriptions.list();
                named(all, |view| view.name.clone()).await
            }
            Topic::Outboxes => {
                let all = self.ports.relays.list();
                named(all, |view| view.service.clone()).await
            }
            Topic::Changes => self.changes(),
        }
    }

    fn system(&self) -> Sample {
        let status = self.ports.deploy.status();
        let members = [
            ("system", json!(status.system)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("root", json!(self.ports.deploy.plan().root)),
            ("gateways", json!(status.gateways)),
            ("problem", json!(status.problem)),
            ("warnings", json!(status.warnings)),
            ("generation", json!(status.generation)),
        ];
        whole(members.into_iter().map(|(name, value)| (name.to_owned(), value)))
    }

    fn services(&mut self, anew: bool) -> Sample {
        let status = self.ports.deploy.status();
        if !anew && self.status.as_ref().is_some_and(|last| Arc::ptr_eq(last, &status)) {
            return Sample::default();
        }
        let plan = self.ports.deploy.plan();
        let one = |(rank, service): (usize, &ondol_deploy::status::ServiceStatus)| {
            let mut value = json!(service);
            // The order of dependency, which an object does not keep, and the bounds of the scale.
            value["rank"] = rank.into();
            if let Some(plan) = plan.services.iter().find(|plan| plan.service == service.service) {
                value["scale"] = json!([plan.scale_min, plan.scale_max]);
            }
            (service.service.to_string(), value)
        };
        let sample = whole(status.services.iter().enumerate().map(one));
        self.status = Some(status);
        sample
    }

    /// Rates to a thousandth: finer ones would differ at every look.
    fn traffic(&self) -> Sample {
        let red = self.ports.red.lock().unwrap_or_else(PoisonError::into_inner);
        let (services, mut slices, series) = (red.summaries(), red.slices(), red.series());
        drop(red);
        let rounded = |mut summary: ondol_telemetry::Summary| {
            summary.rate = (summary.rate * 1e3).round() / 1e3;
            json!(summary)
        };
        let service = |(name, summary): (String, ondol_telemetry::Summary)| {
            let mut value = rounded(summary);
            value["slices"] = json!(slices.remove(&name).unwrap_or_default());
            (format!("service/{name}"), value)
        };
        let services: Vec<_> = services.into_iter().map(service).collect();
        let line = |(series, summary): (Series, ondol_telemetry::Summary)| {
            let key = match (&series.route, &series.caller) {
                (Some(route), _) => format!("route/{route}"),
                (None, Some(caller)) => format!("edge/{caller}/{}", series.target),
                (None, None) => return None,
            };
            Some((key, rounded(summary)))
        };
        whole(services.into_iter().chain(series.into_iter().filter_map(line)))
    }

    fn sagas(&mut self, anew: bool) -> Sample {
        let phases = self.ports.sagas.phases().into_iter();
        let mut sample = whole(phases.map(|(phase, count)| (phase.to_owned(), json!(count))));
        if anew {
            self.sagas = None;
            sample.lost = 1;
        }
        let changes = self.sagas.get_or_insert_with(|| self.ports.sagas.changes());
        let mut newest: HashMap<String, Summary> = HashMap::new();
        while newest.len() < MAX_SAGAS {
            match changes.try_recv() {
                Ok(summary) => drop(newest.insert(summary.id.clone(), summary)),
                Err(TryRecvError::Lagged(missed)) => sample.lost += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let mut items: Vec<_> = newest.into_values().collect();
        items.sort_by(|one, two| one.id.cmp(&two.id));
        sample.items = items.iter().map(|summary| json!(summary)).collect();
        sample
    }

    async fn events(&mut self, anew: bool) -> Sample {
        let looked = tokio::time::timeout(PATIENCE, self.new_events(anew)).await;
        match looked {
            Ok(Ok(sample)) => sample,
            // The store is away; what came meanwhile is told once it is back.
            Ok(Err(_)) | Err(_) => Sample::default(),
        }
    }

    async fn new_events(&mut self, anew: bool) -> Result<Sample, StoreError> {
        let engine = self.ports.engine.clone();
        let mut lost = 0;
        let after = match self.head {
            Some(head) if !anew => head,
            _ => {
                lost = 1;
                engine.size().await?.events
            }
        };
        let mut found = engine.events(Wanted::All, after, Order::Ascending, MAX_EVENTS).await?;
        if found.len() == MAX_EVENTS as usize {
            // More came than anybody reads: on to the end.
            let head = engine.size().await?.events;
            let from = head.saturating_sub(u64::from(MAX_EVENTS) / 4).max(after);
            lost += from - after;
            found = engine.events(Wanted::All, from, Order::Ascending, MAX_EVENTS).await?;
        }
        let head = found.last().map_or(after, |last| last.position);
        self.head = Some(head);
        let items = found.iter().map(light).collect();
        Ok(Sample {
            items,
            lost,
            ..whole([("head".to_owned(), json!(head))].into_iter())
        })
    }

    fn changes(&mut self) -> Sample {
        let (items, count) = self.changes.after(self.changes_told);
        self.changes_told = count;
        Sample {
            items,
            ..Sample::default()
        }
    }
}

/// A list as members by name. One that is not there in time is told of at the next look.
async fn named<V: Serialize>(list: impl Future<Output = Vec<V>>, name: impl Fn(&V) -> String) -> Sample {
    match tokio::time::timeout(PATIENCE, list).await {
        Ok(views) => whole(views.iter().map(|view| (name(view), json!(view)))),
        Err(_) => Sample::default(),
    }
}

fn whole(members: impl Iterator<Item = (String, Value)>) -> Sample {
    Sample {
        state: Some(members.collect::<State>()),
        ..Sample::default()
    }
}

/// An event without its data, which may be large.
fn light(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    json!({
        "position": stored.position, "stream": stored.stream, "revision": stored.revision,
        "id": event.id, "type": event.kind, "at": event.at,
    })
}
