//! Two services and a saga engine in memory, and lives of the reconciliations over them.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::clock::{Clock, SharedClock, Timestamp};
use ondol_core::id::SagaName;
use ondol_core::task::Tasks;
use ondol_events::reconcile::config::{Condition, Reconciliation, Repair, Rule, Source, Wanted};
use ondol_events::reconcile::{Ports, Reconciliations, Sagas, Started, View, Wish};
use ondol_testkit::engine::MemoryEngine;
use ondol_testkit::time::SimClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const EVERY: Duration = Duration::from_secs(60);
pub const SETTLE: Duration = Duration::from_secs(30);
/// Items of a page: fewer than are asked for, so that there are several.
const PAGE: usize = 3;

type Items = BTreeMap<String, Value>;
/// What a source answers instead of its items.
pub type Instead = Result<(u16, Vec<u8>), CallError>;

#[derive(Default)]
struct Data {
    /// By the last part of the path.
    items: BTreeMap<String, Items>,
    instead: BTreeMap<String, Instead>,
    calls: Vec<String>,
    sagas: Vec<Started>,
    wishes: Vec<Wish>,
    refuses: Option<String>,
}

/// What outlives a life: services, sagas and the store.
#[derive(Clone)]
pub struct System {
    data: Arc<Mutex<Data>>,
    pub clock: Arc<SimClock>,
    pub engine: MemoryEngine,
}

/// One life of the controller's part.
pub struct Life {
    pub reconciliations: Reconciliations,
    tasks: Tasks,
}

impl System {
    pub fn new() -> Self {
        Self {
            data: Arc::default(),
            clock: Arc::new(SimClock::new(Timestamp(1_700_000_000_000))),
            engine: MemoryEngine::new(),
        }
    }

    /// Writes an item, changed now.
    pub fn put(&self, source: &str, key: &str, item: Value) {
        self.put_at(source, key, self.clock.wall(), item);
    }

    /// Writes an item that was at rest long ago.
    pub fn settled(&self, source: &str, key: &str, item: Value) {
        self.put_at(source, key, Timestamp(0), item);
    }

    fn put_at(&self, source: &str, key: &str, at: Timestamp, mut item: Value) {
        item["key"] = key.into();
        item["at"] = at.to_string().into();
        let mut data = self.data.lock().expect("unpoisoned");
        data.items.entry(source.into()).or_default().insert(key.into(), item);
    }

    pub fn delete(&self, source: &str, key: &str) {
        let mut data = self.data.lock().expect("unpoisoned");
        data.items.entry(source.into()).or_default().remove(key);
    }

    /// From now on a source answers this; `None`: its items.
    pub fn answers(&self, source: &str, instead: Option<Instead>) {
        let mut data = self.data.lock().expect("unpoisoned");
        match instead {
            Some(instead) => drop(data.instead.insert(source.into(), instead)),
            None => drop(data.instead.remove(source)),
        }
    }

    /// The paths that were asked for since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.data.lock().expect("unpoisoned").calls)
    }

    pub fn saga(&self, id: &str, state: &str) {
        let started = Started {
            id: id.into(),
            at: Timestamp(0),
            state: state.into(),
        };
        self.data.lock().expect("unpoisoned").sagas.push(started);
    }

    /// The saga engine refuses to start anything, for this reason.
    pub fn refuses(&self, why: Option<&str>) {
        self.data.lock().expect("unpoisoned").refuses = why.map(str::to_owned);
    }

    /// What was to be started, each different wish once.
    pub fn wishes(&self) -> Vec<Wish> {
        self.data.lock().expect("unpoisoned").wishes.clone()
    }

    /// A life that compares what `config` says.
    pub async fn life(&self, config: Vec<Reconciliation>) -> Life {
        let tasks = Tasks::new();
        let clock: SharedClock = self.clock.clone();
        let ports = Ports::new(
            Arc::new(self.engine.clone()),
            Arc::new(self.clone()),
            Arc::new(self.clone()),
            clock,
            tasks.clone(),
        );
        let reconciliations = Reconciliations::new(ports);
        reconciliations.set(config).await;
        Life { reconciliations, tasks }
    }

    /// Kills a life, and the store's with it.
    pub async fn crash(&mut self, life: Life) {
        life.tasks.stop();
        life.tasks.ended().await;
        self.engine = self.engine.crash();
    }
}

impl Life {
    /// Runs it once, now.
    pub async fn run(&self) -> View {
        let (view, ended) = self.reconciliations.run("orders").await.expect("it is there");
        assert!(ended, "virtual time is patient");
        view
    }

    pub async fn view(&self) -> View {
        self.reconciliations
            .show("orders", None, 1_000)
            .await
            .expect("it is there")
    }
}

impl HttpCaller for System {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        let (path, query) = call.path.split_once('?').expect("a query");
        let source = path.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(query.starts_with("limit=1000"), "{query}");
        let after = query.split_once("&after=").map(|(_, after)| after.to_owned());
        let mut data = self.data.lock().expect("unpoisoned");
        data.calls.push(call.path.clone());
        let instead = data.instead.get(&source).cloned();
        let answer = instead.unwrap_or_else(|| {
            let items = data.items.entry(source).or_default();
            Ok((200, page(items, after).to_string().into_bytes()))
        });
        Box::pin(async move {
            // So that things change while a run reads.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let (status, body) = answer?;
            Ok(Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: Bytes::from(body),
            })
        })
    }
}

fn page(items: &Items, after: Option<String>) -> Value {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut left = items.range((from, Bound::Unbounded));
    let page: Vec<_> = left.by_ref().take(PAGE).collect();
    let next = page
        .last()
        .filter(|_| left.next().is_some())
        .map(|(key, _)| (*key).clone());
    let listed: Vec<&Value> = page.into_iter().map(|(_, item)| item).collect();
    json!({ "items": listed, "next": next })
}

impl Sagas for System {
    fn of(&self, _: SagaName, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<Started>, String>> {
        let data = self.data.lock().expect("unpoisoned");
        let sagas = data
            .sagas
            .iter()
            .filter(|saga| Some(&saga.id) > after.as_ref())
            .take(limit as usize);
        let sagas = sagas.cloned().collect();
        Box::pin(async move { Ok(sagas) })
    }

    fn start(&self, wish: Wish) -> BoxFuture<Result<String, String>> {
        let mut data = self.data.lock().expect("unpoisoned");
        let outcome = match data.refuses.clone() {
            Some(why) => Err(why),
            None => {
                if !data.wishes.contains(&wish) {
                    data.wishes.push(wish.clone());
                }
                let number = data.wishes.iter().position(|one| *one == wish).expect("just put");
                Ok(format!("saga-{number}"))
            }
        };
        Box::pin(async move { outcome })
    }
}

fn source(name: &str) -> (String, Source) {
    let service = name.parse().expect("a name");
    let path = format!("/internal/reconcile/{name}");
    (name.to_owned(), Source::Path { service, path })
}

pub fn is(name: &str, wanted: Value) -> Condition {
    let (source, field) = match name.split_once('.') {
        Some((source, field)) => (source, Some(field.to_owned())),
        None => (name, None),
    };
    let wanted = match (&field, wanted) {
        (None, Value::Bool(true)) => Wanted::Present,
        (None, _) => Wanted::Absent,
        (Some(_), Value::Array(values)) => Wanted::OneOf(values),
        (Some(_), value) => Wanted::OneOf(vec![value]),
    };
    let source = source.to_owned();
    Condition { source, field, wanted }
}

/// Confirmed orders are charged, others are not; a confirmed order without its charge is mended.
pub fn orders() -> Reconciliation {
    let repair = Repair {
        saga: "charge-again".parse().expect("a name"),
        input: json!({ "order": "{key}", "amount": "{orders.total}" }),
    };
    Reconciliation {
        name: "orders".into(),
        service: "orders".parse().expect("a name"),
        about: Some("orders = charges".into()),
        every: EVERY,
        settle: SETTLE,
        sources: ["orders", "charges"].map(source).into(),
        rules: vec![
            Rule {
                when: vec![is("orders.status", json!("confirmed"))],
                expect: vec![is("charges.amount", json!("{orders.total}"))],
                repair: Some(repair),
            },
            Rule {
                when: vec![is("charges", json!(true))],
                expect: vec![is("orders.status", json!("confirmed"))],
                repair: None,
            },
        ],
    }
}
