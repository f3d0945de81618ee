//! The shop's laws (`shop.md`: what must hold, whatever is killed), checked by the audit and by asking for orders.

use crate::http::{Ask, Client};
use crate::shop::{Customer, PATIENCE, expect};
use crate::system::eventually;
use anyhow::Context;
use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Orders that customers were told of: id → who asked.
pub(crate) type Acknowledged = BTreeMap<String, Customer>;

/// What the audit said, and which laws are broken.
pub(crate) struct Judgement {
    pub(crate) broken: Vec<String>,
    pub(crate) summary: String,
}

/// Waits until nothing is under way, then checks everything.
pub(crate) async fn judge(client: &Client, admin: &Customer, acknowledged: &Acknowledged) -> anyhow::Result<Judgement> {
    let patience = Duration::from_secs(180);
    let at_rest = || async {
        let audit = audit(client, admin).await?;
        let pending =
            number(&audit, "/totals/orders/pending")? + number(&audit, "/totals/inventory/reservations/held")?;
        let transfers = ["bank-north", "bank-south"].iter().try_fold(0, |sum, bank| {
            anyhow::Ok(sum + number(&audit, &format!("/totals/{bank}/transfers/pending/count"))?)
        })?;
        anyhow::Ok((pending + transfers == 0).then_some(audit))
    };
    let audit = eventually("every order and transfer ends", patience, at_rest).await;
    let audit = match audit {
        Ok(audit) => audit,
        Err(error) => {
            let last = self::audit(client, admin).await?;
            let broken = vec![format!("law 6: {error:#}; the last audit: {last}")];
            return Ok(Judgement {
                broken,
                summary: last.to_string(),
            });
        }
    };
    let mut broken = books(&audit)?;
    broken.extend(orders_exist(client, acknowledged).await?);
    let n = |path: &str| number(&audit, path).unwrap_or(-1);
    let summary = format!(
        "{} confirmed, {} cancelled, {} charges, {} refunds, {} shipments, {} acknowledged",
        n("/totals/orders/confirmed"),
        n("/totals/orders/cancelled"),
        n("/totals/payments/charges/count"),
        n("/totals/payments/refunds/count"),
        n("/totals/shipping/shipments"),
        acknowledged.len()
    );
    Ok(Judgement { broken, summary })
}

async fn audit(client: &Client, admin: &Customer) -> anyhow::Result<Value> {
    let answer = client
        .ask(Ask::get("/api/admin/audit").token(&admin.token), PATIENCE)
        .await?;
    expect(&answer, StatusCode::OK, "the audit")?;
    if answer.body["unreachable"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
    {
        anyhow::bail!("the audit could not reach {}", answer.body["unreachable"]);
    }
    Ok(answer.body)
}

fn number(audit: &Value, path: &str) -> anyhow::Result<i64> {
    audit
        .pointer(path)
        .and_then(Value::as_i64)
        .with_context(|| format!("the audit has no {path}"))
}

/// Laws 1, 2 and 4, from the totals.
fn books(audit: &Value) -> anyhow::Result<Vec<String>> {
    let n = |path: &str| number(audit, path);
    let mut broken = Vec::new();
    let mut equal = |law: &str, left: (&str, i64), right: (&str, i64)| {
        if left.1 != right.1 {
            broken.push(format!(
                "{law}: {} is {}, but {} is {}",
                left.0, left.1, right.0, right.1
            ));
        }
    };
    let (charges, refunds) = (
        n("/totals/payments/charges/amount")?,
        n("/totals/payments/refunds/amount")?,
    );
    let (deposits, wallets) = (n("/totals/payments/deposits")?, n("/totals/payments/wallets/balance")?);
    equal(
        "law 1",
        ("wallet debits", deposits - wallets),
        ("charges - refunds", charges - refunds),
    );
    equal(
        "law 1",
        ("the ledger's sum", n("/totals/payments/ledger/sum")?),
        ("zero", 0),
    );
    equal(
        "law 1",
        ("confirmed orders' total", n("/totals/orders/confirmed_total")?),
        ("charges - refunds", charges - refunds),
    );
    let confirmed = n("/totals/orders/confirmed")?;
    let kept = n("/totals/payments/charges/count")? - n("/totals/payments/refunds/count")?;
    equal("law 1", ("confirmed orders", confirmed), ("charges kept", kept));
    equal(
        "law 1",
        ("confirmed orders", confirmed),
        ("deducted reservations", n("/totals/inventory/reservations/deducted")?),
    );
    equal(
        "law 1",
        ("confirmed orders", confirmed),
        ("shipments", n("/totals/shipping/shipments")?),
    );
    for product in audit["totals"]["inventory"]["products"]
        .as_array()
        .context("the audit has no products")?
    {
        let id = product["product_id"].as_str().unwrap_or_default();
        let (on_hand, shipped) = (number(product, "/on_hand")?, number(product, "/shipped")?);
        equal(
            "law 2",
            (&format!("{id}: on hand + shipped"), on_hand + shipped),
            ("received", number(product, "/received")?),
        );
        equal(
            "law 2",
            (&format!("{id}: reserved at rest"), number(product, "/reserved")?),
            ("zero", 0),
        );
        if on_hand < 0 {
            equal("law 2", (&format!("{id}: on hand"), on_hand), ("at least zero", 0));
        }
    }
    let bank = |name: &str, what: &str| number(audit, &format!("/totals/{name}/{what}"));
    let balances = bank("bank-north", "accounts/balance")? + bank("bank-south", "accounts/balance")?;
    let accounts = bank("bank-north", "accounts/count")? + bank("bank-south", "accounts/count")?;
    equal(
        "law 4",
        ("both banks", balances),
        ("what was seeded", accounts * 100_000),
    );
    Ok(broken)
}

/// Laws 5 and 6, order by order.
async fn orders_exist(client: &Client, acknowledged: &Acknowledged) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    let mut customers: BTreeMap<String, Customer> = BTreeMap::new();
    for (id, customer) in acknowledged {
        if !customers.contains_key(&customer.email) {
            let mut fresh = customer.clone();
            fresh.renew(client).await?;
            customers.insert(customer.email.clone(), fresh);
        }
        let token = customers
            .get(&customer.email)
            .map(|customer| customer.token.as_str())
            .unwrap_or_default();
        let path = format!("/api/orders/{id}");
        let answer = client.ask(Ask::get(&path).token(token), PATIENCE).await?;
        let status = answer.body["status"].as_str().unwrap_or_default();
        if answer.status == StatusCode::NOT_FOUND {
            broken.push(format!("law 5: the acknowledged order {id} is not there"));
        } else if !["confirmed", "cancelled"].contains(&status) {
            broken.push(format!("law 6: order {id} is {} {status:?}", answer.status));
        }
    }
    Ok(broken)
}
