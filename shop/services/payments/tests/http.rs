//! Payments over HTTP, on SQLite and on a real PostgreSQL: the same claims on both.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Postgres, Said, Service, identity};

/// Where the claim is checked. The folder and the server live as long as the value.
struct Payments {
    service: Service,
    database: Database,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Postgres>,
}

impl Payments {
    async fn at(url: &str) -> (Service, Database) {
        let database = Database::open(url, shop_payments::MIGRATIONS).await.unwrap();
        (Service::start(shop_payments::router(database.clone())).await, database)
    }

    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (service, database) = Self::at(&format!("sqlite://{}/payments.db", folder.path().display())).await;
        Self {
            service,
            database,
            _folder: Some(folder),
            _server: None,
        }
    }

    async fn on_postgres() -> Option<Self> {
        let server = Postgres::start()?;
        let (service, database) = Self::at(&server.url()).await;
        Some(Self {
            service,
            database,
            _folder: None,
            _server: Some(server),
        })
    }

    async fn deposit(&self, owner: &str, key: &str, amount: i64) -> Said {
        let mut headers = identity(owner);
        headers.push(("idempotency-key", key));
        self.service
            .ask("POST", "/api/wallet/deposits", &headers, json!({ "amount": amount }))
            .await
    }

    async fn charge(&self, saga: &str, customer: &str, amount: i64) -> Said {
        let body = json!({ "customer": customer, "amount": amount, "currency": "EUR" });
        self.service
            .step(
                "PUT",
                &format!("/internal/charges/{saga}"),
                &format!("{saga}.pay.action"),
                body,
            )
            .await
    }

    async fn refund(&self, saga: &str) -> Said {
        let path = format!("/internal/charges/{saga}/refund");
        self.service
            .step("POST", &path, &format!("{saga}.pay.compensate"), Value::Null)
            .await
    }

    async fn balance(&self, owner: &str) -> i64 {
        self.service.get(owner, "/api/wallet").await.body["balance"]
            .as_i64()
            .unwrap()
    }

    async fn totals(&self) -> Value {
        self.service.get("", "/internal/totals").await.body
    }
}

/// Each claim is a function of the service; here it runs on both databases.
macro_rules! on_both {
    ($($claim:ident)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(&Payments::on_sqlite().await).await;
            })*
        }

        /// One server for all claims: each uses customers and sagas of its own.
        #[tokio::test(flavor = "multi_thread")]
        async fn postgres_keeps_every_claim() {
            let Some(payments) = Payments::on_postgres().await else { return };
            $($claim(&payments).await;)*
        }
    };
}

on_both! {
    a_charge_takes_money_once_however_often_it_is_asked
    a_refund_gives_it_back_once
    a_refund_that_comes_first_gives_nothing_and_stops_the_charge
    a_refused_charge_stays_refused_when_the_wallet_fills
    many_charges_at_once_never_overdraw
    a_deposit_is_kept_under_its_key
    deposits_at_once_with_one_key_count_once
    nonsense_is_refused_and_changes_nothing
    every_movement_is_an_event_and_nothing_else_is
    charges_and_wallets_can_be_compared_page_by_page
}

async fn charges_and_wallets_can_be_compared_page_by_page(payments: &Payments) {
    // Of other claims on the same database nothing comes between these.
    payments.deposit("compared", "k", 1_000).await;
    for saga in ["compared-1", "compared-2"] {
        payments.charge(saga, "compared", 300).await;
    }
    payments.refund("compared-2").await;
    let get = async |path: &str| {
        payments
            .service
            .get("", &format!("/internal/reconcile/{path}"))
            .await
            .body
    };
    let mut page = get("charges?limit=1&after=compared").await;
    let first = page["items"][0].as_object_mut().unwrap();
    assert!(first.remove("at").unwrap().is_string());
    let expected = json!({ "key": "compared-1", "customer": "compared", "amount": 300, "status": "charged" });
    assert_eq!((json!(first), &page["next"]), (expected, &json!("compared-1")));
    let next = get("charges?limit=1&after=compared-1").await;
    assert_eq!(
        (&next["items"][0]["key"], &next["items"][0]["status"]),
        (&json!("compared-2"), &json!("refunded"))
    );
    let wallets = get("wallets?limit=1&after=compare").await;
    let expected = json!({ "key": "compared", "at": null, "balance": 700, "booked": 700 });
    assert_eq!(wallets["items"][0], expected);
    assert_eq!(get("wallets?limit=1001").await["status"], 400);
}

async fn every_movement_is_an_event_and_nothing_else_is(payments: &Payments) {
    payments.deposit("told", "k", 1_000).await;
    for _ in 0..2 {
        payments.charge("told-1", "told", 300).await;
    }
    assert_eq!(payments.charge("told-2", "told", 800).await.status, 409);
    for saga in ["told-1", "told-1", "told-2", "told-3"] {
        payments.refund(saga).await;
    }
    let select = "SELECT id, type, subject, data FROM ondol_outbox WHERE key = 'wallet:told' ORDER BY seq";
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(select)
        .fetch_all(payments.database.read())
        .await
        .unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&*row.0, &*row.1, &*row.2)).collect();
    let charged = ("wallet.charged:told-1", "wallet.charged.v1", "told-1");
    assert_eq!(
        told,
        [charged, ("wallet.refunded:told-1", "wallet.refunded.v1", "told-1")]
    );
    for (_, kind, _, data) in &rows {
        let schema = serde_json::from_slice(&std::fs::read(format!("events/{kind}.json")).unwrap()).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["amount"], 300);
        assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&data), "{data}");
    }
}

async fn a_charge_takes_money_once_however_often_it_is_asked(payments: &Payments) {
    payments.deposit("once", "k", 1_000).await;
    let first = payments.charge("once-1", "once", 300).await;
    let expected = json!({ "id": "once-1", "status": "charged", "amount": 300, "currency": "EUR" });
    assert_eq!((first.status, &first.body), (201, &expected));
    for _ in 0..3 {
        let again = payments.charge("once-1", "once", 300).await;
        assert_eq!((again.status, &again.body), (201, &expected));
    }
    assert_eq!(payments.balance("once").await, 700);
}

async fn a_refund_gives_it_back_once(payments: &Payments) {
    payments.deposit("back", "k", 1_000).await;
    payments.charge("back-1", "back", 300).await;
    for _ in 0..2 {
        let refund = payments.refund("back-1").await;
        assert_eq!(
            (refund.status, refund.body),
            (200, json!({ "id": "back-1", "status": "refunded" }))
        );
        assert_eq!(payments.balance("back").await, 1_000);
    }
    assert_eq!(
        payments.charge("back-1", "back", 300).await.status,
        201,
        "a late repeat hears the old answer"
    );
    assert_eq!(payments.balance("back").await, 1_000, "and takes nothing");
}

async fn a_refund_that_comes_first_gives_nothing_and_stops_the_charge(payments: &Payments) {
    payments.deposit("early", "k", 1_000).await;
    for _ in 0..2 {
        let refund = payments.refund("early-1").await;
        assert_eq!(
            (refund.status, refund.body),
            (200, json!({ "id": "early-1", "status": "never_charged" }))
        );
    }
    let late = payments.charge("early-1", "early", 300).await;
    assert_eq!((late.status, &late.body["reason"]), (409, &json!("compensated")));
    assert_eq!(payments.balance("early").await, 1_000);
}

async fn a_refused_charge_stays_refused_when_the_wallet_fills(payments: &Payments) {
    let refused = payments.charge("poor-1", "poor", 300).await;
    assert_eq!(
        (refused.status, &refused.body["reason"]),
        (409, &json!("insufficient_funds"))
    );
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    payments.deposit("poor", "k", 1_000).await;
    assert_eq!(payments.charge("poor-1", "poor", 300).await.status, 409);
    assert_eq!(payments.refund("poor-1").await.body["status"], "never_charged");
    assert_eq!(payments.balance("poor").await, 1_000);
}

async fn many_charges_at_once_never_overdraw(payments: &Payments) {
    payments.deposit("crowd", "k", 1_000).await;
    let sagas: Vec<String> = (0..20).map(|n| format!("crowd-{n}")).collect();
    let answers = join_all(sagas.iter().map(|saga| payments.charge(saga, "crowd", 100))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 10);
    assert_eq!(payments.balance("crowd").await, 0);
    balanced(&payments.totals().await);
}

async fn a_deposit_is_kept_under_its_key(payments: &Payments) {
    let first = payments.deposit("saver", "\"monday\"", 500).await;
    assert_eq!((first.status, &first.body["balance"]), (201, &json!(500)));
    assert_eq!(payments.deposit("saver", "tuesday", 500).await.body["balance"], 1_000);
    let again = payments.deposit("saver", "monday", 500).await;
    assert_eq!(
        (again.status, &again.body),
        (201, &first.body),
        "quoted or bare, it is the same key"
    );
    let other = payments.deposit("saver", "monday", 501).await;
    assert_eq!((other.status, &other.body["reason"]), (422, &json!("key_reused")));
    assert_eq!(
        payments.deposit("neighbour", "monday", 7).await.body["balance"],
        7,
        "keys are a subject's own"
    );
    assert_eq!(payments.balance("saver").await, 1_000);
}

async fn deposits_at_once_with_one_key_count_once(payments: &Payments) {
    let answers = join_all((0..8).map(|_| payments.deposit("hasty", "same", 100))).await;
    for answer in &answers {
        let running = answer.status == 409 && answer.body["reason"] == "in_progress";
        assert!(answer.status == 201 || running, "{answer:?}");
    }
    assert_eq!(payments.deposit("hasty", "same", 100).await.body["balance"], 100);
    assert_eq!(payments.balance("hasty").await, 100);
}

async fn nonsense_is_refused_and_changes_nothing(payments: &Payments) {
    let before = payments.totals().await;
    for amount in [0, -5, i64::MAX] {
        assert_eq!(payments.deposit("joker", "k", amount).await.status, 400, "{amount}");
        assert_eq!(
            payments.charge("joker-1", "joker", amount).await.status,
            400,
            "{amount}"
        );
    }
    assert_eq!(payments.service.get("", "/api/wallet").await.status, 401);
    let body = json!({ "customer": "joker", "amount": 1, "currency": "XXX" });
    let foreign = payments
        .service
        .step("PUT", "/internal/charges/j", "j.pay.action", body.clone())
        .await;
    assert_eq!((foreign.status, &foreign.body["reason"]), (400, &json!("bad_currency")));
    let unkeyed = payments
        .service
        .ask("PUT", "/internal/charges/j", &[], body.clone())
        .await;
    assert_eq!((unkeyed.status, &unkeyed.body["reason"]), (400, &json!("bad_saga_key")));
    let undoing = payments
        .service
        .step("PUT", "/internal/charges/j", "j.pay.compensate", body)
        .await;
    assert_eq!((undoing.status, &undoing.body["reason"]), (400, &json!("bad_saga_key")));
    let texts = json!({ "amount": "5" });
    let text = payments
        .service
        .ask("POST", "/api/wallet/deposits", &identity("joker"), texts)
        .await;
    assert_eq!((text.status, &text.body["reason"]), (400, &json!("bad_body")));
    assert_eq!(payments.totals().await, before);
}

/// What the ledger promises at any time.
fn balanced(totals: &Value) {
    let number = |pointer: &str| totals.pointer(pointer).and_then(Value::as_i64).unwrap();
    assert_eq!(number("/ledger/sum"), 0);
    assert_eq!(number("/ledger/wallets"), number("/wallets/balance"));
    assert_eq!(
        number("/ledger/shop"),
        number("/charges/amount") - number("/refunds/amount")
    );
    assert_eq!(number("/deposits"), number("/wallets/balance") + number("/ledger/shop"));
}

/// `scale: { max: 4 }` of the manifest: a second process on the same file, with its own writer.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_file_are_one_service() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/payments.db", folder.path().display());
    let (first, second) = tokio::join!(Payments::at(&url), Payments::at(&url));
    let [one, two] = [first, second].map(|(service, database)| Payments {
        service,
        database,
        _folder: None,
        _server: None,
    });
    one.deposit("twin", "k", 1_000).await;
    assert_eq!(
        two.deposit("twin", "k", 1_000).await.body["balance"],
        1_000,
        "a key is known in both"
    );
    let sagas: Vec<String> = (0..12).map(|n| format!("twin-{n}")).collect();
    let both = sagas
        .iter()
        .map(|saga| join(one.charge(saga, "twin", 100), two.charge(saga, "twin", 100)));
    let answers = join_all(both).await;
    for (one, two) in &answers {
        assert_eq!((one.status, &one.body), (two.status, &two.body), "both hear the same");
    }
    assert_eq!(answers.iter().filter(|(answer, _)| answer.status == 201).count(), 10);
    assert_eq!((one.balance("twin").await, two.balance("twin").await), (0, 0));
    balanced(&two.totals().await);
}
