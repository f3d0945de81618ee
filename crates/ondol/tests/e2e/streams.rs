//! Event streams over `ONDOL_URL`, with the token of the service that owns them.

use crate::http;
use crate::http::Message;
use crate::system::System;
use serde_json::{Value, json};

/// A service as the platform sees it: its `ONDOL_URL` and its token.
pub struct Owner {
    service: String,
    pub address: String,
    pub token: String,
}

impl Owner {
    pub fn of(system: &System, instance: &str) -> Self {
        let url = system.variable(instance, "ONDOL_URL");
        let service = instance.split('.').next().unwrap_or(instance);
        Self {
            service: service.to_owned(),
            address: url.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            token: format!("Bearer {}", system.variable(instance, "ONDOL_TOKEN")),
        }
    }

    pub fn ask(&self, method: &str, path: &str, fields: http::Fields, body: &str) -> Message {
        let fields = [fields, &[("authorization", self.token.as_str())]].concat();
        http::ask(&self.address, method, path, &fields, body.as_bytes()).expect("an answer")
    }

    fn append(&self, stream: &str, expected: &str, ids: &[&str]) -> Message {
        let source = format!("/services/{}", self.service);
        let event = |id| json!({ "specversion": "1.0", "id": id, "source": source, "type": "order.moved.v1", "data": { "id": id } });
        let events: Vec<_> = ids.iter().map(event).collect();
        let fields = [
            ("if-match", expected),
            ("content-type", "application/cloudevents-batch+json"),
        ];
        self.ask(
            "POST",
            &format!("/v1/streams/{stream}/events"),
            &fields,
            &Value::from(events).to_string(),
        )
    }

    pub fn ids(&self, path: &str) -> Vec<String> {
        let page = self.ask("GET", path, &[], "").expect(200).json();
        let ids = page
            .as_array()
            .expect("an array")
            .iter()
            .map(|event| event["id"].as_str().expect("an id").to_owned());
        ids.collect()
    }
}

#[test]
fn streams_are_appended_by_revision_once_by_id_read_and_followed() {
    let system = System::new("", &[("orders", "streams: [order]"), ("other", "streams: [bill]")]).up();
    let orders = Owner::of(&system, "orders.1");

    let first = orders
        .append("order-1", "\"no-stream\"", &["a", "b"])
        .expect(201)
        .json();
    assert_eq!(
        (&first["first_revision"], &first["duplicate"]),
        (&0.into(), &false.into()),
        "{first}"
    );
    let again = orders
        .append("order-1", "\"no-stream\"", &["a", "b"])
        .expect(201)
        .json();
    assert_eq!(
        (&again["duplicate"], &again["position"]),
        (&true.into(), &first["position"]),
        "{again}"
    );
    assert_eq!(
        orders.append("order-1", "\"no-stream\"", &["c"]).expect(409).json()["code"],
        "ST-002"
    );
    orders
        .append("order-1", &format!("\"{}\"", first["revision"]), &["c"])
        .expect(201);
    assert_eq!(
        orders.append("order-2", "\"no-stream\"", &["c"]).expect(409).json()["code"],
        "ST-003"
    );
    assert_eq!(
        orders.append("order-1", "soon", &["d"]).expect(400).json()["code"],
        "EV-004"
    );
    let nonsense = orders.ask(
        "POST",
        "/v1/streams/order-1/events",
        &[("content-type", "application/cloudevents+json")],
        "{",
    );
    assert_eq!(nonsense.expect(400).json()["code"], "EV-001");

    assert_eq!(orders.ids("/v1/streams/order-1"), ["a", "b", "c"]);
    assert_eq!(orders.ids("/v1/streams/order-1?from=2"), ["c"]);
    assert_eq!(orders.ids("/v1/streams/order-9"), [""; 0]);
    let other = Owner::of(&system, "other.1");
    other.append("bill-1", "*", &["x"]).expect(409);
    other.append("bill-1", "\"no-stream\"", &["x"]).expect(201);
    assert_eq!(orders.ids("/v1/all"), ["a", "b", "c"], "only its own");

    // A long poll ends with the append that it waited for.
    let last = orders.ask("GET", "/v1/streams/order-1?from=2", &[], "").json()[0]["position"].clone();
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| orders.ids(&format!("/v1/all?after={last}&wait=30s")));
        orders.append("order-3", "\"no-stream\"", &["late"]).expect(201);
        assert_eq!(follower.join().expect("a page"), ["late"]);
    });
}
