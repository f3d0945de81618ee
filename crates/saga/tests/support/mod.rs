//! An engine over a store in memory, on virtual time, with a caller that a test scripts.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::clock::Timestamp;
use ondol_core::entropy::{SeededEntropy, SharedEntropy};
use ondol_core::task::Tasks;
use ondol_saga::config::Definition;
use ondol_saga::record::Auth;
use ondol_saga::{Ports, Sagas, Settings, StartAnswer, StartRequest};
use ondol_testkit::engine::MemoryEngine;
use ondol_testkit::time::SimClock;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// When all tests begin.
pub const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// What a script says to a call; `None`: it hangs for ever.
pub type Said = Option<Result<Answer, CallError>>;
type Script = dyn Fn(&Call) -> Said + Send + Sync;

/// A caller that answers from a script and remembers what it was asked.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<Mutex<Arc<Script>>>,
    pub calls: Arc<Mutex<Vec<Call>>>,
}

impl Scripted {
    pub fn new(script: impl Fn(&Call) -> Said + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(Mutex::new(Arc::new(script))),
            calls: Arc::default(),
        }
    }

    pub fn now_says(&self, script: impl Fn(&Call) -> Said + Send + Sync + 'static) {
        *self.script.lock().expect("not poisoned") = Arc::new(script);
    }

    /// Method and path of every call so far.
    pub fn paths(&self) -> Vec<String> {
        self.calls
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }
}

impl HttpCaller for Scripted {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        let script = self.script.lock().expect("not poisoned").clone();
        let said = script(&call);
        self.calls.lock().expect("not poisoned").push(call);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            match said {
                Some(said) => said,
                None => std::future::pending().await,
            }
        })
    }
}

/// Every call goes well; `a` gives `total`.
pub fn all_well(call: &Call) -> Said {
    says(
        200,
        if call.path.starts_with("/a/") {
            json!({ "total": 42, "unused": [1, 2] })
        } else {
            json!({})
        },
    )
}

/// An answer with a JSON body.
pub fn says(status: u16, body: Value) -> Said {
    says_with(status, &[], body)
}

/// An answer with headers.
pub fn says_with(status: u16, headers: &[(&str, &str)], body: Value) -> Said {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(
            name.parse::<header::HeaderName>().expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    let status = StatusCode::from_u16(status).expect("a status");
    Some(Ok(Answer {
        status,
        headers: map,
        body: Bytes::from(body.to_string()),
    }))
}

/// One life of a controller.
pub struct Life {
    pub sagas: Sagas,
    pub engine: MemoryEngine,
    pub tasks: Tasks,
    pub clock: Arc<SimClock>,
}

/// Begins a life over `engine`.
pub async fn life(
    engine: MemoryEngine,
    caller: impl HttpCaller,
    settings: Settings,
    definitions: Vec<Definition>,
) -> Life {
    let clock = Arc::new(SimClock::new(BEGIN));
    life_at(
        engine,
        Arc::new(caller),
        settings,
        definitions,
        clock,
        Arc::new(SeededEntropy::new(1)),
    )
    .await
}

pub async fn life_at(
    engine: MemoryEngine,
    caller: Arc<dyn HttpCaller>,
    settings: Settings,
    definitions: Vec<Definition>,
    clock: Arc<SimClock>,
    entropy: SharedEntropy,
) -> Life {
    let tasks = Tasks::new();
    let ports = Ports {
        engine: Arc::new(engine.clone()),
        caller,
        clock: clock.clone(),
        entropy,
        tasks: tasks.clone(),
    };
    let sagas = Sagas::new(ports, settings);
    sagas
        .set_definitions(definitions)
        .await
        .expect("the definitions can run");
    sagas.run().await.expect("the store can be read");
    Life {
        sagas,
        engine,
        tasks,
        clock,
    }
}

/// A call of service `s`.
pub fn call(method: &str, path: &str, body: Value) -> Value {
    json!({ "method": method, "service": "s", "path": path, "body": body, "timeout_ms": 5_000 })
}

/// `a` gives `total`, `b` takes it; both can be undone.
pub fn two_steps() -> Definition {
    let backoff = json!({ "first_ms": 50, "cap_ms": 10_000 });
    let step = |name: &str, body: Value| {
        let undo = call(
            "POST",
            &format!("/{name}/{{saga.id}}/undo"),
            json!({ "reason": "{failure.reason}" }),
        );
        json!({ "name": name, "kind": "compensable", "call": call("PUT", &format!("/{name}/{{saga.id}}"), body), "attempts": null,
            "backoff": backoff, "compensate": { "call": undo, "backoff": backoff, "give_up_ms": 86_400_000 } })
    };
    let steps = [
        step("a", json!({ "who": "{auth.sub}", "items": "{input.items}" })),
        step("b", json!({ "total": "{a.total}" })),
    ];
    serde_json::from_value(json!({
        "saga": "two", "owner": "s", "deadline_ms": 600_000,
        "input": { "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "items": { "type": "integer" } } } },
        "stages": steps.map(|step| json!({ "group": null, "steps": [step] })),
        "visible_after": "a",
        "answer": {
            "done": { "status": 201, "location": "/o/{saga.id}", "body": { "id": "{saga.id}", "total": "{a.total}" }, "problem": null },
            "aborted": { "status": 409, "location": null, "body": null, "problem": { "title": "Cancelled", "reason": "{failure.reason}" } },
            "waiting": { "status": 202, "location": "/o/{saga.id}", "body": { "id": "{saga.id}", "status": "pending" }, "problem": null },
        },
    }))
    .expect("a definition")
}

/// A start with key `k`, that waits 5 s.
pub fn request(key: &str) -> StartRequest {
    StartRequest {
        saga: "two".parse().expect("a name"),
        scope: ondol_saga::start::scope(&["shop", "anna", "place"]),
        key: Some(key.to_owned()),
        key_required: true,
        body: Bytes::from_static(br#"{"items":[1,2]}"#),
        auth: Some(Auth {
            subject: "anna".into(),
            ..Auth::default()
        }),
        correlation: None,
        causation: None,
        traceparent: None,
        wait: Duration::from_secs(5),
    }
}

/// Status and body.
pub fn read(answer: &StartAnswer) -> (u16, Value) {
    (
        answer.status.as_u16(),
        serde_json::from_slice(&answer.body).expect("JSON"),
    )
}

/// Waits until `holds`, in virtual time; the runtime's own limit ends a wait that is in vain.
pub async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let patience = Duration::from_secs(6 * 3_600);
    let looked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(patience, looked)
        .await
        .expect("it comes true within six virtual hours");
}
