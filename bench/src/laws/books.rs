//! Laws 1 to 4, from the audit: what was charged, shipped, given and moved must add up once nothing is under way.

use super::{Broken, number};
use anyhow::Context;
use serde_json::Value;

/// Laws 1, 2 and 4: they need nothing but the checkout.
pub(super) fn checkout(audit: &Value) -> anyhow::Result<Broken> {
    let n = |path: &str| number(audit, path);
    let mut broken = Broken::default();
    let mut equal = |law: &str, left: (&str, i64), right: (&str, i64)| broken.equal(law, left, right);
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

/// Law 3: points of confirmed orders only, and once each.
pub(super) fn points(audit: &Value) -> anyhow::Result<Broken> {
    let n = |path: &str| number(audit, path);
    let mut broken = Broken::default();
    let awarded = n("/totals/points/orders")?;
    broken.equal(
        "law 3",
        ("orders that gave points", awarded),
        ("confirmed orders", n("/totals/orders/confirmed")?),
    );
    broken.equal(
        "law 3",
        ("the sum that points were given for", n("/totals/points/total")?),
        ("confirmed orders' total", n("/totals/orders/confirmed_total")?),
    );
    broken.equal(
        "law 3",
        ("customers' balances", n("/totals/points/balances")?),
        ("the points that were given", n("/totals/points/points")?),
    );
    Ok(broken)
}

/// Every event that customers are told of became one mail.
pub(super) fn mails(audit: &Value) -> anyhow::Result<Broken> {
    let mails = &audit["totals"]["notifications"]["mails"];
    let mut broken = Broken::default();
    for (kind, of, what) in [
        ("order.confirmed.v1", "/totals/orders/confirmed", "confirmed orders"),
        ("order.cancelled.v1", "/totals/orders/cancelled", "cancelled orders"),
        ("user.registered.v1", "/totals/users/users", "users"),
    ] {
        // The member is missing while there is none.
        let sent = mails[kind].as_i64().unwrap_or(0);
        let name = format!("mails of {kind}");
        broken.equal("delivery", (&name, sent), (what, number(audit, of)?));
    }
    Ok(broken)
}

/// Every parcel has the carriers' promise, or their refusal.
pub(super) fn parcels(audit: &Value) -> anyhow::Result<Broken> {
    let n = |what: &str| number(audit, &format!("/totals/shipping/{what}"));
    let mut broken = Broken::default();
    let answered = n("deliveries/promised")? + n("deliveries/refused")?;
    broken.equal(
        "carriers",
        ("parcels with an answer", answered),
        ("shipments", n("shipments")?),
    );
    Ok(broken)
}
