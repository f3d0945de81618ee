//! Events between services: published at `ONDOL_URL` in every form, read by type, as a stream of server-sent events, and as
//! one graph.

use crate::http::Message;
use crate::streams::Owner;
use crate::system::{System, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

const SHOP: [(&str, &str); 2] = [
    (
        "shop",
        "streams: [order]\nevents: { publishes: [shop.opened.v1, { type: shop.sold.v1, schema: sold.json }] }",
    ),
    (
        "fans",
        "events: { publishes: [fan.came.v1], subscribes: [{ name: news, types: [\"shop.*\"] }] }",
    ),
];

fn system() -> System {
    let system = System::new("", &SHOP);
    let schema = r#"{"type":"object","required":["total"],"properties":{"total":{"type":"integer"}}}"#;
    system.write("services/shop/sold.json", schema);
    system.up()
}

fn event(id: &str, kind: &str, data: Value) -> Value {
    let source = if kind.starts_with("fan.") {
        "/services/fans"
    } else {
        "/services/shop"
    };
    json!({ "specversion": "1.0", "id": id, "source": source, "type": kind, "data": data })
}

/// Publishes in structured mode, or as a batch where `events` is an array.
fn publish(owner: &Owner, events: &Value, more: &[(&str, &str)]) -> Message {
    let kind = match events {
        Value::Array(_) => "application/cloudevents-batch+json",
        _ => "application/cloudevents+json",
    };
    let fields = [&[("content-type", kind)], more].concat();
    owner.ask("POST", "/v1/events", &fields, &events.to_string())
}

#[test]
fn events_are_published_in_every_form_once_and_only_by_their_owner() {
    let system = system();
    let (shop, fans) = (Owner::of(&system, "shop.1"), Owner::of(&system, "fans.1"));
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a"),
        ("ce-source", "/services/shop"),
        ("ce-type", "shop.opened.v1"),
        ("ce-subject", "%EC%84%9C%EC%9A%B8"),
        ("content-type", "application/json"),
    ];
    let first = shop
        .ask("POST", "/v1/events", &binary, r#"{"at":"noon"}"#)
        .expect(201)
        .json();
    assert_eq!(
        first,
        json!({ "events": [{ "id": "a", "position": 1, "duplicate": false }] })
    );
    let again = shop
        .ask("POST", "/v1/events", &binary, r#"{"at":"noon"}"#)
        .expect(201)
        .json();
    assert_eq!(
        again["events"][0],
        json!({ "id": "a", "position": 1, "duplicate": true })
    );
    let other = shop
        .ask("POST", "/v1/events", &binary, r#"{"at":"night"}"#)
        .expect(409)
        .json();
    assert_eq!(other["code"], "EV-007");
    publish(&shop, &event("b", "shop.sold.v1", json!({ "total": 7 })), &[]).expect(201);
    let batch = json!([
        event("c", "shop.sold.v1", json!({ "total": 8 })),
        event("d", "shop.opened.v1", json!(null))
    ]);
    publish(&shop, &batch, &[]).expect(201);

    for (owner, events, status, code) in [
        (&shop, event("x", "shop.sold.v1", json!({})), 422, "EV-006"),
        (&shop, event("x", "fan.came.v1", json!({})), 403, "EV-005"),
        (&fans, event("x", "shop.opened.v1", json!({})), 403, "EV-005"),
        (&shop, event("x", "shop.closed.v1", json!({})), 403, "EV-005"),
        (&shop, json!([]), 400, "EV-010"),
        (&shop, json!({ "id": "x" }), 400, "EV-001"),
    ] {
        assert_eq!(
            publish(owner, &events, &[]).expect(status).json()["code"],
            code,
            "{events}"
        );
    }
    let big = event("x", "shop.opened.v1", json!("x".repeat(5 << 20)));
    assert_eq!(publish(&shop, &big, &[]).status(), 413);
    let topic = json!([event("x", "shop.opened.v1", json!(1))]).to_string();
    let batch = [("content-type", "application/cloudevents-batch+json")];
    shop.ask("POST", "/v1/streams/topic-shop.opened.v1/events", &batch, &topic)
        .expect(403);

    // Nor does a stream of one's own carry another's type, or another's name.
    let mut other = event("x", "shop.moved.v1", json!(1));
    other["source"] = "/services/fans".into();
    for (event, status, code) in [
        (event("x", "fan.came.v1", json!(1)), 403, "EV-005"),
        (event("x", "shop.sold.v1", json!({})), 422, "EV-006"),
        (other, 400, "EV-002"),
    ] {
        let told = shop.ask(
            "POST",
            "/v1/streams/order-1/events",
            &batch,
            &json!([event]).to_string(),
        );
        assert_eq!(told.expect(status).json()["code"], code, "{event}");
    }

    // Each sees what it publishes and what it subscribes to.
    publish(&fans, &event("f", "fan.came.v1", json!(1)), &[]).expect(201);
    assert_eq!(shop.ids("/v1/all"), ["a", "b", "c", "d"]);
    assert_eq!(fans.ids("/v1/all"), ["a", "b", "c", "d", "f"]);
    assert_eq!(fans.ids("/v1/all?types=shop.sold.*,fan.came.v1&after=2"), ["c", "f"]);
    assert_eq!(shop.ids("/v1/all?types=fan.*"), [""; 0]);
    assert_eq!(shop.ids("/v1/all?order=desc&limit=2"), ["d", "c"]);

    let topics = system.json(&["events", "list"]);
    let sold = topics["topics"]
        .as_array()
        .and_then(|all| all.iter().find(|topic| topic["type"] == "shop.sold.v1"));
    let sold = sold.expect("the topic");
    assert_eq!(
        (
            &sold["publisher"],
            &sold["events"],
            &sold["last_position"],
            &sold["subscriptions"]
        ),
        (&json!("shop"), &json!(2), &json!(3), &json!(["fans.news"]))
    );
    let tail = system
        .ondol(&["events", "tail", "--no-follow", "-n", "2", "shop.*"])
        .good();
    assert!(
        tail.contains("shop.sold.v1") && tail.contains("shop.opened.v1") && !tail.contains("fan."),
        "{tail}"
    );
    let newest = system
        .admin("GET", "/v1/topics/shop.opened.v1/events?limit=1", "")
        .json();
    assert_eq!(newest[0]["id"], "d");
    let streams = system.admin("GET", "/v1/streams?prefix=topic-shop", "").json();
    assert_eq!(streams["streams"].as_array().map(Vec::len), Some(2), "{streams}");
    assert_eq!(system.admin("GET", "/v1/events/nobody", "").status(), 404);

    // A pattern stands for declared types: what nobody declares is its owner's alone.
    let secret = json!([event("e", "shop.secret.v1", json!(1))]).to_string();
    shop.ask("POST", "/v1/streams/order-1/events", &batch, &secret)
        .expect(201);
    assert_eq!(shop.ids("/v1/all?after=5"), ["e"]);
    assert_eq!(fans.ids("/v1/all?after=5"), [""; 0]);
}

/// An open stream of server-sent events; gives one after the other.
struct Live(BufReader<TcpStream>);

impl Live {
    fn open(owner: &Owner, path: &str, last: &str) -> Self {
        let mut stream = TcpStream::connect(&owner.address).expect("connects");
        let last = if last.is_empty() {
            String::new()
        } else {
            format!("Last-Event-ID: {last}\r\n")
        };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nAccept: text/event-stream\r\n{last}\r\n",
            owner.address, owner.token
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut live = Self(BufReader::new(stream));
        assert!(live.line().starts_with("HTTP/1.1 200"));
        live
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).expect("a line") > 0, "it ended");
        line.trim_end().to_owned()
    }

    /// The next event's position, type and id.
    fn next(&mut self) -> (String, String, String) {
        let mut fields = std::iter::repeat_with(|| self.line());
        let id = fields
            .find_map(|line| line.strip_prefix("id: ").map(str::to_owned))
            .expect("an id");
        let kind = fields
            .next()
            .and_then(|line| line.strip_prefix("event: ").map(str::to_owned));
        let data = fields
            .next()
            .and_then(|line| line.strip_prefix("data: ").map(str::to_owned));
        let data: Value = serde_json::from_str(&data.expect("data")).expect("JSON");
        assert_eq!(data["position"].to_string(), id);
        (
            id,
            kind.expect("a type"),
            data["id"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

#[test]
fn a_stream_of_server_sent_events_goes_on_where_it_was_left() {
    let system = system();
    let (shop, fans) = (Owner::of(&system, "shop.1"), Owner::of(&system, "fans.1"));
    publish(&shop, &event("a", "shop.opened.v1", json!(1)), &[]).expect(201);
    publish(&fans, &event("f", "fan.came.v1", json!(1)), &[]).expect(201);
    let mut live = Live::open(&fans, "/v1/all?types=shop.*", "");
    assert_eq!(live.next(), ("1".into(), "shop.opened.v1".into(), "a".into()));
    publish(&shop, &event("b", "shop.sold.v1", json!({ "total": 1 })), &[]).expect(201);
    assert_eq!(live.next(), ("3".into(), "shop.sold.v1".into(), "b".into()));
    drop(live);
    publish(&shop, &event("c", "shop.opened.v1", json!(1)), &[]).expect(201);
    let mut live = Live::open(&fans, "/v1/all?types=shop.*", "1");
    assert_eq!([live.next().2, live.next().2], ["b", "c"]);
}

#[test]
fn what_belongs_together_is_one_graph() {
    let saga =
        "saga: sell\nsteps:\n  - pay: { call: \"PUT shop/part/pay/{saga.id}\", body: { how: [] }, pivot: true }\n";
    let shop = format!(
        "{}\nsagas: [sell.saga.yaml]\nroutes: [{{ name: sell, match: {{ path: /sell }}, start: {{ saga: sell, wait: 20s, key: optional }} }}]",
        SHOP[0].1
    );
    let system = System::new("", &[("shop", &shop), SHOP[1]]);
    system.write("services/shop/sold.json", r#"{"type":"object"}"#);
    system.write("services/shop/sell.saga.yaml", saga);
    let system = system.up();
    let (shop, fans) = (Owner::of(&system, "shop.1"), Owner::of(&system, "fans.1"));

    system
        .ask("POST", "/sell", &[("baggage", "correlation-id=flow-1")], "{}")
        .expect(200);
    let sagas = system.json(&["saga", "list"]);
    let saga = sagas["items"][0]["id"].as_str().expect("a saga").to_owned();
    let call = format!("{saga}.pay.action");
    let baggage = format!("correlation-id=flow-1,causation-id={call}");
    publish(
        &shop,
        &event("sold", "shop.sold.v1", json!({})),
        &[("baggage", &baggage)],
    )
    .expect(201);
    let baggage = "correlation-id=flow-1,causation-id=sold";
    publish(&fans, &event("came", "fan.came.v1", json!({})), &[("baggage", baggage)]).expect(201);

    let flow = until("the saga's end", || {
        let flow = system.admin("GET", "/v1/flows/flow-1", "").expect(200).json();
        let done = flow["nodes"]
            .as_array()?
            .iter()
            .any(|node| node["kind"] == "saga" && node["state"] == "done");
        done.then_some(flow)
    });
    let mut nodes: Vec<&str> = flow["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    nodes.sort_unstable();
    let (saga, call) = (format!("saga:{saga}"), format!("step:{call}"));
    assert_eq!(
        nodes,
        ["delivery:fans.news@1", "event:came", "event:sold", &saga, &call]
    );
    for (from, to, kind) in [
        (saga.as_str(), call.as_str(), "called"),
        (&call, "event:sold", "caused"),
        ("event:sold", "event:came", "caused"),
        ("event:sold", "delivery:fans.news@1", "delivered"),
    ] {
        let edge = json!({ "from": from, "to": to, "kind": kind });
        assert!(
            flow["edges"].as_array().is_some_and(|edges| edges.contains(&edge)),
            "{edge}: {flow}"
        );
    }
    let tree = system.ondol(&["events", "flow", "flow-1"]).good();
    let order = ["sell", "pay", "shop.sold.v1", "fan.came.v1"].map(|word| tree.find(word).expect("in the tree"));
    assert!(order.is_sorted(), "{tree}");
    let came = system.json(&["events", "show", "came"]);
    assert_eq!(came["causes"][0]["id"], "sold");
    assert_eq!(system.json(&["events", "show", "sold"])["effects"][0]["id"], "came");
    assert_eq!(system.admin("GET", "/v1/flows/nothing", "").status(), 404);
}

/// A page of the store ends at 16 MiB; a flow and the effects of an event do not, and at their own bounds they say so.
#[test]
fn a_flow_of_large_events_is_whole_and_one_that_is_cut_says_so() {
    let system = system();
    let shop = Owner::of(&system, "shop.1");
    let large = json!("x".repeat(1_000_000));
    for n in 0..20 {
        let mut event = event(&format!("large-{n}"), "shop.opened.v1", large.clone());
        event["correlationid"] = "flow-large".into();
        event["causationid"] = "large-0".into();
        publish(&shop, &event, &[]).expect(201);
    }
    let flow = system.admin("GET", "/v1/flows/flow-large", "").expect(200).json();
    let events = |flow: &Value| {
        let nodes = flow["nodes"].as_array().expect("nodes").iter();
        nodes.filter(|node| node["kind"] == "event").count()
    };
    assert_eq!((events(&flow), &flow["truncated"]), (20, &json!(false)));
    let shown = system.json(&["events", "show", "large-0"]);
    assert_eq!(
        (shown["effects"].as_array().map(Vec::len), &shown["truncated"]),
        (Some(19), &json!(false))
    );

    for batch in 0..3 {
        let many = (0..1_000).map(|n| {
            let mut event = event(&format!("many-{batch}-{n}"), "shop.opened.v1", json!(n));
            event["correlationid"] = "flow-many".into();
            event["causationid"] = "many-0-0".into();
            event
        });
        publish(&shop, &many.collect(), &[]).expect(201);
    }
    let flow = system.admin("GET", "/v1/flows/flow-many", "").expect(200).json();
    assert_eq!(
        (flow["nodes"].as_array().map(Vec::len), &flow["truncated"]),
        (Some(2_000), &json!(true))
    );
    let shown = system.json(&["events", "show", "many-0-0"]);
    assert_eq!(
        (shown["effects"].as_array().map(Vec::len), &shown["truncated"]),
        (Some(1_000), &json!(true))
    );
}
