//! What the saga's calls do, whatever arrives twice, late or in the wrong order, and whatever is lost on the way.

use crate::support::{Shop, basket, told};
use serde_json::{Value, json};

const PLACED: &str = "o1.create.action order.placed.v1";
const UNDONE: &str = "o1.create.compensate order.cancelled.v1";
const CONFIRMED: &str = "o1.confirm.action order.confirmed.v1";

#[tokio::test]
async fn an_order_is_placed_at_the_prices_of_now_and_can_be_read_at_once() {
    let shop = Shop::open().await;
    let created = shop.create("o1", basket()).await;
    assert_eq!(
        created.body,
        json!({"id": "o1", "status": "pending", "total": 370, "currency": "EUR"})
    );
    let order = shop.order("o1").await;
    assert_eq!(
        (order.status, &order.body["status"], &order.body["total"]),
        (200, &json!("pending"), &json!(370))
    );
    let line = json!({"product_id": "p01", "quantity": 2, "name": "P01", "price": 150});
    assert_eq!(order.body["items"][0], line);
    assert_eq!(order.body["history"][0]["type"], "order.placed.v1");
}

#[tokio::test]
async fn whoever_is_told_confirmed_reads_confirmed() {
    let shop = Shop::open().await;
    shop.create("o1", basket()).await;
    assert_eq!(
        shop.confirm("o1").await.body,
        json!({"id": "o1", "status": "confirmed"})
    );
    let order = shop.order("o1").await.body;
    assert_eq!(
        [&order["status"], &order["payment"], &order["shipment"]],
        ["confirmed", "c1", "s1"]
    );
    assert_eq!(order["history"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn whoever_is_told_cancelled_reads_cancelled_and_why() {
    let shop = Shop::open().await;
    shop.create("o1", basket()).await;
    assert_eq!(
        shop.cancel("o1", basket(), "out_of_stock").await.body,
        json!({"id": "o1", "status": "cancelled"})
    );
    let order = shop.order("o1").await.body;
    assert_eq!([&order["status"], &order["reason"]], ["cancelled", "out_of_stock"]);
}

#[tokio::test]
async fn every_call_may_be_sent_twice_and_is_done_once() {
    let shop = Shop::open().await;
    let first = shop.create("o1", basket()).await;
    // The second create may not look at prices again: they have changed, then nobody knows them.
    shop.prices.lock().unwrap().as_mut().unwrap().insert("p01", 9999);
    assert_eq!(shop.create("o1", basket()).await.body, first.body);
    *shop.prices.lock().unwrap() = None;
    assert_eq!(shop.create("o1", basket()).await.body, first.body);
    for _ in 0..2 {
        assert_eq!(shop.confirm("o1").await.status, 200);
    }
    assert_eq!(
        shop.create("o1", basket()).await.body,
        first.body,
        "the first answer, whatever came since"
    );
    assert_eq!(shop.log.told(), [PLACED, CONFIRMED]);

    shop.prices.lock().unwrap().replace([("p01", 150)].into());
    let items = json!([{"product_id": "p01", "quantity": 1}]);
    shop.create("o2", items.clone()).await;
    for _ in 0..2 {
        assert_eq!(shop.cancel("o2", items.clone(), "deadline").await.status, 200);
    }
    assert_eq!(shop.log.told().len(), 4);
}

/// The contract counts characters, so that is what is counted here: else an order that fits is refused half way.
#[tokio::test]
async fn a_product_id_of_as_many_letters_as_the_contract_allows_is_looked_for_in_any_script() {
    let shop = Shop::open().await;
    let items = |letters| json!([{"product_id": "가".repeat(letters), "quantity": 1}]);
    assert_eq!(told(&shop.create("o1", items(64)).await), (409, "unknown_product"));
    assert_eq!(told(&shop.create("o2", items(65)).await), (400, "bad_order"));
}

#[tokio::test]
async fn an_unknown_product_cancels_the_order_which_can_still_be_seen() {
    let shop = Shop::open().await;
    let items = json!([{"product_id": "p01", "quantity": 1}, {"product_id": "p99", "quantity": 1}]);
    for _ in 0..2 {
        let refused = shop.create("o1", items.clone()).await;
        assert_eq!(told(&refused), (409, "unknown_product"));
        assert_eq!(refused.headers["content-type"], "application/problem+json");
    }
    assert_eq!(shop.log.told(), [PLACED, "o1.create.action#2 order.cancelled.v1"]);
    let order = shop.order("o1").await.body;
    assert_eq!(
        (&order["status"], &order["reason"]),
        (&json!("cancelled"), &json!("unknown_product"))
    );
    assert_eq!(
        (&order["total"], &order["items"][1]["price"]),
        (&json!(0), &Value::Null)
    );
    // The saga undoes every step that may have been done, this one too.
    assert_eq!(shop.cancel("o1", items, "unknown_product").await.status, 200);
    assert_eq!(shop.log.told().len(), 2, "there was nothing left to undo");
}

#[tokio::test]
async fn a_cancel_that_comes_first_closes_the_order_and_the_late_create_is_refused() {
    let shop = Shop::open().await;
    for _ in 0..2 {
        assert_eq!(shop.cancel("o1", basket(), "deadline").await.status, 200);
    }
    assert_eq!(told(&shop.create("o1", basket()).await), (409, "compensated"));
    assert_eq!(shop.log.told(), [UNDONE]);
    let order = shop.order("o1").await.body;
    assert_eq!(
        [&order["status"], &order["items"][0]["product_id"]],
        ["cancelled", "p01"]
    );
}

#[tokio::test]
async fn a_cancel_that_overtakes_the_create_between_its_look_and_its_append_wins() {
    let shop = Shop::open().await;
    let tombstone = json!({
        "specversion": "1.0", "id": "o1.create.compensate", "source": "/s", "type": "order.cancelled.v1",
        "time": "2026-11-21T00:00:00Z",
        "data": {"customer": "alice", "items": basket(), "reason": "deadline", "currency": "EUR"},
    });
    shop.log.let_a_rival_be_faster("o1", tombstone);
    assert_eq!(told(&shop.create("o1", basket()).await), (409, "compensated"));
    assert_eq!(shop.log.told(), [UNDONE]);
}

#[tokio::test]
async fn an_order_that_has_ended_cannot_end_otherwise() {
    let shop = Shop::open().await;
    shop.create("o1", basket()).await;
    shop.confirm("o1").await;
    assert_eq!(told(&shop.cancel("o1", basket(), "deadline").await), (409, "confirmed"));
    shop.create("o2", basket()).await;
    shop.cancel("o2", basket(), "deadline").await;
    assert_eq!(told(&shop.confirm("o2").await), (409, "cancelled"));
    assert_eq!(told(&shop.confirm("o3").await), (409, "unknown_order"));
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_unknown_and_the_repeat_finds_it() {
    let shop = Shop::open().await;
    shop.log.lose_the_next_answer();
    let lost = shop.create("o1", basket()).await;
    assert_eq!(
        (told(&lost), &lost.headers["retry-after"]),
        ((503, "log_unavailable"), &"1".parse().unwrap())
    );
    *shop.prices.lock().unwrap() = None;
    assert_eq!(shop.create("o1", basket()).await.body["total"], 370);
    assert_eq!(shop.log.told(), [PLACED]);
}

#[tokio::test]
async fn without_prices_nothing_is_decided() {
    let shop = Shop::open().await;
    *shop.prices.lock().unwrap() = None;
    assert_eq!(told(&shop.create("o1", basket()).await), (503, "prices_unknown"));
    assert_eq!(shop.log.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_create_and_its_cancel_sent_at_once_leave_one_story() {
    let shop = Shop::open().await;
    for number in 0..20 {
        let id = format!("o{number}");
        let (created, cancelled) = tokio::join!(shop.create(&id, basket()), shop.cancel(&id, basket(), "deadline"));
        assert_eq!(cancelled.status, 200);
        let types: Vec<String> = shop
            .log
            .events()
            .iter()
            .filter(|event| event["subject"] == id.as_str())
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect();
        match created.status {
            200 => assert_eq!(types, ["order.placed.v1", "order.cancelled.v1"], "{id}"),
            _ => assert_eq!(
                (told(&created), types),
                ((409, "compensated"), vec!["order.cancelled.v1".to_owned()])
            ),
        }
        assert_eq!(shop.order(&id).await.body["status"], "cancelled", "{id}");
    }
}

#[tokio::test]
async fn events_say_which_call_made_them_and_which_flow_they_belong_to() {
    let shop = Shop::open().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let baggage = "correlation-id=c1,causation-id=o1.create.action";
    let headers = [
        ("idempotency-key", "\"o1.create.action\""),
        ("traceparent", parent),
        ("baggage", baggage),
    ];
    let body = json!({"customer": "alice", "items": basket()});
    shop.orders.ask("PUT", "/internal/orders/o1", &headers, body).await;
    let event = shop.log.events().remove(0);
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "o1.create.action"),
        ("stream", "order-o1"),
        ("subject", "o1"),
        ("partitionkey", "o1"),
        ("baggage", baggage),
        ("traceparent", parent),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!(event["data"]["customer"], "alice");
}

#[tokio::test]
async fn what_no_saga_sends_is_refused_before_anything_is_done() {
    let shop = Shop::open().await;
    let fits = json!({"customer": "alice", "items": basket()});
    let check = async |key: &str, path: &str, body: Value, reason: &str| {
        let headers: &[(&str, &str)] = if key.is_empty() {
            &[]
        } else {
            &[("idempotency-key", key)]
        };
        let said = shop.orders.ask("PUT", path, headers, body).await;
        assert_eq!(told(&said), (400, reason), "{key} {path}");
    };
    check("", "/internal/orders/o1", fits.clone(), "bad_saga_key").await;
    check(
        "o1.create.compensate",
        "/internal/orders/o1",
        fits.clone(),
        "bad_saga_key",
    )
    .await;
    check(
        "o1.create.action",
        "/internal/orders/o%2F1",
        fits.clone(),
        "bad_order_id",
    )
    .await;
    check(
        "o1.create.action",
        "/internal/orders/o1",
        json!({"customer": "alice"}),
        "bad_body",
    )
    .await;
    for items in [
        json!([]),
        json!([{"product_id": "p01", "quantity": 0}]),
        json!([{"product_id": "", "quantity": 1}]),
    ] {
        let body = json!({"customer": "alice", "items": items});
        check("o1.create.action", "/internal/orders/o1", body, "bad_order").await;
    }
    assert_eq!(shop.log.told(), Vec::<String>::new());
}
