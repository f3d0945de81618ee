//! Shipping over HTTP on a real SQLite file: one parcel per order, whatever is repeated.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Said, Service};

struct Shipping {
    service: Service,
    _folder: tempfile::TempDir,
}

impl Shipping {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/shipping.db", folder.path().display());
        let database = Database::open(&url, shop_shipping::MIGRATIONS).await.unwrap();
        Self {
            service: Service::start(shop_shipping::router(database)).await,
            _folder: folder,
        }
    }

    async fn ship(&self, saga: &str, items: Value) -> Said {
        let body = json!({ "customer": "alice", "items": items });
        self.service
            .step(
                "PUT",
                &format!("/internal/shipments/{saga}"),
                &format!("{saga}.ship.action"),
                body,
            )
            .await
    }

    async fn get(&self, path: &str) -> Said {
        self.service.get("", path).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_is_sent_once_with_one_number_however_often_it_is_asked() {
    let shipping = Shipping::start().await;
    let items = json!([{ "product_id": "p01", "quantity": 2 }, { "product_id": "p02", "quantity": 1 }]);
    let answers = join_all((0..8).map(|_| shipping.ship("s1", items.clone()))).await;
    let first = &answers[0].body;
    assert_eq!(first["id"], "s1");
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.body == *first),
        "{answers:?}"
    );
    let seen = shipping.get("/internal/shipments/s1").await;
    let expected =
        json!({ "id": "s1", "customer": "alice", "tracking": first["tracking"], "items": items, "delivery": null });
    assert_eq!((seen.status, seen.body), (200, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_the_own_parcel_only() {
    let shipping = Shipping::start().await;
    let sent = shipping
        .ship("s1", json!([{ "product_id": "p01", "quantity": 1 }]))
        .await;
    let own = shipping.service.get("alice", "/api/shipments/s1").await;
    // Nobody has asked the carriers here, and the parcel is on its way all the same.
    let expected = json!({ "id": "s1", "tracking": sent.body["tracking"], "delivery": null });
    assert_eq!((own.status, own.body), (200, expected));
    assert_eq!(shipping.service.get("mallory", "/api/shipments/s1").await.status, 404);
    assert_eq!(shipping.service.get("alice", "/api/shipments/s2").await.status, 404);
    assert_eq!(shipping.service.get("", "/api/shipments/s1").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_count_parcels_and_what_is_in_them() {
    let shipping = Shipping::start().await;
    // No carriers are here to promise anything.
    let deliveries = |waiting: u32| json!({ "promised": 0, "refused": 0, "waiting": waiting });
    assert_eq!(
        shipping.get("/internal/totals").await.body,
        json!({ "shipments": 0, "deliveries": deliveries(0), "shipped": [] })
    );
    shipping
        .ship(
            "s1",
            json!([{ "product_id": "p02", "quantity": 2 }, { "product_id": "p01", "quantity": 1 }]),
        )
        .await;
    shipping
        .ship(
            "s2",
            json!([{ "product_id": "p02", "quantity": 3 }, { "product_id": "p02", "quantity": 1 }]),
        )
        .await;
    let shipped = json!([{ "product_id": "p01", "quantity": 1 }, { "product_id": "p02", "quantity": 6 }]);
    assert_eq!(
        shipping.get("/internal/totals").await.body,
        json!({ "shipments": 2, "deliveries": deliveries(2), "shipped": shipped })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_sends_nothing() {
    let shipping = Shipping::start().await;
    for items in [
        json!([]),
        json!([{ "product_id": "p01", "quantity": 0 }]),
        json!("all"),
        Value::Null,
    ] {
        assert_eq!(shipping.ship("s1", items.clone()).await.status, 400, "{items}");
    }
    let late = shipping
        .service
        .step("PUT", "/internal/shipments/s1", "s1.ship.compensate", json!({}))
        .await;
    assert_eq!(late.status, 400);
    assert_eq!(shipping.get("/internal/shipments/s1").await.status, 404);
    let nowhere = shipping.get("/internal/parcels").await;
    assert_eq!((nowhere.status, &nowhere.body["reason"]), (404, &json!("not_found")));
    assert_eq!(
        shipping
            .service
            .step("DELETE", "/internal/shipments/s1", "s1.ship.action", Value::Null)
            .await
            .status,
        405
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_can_be_compared_page_by_page() {
    let shipping = Shipping::start().await;
    for saga in ["s2", "s1"] {
        let items = json!([{ "product_id": "p01", "quantity": 2 }, { "product_id": "p02", "quantity": 1 }]);
        shipping.ship(saga, items).await;
    }
    let mut page = shipping.get("/internal/reconcile/shipments?limit=1").await.body;
    let first = page["items"][0].as_object_mut().unwrap();
    assert!(first.remove("at").unwrap().as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(json!(first), json!({ "key": "s1", "customer": "alice", "pieces": 3 }));
    assert_eq!(page["next"], "s1");
    let rest = shipping.get("/internal/reconcile/shipments?after=s1").await.body;
    assert_eq!((&rest["items"][0]["key"], &rest["next"]), (&json!("s2"), &Value::Null));
}
