//! Sagas with a participant that does everything that participants do: see `Part` in `service.rs` for its words.

use crate::http::Message;
use crate::system::{System, until};
use serde_json::{Value, json};

/// Each step's attempts go as `input.STEP` says, each compensation's as `input.undo`.
const SAGA: &str = r#"
saga: book
deadline: 1m
steps:
  - seat:
      call: PUT hello/part/seat/{saga.id}
      body: { how: "{input.seat}" }
      timeout: 1s
      compensate: { call: "DELETE hello/part/seat/{saga.id}", body: { how: "{input.undo}", why: "{failure.reason}" } }
  - pay:
      call: POST hello/part/pay/{saga.id}
      body: { how: "{input.pay}", seat: "{seat.number}" }
      timeout: 1s
      compensate: { call: "POST hello/part/refund/{saga.id}", body: { how: "{input.undo}" } }
  - ticket:
      call: PUT hello/part/ticket/{saga.id}
      body: { how: "{input.ticket}" }
      timeout: 1s
      pivot: true
answer:
  done: { status: 201, body: { id: "{saga.id}", number: "{seat.number}" } }
  aborted: { status: 409, problem: { title: No booking, reason: "{failure.reason}", id: "{saga.id}" } }
  waiting: { status: 202, location: "/calls/{saga.id}", body: { id: "{saga.id}", status: pending } }
"#;

const HELLO: &str = "\
sagas: [book.saga.yaml]
routes:
  - match: { prefix: /calls }
  - { name: book, match: { path: /book }, start: { saga: book, wait: 10s } }
  - { name: quick, match: { path: /quick }, start: { saga: book, wait: 100ms, key: optional } }";

fn system() -> System {
    let system = System::new("", &[("hello", HELLO)]);
    system.write("services/hello/book.saga.yaml", SAGA);
    system.up()
}

/// The words of each step; those that are not named go well.
fn input(words: &[(&str, &[&str])]) -> String {
    let mut input = json!({ "seat": [], "pay": [], "ticket": [], "undo": [] });
    words.iter().for_each(|(step, how)| input[*step] = json!(how));
    input.to_string()
}

fn book(system: &System, key: &str, words: &[(&str, &[&str])]) -> Message {
    system.ask("POST", "/book", &[("idempotency-key", key)], &input(words))
}

/// The calls of a saga as `METHOD STEP`, and in full.
fn calls(system: &System, id: &Value) -> (Vec<String>, Vec<Value>) {
    let calls = system.get(&format!("/calls/{}", id.as_str().expect("an id"))).json();
    let calls = calls.as_array().cloned().unwrap_or_default();
    let short = |call: &Value| {
        let path = call["path"].as_str().expect("a path");
        let step = path
            .trim_start_matches("/part/")
            .split('/')
            .find(|part| !part.is_empty());
        format!(
            "{} {}",
            call["method"].as_str().expect("a method"),
            step.unwrap_or_default()
        )
    };
    (calls.iter().map(short).collect(), calls)
}

#[test]
fn whatever_a_participant_answers_unknown_is_tried_again_and_the_saga_ends_well() {
    let system = system();
    let cases: [(&str, &[&str]); 5] = [
        ("nonsense", &["PUT seat", "POST pay", "POST pay", "PUT ticket"]),
        ("cut", &["PUT seat", "POST pay", "POST pay", "PUT ticket"]),
        ("hang", &["PUT seat", "POST pay", "POST pay", "PUT ticket"]),
        ("busy", &["PUT seat", "POST pay", "POST pay", "PUT ticket"]),
        ("later", &["PUT seat", "POST pay", "GET poll", "PUT ticket"]),
    ];
    std::thread::scope(|scope| {
        for (word, expected) in cases {
            let system = &system;
            scope.spawn(move || {
                let done = book(system, word, &[("pay", &[word])]).expect(201).json();
                assert_eq!(done["number"], 7, "{word}");
                let (short, full) = calls(system, &done["id"]);
                assert_eq!(short, expected, "{word}");
                let keys: Vec<_> = full
                    .iter()
                    .filter_map(|call| call["fields"]["idempotency-key"].as_str())
                    .collect();
                assert_eq!(
                    keys[1],
                    format!("\"{}.pay.action\"", done["id"].as_str().expect("an id")),
                    "{word}"
                );
                if expected[2] == "POST pay" {
                    assert_eq!(keys[2], keys[1], "{word}: the same key on every attempt");
                }
            });
        }
    });
}

#[test]
fn participants_are_told_the_key_the_attempt_the_deadline_and_the_thread() {
    let system = system();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields = [
        ("idempotency-key", "told"),
        ("traceparent", trace),
        ("baggage", "correlation-id=c-1"),
    ];
    let done = system
        .ask("POST", "/book", &fields, &input(&[("pay", &["cut"])]))
        .expect(201)
        .json();
    let (_, calls) = calls(&system, &done["id"]);
    let field = |at: usize, name: &str| calls[at]["fields"][name].as_str().unwrap_or_default().to_owned();
    let (first, second) = (field(1, "ondol-attempt"), field(2, "ondol-attempt"));
    let epoch = first.strip_suffix(".1").unwrap_or_else(|| panic!("{first}"));
    assert_eq!(second, format!("{epoch}.2"));
    for (at, call) in calls.iter().enumerate() {
        let left: u64 = field(at, "ondol-deadline-ms").parse().expect("milliseconds");
        assert!((1..=1_000).contains(&left), "{left} of a timeout of 1 s");
        assert_eq!(field(at, "ondol-op"), "action", "{call}");
        assert_eq!(field(at, "ondol-caller"), "ondol", "{call}");
        assert!(
            field(at, "traceparent").contains("0af7651916cd43dd8448eb211c80319c"),
            "{call}"
        );
        let baggage = field(at, "baggage");
        assert!(
            baggage.contains("correlation-id=c-1") && baggage.contains("causation-id="),
            "{baggage}"
        );
    }
}

#[test]
fn a_refusal_is_undone_in_reverse_and_the_starter_hears_why() {
    let system = system();
    let aborted = book(
        &system,
        "refused",
        &[("ticket", &["refused"]), ("undo", &["cut", "busy"])],
    )
    .expect(409);
    assert_eq!(aborted.field("content-type"), Some("application/problem+json"));
    let aborted = aborted.json();
    assert_eq!(aborted["reason"], "sold_out");
    let (short, full) = calls(&system, &aborted["id"]);
    let undo = [
        "POST refund",
        "POST refund",
        "POST refund",
        "DELETE seat",
        "DELETE seat",
        "DELETE seat",
    ];
    assert_eq!(
        short,
        [&["PUT seat", "POST pay", "PUT ticket"], undo.as_slice()].concat()
    );
    let key = full[3]["fields"]["idempotency-key"].as_str().expect("a key");
    assert!(key.ends_with(".pay.compensate\""), "{key}");

    // A definite refusal after an attempt in doubt says nothing of the first: the step itself is undone too.
    let aborted = book(&system, "doubt", &[("pay", &["cut", "refused"])])
        .expect(409)
        .json();
    let (short, _) = calls(&system, &aborted["id"]);
    assert_eq!(
        short,
        ["PUT seat", "POST pay", "POST pay", "POST refund", "DELETE seat"]
    );
    let aborted = book(&system, "plain", &[("pay", &["refused"])]).expect(409).json();
    assert_eq!(
        calls(&system, &aborted["id"]).0,
        ["PUT seat", "POST pay", "DELETE seat"]
    );
}

#[test]
fn what_no_repeat_mends_is_parked_until_a_person_acts() {
    let system = system();
    for (word, step) in [("gone", "pay"), ("no-json", "seat")] {
        let started = system.ask("POST", "/quick", &[], &input(&[(step, &[word])]));
        let id = started.expect(202).json()["id"].as_str().expect("an id").to_owned();
        let parked = until("the saga is parked", || {
            let parked = system.json(&["saga", "list", "--state", "parked"]);
            parked["items"]
                .as_array()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .find(|saga| saga["id"] == id.as_str())
        });
        assert_eq!(parked["step"], step, "{parked}");
        // Its participant has been mended meanwhile: the next attempt goes well.
        system.ondol(&["saga", "retry", &id]).good();
        until("the saga is done", || {
            (system.json(&["saga", "show", &id])["state"] == "done").then_some(())
        });
    }
}

#[test]
fn a_key_starts_once_joins_with_the_same_body_and_refuses_another() {
    let system = system();
    let first = book(&system, "k", &[("pay", &["cut"])]).expect(201);
    let again = book(&system, "k", &[("pay", &["cut"])]).expect(201);
    assert_eq!(first.body, again.body);
    let together: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| book(&system, "together", &[]).expect(201).json()))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("an answer"))
            .collect()
    });
    assert!(
        together.iter().all(|answer| answer["id"] == together[0]["id"]),
        "{together:?}"
    );

    book(&system, "k", &[]).expect(422);
    let missing = system.ask("POST", "/book", &[], &input(&[])).expect(400);
    assert_eq!(missing.json()["code"], "GW-031");
    let sagas = system.json(&["saga", "list"]);
    assert_eq!(sagas["items"].as_array().map(Vec::len), Some(2), "{sagas}");
}
