//! The handle over a real SQLite store.

use ondol_core::clock::{Clock, SystemClock};
use ondol_core::engine::{Expected, Order, Selector, StoreError, Wanted};
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::StreamName;
use ondol_core::task::Tasks;
use ondol_events::{CloudEvent, EventsError, Streams, expected_from_if_match};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const BATCH: &str = "application/cloudevents-batch+json";

struct Bench {
    streams: Streams,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("events.db").display());
        let engine = ondol_store::open(&url, Arc::new(SystemClock), Arc::new(SystemEntropy))
            .await
            .expect("opens");
        Self {
            streams: Streams::new(engine, Arc::new(SystemClock), &Tasks::new()),
            _folder: folder,
        }
    }

    async fn append(&self, stream: &str, expected: Expected, ids: &[&str]) -> Result<[u64; 4], EventsError> {
        let events: Vec<Value> = ids
            .iter()
            .map(|id| json!({"specversion": "1.0", "id": id, "source": "/t", "type": "t.v1", "data": {"of": id}}))
            .collect();
        let events = CloudEvent::read_body(BATCH, json!(events).to_string().as_bytes())?;
        let receipt = self.streams.append(&name(stream), expected, events).await?;
        Ok([
            receipt.first_revision,
            receipt.revision,
            receipt.first_position,
            receipt.position,
        ])
    }

    /// Ids and positions of everything after `after`, as the JSON gives them.
    async fn all(&self, after: u64, families: Option<&[&str]>, wait: Duration) -> Vec<(String, u64)> {
        let family = |name: &&str| Selector::family(*name);
        let wanted = families.map_or(Wanted::All, |names| Wanted::Any(names.iter().map(family).collect()));
        let page = self.streams.follow(&wanted, after, 100, wait).await.expect("reads");
        let events: Vec<Value> = serde_json::from_slice(&page.to_json()).expect("a JSON array");
        assert_eq!(
            page.last_position(),
            events.last().and_then(|event| event["position"].as_u64())
        );
        events
            .iter()
            .map(|event| {
                (
                    event["id"].as_str().expect("id").to_owned(),
                    event["position"].as_u64().expect("position"),
                )
            })
            .collect()
    }
}

fn name(text: &str) -> StreamName {
    text.parse().expect("a stream name")
}

#[tokio::test]
async fn what_is_appended_is_read_back_with_its_places() {
    let bench = Bench::new().await;
    assert_eq!(
        bench
            .append("order-1", Expected::NoStream, &["a", "a#2"])
            .await
            .expect("new"),
        [0, 1, 1, 2]
    );
    assert_eq!(
        bench.append("cart-1", Expected::Any, &["b"]).await.expect("new"),
        [0, 0, 3, 3]
    );
    assert_eq!(
        bench
            .append("order-1", Expected::Revision(1), &["c"])
            .await
            .expect("next"),
        [2, 2, 4, 4]
    );
    let page = bench
        .streams
        .read(&name("order-1"), 1, Order::Ascending, 10)
        .await
        .expect("reads");
    let events: Value = serde_json::from_slice(&page.to_json()).expect("JSON");
    let second = &events[0];
    assert_eq!(
        (&second["stream"], &second["revision"], &second["position"]),
        (&json!("order-1"), &json!(1), &json!(2))
    );
    assert_eq!(
        (&second["id"], &second["data"], &second["specversion"]),
        (&json!("a#2"), &json!({"of": "a#2"}), &json!("1.0"))
    );
    assert!(second["time"].as_str().expect("set at the append").ends_with('Z'));
    assert_eq!(events.as_array().map(Vec::len), Some(2));
    let none = bench
        .streams
        .read(&name("order-2"), 0, Order::Ascending, 10)
        .await
        .expect("reads");
    assert_eq!(&none.to_json()[..], b"[]");
    assert_eq!(
        bench.all(0, Some(&["order"]), Duration::ZERO).await,
        [("a".into(), 1), ("a#2".into(), 2), ("c".into(), 4)]
    );
    assert_eq!(
        bench.all(2, None, Duration::ZERO).await,
        [("b".into(), 3), ("c".into(), 4)]
    );
}

#[tokio::test]
async fn a_batch_whose_first_id_is_known_gets_its_first_places_whatever_it_expects() {
    let bench = Bench::new().await;
    bench
        .append("order-1", Expected::NoStream, &["a", "a#2"])
        .await
        .expect("new");
    bench.append("order-1", Expected::Any, &["b"]).await.expect("next");
    for expected in [Expected::NoStream, Expected::Revision(77)] {
        assert_eq!(
            bench.append("order-1", expected, &["a", "a#2"]).await.expect("known"),
            [0, 1, 1, 2]
        );
    }
    assert_eq!(bench.all(0, None, Duration::ZERO).await.len(), 3);
    let elsewhere = bench.append("order-2", Expected::Any, &["a"]).await;
    assert!(matches!(elsewhere, Err(EventsError::Store(StoreError::IdInUse { id })) if id == "a"));
    let later = bench.append("order-1", Expected::Any, &["new", "b"]).await;
    assert!(matches!(later, Err(EventsError::Store(StoreError::IdInUse { id })) if id == "b"));
    let wrong = bench.append("order-1", Expected::NoStream, &["c"]).await;
    assert!(matches!(
        wrong,
        Err(EventsError::Store(StoreError::WrongRevision { actual: Some(2), .. }))
    ));
}

#[tokio::test]
async fn a_follower_is_woken_by_an_append_and_not_by_time() {
    let bench = Bench::new().await;
    // Half a minute of waiting would fail the test's patience; the append ends it at once.
    let follow = bench.all(0, Some(&["order"]), Duration::from_secs(30));
    let appends = async {
        bench
            .append("cart-1", Expected::Any, &["other"])
            .await
            .expect("another family wakes, and is not given");
        bench.append("order-1", Expected::Any, &["a"]).await.expect("appends");
    };
    let (seen, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(follow, appends) })
        .await
        .expect("woken long before its own wait ends");
    assert_eq!(seen, [("a".into(), 2)]);
    assert_eq!(bench.all(2, None, Duration::from_millis(1)).await, []);
}

/// A reader at the end of the log costs reads by time, and not by appends.
#[tokio::test]
async fn a_follower_gathers_appends_and_misses_none() {
    const EVENTS: u64 = 300;
    let bench = Bench::new().await;
    let begun = SystemClock.mono();
    let follow = async {
        let (mut after, mut pages) = (0, 0);
        while after < EVENTS {
            let page = bench
                .streams
                .follow(&Wanted::All, after, 10_000, Duration::from_secs(30))
                .await;
            let page = page.expect("reads");
            let first = page.events.first().map(|event| event.position);
            assert_eq!(first, Some(after + 1), "none is missing");
            after = page.last_position().expect("an event");
            pages += 1;
        }
        pages
    };
    let appends = async {
        for n in 0..EVENTS {
            bench
                .append("order-1", Expected::Any, &[&n.to_string()])
                .await
                .expect("appends");
        }
    };
    let (pages, ()) = tokio::join!(follow, appends);
    let took = SystemClock.mono() - begun;
    assert!(pages <= took.as_millis() / 10 + 2, "{pages} pages in {took:?}");
    assert_eq!(bench.all(EVENTS, None, Duration::from_millis(1)).await, []);
}

#[tokio::test]
async fn an_append_whose_caller_goes_away_still_wakes_followers() {
    let bench = Bench::new().await;
    let events =
        CloudEvent::read_body(BATCH, br#"[{"specversion":"1.0","id":"a","source":"/t","type":"t"}]"#).expect("valid");
    {
        let stream = name("order-1");
        let mut append = Box::pin(bench.streams.append(&stream, Expected::Any, events));
        // Polled once, so that it is on its way, and dropped.
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(append.as_mut().poll(cx).is_pending())).await);
    }
    assert_eq!(bench.all(0, None, Duration::from_secs(30)).await, [("a".into(), 1)]);
}

#[test]
fn conditions_are_read_as_http_writes_them() {
    let read = |text| expected_from_if_match(text).ok();
    assert_eq!(read(None), Some(Expected::Any));
    assert_eq!(read(Some("*")), Some(Expected::Exists));
    for text in ["\"no-stream\"", "no-stream"] {
        assert_eq!(read(Some(text)), Some(Expected::NoStream));
    }
    for text in ["\"7\"", " 7 "] {
        assert_eq!(read(Some(text)), Some(Expected::Revision(7)));
    }
    for text in ["", "\"\"", "W/\"7\"", "+7", "-1", "7, 8", "18446744073709551616", "\"7"] {
        assert_eq!(read(Some(text)), None, "{text}");
    }
}
