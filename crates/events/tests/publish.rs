//! Publishing over a real SQLite store.

use ondol_core::clock::SystemClock;
use ondol_core::engine::{Expected, Order, Pattern, Selector, Wanted};
use ondol_core::entropy::SystemEntropy;
use ondol_core::task::Tasks;
use ondol_events::config::PublishedType;
use ondol_events::{CloudEvent, Context, EventsError, Published, Publisher, Streams, Topics};
use serde_json::{Value, json};
use std::sync::Arc;

struct Bench {
    streams: Streams,
    publisher: Publisher,
    _folder: tempfile::TempDir,
}

/// `a.v1` and `b.v1` are of the service `one`; `c.v1` is of `two` and has a schema.
impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("events.db").display());
        let engine = ondol_store::open(&url, Arc::new(SystemClock), Arc::new(SystemEntropy)).await;
        let streams = Streams::new(engine.expect("opens"), Arc::new(SystemClock), &Tasks::new());
        let publisher = Publisher::new(streams.clone());
        let published = |kind: &str, publisher: &str, schema| PublishedType {
            kind: kind.into(),
            publisher: publisher.parse().expect("a name"),
            schema,
        };
        let types = [
            published("a.v1", "one", None),
            published("b.v1", "one", None),
            published("c.v1", "two", Some(json!({"type": "object"}))),
        ];
        publisher.set(Topics::new(&types).expect("compiles"));
        Self {
            streams,
            publisher,
            _folder: folder,
        }
    }

    async fn publish(&self, context: &Context, events: &[Value]) -> Result<Vec<Published>, EventsError> {
        let events = CloudEvent::read_body(
            "application/cloudevents-batch+json",
            json!(events).to_string().as_bytes(),
        );
        self.publisher
            .publish(&"one".parse().expect("a name"), context, events?)
            .await
    }

    /// Places of the events, with a star at those that were there before.
    async fn places(&self, events: &[Value]) -> String {
        let published = self.publish(&Context::default(), events).await.expect("published");
        let place = |one: &Published| format!("{}{}", one.position, if one.duplicate { "*" } else { "" });
        published.iter().map(place).collect::<Vec<_>>().join(" ")
    }

    async fn refused(&self, events: &[Value], code: &str) {
        let error = self.publish(&Context::default(), events).await.expect_err("refused");
        assert_eq!(error.code().as_str(), code, "{error}");
    }

    async fn ids(&self, wanted: Wanted) -> String {
        let page = self
            .streams
            .log(wanted, 0, Order::Ascending, 10_000)
            .await
            .expect("reads");
        page.events
            .iter()
            .map(|stored| stored.event.id.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    async fn body(&self, id: &str) -> Value {
        let stored = self.streams.event(id).await.expect("reads").expect("is there");
        serde_json::from_slice(&stored.event.body).expect("JSON")
    }
}

fn event(id: &str, kind: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/services/one", "type": kind, "data": data})
}

/// A page of the store ends by its bytes; every cause counts all the same.
#[tokio::test]
async fn causes_that_fill_more_than_a_page_are_all_counted() {
    let bench = Bench::new().await;
    let large = "x".repeat(1_000_000);
    for n in 0..20 {
        bench
            .places(&[event(&format!("cause-{n}"), "a.v1", json!(large))])
            .await;
    }
    let effects: Vec<Value> = (0..20)
        .map(|n| caused(&format!("effect-{n}"), &format!("cause-{n}")))
        .collect();
    bench.places(&effects).await;
    for n in 0..20 {
        assert_eq!(bench.body(&format!("effect-{n}")).await["ondolhops"], 1, "{n}");
    }
}

fn caused(id: &str, cause: &str) -> Value {
    let mut event = event(id, "a.v1", json!(1));
    event["causationid"] = cause.into();
    event
}

#[tokio::test]
async fn a_batch_keeps_its_order_across_types_and_a_repeat_writes_nothing() {
    let bench = Bench::new().await;
    let batch: Vec<Value> = [("1", "a.v1"), ("2", "b.v1"), ("3", "b.v1"), ("4", "a.v1")]
        .map(|(id, kind)| event(id, kind, json!({"n": 1.50})))
        .into();
    assert_eq!(bench.places(&batch).await, "1 2 3 4");
    assert_eq!(bench.places(&batch).await, "1* 2* 3* 4*");
    assert_eq!(bench.ids(Wanted::All).await, "1 2 3 4");
    assert_eq!(
        bench.ids(Wanted::Any(vec![Selector::kind(Pattern::new("a.v1"))])).await,
        "1 4"
    );
    let page = bench
        .streams
        .read(&"topic-b.v1".parse().expect("a name"), 0, Order::Descending, 9)
        .await;
    assert_eq!(page.expect("reads").events.len(), 1, "from revision 0 back");
    // Each event is idempotent by itself, whatever batch it comes in.
    let mixed = [
        batch[3].clone(),
        event("5", "a.v1", json!(null)),
        batch[0].clone(),
        event("6", "b.v1", json!(null)),
    ];
    assert_eq!(bench.places(&mixed).await, "4* 5 1* 6");
    // White space in the data is no other data.
    let spaced = br#"[{"specversion":"1.0","id":"1","source":"/services/one","type":"a.v1","data":{ "n" : 1.5 }}]"#;
    let spaced = CloudEvent::read_body("application/cloudevents-batch+json", spaced).expect("valid");
    let one = "one".parse().expect("a name");
    let again = bench
        .publisher
        .publish(&one, &Context::default(), spaced)
        .await
        .expect("known");
    assert!(again[0].duplicate && again[0].position == 1);
}

/// Such data are kept as they were written and can be told apart only by their text.
#[tokio::test]
async fn data_that_no_reader_can_hold_may_be_published_again() {
    let (bench, one) = (Bench::new().await, "one".parse().expect("a name"));
    let publish = async |id: &str, data: &str| {
        let event =
            format!(r#"{{"specversion":"1.0","id":"{id}","source":"/services/one","type":"a.v1","data":{data}}}"#);
        let events = CloudEvent::read_body("application/cloudevents+json", event.as_bytes()).expect("valid");
        bench.publisher.publish(&one, &Context::default(), events).await
    };
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    for (id, data) in [("large", "1e999"), ("deep", &*deep)] {
        publish(id, data).await.expect("published");
        assert!(publish(id, data).await.expect("known")[0].duplicate, "{id}");
        assert!(publish(id, "1e998").await.is_err(), "{id}");
    }
}

#[tokio::test]
async fn a_known_id_with_other_content_refuses_the_whole_batch() {
    let bench = Bench::new().await;
    bench.places(&[event("1", "a.v1", json!(1))]).await;
    bench
        .refused(
            &[event("new", "a.v1", json!(1)), event("1", "a.v1", json!(2))],
            "EV-007",
        )
        .await;
    bench
        .refused(
            &[event("1", "b.v1", json!(1)), event("new", "a.v1", json!(1))],
            "EV-007",
        )
        .await;
    bench
        .refused(
            &[event("new", "a.v1", json!(1)), event("new", "a.v1", json!(1))],
            "EV-007",
        )
        .await;
    let elsewhere = CloudEvent::read_body(
        "application/cloudevents+json",
        event("2", "a.v1", json!(1)).to_string().as_bytes(),
    );
    let stream = "order-1".parse().expect("a name");
    bench
        .streams
        .append(&stream, Expected::Any, elsewhere.expect("valid"))
        .await
        .expect("appends");
    bench.refused(&[event("2", "a.v1", json!(1))], "EV-007").await;
    assert_eq!(
        bench.ids(Wanted::All).await,
        "1 2",
        "nothing of a refused batch is there"
    );
}

#[tokio::test]
async fn a_stream_of_ones_own_forges_no_type_of_another() {
    let bench = Bench::new().await;
    let append = async |kind: &str, source: &str, data: Value| {
        let (stream, one) = ("order-1".parse().expect("a name"), "one".parse().expect("a name"));
        let mut event = event(&format!("{kind} {source} {data}"), kind, data);
        event["source"] = source.into();
        let events = CloudEvent::read_body("application/cloudevents+json", event.to_string().as_bytes());
        let context = Context::default();
        let appended = bench
            .publisher
            .append(&one, &context, &stream, Expected::Any, events.expect("valid"));
        appended
            .await
            .map(|receipt| receipt.position)
            .map_err(|error| error.code().to_string())
    };
    assert_eq!(append("private.v1", "/services/one", json!(1)).await, Ok(1));
    assert_eq!(append("a.v1", "/services/one/desk", json!(1)).await, Ok(2));
    assert_eq!(append("c.v1", "/services/one", json!({})).await, Err("EV-005".into()));
    assert_eq!(
        append("private.v1", "/services/two", json!(1)).await,
        Err("EV-002".into())
    );
    let mut foreign = event("1", "a.v1", json!(1));
    foreign["source"] = "/services/two".into();
    bench.refused(&[foreign], "EV-002").await;
    assert_eq!(
        bench.ids(Wanted::All).await.split(' ').count(),
        6,
        "two of three words each"
    );
}

#[tokio::test]
async fn only_declared_types_with_fitting_data_are_published() {
    let bench = Bench::new().await;
    bench
        .refused(&[event("1", "a.v1", json!(1)), event("2", "c.v1", json!({}))], "EV-005")
        .await;
    bench.refused(&[event("1", "a.v2", json!(1))], "EV-005").await;
    let two = "two".parse().expect("a name");
    let mut wrong = event("1", "c.v1", json!(7));
    wrong["source"] = "/services/two".into();
    let body = json!([wrong]).to_string();
    let events = CloudEvent::read_body("application/cloudevents-batch+json", body.as_bytes()).expect("valid");
    let error = bench
        .publisher
        .publish(&two, &Context::default(), events)
        .await
        .expect_err("refused");
    assert_eq!(error.code().as_str(), "EV-006");
    bench.refused(&[], "EV-010").await;
    let many: Vec<Value> = (0..1_001).map(|n| event(&n.to_string(), "a.v1", json!(n))).collect();
    bench.refused(&many, "EV-010").await;
    assert_eq!(bench.ids(Wanted::All).await, "");
    assert_eq!(bench.places(&many[..1_000]).await.split(' ').count(), 1_000);
}

#[tokio::test]
async fn what_the_producer_left_out_comes_from_the_call_and_from_the_clock() {
    let bench = Bench::new().await;
    let context = Context {
        correlation: Some("flow-1".into()),
        causation: Some("call-1".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let mut told = event("told", "a.v1", json!(1));
    told["correlationid"] = "mine".into();
    // Years off: kept, and never used for order.
    told["time"] = "1999-01-01T00:00:00Z".into();
    bench
        .publish(&context, &[event("left", "a.v1", json!(1)), told])
        .await
        .expect("published");
    let left = bench.body("left").await;
    assert_eq!(
        (&left["correlationid"], &left["causationid"]),
        (&json!("flow-1"), &json!("call-1"))
    );
    assert!(left["time"].as_str().is_some_and(|time| time.ends_with('Z')) && left["traceparent"].is_string());
    assert_eq!(bench.body("told").await["time"], "1999-01-01T00:00:00Z");
    assert_eq!(bench.ids(Wanted::Correlation("flow-1".into())).await, "left");
    assert_eq!(bench.ids(Wanted::Correlation("mine".into())).await, "told");
    assert_eq!(bench.ids(Wanted::All).await, "left told");
}

#[tokio::test]
async fn a_chain_of_causes_ends_at_its_bound() {
    let bench = Bench::new().await;
    bench.places(&[event("0", "a.v1", json!(1))]).await;
    for n in 1..=64 {
        bench.places(&[caused(&n.to_string(), &(n - 1).to_string())]).await;
    }
    assert_eq!(bench.body("64").await["ondolhops"], 64);
    bench.refused(&[caused("65", "64")], "EV-008").await;
    // A batch may hold cause and effect; nothing is its own cause; what is unknown begins anew.
    bench.places(&[caused("x", "62"), caused("y", "x")]).await;
    bench
        .refused(&[caused("x2", "62"), caused("y2", "x2"), caused("z2", "y2")], "EV-008")
        .await;
    bench
        .places(&[caused("self", "self"), caused("stranger", "nobody")])
        .await;
    assert_eq!(
        (
            &bench.body("self").await["ondolhops"],
            &bench.body("y").await["ondolhops"]
        ),
        (&json!(null), &json!(64))
    );
    let appended = CloudEvent::read_body("application/cloudevents+json", caused("s", "64").to_string().as_bytes());
    let outcome = bench
        .streams
        .append(
            &"order-1".parse().expect("a name"),
            Expected::Any,
            appended.expect("valid"),
        )
        .await;
    assert_eq!(outcome.expect_err("refused").code().as_str(), "EV-008");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_published_at_once_in_many_batches_are_there_once() {
    let bench = Arc::new(Bench::new().await);
    let all: Vec<Value> = (0..40)
        .map(|n| event(&n.to_string(), ["a.v1", "b.v1"][n % 2], json!(n)))
        .collect();
    let publish = |turn: usize| {
        let (bench, mut batch) = (bench.clone(), all.clone());
        batch.rotate_left(turn * 7 % 40);
        async move {
            bench
                .publish(&Context::default(), &batch[..25])
                .await
                .expect("published")
        }
    };
    let published = futures(12, publish).await;
    let stored = bench
        .streams
        .log(Wanted::All, 0, Order::Ascending, 1_000)
        .await
        .expect("reads")
        .events;
    assert_eq!(stored.len(), 40);
    for one in published.iter().flatten() {
        let at = &stored[usize::try_from(one.position).expect("small") - 1];
        assert_eq!(at.event.id, one.id, "everybody is told the same place");
    }
    let new = published.iter().flatten().filter(|one| !one.duplicate).count();
    assert_eq!(new, 40, "each event is new to exactly one of them");
}

async fn futures<T, F: Future<Output = T> + Send + 'static>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
{
    let mut set = tokio::task::JoinSet::new();
    for n in 0..count {
        set.spawn(make(n));
    }
    set.join_all().await
}
