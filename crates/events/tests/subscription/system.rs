//! A store in a folder, the subscriptions over it, and a subscriber that remembers what it got.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::clock::SystemClock;
use ondol_core::engine::{Expected, SharedEngine};
use ondol_core::entropy::SeededEntropy;
use ondol_core::task::Tasks;
use ondol_events::subscription::{Act, Ports, Retry, Subscription, SubscriptionName};
use ondol_events::{CloudEvent, Streams, Subscriptions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A busy machine may need much of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One push as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub id: String,
    pub key: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the subscriber answers; `Err` is the proxy's word.
pub type Behaviour = Box<dyn Fn(&Got) -> BoxFuture<Result<u16, CallError>> + Send + Sync>;

/// Answers pushes as it is told, and remembers them in their order.
#[derive(Clone)]
pub struct Subscriber {
    got: Arc<Mutex<Vec<Got>>>,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
}

impl Subscriber {
    pub fn new() -> Self {
        let well: Behaviour = Box::new(|_| Box::pin(async { Ok(204) }));
        Self {
            got: Arc::default(),
            behaviour: Arc::new(Mutex::new(Arc::new(well))),
        }
    }

    /// From now on it answers so, at once.
    pub fn answers(&self, answer: impl Fn(&Got) -> Result<u16, CallError> + Send + Sync + 'static) {
        self.behaves(move |got| {
            let answer = answer(got);
            Box::pin(async move { answer })
        });
    }

    pub fn behaves(&self, behaviour: impl Fn(&Got) -> BoxFuture<Result<u16, CallError>> + Send + Sync + 'static) {
        *self.behaviour.lock().expect("unpoisoned") = Arc::new(Box::new(behaviour));
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("unpoisoned").clone()
    }

    pub fn count(&self) -> usize {
        self.got.lock().expect("unpoisoned").len()
    }

    /// Ids in the order in which they came, repeats too.
    pub fn ids(&self) -> Vec<String> {
        self.got().into_iter().map(|got| got.id).collect()
    }

    pub fn ids_of(&self, key: &str) -> Vec<String> {
        self.got()
            .into_iter()
            .filter(|got| got.key == key)
            .map(|got| got.id)
            .collect()
    }

    pub fn forget(&self) {
        self.got.lock().expect("unpoisoned").clear();
    }
}

impl HttpCaller for Subscriber {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        let text = |name| {
            call.headers
                .get(name)
                .map_or("", |value: &http::HeaderValue| value.to_str().expect("a text"))
        };
        let (id, key) = (text("ce-id").to_owned(), text("ce-stream").to_owned());
        let got = Got {
            id,
            key,
            headers: call.headers,
            body: call.body,
        };
        let behaviour = self.behaviour.lock().expect("unpoisoned").clone();
        self.got.lock().expect("unpoisoned").push(got.clone());
        Box::pin(async move {
            let status = StatusCode::from_u16(behaviour(&got).await?).expect("a status");
            let mut headers = HeaderMap::new();
            if status == StatusCode::TOO_MANY_REQUESTS {
                headers.insert("retry-after", http::HeaderValue::from_static("1"));
            }
            Ok(Answer {
                status,
                headers,
                body: Bytes::from_static(b"\xff\x00 nonsense"),
            })
        })
    }
}

/// One life of the controller's part. Dropping it is a crash: nothing is written any more.
pub struct Life {
    pub engine: SharedEngine,
    pub streams: Streams,
    pub subscriptions: Subscriptions,
    tasks: Tasks,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// What outlives a life.
pub struct System {
    pub subscriber: Subscriber,
    folder: tempfile::TempDir,
}

impl System {
    pub fn new() -> Self {
        Self {
            subscriber: Subscriber::new(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Opens the store, as soon as the life before has let it go.
    pub async fn life(&self) -> Life {
        let url = format!("sqlite:{}", self.folder.path().join("store.db").display());
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(7)));
        let engine = until("the store", || ondol_store_open(&url)).await;
        let tasks = Tasks::new();
        let streams = Streams::new(engine.clone(), clock.clone(), &tasks);
        let subscriptions = Subscriptions::new(Ports {
            engine: engine.clone(),
            caller: Arc::new(self.subscriber.clone()),
            clock,
            entropy,
            tasks: tasks.clone(),
            head: streams.head(),
        });
        Life {
            engine,
            streams,
            subscriptions,
            tasks,
        }
    }
}

async fn ondol_store_open(url: &str) -> Option<SharedEngine> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(7)));
    ondol_store::open(url, clock, entropy).await.ok()
}

impl Life {
    /// Ends it as a crash does, and waits until the store is free.
    pub async fn crash(self) {
        self.tasks.stop();
        self.tasks.ended().await;
    }

    /// Appends one event to each of these streams; ids are `STREAM#N`.
    pub async fn append(&self, streams: &[&str]) {
        for stream in streams {
            self.append_to(stream, 1).await;
        }
    }

    pub async fn append_to(&self, stream: &str, count: usize) {
        let name = stream.parse().expect("a name");
        let known = self.events_of(stream).await;
        for batch in (known..known + count).collect::<Vec<_>>().chunks(1_000) {
            let events = batch.iter().map(|n| event(&format!("{stream}#{n}"))).collect();
            self.streams
                .append(&name, Expected::Any, events)
                .await
                .expect("appended");
        }
    }

    async fn events_of(&self, stream: &str) -> usize {
        let found = self.engine.streams(stream.to_owned(), None, 1).await.expect("read");
        let found = found.into_iter().find(|info| info.stream.as_str() == stream);
        found.map_or(0, |info| info.events as usize)
    }

    pub async fn subscribe(&self, config: Subscription) {
        self.subscriptions.set(vec![config]).await;
    }

    pub async fn view(&self) -> ondol_events::subscription::view::View {
        self.subscriptions.show(&name()).await.expect("shown").view
    }

    /// Waits until nothing is left to do.
    pub async fn drained(&self) {
        until("the log's end", || async {
            let view = self.view().await;
            (view.lag == 0 && view.retrying_keys + view.in_flight + view.delayed_keys == 0).then_some(())
        })
        .await;
    }

    pub async fn parked(&self, keys: usize) {
        until("parked keys", || async {
            (self.view().await.parked_keys == keys).then_some(())
        })
        .await;
    }
}

pub fn event(id: &str) -> CloudEvent {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/services/orders","type":"order.placed.v1","data":{{"id":"{id}"}}}}"#
    );
    serde_json::from_str(&text).expect("an event")
}

pub fn name() -> SubscriptionName {
    "points.orders".parse().expect("valid")
}

/// Pushed, with pauses that a test can wait for.
pub fn pushed() -> Subscription {
    let mut config = Subscription::new(name(), vec!["order.*".into()]);
    config.push = Some("/internal/events".into());
    config.timeout = Duration::from_secs(5);
    config.retry = Retry {
        attempts: 3,
        first: Duration::from_millis(5),
        cap: Duration::from_millis(20),
    };
    config
}

pub fn pulled() -> Subscription {
    Subscription { push: None, ..pushed() }
}

pub fn operator() -> Act {
    Act {
        who: "operator".into(),
        reason: "a test".into(),
    }
}

/// Asks until there is an answer; panics when none comes.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Every id arrived, and without repeats the order of each key is that of its stream.
#[track_caller]
pub fn assert_complete(subscriber: &Subscriber, per_key: &HashMap<String, usize>) {
    let mut firsts: HashMap<String, Vec<String>> = HashMap::new();
    for got in subscriber.got() {
        let seen = firsts.entry(got.key).or_default();
        if !seen.contains(&got.id) {
            seen.push(got.id);
        }
    }
    for (key, count) in per_key {
        let wanted: Vec<_> = (0..*count).map(|n| format!("{key}#{n}")).collect();
        assert_eq!(firsts.get(key).unwrap_or(&Vec::new()), &wanted, "{key}");
    }
}
