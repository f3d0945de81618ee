//! Inventory over HTTP on a real SQLite file: try, confirm, cancel, in every order that a saga can send them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Said, Service, identity};

struct Inventory {
    service: Service,
    _folder: tempfile::TempDir,
}

impl Inventory {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/inventory.db", folder.path().display());
        let database = Database::open(&url, shop_inventory::MIGRATIONS).await.unwrap();
        Self {
            service: Service::start(shop_inventory::router(database)).await,
            _folder: folder,
        }
    }

    async fn reserve(&self, saga: &str, items: &[(&str, i64)]) -> Said {
        let items: Vec<_> = items
            .iter()
            .map(|(id, n)| json!({ "product_id": id, "quantity": n }))
            .collect();
        let (path, key) = (
            format!("/internal/reservations/{saga}"),
            format!("{saga}.reserve.action"),
        );
        self.service.step("PUT", &path, &key, json!({ "items": items })).await
    }

    async fn release(&self, saga: &str) -> Said {
        let (path, key) = (
            format!("/internal/reservations/{saga}"),
            format!("{saga}.reserve.compensate"),
        );
        self.service.step("DELETE", &path, &key, Value::Null).await
    }

    async fn deduct(&self, saga: &str) -> Said {
        let (path, key) = (
            format!("/internal/reservations/{saga}/deduct"),
            format!("{saga}.deduct.action"),
        );
        self.service.step("POST", &path, &key, Value::Null).await
    }

    async fn restock(&self, subject: &str, product: &str, key: &str, body: Value) -> Said {
        let mut headers = identity(subject);
        headers.push(("idempotency-key", key));
        self.service
            .ask("POST", &format!("/api/admin/products/{product}/stock"), &headers, body)
            .await
    }

    /// On hand, reserved and shipped of a product; the law that nothing vanishes is checked on the way.
    async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let totals = self.service.get("", "/internal/totals").await.body;
        let row = totals["products"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["product_id"] == product)
            .unwrap();
        let number = |name: &str| row[name].as_i64().unwrap();
        assert_eq!(number("on_hand") + number("shipped"), number("received"), "{row}");
        (number("on_hand"), number("reserved"), number("shipped"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_is_fifty_products_of_a_thousand() {
    let inventory = Inventory::start().await;
    let totals = inventory.service.get("", "/internal/totals").await.body;
    let products = totals["products"].as_array().unwrap();
    assert_eq!(products.len(), 50);
    let row = |id: &str| json!({ "product_id": id, "received": 1000, "on_hand": 1000, "reserved": 0, "shipped": 0 });
    assert_eq!((&products[0], &products[49]), (&row("p01"), &row("p50")));
    assert_eq!(
        totals["reservations"],
        json!({ "held": 0, "released": 0, "deducted": 0 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_held_then_deducted_once_however_often_it_is_asked() {
    let inventory = Inventory::start().await;
    for _ in 0..2 {
        let held = inventory.reserve("s1", &[("p01", 3), ("p02", 1), ("p01", 2)]).await;
        assert_eq!((held.status, held.body), (201, json!({ "id": "s1", "status": "held" })));
        assert_eq!(
            inventory.stock("p01").await,
            (1_000, 5, 0),
            "two lines of one product are one"
        );
    }
    for _ in 0..2 {
        let gone = inventory.deduct("s1").await;
        assert_eq!(
            (gone.status, gone.body),
            (200, json!({ "id": "s1", "status": "deducted" }))
        );
        assert_eq!(inventory.stock("p01").await, (995, 0, 5));
        assert_eq!(inventory.stock("p02").await, (999, 0, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_gives_back_once_and_a_late_reservation_takes_nothing() {
    let inventory = Inventory::start().await;
    inventory.reserve("s1", &[("p01", 3)]).await;
    for _ in 0..2 {
        assert_eq!(inventory.release("s1").await.body["status"], "released");
        assert_eq!(inventory.stock("p01").await, (1_000, 0, 0));
    }
    assert_eq!(
        inventory.reserve("s1", &[("p01", 3)]).await.status,
        201,
        "a late repeat hears the old answer"
    );
    assert_eq!(inventory.release("never").await.body["status"], "never_reserved");
    let late = inventory.reserve("never", &[("p01", 3)]).await;
    assert_eq!((late.status, &late.body["reason"]), (409, &json!("compensated")));
    assert_eq!(inventory.stock("p01").await, (1_000, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_held_whole_holds_nothing_and_stays_refused() {
    let inventory = Inventory::start().await;
    for (saga, items, reason) in [
        ("much", [("p01", 5), ("p02", 1_001)], "out_of_stock"),
        ("strange", [("p01", 5), ("p99", 1)], "unknown_product"),
    ] {
        let refused = inventory.reserve(saga, &items).await;
        assert_eq!((refused.status, &refused.body["reason"]), (409, &json!(reason)));
        assert_eq!(refused.body["product_id"], items[1].0);
        assert_eq!(inventory.stock("p01").await, (1_000, 0, 0));
    }
    assert_eq!(
        inventory.restock("admin", "p02", "k", json!({ "add": 1 })).await.body["available"],
        1_001
    );
    assert_eq!(
        inventory.reserve("much", &[("p01", 5), ("p02", 1_001)]).await.status,
        409,
        "the refusal is kept"
    );
    assert_eq!(inventory.release("much").await.body["status"], "never_reserved");
    assert_eq!(inventory.stock("p02").await, (1_001, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deduction_that_cannot_be_is_not_kept_and_works_after_the_repair() {
    let inventory = Inventory::start().await;
    for _ in 0..2 {
        let refused = inventory.deduct("s1").await;
        assert_eq!((refused.status, &refused.body["reason"]), (409, &json!("not_held")));
    }
    inventory.reserve("s1", &[("p01", 3)]).await;
    assert_eq!(inventory.deduct("s1").await.status, 200);
    assert_eq!(inventory.stock("p01").await, (997, 0, 3));
    assert_eq!(
        inventory.release("s1").await.status,
        409,
        "what has left is not given back"
    );
    assert_eq!(inventory.stock("p01").await, (997, 0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_never_gets_more_than_there_is() {
    let inventory = Inventory::start().await;
    let sagas: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
    let answers = join_all(sagas.iter().map(|saga| inventory.reserve(saga, &[("p07", 100)]))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 20);
    assert_eq!(inventory.stock("p07").await, (1_000, 1_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_restocks_and_once_per_key() {
    let inventory = Inventory::start().await;
    assert_eq!(inventory.restock("", "p01", "k", json!({ "add": 5 })).await.status, 401);
    assert_eq!(
        inventory.restock("alice", "p01", "k", json!({ "add": 5 })).await.status,
        403
    );
    for _ in 0..2 {
        let done = inventory.restock("admin", "p01", "k", json!({ "add": 5 })).await;
        assert_eq!((done.status, done.body), (200, json!({ "available": 1_005 })));
    }
    assert_eq!(
        inventory.restock("admin", "p01", "k", json!({ "add": 6 })).await.status,
        422
    );
    assert_eq!(
        inventory.restock("admin", "p99", "k", json!({ "add": 5 })).await.status,
        404
    );
    for body in [
        json!({ "add": 0 }),
        json!({ "add": 1.5 }),
        json!({}),
        json!({ "add": 1, "take": 2 }),
    ] {
        assert_eq!(
            inventory.restock("admin", "p01", "other", body.clone()).await.status,
            400,
            "{body}"
        );
    }
    assert_eq!(inventory.stock("p01").await, (1_005, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_and_stock_can_be_compared_page_by_page() {
    let inventory = Inventory::start().await;
    inventory.reserve("r1", &[("p01", 3), ("p02", 1)]).await;
    inventory.reserve("r2", &[("p01", 2)]).await;
    inventory.deduct("r1").await;
    inventory.reserve("r3", &[("p03", 5)]).await;
    inventory.release("r3").await;
    let get = async |path: &str| {
        inventory
            .service
            .get("", &format!("/internal/reconcile/{path}"))
            .await
            .body
    };
    let mut page = get("reservations?limit=2").await;
    let first = page["items"][0].as_object_mut().unwrap();
    let at = first.remove("at").unwrap();
    assert!(
        at.as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')),
        "{at}"
    );
    assert_eq!(json!(first), json!({ "key": "r1", "status": "deducted", "pieces": 4 }));
    assert_eq!(
        (&page["items"][1]["status"], &page["next"]),
        (&json!("held"), &json!("r2"))
    );
    let rest = get("reservations?after=r2").await;
    assert_eq!(
        (&rest["items"][0]["status"], &rest["next"]),
        (&json!("released"), &Value::Null)
    );
    let stock = get("stock?limit=1").await;
    let expected = json!({
        "key": "p01", "at": null, "received": 1_000, "accounted": 1_000, "reserved": 2, "held": 2, "shipped": 3, "deducted": 3,
    });
    assert_eq!((&stock["items"][0], &stock["next"]), (&expected, &json!("p01")));
    assert_eq!(get("stock").await["items"].as_array().map(Vec::len), Some(50));
    assert_eq!(get("stock?limit=0").await["status"], 400);
}
