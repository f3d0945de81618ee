//! Runs the cases of `conformance/saga/`.

mod support;

use http::HeaderMap;
use ondol_core::caller::{Call, CallError};
use ondol_core::engine::Table;
use ondol_saga::config::Definition;
use ondol_saga::record::Auth;
use ondol_saga::{Settings, StartRequest};
use ondol_testkit::engine::MemoryEngine;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Said, Scripted, life, says, says_with, until};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "about")]
    _about: String,
    definition: String,
    start: Start,
    answers: HashMap<String, Vec<Word>>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    body: Value,
    subject: String,
    wait_ms: u64,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Word {
    Name(String),
    Answer {
        status: u16,
        #[serde(default)]
        headers: HashMap<String, String>,
        body: Value,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    calls: Vec<String>,
    state: String,
    answer: Answered,
    #[serde(default)]
    bodies: HashMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    status: u16,
    body: Value,
}

fn said(word: &Word) -> Said {
    match word {
        Word::Name(name) if name == "unknown" => Some(Err(CallError::Unknown("connection reset".into()))),
        Word::Name(name) if name == "not-sent" => Some(Err(CallError::NotSent("connection refused".into()))),
        Word::Name(name) => panic!("`{name}` is no answer"),
        Word::Answer { status, headers, body } => {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            says_with(*status, &headers, body.clone())
        }
    }
}

/// The saga's id, from the key that every call carries.
fn id_of(headers: &HeaderMap) -> String {
    let key = headers["idempotency-key"].to_str().expect("text").trim_matches('"');
    key.split('.').next().expect("it begins with the id").to_owned()
}

fn name_of(call: &Call) -> String {
    format!("{} {}{}", call.method, call.service, call.path).replace(&id_of(&call.headers), "{id}")
}

async fn check(folder: &Path, file: &Path) {
    let case: Case = serde_json::from_slice(&std::fs::read(file).expect("the case can be read")).expect("a case");
    let definition = std::fs::read(folder.join(&case.definition)).expect("the definition can be read");
    let definition: Definition = serde_json::from_slice(&definition).expect("a definition");
    let answers = case.answers.clone();
    let heard = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let caller = Scripted::new(move |call| {
        let name = name_of(call);
        let Some(words) = answers.get(&name) else {
            return says(200, serde_json::json!({}));
        };
        let mut heard = heard.lock().expect("not poisoned");
        let n = heard.entry(name).or_default();
        *n += 1;
        said(&words[(*n - 1).min(words.len() - 1)])
    });
    let saga = definition.saga.clone();
    let life = life(
        MemoryEngine::new(),
        caller.clone(),
        Settings::default(),
        vec![definition],
    )
    .await;
    let request = StartRequest {
        saga,
        scope: "case".into(),
        key: Some("case".into()),
        key_required: true,
        body: case.start.body.to_string().into(),
        auth: Some(Auth {
            subject: case.start.subject.clone(),
            ..Auth::default()
        }),
        correlation: None,
        causation: None,
        traceparent: None,
        wait: Duration::from_millis(case.start.wait_ms),
    };
    let answer = life.sagas.start(request).await;
    until(|| async { life.engine.table(Table::Saga)[0].state == case.expect.state }).await;

    let place = file.display();
    let id = answer.saga.expect("an id").to_string();
    let body = String::from_utf8(answer.body.to_vec())
        .expect("text")
        .replace(&id, "{id}");
    assert_eq!(answer.status.as_u16(), case.expect.answer.status, "{place}: {body}");
    if !case.expect.answer.body.is_null() {
        assert_eq!(
            serde_json::from_str::<Value>(&body).expect("JSON"),
            case.expect.answer.body,
            "{place}"
        );
    }
    let calls = caller.calls.lock().expect("not poisoned").clone();
    assert_eq!(
        calls.iter().map(name_of).collect::<Vec<_>>(),
        case.expect.calls,
        "{place}"
    );
    for (name, expected) in &case.expect.bodies {
        let call = calls
            .iter()
            .find(|call| name_of(call) == *name)
            .expect("the call was made");
        assert_eq!(
            &serde_json::from_slice::<Value>(&call.body).expect("JSON"),
            expected,
            "{place}: {name}"
        );
    }
    life.tasks.stop();
}

#[tokio::test(start_paused = true)]
async fn every_case_makes_its_calls_and_comes_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/saga");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.retain(|file| file.to_string_lossy().ends_with(".case.json"));
    files.sort();
    assert!(files.len() >= 14, "only {} cases", files.len());
    for file in files {
        check(&folder, &file).await;
    }
}
