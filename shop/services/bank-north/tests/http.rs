//! Two banks over HTTP, each on a SQLite file of its own, with the test in the saga's place. The law checked all along:
//! what is in both banks and what is pending between them is always the same.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Said, Service};

/// 200 accounts of 1,000.00 in each bank.
const ALL_MONEY: i64 = 2 * 200 * 100_000;

struct Banks {
    north: Service,
    south: Service,
    _folder: tempfile::TempDir,
}

impl Banks {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank = async |name: &str| {
            let url = format!("sqlite://{}/{name}.db", folder.path().display());
            let database = Database::open(&url, shop_bank::MIGRATIONS).await.unwrap();
            Service::start(shop_bank::router(name, database)).await
        };
        Self {
            north: bank("north").await,
            south: bank("south").await,
            _folder: folder,
        }
    }

    /// A call of the saga `transfer-from-north`.
    async fn call(&self, saga: &str, step: Step, transfer: &Value) -> Said {
        let (bank, method, path, key, body) = match step {
            Step::Withdraw => (
                &self.north,
                "PUT",
                "withdrawals/{}",
                "withdraw.action",
                transfer.clone(),
            ),
            Step::Refund => {
                let mut body = transfer.clone();
                body["reason"] = json!("unknown_account");
                (
                    &self.north,
                    "POST",
                    "withdrawals/{}/refund",
                    "withdraw.compensate",
                    body,
                )
            }
            Step::Deposit => {
                let body = json!({ "account": transfer["to"], "amount": transfer["amount"] });
                (&self.south, "PUT", "deposits/{}", "deposit.action", body)
            }
            Step::Finish => (
                &self.north,
                "POST",
                "withdrawals/{}/finish",
                "finish.action",
                Value::Null,
            ),
        };
        let path = format!("/internal/{}", path.replace("{}", saga));
        bank.step(method, &path, &format!("{saga}.{key}"), body).await
    }

    async fn balance(&self, bank: &Service, name: &str) -> i64 {
        let side = if bank.address == self.north.address {
            "north"
        } else {
            "south"
        };
        let said = bank.get("alice", &format!("/api/banks/{side}/accounts/{name}")).await;
        said.body["balance"].as_i64().unwrap()
    }

    async fn transfer(&self, saga: &str) -> Value {
        self.north
            .get("alice", &format!("/api/banks/north/transfers/{saga}"))
            .await
            .body
    }

    /// Balances of both banks, and what has left north and not yet arrived in south.
    async fn money(&self) -> i64 {
        let (north, south) = (
            self.north.get("", "/internal/totals").await,
            self.south.get("", "/internal/totals").await,
        );
        let number = |body: &Value, pointer: &str| body.pointer(pointer).and_then(Value::as_i64).unwrap();
        let left = number(&north.body, "/transfers/pending/amount") + number(&north.body, "/transfers/done/amount");
        let arrived = number(&south.body, "/deposits/amount");
        number(&north.body, "/accounts/balance") + number(&south.body, "/accounts/balance") + left - arrived
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Withdraw,
    Refund,
    Deposit,
    Finish,
}

fn transfer(from: &str, to: &str, amount: i64) -> Value {
    json!({ "from": from, "to": to, "amount": amount })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_moves_money_once_however_often_each_step_is_asked() {
    let banks = Banks::start().await;
    let order = transfer("a001", "a002", 300);
    for (step, status) in [
        (Step::Withdraw, "pending"),
        (Step::Deposit, "pending"),
        (Step::Finish, "done"),
    ] {
        for _ in 0..3 {
            assert!(
                matches!(banks.call("t1", step, &order).await.status, 200 | 201),
                "{step:?}"
            );
            assert_eq!(banks.money().await, ALL_MONEY);
        }
        let expected = json!({ "id": "t1", "status": status, "from": "a001", "to": "a002", "amount": 300 });
        assert_eq!(banks.transfer("t1").await, expected);
    }
    assert_eq!(banks.balance(&banks.north, "a001").await, 99_700);
    assert_eq!(banks.balance(&banks.south, "a002").await, 100_300);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_for_an_account_that_does_not_exist_comes_back() {
    let banks = Banks::start().await;
    let order = transfer("a001", "nobody", 300);
    banks.call("t1", Step::Withdraw, &order).await;
    for _ in 0..2 {
        let refused = banks.call("t1", Step::Deposit, &order).await;
        assert_eq!(
            (refused.status, &refused.body["reason"]),
            (409, &json!("unknown_account"))
        );
    }
    for _ in 0..2 {
        assert_eq!(banks.call("t1", Step::Refund, &order).await.body["status"], "refunded");
        assert_eq!(banks.balance(&banks.north, "a001").await, 100_000);
    }
    assert_eq!(
        banks.call("t1", Step::Withdraw, &order).await.status,
        201,
        "a late repeat hears the old answer"
    );
    assert_eq!(banks.balance(&banks.north, "a001").await, 100_000, "and takes nothing");
    let seen = banks.transfer("t1").await;
    assert_eq!(
        (&seen["status"], &seen["reason"]),
        (&json!("cancelled"), &json!("unknown_account"))
    );
    assert_eq!(banks.money().await, ALL_MONEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_withdrawal_is_kept_seen_and_never_refunded() {
    let banks = Banks::start().await;
    for (saga, order, reason) in [
        ("t1", transfer("a001", "a002", 100_001), "insufficient_funds"),
        ("t2", transfer("nobody", "a002", 1), "unknown_account"),
    ] {
        for _ in 0..2 {
            let refused = banks.call(saga, Step::Withdraw, &order).await;
            assert_eq!((refused.status, &refused.body["reason"]), (409, &json!(reason)));
        }
        assert_eq!(
            banks.call(saga, Step::Refund, &order).await.body["status"],
            "never_withdrawn"
        );
        let seen = banks.transfer(saga).await;
        assert_eq!(
            (&seen["status"], &seen["reason"]),
            (&json!("cancelled"), &json!(reason))
        );
    }
    assert_eq!(banks.money().await, ALL_MONEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_first_stops_the_withdrawal_and_can_be_seen() {
    let banks = Banks::start().await;
    let order = transfer("a001", "a002", 300);
    assert_eq!(
        banks.call("t1", Step::Refund, &order).await.body["status"],
        "never_withdrawn"
    );
    let late = banks.call("t1", Step::Withdraw, &order).await;
    assert_eq!((late.status, &late.body["reason"]), (409, &json!("compensated")));
    assert_eq!(banks.transfer("t1").await["status"], "cancelled");
    assert_eq!(banks.balance(&banks.north, "a001").await, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_arrived_is_not_given_back_and_finishing_waits_for_a_transfer() {
    let banks = Banks::start().await;
    let order = transfer("a001", "a002", 300);
    assert_eq!(
        banks.call("t1", Step::Finish, &order).await.status,
        409,
        "nothing to finish yet, and not kept"
    );
    for step in [Step::Withdraw, Step::Deposit, Step::Finish] {
        assert!(banks.call("t1", step, &order).await.status < 300, "{step:?}");
    }
    for _ in 0..2 {
        let refused = banks.call("t1", Step::Refund, &order).await;
        assert_eq!((refused.status, &refused.body["reason"]), (409, &json!("not_pending")));
        assert_eq!(banks.money().await, ALL_MONEY);
    }
}

/// A saga that is driven by dice: every call may be sent twice, its answer may be lost and asked for again, and late
/// repeats of earlier calls come at any time. It ends as the engine ends it: done, or refunded.
#[tokio::test(flavor = "multi_thread")]
async fn money_stays_the_same_under_lost_answers_repeats_and_late_calls() {
    let banks = Banks::start().await;
    for seed in 1..=12_u64 {
        let mut dice = Dice(seed);
        let saga = format!("t{seed}");
        let to = if dice.roll(3) == 0 { "nobody" } else { "a002" };
        let order = transfer("a001", to, 1 + i64::from(dice.roll(60_000)));
        let mut sent = Vec::new();
        let mut ask = async |step: Step| {
            sent.push(step);
            let mut answer = banks.call(&saga, step, &order).await;
            while dice.roll(2) == 0 {
                // The answer was lost, or something old arrives now.
                let late = sent[dice.roll(u32::try_from(sent.len()).unwrap()) as usize];
                banks.call(&saga, late, &order).await;
                answer = banks.call(&saga, step, &order).await;
                assert_eq!(
                    banks.money().await,
                    ALL_MONEY,
                    "seed {seed}, after {sent:?} and {late:?}"
                );
            }
            answer.status
        };
        let arrived = ask(Step::Withdraw).await == 201 && ask(Step::Deposit).await == 201;
        let last = if arrived { Step::Finish } else { Step::Refund };
        assert_eq!(ask(last).await, 200, "seed {seed}");
        let status = banks.transfer(&saga).await["status"].clone();
        assert_eq!(status, if arrived { "done" } else { "cancelled" }, "seed {seed}");
    }
    assert_eq!(banks.money().await, ALL_MONEY);
    let totals = banks.north.get("", "/internal/totals").await.body;
    assert_eq!(totals["transfers"]["pending"]["count"], 0);
}

/// Numbers that depend on the seed alone (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 16) % u64::from(sides)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_answers_for_itself_only_and_for_the_signed_in() {
    let banks = Banks::start().await;
    assert_eq!(
        banks.north.get("alice", "/api/banks/south/accounts/a001").await.status,
        404
    );
    assert_eq!(
        banks.north.get("alice", "/api/banks/north/accounts/a201").await.status,
        404
    );
    assert_eq!(
        banks.north.get("alice", "/api/banks/north/transfers/none").await.status,
        404
    );
    assert_eq!(banks.north.get("", "/api/banks/north/accounts/a001").await.status, 401);
    let account = banks.north.get("alice", "/api/banks/north/accounts/a200").await.body;
    assert_eq!(
        account,
        json!({ "name": "a200", "balance": 100_000, "currency": "EUR" })
    );
}

/// The two banks are one program, so their contract is one, and their sagas differ by their names alone.
#[test]
fn south_is_north_with_the_names_exchanged() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(read("openapi.yaml"), read("../bank-south/openapi.yaml"));
    let exchanged = |text: String| {
        text.replace("north", "?")
            .replace("south", "north")
            .replace('?', "south")
    };
    // The comment says where the program's text is, which is the same for both.
    let saga = |path: &str| read(path).split_once('\n').unwrap().1.to_owned();
    let north = saga("transfer-from-north.saga.yaml");
    assert_eq!(exchanged(north), saga("../bank-south/transfer-from-south.saga.yaml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_and_what_has_arrived_can_be_compared_and_the_books_add_up() {
    let banks = Banks::start().await;
    let compared = async |bank: &Service, what: &str| {
        let page = bank.get("", &format!("/internal/reconcile/{what}")).await.body;
        assert_eq!(page["next"], Value::Null);
        page["items"].as_array().unwrap().clone()
    };
    let order = transfer("a001", "a002", 300);
    for step in [Step::Withdraw, Step::Deposit, Step::Finish] {
        banks.call("t1", step, &order).await;
        for bank in [&banks.north, &banks.south] {
            let book = &compared(bank, "books").await[0];
            assert_eq!(
                (&book["key"], &book["at"], &book["balance"]),
                (&json!("books"), &Value::Null, &book["booked"])
            );
        }
    }
    let (sent, arrived) = (
        compared(&banks.north, "transfers").await,
        compared(&banks.south, "deposits").await,
    );
    let of = |item: &Value, names: [&str; 3]| names.map(|name| item[name].clone());
    assert_eq!(
        of(&sent[0], ["key", "status", "to"]),
        [json!("t1"), json!("done"), json!("a002")]
    );
    assert_eq!(
        of(&arrived[0], ["key", "amount", "account"]),
        [json!("t1"), json!(300), json!("a002")]
    );
    assert!(sent[0]["at"].is_string() && arrived[0]["at"].is_string());
    let none = banks.south.get("", "/internal/reconcile/books?after=books").await.body;
    assert_eq!(none, json!({ "items": [], "next": null }));
}
