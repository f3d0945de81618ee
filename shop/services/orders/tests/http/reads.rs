//! What customers read: from the read model alone, in their own orders only, whatever becomes of the log.

use crate::support::{Shop, basket, told};
use serde_json::{Value, json};
use shop_kit::testing::Service;

fn ids(page: &Value) -> Vec<&str> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap())
        .collect()
}

/// Asks until the answer is as expected; the test's own time limit is that of the test run.
async fn until(service: &Service, path: &str, expected: &Value) {
    while &service.get("alice", path).await.body != expected {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_list_has_the_newest_first_in_pages() {
    let shop = Shop::open().await;
    for id in ["b", "c", "a"] {
        shop.create(id, basket()).await;
    }
    let first = shop.orders.get("alice", "/api/orders?limit=2").await.body;
    assert_eq!((ids(&first), &first["next"]), (vec!["a", "c"], &json!("c")));
    let second = shop.orders.get("alice", "/api/orders?limit=2&after=c").await.body;
    assert_eq!((ids(&second), &second["next"]), (vec!["b"], &Value::Null));
    assert_eq!(
        second["items"][0],
        shop.order("b").await.body,
        "the same order wherever it is read"
    );
}

#[tokio::test]
async fn somebody_elses_order_is_not_there() {
    let shop = Shop::open().await;
    shop.create("o1", basket()).await;
    assert_eq!(
        told(&shop.orders.get("bob", "/api/orders/o1").await),
        (404, "not_found")
    );
    assert_eq!(
        shop.orders.get("bob", "/api/orders").await.body,
        json!({"items": [], "next": null})
    );
    assert_eq!(
        ids(&shop.orders.get("bob", "/api/orders?after=o1").await.body),
        Vec::<&str>::new()
    );
    assert_eq!(shop.orders.get("", "/api/orders/o1").await.status, 401);
}

#[tokio::test]
async fn reads_go_on_while_the_log_is_away_and_writes_say_when_to_come_back() {
    let shop = Shop::open().await;
    shop.create("o1", basket()).await;
    let before = shop.order("o1").await.body;
    shop.log.away(true);
    let refused = shop.confirm("o1").await;
    assert_eq!(
        (told(&refused), refused.headers.contains_key("retry-after")),
        ((503, "log_unavailable"), true)
    );
    assert_eq!(shop.order("o1").await.body, before);
    assert_eq!(ids(&shop.orders.get("alice", "/api/orders").await.body), ["o1"]);
    shop.log.away(false);
    assert_eq!(shop.confirm("o1").await.status, 200, "and it goes on where it was");
    assert_eq!(shop.order("o1").await.body["status"], "confirmed");
}

#[tokio::test]
async fn a_read_model_that_was_deleted_fills_again_to_the_same() {
    let shop = Shop::open().await;
    for id in ["o1", "o2", "o3"] {
        shop.create(id, basket()).await;
    }
    shop.confirm("o1").await;
    shop.cancel("o2", basket(), "deadline").await;
    let list = shop.orders.get("alice", "/api/orders").await.body;
    let rebuilt = shop.another("rebuilt").await;
    until(&rebuilt, "/api/orders", &list).await;
    let totals = json!({"pending": 1, "confirmed": 1, "cancelled": 1, "confirmed_total": 370, "currency": "EUR"});
    assert_eq!(rebuilt.get("", "/internal/totals").await.body, totals);
    assert_eq!(shop.orders.get("", "/internal/totals").await.body, totals);
}

#[tokio::test]
async fn two_instances_that_share_a_file_take_every_event_in_once() {
    let shop = Shop::open().await;
    let other = shop.another("orders").await;
    for number in 0..10 {
        shop.create(&format!("o{number}"), basket()).await;
        shop.confirm(&format!("o{number}")).await;
    }
    let list = shop.orders.get("alice", "/api/orders").await.body;
    assert_eq!(other.get("alice", "/api/orders").await.body, list);
    for order in list["items"].as_array().unwrap() {
        assert_eq!(order["history"].as_array().unwrap().len(), 2, "{order}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_does_not_hide_those_after_it() {
    let shop = Shop::open().await;
    let event = |kind: &str, data: Value| {
        let time = "2026-11-21T00:00:00Z";
        json!({"specversion": "1.0", "id": kind, "source": "/s", "type": kind, "time": time, "data": data})
    };
    shop.log.put("later", event("order.placed.v2", json!({})));
    shop.log.put("torn", event("order.placed.v1", json!({"customer": 7})));
    shop.log.put(
        "odd",
        event("order.confirmed.v1", json!({"payment": "c", "shipment": "s"})),
    );
    assert_eq!(shop.create("o1", basket()).await.status, 200);
    assert_eq!(ids(&shop.orders.get("alice", "/api/orders").await.body), ["o1"]);
    // Nothing is decided on a history that is only half understood.
    assert_eq!(shop.create("later", basket()).await.status, 503);
    assert_eq!(shop.confirm("odd").await.status, 500);
}

#[tokio::test]
async fn a_page_of_a_size_that_is_none_is_refused() {
    let shop = Shop::open().await;
    for bad in ["limit=0", "limit=101", "limit=all"] {
        assert_eq!(
            told(&shop.orders.get("alice", &format!("/api/orders?{bad}")).await),
            (400, "bad_query"),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn every_order_is_there_to_be_compared_by_rising_id() {
    let shop = Shop::open().await;
    for id in ["b", "c", "a"] {
        shop.create(id, basket()).await;
    }
    shop.confirm("b").await;
    let first = shop.orders.get("", "/internal/reconcile/orders?limit=2").await.body;
    let keys = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["key"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (keys(&first), &first["next"]),
        (vec![json!("a"), json!("b")], &json!("b"))
    );
    let order = shop.order("b").await.body;
    let pieces: i64 = order["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["quantity"].as_i64().unwrap())
        .sum();
    let compared = &first["items"][1];
    for (name, value) in [
        ("status", json!("confirmed")),
        ("customer", json!("alice")),
        ("total", order["total"].clone()),
        ("currency", json!("EUR")),
        ("pieces", json!(pieces)),
    ] {
        assert_eq!(compared[name], value, "{name}");
    }
    // To the millisecond, since its last event.
    let confirmed = order["history"][1]["at"].as_str().unwrap();
    assert_eq!(compared["at"].as_str().unwrap()[..19], confirmed[..19]);
    let rest = shop.orders.get("", "/internal/reconcile/orders?after=b").await.body;
    assert_eq!((keys(&rest), &rest["next"]), (vec![json!("c")], &Value::Null));
    assert_eq!(
        shop.orders
            .get("", "/internal/reconcile/orders?limit=1001")
            .await
            .status,
        400
    );
}
