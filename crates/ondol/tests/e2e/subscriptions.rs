//! Events delivered to services by the whole system: pushed through the proxy, in order per key, whatever dies; dead letters
//! by command; pulled as leases.

use crate::live::{Live, Told};
use crate::stores::on_both_stores;
use crate::streams::Owner;
use crate::system::{System, until};
use rustix::process::Signal;
use serde_json::{Value, json};

const PUSHED: &str = r#"events: { subscribes: [{ name: orders, types: ["order.*"], push: /events/points, timeout: 2s,
  retry: { attempts: 3, first: 10ms, cap: 50ms } }] }"#;

on_both_stores!(
    pushes_survive_the_death_of_the_controller_and_the_proxy,
    a_dead_letter_parks_its_key_and_commands_bring_it_back,
    a_paused_subscription_is_held_back_set_back_and_goes_on_by_command_and_those_who_look_on_are_told,
    a_pulled_subscription_is_leased_to_its_own_service_alone,
    a_key_that_always_fails_parks_alone_and_after_a_redrive_all_of_it_arrives_in_order,
);

fn system(store: &str, points: &str) -> System {
    let shop = "streams: [order]\nevents: { publishes: [order.moved.v1] }";
    System::new(store, &[("shop", shop), ("points", points)]).up()
}

/// What the subscriber got, oldest first.
fn got(system: &System) -> Vec<Value> {
    let port = system.variable("points.1", "PORT");
    let answer = crate::http::ask(&format!("127.0.0.1:{port}"), "GET", "/calls/points", &[], b"");
    answer
        .ok()
        .and_then(|answer| answer.json().as_array().cloned())
        .unwrap_or_default()
}

fn ids_of(got: &[Value], stream: &str) -> Vec<String> {
    let mine = got.iter().filter(|call| call["fields"]["ce-stream"] == stream);
    let mut ids: Vec<String> = Vec::new();
    for call in mine {
        let id = call["fields"]["ce-id"].as_str().expect("an id").to_owned();
        // The same may come again; what comes first is in order.
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// Appends one event to each stream; ids are `STREAM#N`, as is the data's `id`; `how` is what the subscriber answers.
fn append(owner: &Owner, stream: &str, numbers: std::ops::Range<usize>, how: &[&str]) {
    let event = |n| {
        json!({ "specversion": "1.0", "id": format!("{stream}#{n}"), "source": "/services/shop", "type": "order.moved.v1",
            "data": { "how": how } })
    };
    let events: Vec<_> = numbers.map(event).collect();
    let fields = [("content-type", "application/cloudevents-batch+json")];
    let path = format!("/v1/streams/{stream}/events");
    owner
        .ask("POST", &path, &fields, &Value::from(events).to_string())
        .expect(201);
}

fn subscription(system: &System) -> Value {
    let all = system.json(&["events", "subscriptions"]);
    all["subscriptions"][0].clone()
}

fn pushes_survive_the_death_of_the_controller_and_the_proxy(store: &str) {
    let system = system(store, PUSHED);
    let shop = Owner::of(&system, "shop.1");
    let mut appended = 0;
    for victim in ["controller", "proxy", "controller"] {
        for key in 0..5 {
            append(&shop, &format!("order-{key}"), appended..appended + 20, &[]);
        }
        appended += 20;
        system.signal(victim, Signal::KILL);
        let has = |key| ids_of(&got(&system), &format!("order-{key}")).len() == appended;
        until("all of it", || (0..5).all(has).then_some(()));
    }
    let got = got(&system);
    for key in 0..5 {
        let wanted: Vec<_> = (0..appended).map(|n| format!("order-{key}#{n}")).collect();
        assert_eq!(ids_of(&got, &format!("order-{key}")), wanted);
    }
    let first = &got[0]["fields"];
    assert_eq!(
        (&first["ce-type"], &first["ondol-subscription"]),
        (&json!("order.moved.v1"), &json!("points.orders"))
    );
}

fn a_dead_letter_parks_its_key_and_commands_bring_it_back(store: &str) {
    let system = system(store, PUSHED);
    let shop = Owner::of(&system, "shop.1");
    append(&shop, "order-1", 0..1, &["refused"]);
    append(&shop, "order-1", 1..3, &[]);
    append(&shop, "order-2", 0..1, &[]);
    append(&shop, "order-3", 0..1, &["hang", "nonsense", "drip"]);
    until("two dead letters", || {
        (subscription(&system)["parked_keys"] == 2).then_some(())
    });
    assert_eq!(ids_of(&got(&system), "order-2"), ["order-2#0"], "others go on");
    let letters = until("both rows", || {
        let letters = system.json(&["dlq", "list"])["keys"].as_array().cloned()?;
        (letters.len() == 2 && letters[0]["events"] == 3).then_some(letters)
    });
    assert_eq!(
        (&letters[0]["key"], &letters[0]["first"]["id"]),
        (&json!("order-1"), &json!("order-1#0"))
    );

    let dry = system.json(&["dlq", "redrive", "points.orders", "--dry-run"]);
    assert_eq!(dry, json!({ "keys": 2, "events": 4, "dry_run": true }));
    let edit = [
        "dlq",
        "edit",
        "points.orders",
        "order-1",
        "--data",
        r#"{"how":["ok"]}"#,
        "--reason",
        "a test",
    ];
    system.ondol(&edit).good();
    let shown = system.json(&["dlq", "show", "points.orders", "order-1"]);
    assert_eq!(
        (&shown["queue"][0]["edited"], &shown["queue"][1]["position"]),
        (&json!({ "how": ["ok"] }), &json!(2))
    );
    system
        .ondol(&["dlq", "skip", "points.orders", "order-3", "--reason", "a test"])
        .good();
    system
        .ondol(&["dlq", "redrive", "points.orders", "--reason", "mended"])
        .good();
    until("nothing waits", || {
        let one = subscription(&system);
        (one["parked_keys"] == 0 && one["retrying_keys"] == 0 && one["lag"] == 0).then_some(())
    });
    assert_eq!(
        ids_of(&got(&system), "order-1"),
        ["order-1#0", "order-1#1", "order-1#2"]
    );
    let refused = system.ondol(&["dlq", "skip", "points.orders", "order-3", "--reason", "twice"]);
    assert!(refused.code == Some(1) && refused.err.contains("EV-021"), "{refused:?}");
    let metrics = system.admin("GET", "/metrics", "").expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        metrics.contains("ondol_subscription_keys{subscription=\"points.orders\",state=\"parked\"} 0"),
        "{metrics}"
    );
}

fn a_paused_subscription_is_held_back_set_back_and_goes_on_by_command_and_those_who_look_on_are_told(store: &str) {
    let system = system(store, PUSHED);
    let shop = Owner::of(&system, "shop.1");
    let mut live = Live::open(&system, "topics=subscriptions", None);
    let act = |words: &[&str]| system.ondol(&[&["events"], words, &["--reason", "a test"]].concat());
    let is = |member: &'static str, value: Value| {
        move |told: &Told| told.0 == "subscriptions" && told.1["put"]["points.orders"][member] == value
    };
    append(&shop, "order-1", 0..2, &[]);
    live.until(is("delivered", json!(2)));

    assert_eq!(
        act(&["reset", "points.orders", "--to", "0"]).code,
        Some(1),
        "only while it is paused"
    );
    act(&["pause", "points.orders"]).good();
    live.until(is("state", json!("paused")));
    append(&shop, "order-1", 2..3, &[]);
    live.until(is("lag", json!(1)));
    act(&["reset", "points.orders", "--to", "1"]).good();
    act(&["resume", "points.orders"]).good();
    live.until(is("lag", json!(0)));
    let got: Vec<_> = got(&system)
        .iter()
        .map(|call| call["fields"]["ce-id"].clone())
        .collect();
    assert_eq!(got, ["order-1#0", "order-1#1", "order-1#1", "order-1#2"]);

    act(&["replay", "points.orders", "--from", "2"]).good();
    live.until(is("delivered", json!(5)));
    let newest = self::got(&system).last().map(|call| call["fields"]["ce-id"].clone());
    assert_eq!(newest, Some(json!("order-1#2")), "it runs on by itself");
    let beyond = act(&["replay", "points.orders", "--from", "99"]);
    assert_eq!(beyond.code, Some(1), "beyond the log's end: {beyond:?}");
    act(&["pause", "points.orders"]).good();
    let held = act(&["replay", "points.orders", "--from", "0"]);
    assert_eq!(held.code, Some(0), "{held:?}");
    assert!(held.err.contains("it was paused before and still is"), "{held:?}");

    let (_, told) = Live::open(&system, "topics=changes", None).next();
    let acts = told["items"].as_array().into_iter().flatten();
    let acts: Vec<_> = acts.filter(|change| change["kind"] == "action").collect();
    let names: Vec<_> = acts.iter().map(|act| &act["to"]).collect();
    let replays = ["pause", "reset", "resume", "pause", "resume", "pause", "reset"];
    assert_eq!(names, [&["pause", "reset", "resume"][..], &replays].concat());
    assert_eq!(
        (&acts[0]["subject"], &acts[0]["why"]),
        (&json!("points.orders"), &json!("a test"))
    );
}

fn a_pulled_subscription_is_leased_to_its_own_service_alone(store: &str) {
    let system = system(
        store,
        r#"events: { subscribes: [{ name: orders, types: ["order.moved.v1"] }] }"#,
    );
    let (shop, points) = (Owner::of(&system, "shop.1"), Owner::of(&system, "points.1"));
    append(&shop, "order-1", 0..2, &[]);
    let post = |owner: &Owner, what: &str, body: Value| {
        owner.ask(
            "POST",
            &format!("/v1/subscriptions/orders/{what}"),
            &[],
            &body.to_string(),
        )
    };
    post(&shop, "pull", json!({})).expect(404);
    let first = post(&points, "pull", json!({ "limit": 10, "wait": "20s" }))
        .expect(200)
        .json();
    let events = first["events"].as_array().expect("events");
    assert_eq!(
        (events.len(), &events[0]["event"]["id"]),
        (1, &json!("order-1#0")),
        "one of a key at a time"
    );
    let back = json!({ "leases": [events[0]["lease"]], "delay": "0s" });
    assert_eq!(post(&points, "nack", back).expect(200).json()["settled"], 1);
    for id in ["order-1#0", "order-1#1"] {
        let next = post(&points, "pull", json!({ "wait": "20s" })).expect(200).json();
        assert_eq!(next["events"][0]["event"]["id"], id);
        let ack = json!({ "leases": [next["events"][0]["lease"], "0.0"] });
        assert_eq!(
            post(&points, "ack", ack).expect(200).json(),
            json!({ "settled": 1, "unknown": ["0.0"] })
        );
    }
}

/// The promise of dead letters as a whole: one key fails for as long as it is not mended, under load on the others.
fn a_key_that_always_fails_parks_alone_and_after_a_redrive_all_of_it_arrives_in_order(store: &str) {
    let system = system(store, PUSHED);
    let shop = Owner::of(&system, "shop.1");
    let always = ["cut"; 100];
    append(&shop, "order-0", 0..1, &always);
    for round in 0..5 {
        append(&shop, "order-0", 1 + 10 * round..11 + 10 * round, &[]);
        for key in 1..5 {
            append(&shop, &format!("order-{key}"), 10 * round..10 * round + 10, &[]);
        }
    }
    until("all of the others", || {
        let got = got(&system);
        (1..5)
            .all(|key| ids_of(&got, &format!("order-{key}")).len() == 50)
            .then_some(())
    });
    let shown = until("one parked key", || {
        let shown = subscription(&system);
        (shown["parked_keys"] == 1 && shown["parked_events"] == 51).then_some(shown)
    });
    assert_eq!(
        (&shown["lag"], &shown["state"]),
        (&json!(0), &json!("running")),
        "{shown}"
    );
    assert_eq!(ids_of(&got(&system), "order-0"), ["order-0#0"], "nothing overtakes it");

    let redrive = ["dlq", "redrive", "points.orders", "--reason", "as it is"];
    system.ondol(&redrive).good();
    until("parked again, since nothing was mended", || {
        let attempts = got(&system)
            .iter()
            .filter(|call| call["fields"]["ce-id"] == "order-0#0")
            .count();
        (attempts == 6 && subscription(&system)["parked_keys"] == 1).then_some(())
    });
    let mend = r#"{"how":[]}"#;
    let edit = [
        "dlq",
        "edit",
        "points.orders",
        "order-0",
        "--data",
        mend,
        "--reason",
        "mended",
    ];
    system.ondol(&edit).good();
    system.ondol(&redrive).good();
    until("nothing parked", || {
        let shown = subscription(&system);
        (shown["parked_keys"] == 0 && shown["retrying_keys"] == 0).then_some(())
    });
    let wanted: Vec<_> = (0..51).map(|n| format!("order-0#{n}")).collect();
    assert_eq!(ids_of(&got(&system), "order-0"), wanted);
}
